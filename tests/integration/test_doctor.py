"""`holdfastd doctor`, beside a real daemon at work and on what one has left."""

import hashlib
import json
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

from holdfast import Queue
from holdfastd.store.backup import open_file
from support.daemon import DaemonProcess


def doctor(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "holdfastd", "doctor", "--data", str(directory), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def checks(directory: Path, *arguments: str) -> dict[str, dict[str, Any]]:
    done = doctor(directory, "--json", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)["checks"]
    return found


def contents(directory: Path) -> dict[str, str]:
    """A digest of every file, by name."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.iterdir()
        if path.is_file()
    }


def test_beside_a_daemon_under_load_it_sees_it_and_disturbs_nothing(daemon: DaemonProcess) -> None:
    is_over = threading.Event()
    confirmed = []

    def produce() -> None:
        with Queue("mail", url=daemon.url) as queue:
            while not is_over.is_set():
                confirmed.extend(queue.add_many([("n", None)] * 100))

    producer = threading.Thread(target=produce)
    producer.start()
    try:
        found = checks(daemon.directory)
    finally:
        is_over.set()
        producer.join()
    assert found["daemon"]["pid"] == daemon.pid
    assert found["database"]["epoch"] == 1
    assert found["database"]["status"] == "ok"
    assert found["log"]["bytes"] > 0
    assert found["space"]["is_reserve_held"] is True
    assert found["fsync"]["probes"] > 0
    assert "the daemon's" in found["open_files"]["text"]
    assert checks(daemon.directory)["daemon"]["is_running"] is True  # its lock is where it was
    with Queue("mail", url=daemon.url) as queue:
        assert queue.counts()["waiting"] == len(confirmed) > 0
    assert daemon.process is not None
    assert daemon.process.poll() is None
    assert " WARNING " not in daemon.log()
    assert " ERROR " not in daemon.log()


def test_it_changes_nothing_of_what_a_stopped_daemon_has_left(daemon: DaemonProcess) -> None:
    daemon.stop()
    before = contents(daemon.directory)
    found = checks(daemon.directory)
    assert contents(daemon.directory) == before
    assert found["daemon"]["is_running"] is False
    assert (found["database"]["status"], found["database"]["epoch"]) == ("ok", 1)
    # The twin: a look that only reads, but as SQLite does it by itself, leaves files behind.
    with closing(open_file(daemon.directory / "holdfast.db", "mode=ro")) as reader:
        reader.execute("SELECT epoch FROM part").fetchone()
    assert contents(daemon.directory) != before


def test_it_changes_nothing_of_what_a_killed_daemon_has_left(daemon: DaemonProcess) -> None:
    daemon.stop()
    daemon.start()
    with Queue("mail", url=daemon.url) as queue:
        queue.add("n")
    daemon.kill()
    before = contents(daemon.directory)
    found = checks(daemon.directory)
    assert contents(daemon.directory) == before
    assert "did not stop in good order" in found["daemon"]["text"]
    assert "as of the last checkpoint (a log is left to recover)" in found["database"]["text"]
    # The twin: whoever opens it as usual takes the log in.
    with closing(open_file(daemon.directory / "holdfast.db", "mode=rw")) as writer:
        writer.execute("SELECT epoch FROM part").fetchone()
    assert contents(daemon.directory) != before


def test_a_database_that_is_all_in_its_log_is_not_taken_for_a_foreign_one(
    daemon: DaemonProcess,
) -> None:
    daemon.kill()
    found = checks(daemon.directory)["database"]
    assert (found["status"], found["epoch"]) == ("unknown", None)
    assert "all of it is in the log" in found["text"]


def test_what_is_bad_is_exit_code_1_and_told_with_what_to_do(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "holdfast.db").write_bytes(b"no database" * 100)
    done = doctor(tmp_path)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    (at,) = [at for at, line in enumerate(lines) if line.startswith("bad")]
    assert "cannot be read as a database" in lines[at]
    assert lines[at + 1].strip().startswith("-> ")
    assert "\x1b" not in done.stdout


def test_a_directory_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    found = checks(tmp_path / "data" / "deep")
    assert found["directory"]["status"] == "warn"
    assert found["fsync"]["status"] == "unknown"
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_configuration_is_exit_code_2(tmp_path: Path) -> None:
    done = doctor(tmp_path, "--listen", "nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert "tcp.listen must be HOST:PORT" in done.stderr
