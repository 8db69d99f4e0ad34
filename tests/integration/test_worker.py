"""Workers against a real daemon."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench.raw import RawClient

from holdfast import Queue, Release, Retry, Unrecoverable, Worker, link
from holdfast.active import ActiveJob
from holdfast.wire import messages as wire
from support.daemon import DaemonProcess
from support.handlers import in_a_process, says_and_waits


@pytest.fixture
def queue(daemon: DaemonProcess) -> Iterator[Queue]:
    with Queue("work", url=daemon.url, timeout=10) as queue:
        yield queue


class Running:
    """A worker on a thread of its own; stopped at the end."""

    def __init__(self, daemon: DaemonProcess, handler: Any, **options: Any):
        self.worker = Worker("work", handler, url=daemon.url, **options)
        self._thread = threading.Thread(target=self.worker.run)

    def __enter__(self) -> Worker:
        self._thread.start()
        return self.worker

    def __exit__(self, *exc: object) -> None:
        self.worker.stop()
        self._thread.join(20)
        assert not self._thread.is_alive()


async def on_the_loop(job: ActiveJob) -> str:
    await asyncio.sleep(0)
    return f"loop {job.data}"


def in_a_thread(job: ActiveJob) -> str:
    return f"thread {job.data} {threading.current_thread() is threading.main_thread()}"


def test_async_functions_threads_and_names(daemon: DaemonProcess, queue: Queue) -> None:
    with Running(daemon, {"a": on_the_loop, "t": in_a_thread}, concurrency=3):
        first, second = queue.add("a", 1), queue.add("t", 2)
        assert (first.wait(10), second.wait(10)) == ("loop 1", "thread 2 False")


def test_a_process_that_dies_fails_only_its_own_job(daemon: DaemonProcess, queue: Queue) -> None:
    with Running(daemon, in_a_process, concurrency=2, process=True):
        dying, living = queue.add("n", "die"), queue.add("n", "live")
        assert living.wait(30) != os.getpid()
        with pytest.raises(Exception, match="WorkerProcessDied"):
            dying.wait(30)
        assert queue.add("n", "again").wait(30)


def test_what_a_process_says_arrives_while_it_runs(
    daemon: DaemonProcess, queue: Queue, tmp_path: Path
) -> None:
    go_on = tmp_path / "go-on"
    with Running(daemon, says_and_waits, process=True):
        job = queue.add("n", str(go_on))
        deadline = time.monotonic() + 20
        while job.refresh().progress != 50 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert (job.state, job.progress, job.logs) == ("active", 50, ["half way"])
        go_on.touch()
        assert job.wait(20) == "done"
    assert job.logs == ["half way", "done"]


def test_progress_and_logs_arrive_before_the_end(daemon: DaemonProcess, queue: Queue) -> None:
    def handler(job: ActiveJob) -> None:
        for step in range(3):
            job.progress({"step": step})
            job.log(f"step {step}")

    with Running(daemon, handler):
        job = queue.add("n")
        job.wait(10)
    assert job.progress == {"step": 2}
    assert job.logs == ["step 0", "step 1", "step 2"]


def test_a_handler_says_retry_after_never_again_or_release(
    daemon: DaemonProcess, queue: Queue
) -> None:
    seen: list[tuple[str, int]] = []

    def handler(job: ActiveJob) -> str:
        seen.append((job.name, job.attempt))
        if job.name == "retry" and job.attempt == 1:
            raise Retry(after=0.01)
        if job.name == "never":
            raise Unrecoverable("no use")
        if job.name == "release" and job.releases == 0:
            raise Release(delay=0.01)
        return "done"

    with Running(daemon, handler):
        assert queue.add("retry", attempts=2).wait(10) == "done"
        assert queue.add("release").wait(10) == "done"
        with pytest.raises(Exception, match="no use"):
            queue.add("never", attempts=50).wait(10)
    assert seen == [("retry", 1), ("retry", 2), ("release", 1), ("release", 1), ("never", 1)]


def test_a_result_that_cannot_be_packed_fails_with_its_path(
    daemon: DaemonProcess, queue: Queue
) -> None:
    words = r"result\['when'\] is a object"
    with Running(daemon, lambda job: {"when": object()}), pytest.raises(Exception, match=words):
        queue.add("n", attempts=5).wait(10)


def test_a_handler_that_blocks_the_loop_keeps_its_lease(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[leases]\nlease_ms = 600\nheartbeat_ms = 100\ngrace_ms = 300\n")
    with DaemonProcess(tmp_path / "data", "--config", str(config)) as daemon:

        async def blocking(job: ActiveJob) -> int:
            time.sleep(2)  # noqa: ASYNC251 - it blocks the loop, that is the point
            return job.attempt

        with Queue("work", url=daemon.url) as queue, Running(daemon, blocking):
            job = queue.add("n")
            assert job.wait(15) == 1
            assert (job.crashes, job.releases) == (0, 0)


def test_a_daemon_restart_re_runs_nothing(daemon: DaemonProcess, queue: Queue) -> None:
    runs: list[str] = []
    may_end = threading.Event()

    def handler(job: ActiveJob) -> str:
        runs.append(job.id)
        may_end.wait(20)
        return "done"

    with Running(daemon, handler, concurrency=20) as worker:
        jobs = queue.add_many([("n", number) for number in range(20)])
        while len(runs) < 20:
            time.sleep(0.01)
        daemon.kill()
        daemon.start()
        may_end.set()
        assert [job.wait(20) for job in jobs] == ["done"] * 20
        assert worker.concurrency == 20
    assert sorted(runs) == sorted(job.id for job in jobs), "a job ran twice"


def test_a_worker_with_more_leases_than_a_handshake_can_name_keeps_them(
    daemon: DaemonProcess, queue: Queue
) -> None:
    runs: list[str] = []
    waiting: list[asyncio.Future[str]] = []

    async def handler(job: ActiveJob) -> str:
        runs.append(job.id)
        if job.id == "after":
            return "done"
        waiting.append(asyncio.get_running_loop().create_future())
        return await waiting[-1]

    def end_all() -> None:
        for future in waiting:
            future.set_result("done")

    with Running(daemon, handler, concurrency=2_000):
        queue.add_many([("n", number) for number in range(2_000)])
        while len(runs) < 2_000:
            time.sleep(0.01)
        daemon.kill()
        daemon.start()
        queue.add("n", id="after")
        waiting[0].get_loop().call_soon_threadsafe(end_all)
        deadline = time.monotonic() + 30
        while queue.counts()["completed"] < 2_001 and time.monotonic() < deadline:
            time.sleep(0.02)
    assert queue.counts()["completed"] == 2_001
    assert len(runs) == len(set(runs)) == 2_001, "a job ran twice"


WORKER = """
import sys, time
from holdfast import Worker
def handler(job):
    print("started", flush=True)
    time.sleep(job.data)
