"""The producer and the worker in JavaScript, written from protocol.md alone, against a real daemon:
jobs that cross languages both ways, and what is left when daemon, connection or client end."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from holdfast import Worker
from holdfast.active import ActiveJob
from holdfast.aio import Queue
from support import javascript
from support.daemon import DaemonProcess
from support.javascript import KINDS, Program
from support.keys import new_key
from support.proxy import Proxy


@pytest.fixture
def installed(example_in_javascript: Path) -> Path:
    return example_in_javascript


@pytest.fixture
async def queue(daemon: DaemonProcess) -> AsyncIterator[Queue]:
    async with Queue("work", url=daemon.url, timeout=15) as queue:
        yield queue


@pytest.fixture
async def proxy(daemon: DaemonProcess) -> AsyncIterator[Proxy]:
    async with Proxy(daemon.port) as proxy:
        yield proxy


def producing(installed: Path, *arguments: str) -> Program:
    return Program(installed, "producing.mjs", *arguments)


def working(installed: Path, url: str, concurrency: int = 1) -> Program:
    return Program(installed, "working.mjs", url, str(concurrency))


class PythonWorker:
    """A worker on the test's loop; stopped at the end."""

    def __init__(self, url: str, handler: Any):
        self._worker = Worker("work", handler, url=url)

    async def __aenter__(self) -> None:
        self._running = asyncio.create_task(asyncio.to_thread(self._worker.run))

    async def __aexit__(self, *exc: object) -> None:
        self._worker.stop()
        await self._running


async def until(queue: Queue, **counts: int) -> None:
    """Wait until the queue has so many, by state, or `workers`."""
    async with asyncio.timeout(15):
        while not counts.items() <= (await queue.info()).items():
            await asyncio.sleep(0.01)  # other processes are at it


# The bytes


async def test_javascript_reads_and_writes_the_golden_frames(installed: Path) -> None:
    page = javascript.ROOT / "protocol.md"
    frames = page.read_text().split("```golden\n")[1].split("```")[0].count("\n")
    assert await javascript.run(installed, "golden.mjs", str(page)) == f"{frames} frames"


# Jobs that cross


async def test_what_python_adds_javascript_runs(
    installed: Path, daemon: DaemonProcess, queue: Queue
) -> None:
    async with working(installed, daemon.url):
        jobs = [
            await queue.add("echo", data) for data in (KINDS, None, b"bytes", "Grüße", 2**64 - 1)
        ]
        assert [await job.wait(10) for job in jobs] == [KINDS, None, b"bytes", "Grüße", 2**64 - 1]


async def test_what_javascript_adds_python_runs(
    installed: Path, daemon: DaemonProcess, queue: Queue
) -> None:
    seen = []

    def echo(job: ActiveJob) -> Any:
        seen.append(job.data)
        return job.data

    async with PythonWorker(daemon.url, echo):
        assert await javascript.run(installed, "kinds.mjs", daemon.url) == "the same"
    assert seen == [KINDS]
    assert [type(number) for number in seen[0]["whole"]] == [int] * len(KINDS["whole"])


async def test_options_and_ids_of_javascript_are_those_of_python(
    installed: Path, daemon: DaemonProcess, queue: Queue
) -> None:
    options = {"priority": -5, "delay_ms": 3_600_000, "attempts": 4, "tags": ["eu"]}
    async with producing(installed, daemon.url) as producer:
        first = await producer.answer(producer.call("add", "n", 1, {**options, "id": "m-7 ü"}))
        again = await producer.answer(producer.call("add", "n", 2, {"id": "m-7 ü"}))
        made_up = await producer.answer(producer.call("add", "n", 3, options))
        refused = await producer.answer(producer.call("add", "n", 4, {"priorty": 1}))
        assert await producer.end() == 0
    assert first["value"] == again["value"] == "m-7 ü"
    assert refused["error"]["code"] == 304
    assert "priorty" in refused["error"]["message"]
    for id, data in (("m-7 ü", 1), (made_up["value"], 3)):
        job = await queue.get(id)
        assert (job.state, job.data, job.priority, job.attempts) == ("delayed", data, -5, 4)
    await until(queue, delayed=2, waiting=0)


