"""One suite over both clients, against a real daemon: the blocking one and the asyncio one."""

import asyncio
import inspect
import re
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

import holdfast
import holdfast.aio
from holdfast import Backoff, JobFailed, MisuseError, NotPackable, Refused, Unreachable
from holdfast.wire.constants import ErrorCode
from support.daemon import DaemonProcess


class Awaited:
    """The asyncio client as a blocking one: each awaitable is run on one loop."""

    def __init__(self, target: Any, loop: asyncio.AbstractEventLoop):
        self._target = target
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._resolve(value(*args, **kwargs))

        return call

    def _resolve(self, result: Any) -> Any:
        if inspect.isasyncgen(result):
            return self._iterate(result)
        if inspect.isawaitable(result):
            result = self._loop.run_until_complete(_awaited(result))
        return self._wrapped(result)

    def _iterate(self, items: Any) -> Iterator[Any]:
        try:
            while True:
                try:
                    yield self._wrapped(self._loop.run_until_complete(anext(items)))
                except StopAsyncIteration:
                    return
        finally:
            self._loop.run_until_complete(items.aclose())

    def _wrapped(self, result: Any) -> Any:
        if isinstance(result, list):
            return [self._wrapped(item) for item in result]
        return Awaited(result, self._loop) if isinstance(result, holdfast.aio.Job) else result


async def _awaited(result: Any) -> Any:
    return await result


@pytest.fixture(params=["blocking", "asyncio"])
def queue(request: pytest.FixtureRequest, daemon: DaemonProcess) -> Iterator[Any]:
    if request.param == "blocking":
        with holdfast.Queue("work", url=daemon.url, timeout=10) as blocking:
            yield blocking
        return
    loop = asyncio.new_event_loop()
    wrapped = Awaited(holdfast.aio.Queue("work", url=daemon.url, timeout=10), loop)
    yield wrapped
    wrapped.close()
    loop.close()


def test_an_added_job_can_be_read_back_with_its_data(queue: Any) -> None:
    job = queue.add("resize", {"file": "a.jpg", "sizes": [1, 2]}, priority=3, attempts=4)
    found = queue.get(job.id)
    assert (found.name, found.state, found.priority, found.attempts) == ("resize", "waiting", 3, 4)
    assert found.data == {"file": "a.jpg", "sizes": [1, 2]}
    assert queue.counts()["waiting"] == 1


def test_the_same_id_adds_nothing_the_second_time_and_says_so(queue: Any) -> None:
    first = queue.add("resize", 1, id="upload-a")
    second = queue.add("resize", 2, id="upload-a")
    assert (first.created, second.created, second.state) == (True, False, "waiting")
    assert queue.get("upload-a").data == 1
    assert queue.counts()["waiting"] == 1


def test_add_many_is_one_request_with_options_per_job(queue: Any) -> None:
    jobs = queue.add_many([("a", 1), ("b", 2, {"delay": 60, "id": "m7"}), ("c", 3)])
    assert [job.state for job in jobs] == ["waiting", "delayed", "waiting"]
    assert jobs[1].id == "m7"
    assert queue.counts()["delayed"] == 1


def test_a_delayed_job_can_be_promoted_changed_and_removed(queue: Any) -> None:
    job = queue.add("later", delay=3600)
    queue.change(job.id, priority=-5)
    queue.promote(job.id)
    found = queue.get(job.id)
    assert (found.state, found.priority) == ("waiting", -5)
    queue.remove(job.id)
    with pytest.raises(Refused) as gone:
        queue.get(job.id)
    assert gone.value.code is ErrorCode.UNKNOWN_JOB


def test_a_job_has_tags_each_of_them_once(queue: Any) -> None:
    job = queue.add("n", tags=["vip", "eu", "vip"])
    assert job.tags == queue.get(job.id).tags == ["vip", "eu"]
    assert next(iter(queue.jobs("waiting"))).tags == ["vip", "eu"]
    assert queue.get(queue.add("n").id).tags == []


