"""The `holdfast` command: data on stdout. What is done wrong with it: test_mistakes.py."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

from holdfast.cli_options import EXIT_INTERRUPTED
from support.daemon import DaemonProcess


def holdfast(daemon: DaemonProcess | str, *arguments: str) -> subprocess.CompletedProcess[str]:
    url = daemon if isinstance(daemon, str) else daemon.url
    command = [sys.executable, "-m", "holdfast", "--url", url, "--timeout", "5s", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_a_job_is_added_shown_listed_acted_on_and_removed(daemon: DaemonProcess) -> None:
    added = holdfast(
        daemon,
        "add",
        "mail",
        "welcome",
        '{"user": 7}',
        "--id",
        "m7",
        "--delay",
        "1h",
        "--attempts",
        "5",
        "--tag",
        "eu",
        "--tag",
        "vip",
    )
    assert (added.returncode, added.stdout) == (0, "m7\n")
    again = holdfast(daemon, "add", "mail", "welcome", "--id", "m7", "--json")
    assert json.loads(again.stdout) == {"id": "m7", "created": False, "state": "delayed"}
    shown = json.loads(holdfast(daemon, "job", "mail", "m7", "--json").stdout)
    assert (shown["data"], shown["state"], shown["attempts"]) == ({"user": 7}, "delayed", 5)
    assert holdfast(daemon, "promote", "mail", "m7").returncode == 0
    assert "m7" in holdfast(daemon, "jobs", "state:waiting", "queue:mail").stdout
    assert json.loads(holdfast(daemon, "counts", "mail", "--json").stdout)["waiting"] == 1
    assert holdfast(daemon, "pause", "mail").returncode == 0
    assert "paused" in holdfast(daemon, "queues").stdout
    assert holdfast(daemon, "resume", "mail").returncode == 0
    why = json.loads(holdfast(daemon, "explain", "mail", "m7", "--json").stdout)
    assert (why["code"], why["details"]["before"]) == ("no_workers", 0)
    assert holdfast(daemon, "explain", "mail", "m7").stdout == f"{why['text']}\n"
    assert holdfast(daemon, "edit", "mail", "m7", '{"user": 8}').returncode == 0
    assert holdfast(daemon, "move", "mail", "m7", "--to", "post").returncode == 0
    shown = json.loads(holdfast(daemon, "job", "post", "m7", "--json").stdout)
    assert (shown["data"], shown["tags"]) == ({"user": 8}, ["eu", "vip"])
    assert holdfast(daemon, "cancel", "post", "m7").returncode == 0
    assert holdfast(daemon, "retry", "post", "m7").returncode == 0
    assert holdfast(daemon, "move", "post", "m7", "--to", "mail").returncode == 0
    assert holdfast(daemon, "remove", "mail", "m7").returncode == 0
    assert json.loads(holdfast(daemon, "queues", "--json").stdout)["mail"]["waiting"] == 0


def test_a_worker_is_run_from_a_module(daemon: DaemonProcess, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "from holdfast import Worker\n"
        "def handler(job):\n    print(job.data, flush=True)\n"
        f"worker = Worker('mail', handler, url={daemon.url!r})\n"
    )
    holdfast(daemon, "add", "mail", "n", '"hello"')
    command = [sys.executable, "-m", "holdfast", "worker", "app:worker"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "hello\n"
        process.terminate()
        assert process.wait(20) == 0


def test_tail_prints_events_as_they_happen(daemon: DaemonProcess) -> None:
    command = [sys.executable, "-m", "holdfast", "--url", daemon.url]
    tail = [*command, "tail", "mail", "--after", "0", "--json"]
    pipe = subprocess.PIPE
    with subprocess.Popen(tail, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["kind"] == "missed"
        holdfast(daemon, "add", "mail", "n", "--id", "a")
        event = json.loads(process.stdout.readline())
        assert (event["kind"], event["id"]) == ("added", "a")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == EXIT_INTERRUPTED
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_reader_that_has_enough_ends_it_in_silence(daemon: DaemonProcess) -> None:
    command = f"{sys.executable} -m holdfast --url {daemon.url} queues | true"
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=30, check=True)
    assert done.stderr == b""


def test_a_schedule_is_made_listed_run_paused_and_removed(daemon: DaemonProcess) -> None:
    made = holdfast(
        daemon, "schedule", "mail", "nightly", "report", '{"kind": 1}', "--cron", "30 2 * * 1-5",
        "--tz", "Europe/Berlin", "--attempts", "3", "--tag", "eu",
    )  # fmt: skip
    words = "At 02:30 on Monday through Friday, Europe/Berlin"
    assert re.fullmatch(rf"{words}; next at \d{{4}}-\d\d-\d\d \d\d:30:00 UTC\n", made.stdout)
    every = holdfast(daemon, "schedule", "post", "pulse", "check", "--every", "5m", "--json")
    assert json.loads(every.stdout)["words"] == "Every 5 minutes"
    lines = holdfast(daemon, "schedules").stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["queue", "id"], ["mail", "nightly"], ["post", "pulse"],
    ]  # fmt: skip
    assert lines[1].endswith(words)
    (one,) = holdfast(daemon, "schedules", "mail", "--json").stdout.splitlines()
    assert (json.loads(one)["data"], json.loads(one)["options"]["tags"]) == ({"kind": 1}, ["eu"])
    run = holdfast(daemon, "run-schedule", "mail", "nightly").stdout.strip()
    assert run.startswith("nightly@now-")
    assert run in holdfast(daemon, "jobs", "id:nightly@*").stdout
    assert holdfast(daemon, "pause-schedule", "mail", "nightly").returncode == 0
    assert "paused" in holdfast(daemon, "schedules", "mail").stdout
    assert holdfast(daemon, "resume-schedule", "mail", "nightly").returncode == 0
    assert holdfast(daemon, "unschedule", "mail", "nightly").returncode == 0
    gone = holdfast(daemon, "unschedule", "mail", "nightly")
    assert (gone.returncode, gone.stderr) == (1, "holdfast: no schedule nightly in queue mail\n")
    wrong = holdfast(daemon, "schedule", "mail", "s", "n", "--cron", "99 * * * *")
    assert wrong.returncode == 1
    assert "no cron pattern (bad minute): use five fields" in wrong.stderr
    neither = holdfast(daemon, "schedule", "mail", "s", "n")
    assert (neither.returncode, neither.stderr.count("\n")) == (2, 1)