# Errors that cross


async def test_errors_of_javascript_are_tried_again_and_python_reads_them(
    installed: Path, daemon: DaemonProcess, queue: Queue
) -> None:
    async with working(installed, daemon.url, 2):
        flaky = await queue.add("flaky", attempts=3)
        hopeless = await queue.add("hopeless", attempts=3)
        nobodys = await queue.add("nobody's", attempts=2)
        assert await flaky.wait(10) == "at attempt 3"
        with pytest.raises(Exception, match="RetryAfter: it will not get better"):
            await hopeless.wait(10)
        with pytest.raises(Exception, match="no handler for jobs named nobody's"):
            await nobodys.wait(10)
    errors = (await queue.get(flaky.id)).errors
    assert [(error.type, error.message) for error in errors] == [
        ("TypeError", "the first time"),
        ("RetryAfter", "the second time"),
    ]
    assert "working.mjs" in errors[0].traceback
    assert (await queue.get(hopeless.id)).attempt == 1
    assert (await queue.get(nobodys.id)).attempt == 2


async def test_errors_of_python_are_tried_again_and_javascript_reads_them(
    installed: Path, daemon: DaemonProcess
) -> None:
    def fails(job: ActiveJob) -> Any:
        if job.name == "flaky" and job.attempt == 2:
            return "at attempt 2"
        raise OSError(f"at attempt {job.attempt}")

    async with producing(installed, daemon.url) as producer, PythonWorker(daemon.url, fails):
        adds = [producer.call("add", name, None, {"attempts": 2}) for name in ("flaky", "n")]
        ids = [(await producer.answer(add))["value"] for add in adds]
        waits = [producer.call("wait", id) for id in ids]
        flaky, failed = [await producer.answer(wait) for wait in waits]
    assert flaky["value"] == "at attempt 2"
    assert failed["error"] == {"name": "JobFailed", "message": "OSError: at attempt 2"}


async def test_progress_and_log_lines_of_javascript_arrive(
    installed: Path, daemon: DaemonProcess, queue: Queue
) -> None:
    async with working(installed, daemon.url):
        job = await queue.add("reports")
        assert await job.wait(10) == "reported"
    job = await queue.get(job.id)
    assert (job.progress, job.logs) == ({"percent": 50}, ["half way: ½"])


async def test_a_key_is_proved_and_a_wrong_one_ends_the_client(
    installed: Path, tmp_path: Path
) -> None:
    key = new_key(tmp_path / "keyed", "javascript")
    with DaemonProcess(tmp_path / "keyed") as daemon:
        async with producing(installed, daemon.url, key) as producer:
            assert "value" in await producer.answer(producer.call("add", "n", 1))
        wrong = key[:-4] + ("0000" if key[-4:] != "0000" else "1111")
        with pytest.raises(AssertionError, match=r"NOT_AUTHENTICATED|key"):
            await javascript.run(installed, "producing.mjs", daemon.url, wrong)


# Producers that lose the server


async def test_nothing_is_lost_or_doubled_when_the_daemon_is_killed_while_javascript_adds(
    installed: Path, daemon: DaemonProcess, queue: Queue
) -> None:
    async with producing(installed, daemon.url) as producer:
        calls: list[int] = []
        for _ in range(3):
            calls += [producer.call("add", "n", number) for number in range(400)]
            await producer.answer(calls[-350])  # the others are on their way
            daemon.kill()
            calls += [producer.call("add", "n", number) for number in range(50)]
            daemon.start()
        answers = [await producer.answer(call) for call in calls]
    ids = {answer["value"] for answer in answers}
    assert len(ids) == len(calls) == 1350
    assert {job.id async for job in queue.jobs("waiting")} == ids
    assert (await queue.counts())["waiting"] == len(ids)