Worker("work", handler, url=sys.argv[1], concurrency=2, drain_timeout=1).run()
"""


def test_sigterm_lets_jobs_end_and_releases_the_rest(daemon: DaemonProcess, queue: Queue) -> None:
    short, long = queue.add("n", 0.3), queue.add("n", 60)
    command = [sys.executable, "-c", WORKER, daemon.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert [process.stdout.readline(), process.stdout.readline()] == [b"started\n"] * 2
        process.terminate()
        short.wait(10)
        deadline = time.monotonic() + 10
        while queue.get(long.id).state != "waiting" and time.monotonic() < deadline:
            time.sleep(0.02)
        found = queue.get(long.id)
        assert (found.state, found.crashes, found.failures) == ("waiting", 0, 0)
        assert process.wait(10) == 0  # though its thread sleeps on


@pytest.mark.parametrize("payload", [b"xxx", b"\xc1", b"{}", b"\x81\x80\x01"])
def test_a_job_that_is_not_msgpack_fails_alone_and_says_why(
    daemon: DaemonProcess, queue: Queue, payload: bytes
) -> None:
    """From a client that puts something else into it. Such jobs took a worker's credit for ever."""
    client = RawClient(daemon.port)
    client.call(wire.Enqueue(0, "work", [["odd", "n", payload, {"attempts": 5}]]))
    client.close()
    with Running(daemon, on_the_loop, concurrency=1):
        good = queue.add("n", 1)
        assert good.wait(10) == "loop 1"
    odd = queue.get("odd")
    assert (odd.state, odd.failures) == ("failed", 1)
    assert odd.data.packed == payload
    assert "the job's data is not msgpack" in odd.errors[0].message


def test_a_worker_that_is_stopped_while_the_server_is_away_waits_to_say_what_it_has_done(
    daemon: DaemonProcess, queue: Queue
) -> None:
    """Else what it had finished would run again."""
    runs: list[int] = []
    has_started, may_end = threading.Event(), threading.Event()

    def handler(job: ActiveJob) -> str:
        runs.append(job.attempt)
        has_started.set()
        may_end.wait(20)
        return "done"

    with Running(daemon, handler) as worker:
        job = queue.add("n")
        assert has_started.wait(10)
        daemon.kill()
        may_end.set()
        worker.stop()
        daemon.start()
        assert job.wait(20) == "done"
    assert runs == [1]
    assert job.refresh().releases == 0