def test_a_schedule_is_made_read_changed_run_paused_and_removed(queue: Any) -> None:
    made = queue.schedule(
        "nightly", "report", {"kind": "full"}, cron="30 2 * * 1-5", tz="Europe/Berlin", attempts=3
    )
    assert (made.words, made.cron, made.tz, made.every) == (
        "At 02:30 on Monday through Friday, Europe/Berlin", "30 2 * * 1-5", "Europe/Berlin", None,
    )  # fmt: skip
    assert (made.name, made.data, made.options["attempts"]) == ("report", {"kind": "full"}, 3)
    assert made.next_at > made.created_at
    assert queue.schedule(
        "nightly", "report", {"kind": "full"}, cron="30 2 * * 1-5", tz="Europe/Berlin", attempts=3
    ) == made  # fmt: skip
    pulse = queue.schedule("pulse", "check", every=3600, overlap="skip", missed="skip")
    assert (pulse.every, pulse.options["overlap"], pulse.data) == (3600, "skip", None)
    assert [each.id for each in queue.schedules()] == ["nightly", "pulse"]
    assert [each.id for each in queue.all_schedules()] == ["nightly", "pulse"]
    job = queue.run_schedule("nightly")
    assert job.id.startswith("nightly@now-")
    assert (job.name, job.data, job.attempts) == ("report", {"kind": "full"}, 3)
    assert queue.get_schedule("nightly").last_job == job.id
    queue.pause_schedule("nightly")
    paused = queue.get_schedule("nightly")
    assert (paused.paused, paused.next_at) == (True, None)
    queue.resume_schedule("nightly")
    assert queue.get_schedule("nightly").next_at == made.next_at
    queue.unschedule("nightly")
    with pytest.raises(Refused) as gone:
        queue.get_schedule("nightly")
    assert gone.value.code is ErrorCode.UNKNOWN_SCHEDULE
    assert queue.get(job.id).state == "waiting"


def test_a_schedule_makes_its_jobs(queue: Any) -> None:
    queue.schedule("often", "check", every=1)
    deadline = time.monotonic() + 10
    while not queue.counts()["waiting"] and time.monotonic() < deadline:
        time.sleep(0.05)  # it is another process
    (job, *_) = queue.jobs("waiting")
    assert re.fullmatch(r"often@\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", job.id)
    found = queue.get_schedule("often")
    assert found.fired >= 1
    assert found.last_job.startswith("often@")


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({}, "give either cron, such as"),
        ({"cron": "* * * * *", "every": 5}, "give either cron, such as"),
        ({"every": 0.5}, "every_ms must be a whole number from 1,000"),
        ({"every": 5, "delay": 3}, "a schedule knows no 'delay'"),
        ({"every": 5, "attempt": 3}, "unknown option 'attempt': did you mean attempts?"),
        ({"every": 5, "missed": "never"}, "missed must be once or skip"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_before_it_is_sent(
    queue: Any, wrong: dict[str, Any], text: str
) -> None:
    with pytest.raises(MisuseError, match=re.escape(text)):
        queue.schedule("s", "n", **wrong)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"cron": "61 * * * *"}, "is no cron pattern (bad minute)"),
        ({"cron": "* * * * *", "tz": "Europe/Berlim"}, "did you mean Europe/Berlin?"),
        ({"cron": "0 0 30 2 *"}, "is no cron pattern (bad day-of-month)"),
    ],
)
def test_what_the_server_alone_knows_of_patterns_and_zones_is_said(
    queue: Any, wrong: dict[str, Any], text: str
) -> None:
    with pytest.raises(Refused, match=re.escape(text)) as refused:
        queue.schedule("s", "n", **wrong)
    assert refused.value.code is ErrorCode.BAD_OPTION
    assert list(queue.schedules()) == []


def test_jobs_are_cancelled_and_can_be_put_back(queue: Any) -> None:
    first, second = queue.add("n"), queue.add("n", delay=3600)
    queue.cancel(first.id, second.id)
    assert queue.counts()["cancelled"] == 2
    with pytest.raises(JobFailed, match=f"job {first.id} of work is cancelled$"):
        first.wait(timeout=10)
    queue.retry(first.id, state="cancelled")
    with pytest.raises(Refused) as ended:
        queue.cancel(second.id)
    assert ended.value.code is ErrorCode.WRONG_STATE