async def adds_over_a_bad_connection(installed: Path, proxy: Proxy, queue: Queue) -> list[Any]:
    """Ten jobs of which the server sees five, and of these the answers are lost; what the client
    was told in the end."""
    async with producing(installed, proxy.url) as producer:
        await producer.says(ready=True)
        proxy.loses_replies = True
        calls = [producer.call("add", "n", number) for number in range(5)]
        await until(queue, waiting=5)
        proxy.loses_requests = True
        dropped = asyncio.create_task(proxy.dropped(1))
        calls += [producer.call("add", "n", number) for number in range(5, 10)]
        await dropped
        proxy.cut()
        return [(await producer.answer(call)).get("value") for call in calls]


async def data_of(queue: Queue) -> list[Any]:
    return sorted([job.data async for job in queue.jobs("waiting")])


async def test_lost_requests_and_lost_answers_come_to_one_job_each(
    installed: Path, proxy: Proxy, queue: Queue
) -> None:
    ids = await adds_over_a_bad_connection(installed, proxy, queue)
    assert {job.id async for job in queue.jobs("waiting")} == set(ids)
    assert await data_of(queue) == list(range(10))


async def test_the_twin_that_takes_all_for_applied_loses_jobs(
    installed: Path, tmp_path: Path, proxy: Proxy, queue: Queue
) -> None:
    changes = {"else if (number > last_request) this.#ask(request, number);": ""}
    broken = javascript.altered(installed, tmp_path / "js", "session.mjs", changes)
    await adds_over_a_bad_connection(broken, proxy, queue)
    assert await data_of(queue) == list(range(5))


async def test_a_restart_is_no_error_to_javascript(
    installed: Path, daemon: DaemonProcess, queue: Queue
) -> None:
    async with (
        producing(installed, daemon.url) as producer,
        working(installed, daemon.url) as worker,
    ):
        calls = [producer.call("add", "echo", number) for number in range(300)]
        await producer.answer(calls[20])
        assert await asyncio.to_thread(daemon.stop) == 0
        calls += [producer.call("add", "echo", number) for number in range(300, 350)]
        daemon.start()
        answers = [await producer.answer(call) for call in calls]
        await until(queue, completed=350, waiting=0, active=0)
    assert not [answer for answer in answers if "error" in answer]
    assert "DRAINING" not in worker.errors


# Workers that lose the server


async def holds_over_a_kill(installed: Path, daemon: DaemonProcess, queue: Queue) -> Program:
    """A job that runs while the daemon is killed and comes back."""
    job = await queue.add("hold")
    async with working(installed, daemon.url) as worker:
        await worker.says(did="start")
        daemon.kill()
        daemon.start()
        await until(queue, workers=1)
        worker.tell("go")
        assert await job.wait(10) == "held"
        worker.process.send_signal(signal.SIGTERM)
        await worker.end()
    return worker


async def test_a_job_that_javascript_holds_is_not_run_again_when_the_daemon_is_killed(
    installed: Path, daemon: DaemonProcess, queue: Queue
) -> None:
    worker = await holds_over_a_kill(installed, daemon, queue)
    assert [line["did"] for line in worker.lines] == ["start", "end", "leave"]
    (job,) = [job async for job in queue.jobs("completed")]
    assert (job.attempt, job.crashes, job.errors) == (1, 0, [])


async def test_the_twin_that_forgets_its_leases_runs_it_twice(
    installed: Path, tmp_path: Path, daemon: DaemonProcess, queue: Queue
) -> None:
    changes = {"...this.#held.keys()": "", "this.#held.has(item[0])": "false"}
    changes["DRAIN_MS = 10_000"] = "DRAIN_MS = 50"  # the second run is not waited for
    forgets = javascript.altered(installed, tmp_path / "js", "worker.mjs", changes)
    worker = await holds_over_a_kill(forgets, daemon, queue)
    assert [line["did"] for line in worker.lines].count("start") == 2