def test_a_worker_does_not_wait_for_ever_for_a_server_that_stays_away(
    daemon: DaemonProcess, queue: Queue
) -> None:
    has_started, may_end = threading.Event(), threading.Event()

    def handler(job: ActiveJob) -> None:
        has_started.set()
        may_end.wait(20)

    with Running(daemon, handler, drain_timeout=0.5):
        queue.add("n")
        assert has_started.wait(10)
        daemon.kill()
        may_end.set()


def test_a_second_signal_does_not_wait_for_running_jobs(
    daemon: DaemonProcess, queue: Queue
) -> None:
    job = queue.add("n", 60)
    command = [sys.executable, "-c", WORKER.replace("drain_timeout=1", ""), daemon.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    assert job.refresh().state == "waiting"
    assert (job.releases, job.crashes) == (1, 0)


def test_a_handler_that_calls_exit_ends_its_job_and_not_the_worker(
    daemon: DaemonProcess, queue: Queue
) -> None:
    async def exits_on_the_loop(job: ActiveJob) -> None:
        sys.exit(3)

    handlers = {"thread": lambda job: sys.exit(3), "loop": exits_on_the_loop, "fine": in_a_thread}
    with Running(daemon, handlers):
        for name in ("thread", "loop"):
            with pytest.raises(Exception, match="SystemExit"):
                queue.add(name).wait(10)
        assert queue.add("fine", 1).wait(10).startswith("thread 1")


def test_a_worker_without_a_server_says_so_and_comes_back(
    daemon: DaemonProcess, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[Exception] = []
    with Running(daemon, lambda job: "done") as worker:
        assert queue.add("n").wait(10) == "done"
        worker.on("error", errors.append)
        daemon.kill()
        while not errors:
            time.sleep(0.01)
        daemon.start()
        assert queue.add("n").wait(15) == "done"
    assert "has lost the server" in caplog.text


MEBIBYTE = 1_000_000


def test_many_large_jobs_and_large_results_at_once(daemon: DaemonProcess, queue: Queue) -> None:
    """40 MB that are ready together: more than a frame, and more than a connection may hold."""
    jobs = queue.add_many([("n", bytes([at]) * MEBIBYTE) for at in range(40)])

    async def echo(job: ActiveJob) -> bytes:
        await asyncio.sleep(0)
        return bytes(job.data)

    with Running(daemon, echo, concurrency=40):
        results = [job.wait(20) for job in jobs]
    assert results == [bytes([at]) * MEBIBYTE for at in range(40)]
    assert all(job.refresh().crashes == 0 for job in jobs)


def test_a_job_that_says_and_raises_more_than_is_kept_ends_like_any_other(
    daemon: DaemonProcess, queue: Queue
) -> None:
    def talks(job: ActiveJob) -> None:
        for number in range(3000):
            job.log(f"{number} " + "ä\ud800" * 4000)
        raise Unrecoverable("😀" * 100_000)

    with Running(daemon, talks):
        job = queue.add("n", b"x" * MEBIBYTE)
        with pytest.raises(Exception, match="😀"):
            job.wait(20)
    assert len(job.errors[0].message) == 4096
    assert [line[:6] for line in job.logs][-1:] == ["999 ä?"]
    assert len(job.data) == MEBIBYTE


def test_progress_that_is_too_large_is_an_error_of_the_handler(
    daemon: DaemonProcess, queue: Queue
) -> None:
    with (
        Running(daemon, lambda job: job.progress("x" * 5000)),
        pytest.raises(Exception, match=r"progress.*4,096"),
    ):
        queue.add("n").wait(20)


def test_a_server_that_restarts_is_news_only_if_it_stays_away(
    daemon: DaemonProcess, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[Exception] = []
    with Running(daemon, lambda job: "done") as worker:
        worker.on("error", errors.append)
        assert queue.add("n").wait(10) == "done"
        assert daemon.stop() == 0
        daemon.start()
        assert queue.add("n").wait(15) == "done"
        assert errors == []
        monkeypatch.setattr(link, "AWAY_S", 0.1)
        assert daemon.stop() == 0
        while not errors:
            time.sleep(0.01)
        daemon.start()
        assert queue.add("n").wait(15) == "done"