def test_jobs_are_moved_with_all_they_have(queue: Any) -> None:
    job = queue.add("n", {"a": 1}, priority=3, attempts=4, tags=["eu"])
    queue.add_many([("n", None, {"id": f"m{number}"}) for number in range(5)])
    queue.move(job.id, *[f"m{number}" for number in range(4)], to="other", state="waiting")
    assert (queue.counts()["waiting"], queue.all_queues()["other"]["waiting"]) == (1, 5)
    with pytest.raises(Refused) as gone:
        job.refresh()
    assert gone.value.code is ErrorCode.UNKNOWN_JOB
    queue.add("n", id="m0")
    with pytest.raises(Refused) as taken:
        queue.move("m0", to="other")
    assert taken.value.code is ErrorCode.JOB_EXISTS


def test_a_job_is_not_moved_to_a_queue_that_cannot_be(queue: Any) -> None:
    job = queue.add("n")
    with pytest.raises(MisuseError, match="queue name 'a b' is not allowed"):
        queue.move(job.id, to="a b")
    assert queue.counts()["waiting"] == 1


def test_a_waiting_job_is_given_other_data(queue: Any) -> None:
    job = queue.add("n", {"a": 1}, delay=3600)
    queue.edit(job.id, {"b": [2]}, state="delayed")
    assert queue.get(job.id).data == {"b": [2]}
    with pytest.raises(Refused) as moved_on:
        queue.edit(job.id, 3, state="waiting")
    assert moved_on.value.code is ErrorCode.WRONG_STATE
    with pytest.raises(NotPackable):
        queue.edit(job.id, {1, 2})


def test_many_jobs_are_changed_at_once(queue: Any) -> None:
    jobs = queue.add_many([("n", number) for number in range(3)])
    queue.change(jobs[2].id, jobs[1].id, priority=-1, state="waiting")
    assert [job.data for job in queue.jobs("waiting")] == [2, 1, 0]
    with pytest.raises(Refused):
        queue.promote(jobs[0].id, state="delayed")


def test_it_is_said_why_a_job_is_not_running(queue: Any) -> None:
    job = queue.add("n", delay=3600)
    why = queue.explain(job.id)
    assert (why.code, why.text[:22]) == ("delayed", "it is delayed: due in ")
    queue.promote(job.id)
    assert queue.explain(job.id).code == "no_workers"


def test_listing_pages_over_all_jobs_in_the_order_they_will_run(queue: Any) -> None:
    queue.add_many([("n", number, {"priority": number % 3}) for number in range(250)])
    data = [job.data for job in queue.jobs("waiting")]
    assert data == sorted(range(250), key=lambda number: (number % 3, number))
    assert len(list(queue.jobs("waiting", limit=120))) == 120


def test_pause_settings_drain_and_obliterate(queue: Any) -> None:
    queue.add_many([("n", number) for number in range(20)])
    queue.pause()
    queue.configure(concurrency=3, rate=(10, 1.0, 2))
    info = queue.info()
    assert info["paused"]
    assert info["settings"]["concurrency"] == 3
    assert info["settings"]["rate"] == {"limit": 10, "period_ms": 1000, "burst": 2}
    queue.resume()
    assert queue.drain() == 20
    queue.add("n", delay=60)
    assert queue.obliterate() == 1
    assert queue.info() == {}


def test_waiting_for_a_job_that_does_not_end_times_out_and_names_it(queue: Any) -> None:
    job = queue.add("n")
    with pytest.raises(TimeoutError, match=job.id):
        job.wait(timeout=0.05)


def test_events_are_numbered_and_can_be_resumed(queue: Any) -> None:
    """The first listener opens the ring; a later one asks for what came after its first event."""
    with closing(queue.events(0)) as events:
        assert next(events).kind == "missed"
        queue.add("n", id="a")
        queue.add("n", id="b", delay=60)
        first, second = next(events), next(events)
    assert (first.kind, first.id, second.kind, second.id) == ("added", "a", "added", "b")
    with closing(queue.events(first.number)) as later:
        assert next(later).number == second.number