async def test_a_lost_answer_of_a_worker_is_given_again(
    installed: Path, proxy: Proxy, queue: Queue
) -> None:
    job = await queue.add("hold")
    async with working(installed, proxy.url) as worker:
        await worker.says(did="start")
        proxy.loses_replies = True
        worker.tell("go")
        assert await job.wait(10) == "held"
        second = await queue.add("hold")  # it is pushed, and lost
        await until(queue, active=1)
        proxy.cut()
        await worker.says(did="start", id=second.id)
        worker.tell("go")
        assert await second.wait(10) == "held"
        third = await queue.add("hold")
        await worker.says(did="start", id=third.id)
        worker.tell("go")
        assert await third.wait(10) == "held"
    assert [line["did"] for line in worker.lines].count("start") == 3


async def test_a_worker_of_concurrency_one_runs_one_job_at_a_time_after_a_lost_push(
    installed: Path, proxy: Proxy, queue: Queue
) -> None:
    await queue.resume()  # now there is one
    async with working(installed, proxy.url) as worker:
        await until(queue, workers=1)
        proxy.loses_replies = True
        jobs = [await queue.add("hold") for _ in range(4)]
        await until(queue, active=1, waiting=3)
        proxy.cut()
        for count in range(1, len(jobs) + 1):
            await worker.says_times(count, did="start")
            worker.tell("go")
            await worker.says_times(count, did="end")
        assert [await job.wait(10) for job in jobs] == ["held"] * 4
    done = [line["did"] for line in worker.lines if line["did"] != "leave"]
    assert done == ["start", "end"] * 4


async def test_a_lease_that_is_lost_stops_its_handler(installed: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[leases]\nlease_ms = 600\nheartbeat_ms = 100\ngrace_ms = 300\n")
    with DaemonProcess(tmp_path / "data", "--config", str(config)) as daemon:
        async with Proxy(daemon.port) as proxy, Queue("work", url=daemon.url) as queue:
            job = await queue.add("hold")
            async with working(installed, proxy.url) as cut_off:
                first = await cut_off.says(did="start")
                proxy.loses_requests = proxy.loses_replies = True
                async with working(installed, daemon.url) as other:
                    second = await other.says(did="start")
                    proxy.cut()
                    assert "lease" in (await cut_off.says(did="abort"))["why"]
                    other.tell("go")
                    assert await job.wait(10) == "held"
    assert first["id"] == second["id"] == job.id
    assert int(first["token"]) < int(second["token"])


async def test_a_cancelled_job_stops_its_handler_and_frees_its_hand(
    installed: Path, daemon: DaemonProcess, queue: Queue
) -> None:
    async with working(installed, daemon.url) as worker:
        job = await queue.add("hold")
        await worker.says(did="start")
        await queue.cancel(job.id)
        await worker.says(did="abort")
        assert await (await queue.add("echo", "free")).wait(10) == "free"
    assert (await queue.get(job.id)).state == "cancelled"


# Workers that end


async def test_sigterm_lets_a_handler_finish_and_takes_no_more(
    installed: Path, daemon: DaemonProcess, queue: Queue
) -> None:
    async with working(installed, daemon.url) as worker:
        running, waiting = await queue.add("hold"), await queue.add("hold")
        await worker.says(did="start", id=running.id)
        worker.process.send_signal(signal.SIGTERM)
        await until(queue, workers=0)
        worker.tell("go")
        assert await running.wait(10) == "held"
        assert await worker.end() == 0
    assert [line["did"] for line in worker.lines] == ["start", "end", "leave"]
    assert (await queue.get(waiting.id)).state == "waiting"


async def test_what_does_not_finish_in_time_is_given_back_without_an_attempt(
    installed: Path, tmp_path: Path, daemon: DaemonProcess, queue: Queue
) -> None:
    changes = {"DRAIN_MS = 10_000": "DRAIN_MS = 50"}
    hasty = javascript.altered(installed, tmp_path / "js", "worker.mjs", changes)
    async with working(hasty, daemon.url) as worker:
        job = await queue.add("hold")
        await worker.says(did="start")
        worker.process.send_signal(signal.SIGTERM)
        await worker.says(did="leave")
        assert await worker.end() == 0
    job = await queue.get(job.id)
    assert (job.state, job.releases, job.failures, job.crashes) == ("waiting", 1, 0, 0)