@pytest.mark.parametrize(
    ("name", "data", "options", "words"),
    [
        ("", None, {}, "job name '' is not allowed"),
        ("n", None, {"id": "a\nb"}, "job id 'a\\nb' is not allowed"),
        ("n", None, {"id": ""}, "job id '' is not allowed"),
        ("n", None, {"priority": 2**31}, "priority must be a whole number from -2,147,483,648"),
        ("n", None, {"attempts": -1}, "attempts must be a whole number from 1"),
        ("n", None, {"delay": -1}, "delay_ms must be a whole number from 0"),
        ("n", None, {"delay": "soon"}, "delay must be seconds or a timedelta, not 'soon'"),
        ("n", None, {"atempts": 3}, "unknown option 'atempts': did you mean attempts?"),
        ("n", None, {"delay": 1, "run_at": 1}, "delay_ms and run_at_ms exclude each other"),
        ("n", None, {"backoff": {"kind": "fast"}}, "backoff must be a map with kind"),
        ("n", None, {"tags": "eu"}, "tags must be a list of at most 20 texts, not 'eu'"),
        ("n", None, {"tags": ["e u"]}, "tags[0] must be 1 to 64 printable characters without"),
        ("n", "x" * 1_100_000, {}, "is over the limit of 1,048,576"),
    ],
)
def test_wrong_input_is_refused_with_what_is_allowed(
    queue: Any, name: str, data: Any, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(MisuseError) as refused:
        queue.add(name, data, **options)
    assert words in str(refused.value)
    assert queue.counts()["waiting"] == 0


def test_data_that_msgpack_cannot_carry_is_named_by_its_path(queue: Any) -> None:
    with pytest.raises(NotPackable) as refused:
        queue.add("n", {"user": {"tags": ["a", {1, 2}]}})
    assert "data['user']['tags'][1] is a set" in str(refused.value)


def test_one_bad_job_of_many_adds_none(queue: Any) -> None:
    with pytest.raises(MisuseError):
        queue.add_many([("a", 1), ("b", 2, {"priority": 2**40})])
    assert queue.counts()["waiting"] == 0


def test_an_unknown_queue_is_empty_to_count_and_refused_to_read(queue: Any) -> None:
    assert sum(queue.counts().values()) == 0
    with pytest.raises(Refused, match="there is no queue work"):
        queue.get("x")


def test_a_wrong_queue_name_or_address_is_refused_at_once() -> None:
    for module in (holdfast, holdfast.aio):
        with pytest.raises(MisuseError, match="queue name 'a b' is not allowed"):
            module.Queue("a b")
        with pytest.raises(MisuseError, match="is no address"):
            module.Queue("a", url="redis://localhost")


def test_a_server_that_is_not_there_is_named_with_the_reason(queue: Any) -> None:
    for closed in (holdfast.Queue("a", url="holdfast://127.0.0.1:1", timeout=0.3),):
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1.*is holdfastd running there"):
            closed.add("n")


def test_a_failed_job_raises_with_its_last_error(queue: Any, daemon: DaemonProcess) -> None:
    job = queue.add("bad", attempts=2, backoff=Backoff.fixed(0.01))

    def handler(active: holdfast.ActiveJob) -> None:
        raise ValueError(f"no {active.attempt}")

    worker = holdfast.Worker("work", handler, url=daemon.url)
    worker.on("failed", lambda active, error: worker.stop() if active.attempt == 2 else None)
    worker.run()
    with pytest.raises(JobFailed, match=r"failed \(error\): ValueError: no 2") as failed:
        job.wait(timeout=10)
    assert [error.message for error in failed.value.job.errors] == ["no 1", "no 2"]
    assert "ValueError" in failed.value.job.errors[0].traceback
    queue.retry(job.id)
    assert queue.get(job.id).state == "waiting"
