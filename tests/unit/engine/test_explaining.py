"""explaining.py: why a job is not running, in one code and one sentence."""

import re
from pathlib import Path
from random import Random
from typing import Any

import pytest

from holdfastd.engine import commands
from holdfastd.engine.changes import Clearing
from holdfastd.engine.explaining import CODES, explain, span
from holdfastd.engine.model import FailReason, Job, QueueSettings, Rate, Seq, State, Token
from holdfastd.engine.outputs import Refusal
from holdfastd.engine.partition import Moment, Partition
from holdfastd.engine.queue import QueueState
from holdfastd.engine.session import Session
from support.engine import SETTINGS, START_MS, Driver, P, V, W, bare_job, new_job

PROTOCOL = (Path(__file__).parents[3] / "protocol.md").read_text()


def why(driver: Driver, id: str = "a") -> Any:
    return driver.ask(P, commands.Explain("q", id))


def code(driver: Driver, id: str = "a") -> str:
    return str(why(driver, id)["code"])


def configured(driver: Driver, settings: QueueSettings) -> None:
    """And a worker with room for two, which runs the job x."""
    driver.ask(P, commands.Configure("q", settings))
    driver.subscribe(W, "q", credit=2)
    driver.add(P, "q", "x")


# ---- waiting -------------------------------------------------------------------------------------


def test_nobody_takes_its_queues_jobs(driver: Driver) -> None:
    driver.add(P, "q", "a")
    found = why(driver)
    assert found["code"] == "no_workers"
    assert found["text"] == "no worker takes jobs of queue q"
    assert found["details"] == {"before": 0, "is_exact": True}


def test_its_last_worker_has_lost_its_connection(driver: Driver) -> None:
    driver.lease("x")
    driver.add(P, "q", "a")
    driver.detach(W)
    driver.pass_time(5)
    found = why(driver)
    assert (found["code"], found["details"]["seen_at_ms"]) == ("workers_away", START_MS)
    assert found["text"] == "no worker of queue q is connected: the last one left 5.0 s ago"
    driver.attach(W, "worker")
    assert code(driver) == "no_workers"


def test_its_workers_are_silent(driver: Driver) -> None:
    driver.subscribe(W, "q", credit=2)
    driver.pass_time(31)
    driver.add(P, "q", "a")
    found = why(driver)
    assert found["code"] == "workers_away"
    assert "its worker is connected and silent" in found["text"]


def test_its_workers_are_quiet(driver: Driver) -> None:
    driver.subscribe(W, "q", credit=2)
    (worker,) = driver.engine.queues.get("q", driver.engine._partition.add_queue("q")).subscribers
    driver.ask(P, commands.Quiet(worker.key, True))
    driver.add(P, "q", "a")
    assert code(driver) == "workers_quiet"


def test_all_workers_are_busy_and_jobs_are_before_it(driver: Driver) -> None:
    driver.lease("x")
    driver.add(P, "q", "b", "c", "a")
    found = why(driver)
    assert found["code"] == "workers_busy"
    assert found["text"] == (
        "all workers are busy: they run 1 job, and have room for no more; 2 jobs are before it"
    )
    assert found["details"] == {"workers": 1, "slots": 1, "before": 2, "is_exact": True}


def test_its_queue_is_paused(driver: Driver) -> None:
    driver.ask(P, commands.Pause("q"))
    driver.add(P, "q", "a")
    assert code(driver) == "paused"


def test_its_queue_runs_as_many_as_it_may(driver: Driver) -> None:
    configured(driver, QueueSettings(concurrency=1))
    driver.add(P, "q", "a")
    found = why(driver)
    assert (found["code"], found["details"]["limit"], found["details"]["active"]) == (
        "concurrency",
        1,
        1,
    )


def test_its_queue_has_started_as_many_as_it_may(driver: Driver) -> None:
    configured(driver, QueueSettings(rate=Rate(1, 10_000, 1)))
    driver.pass_time(4)
    driver.add(P, "q", "a")
    found = why(driver)
    assert (found["code"], found["details"]["wait_ms"]) == ("rate", 6_000)
    assert found["text"] == "queue q may start 1 job per 10.0 s: the next one in 6.0 s"


def test_a_drain_is_under_way(driver: Driver) -> None:
    driver.add(P, "q", "b", "a")
    driver.attach(V, "other")
    number = driver.do(V, commands.Explain("q", "a"))  # it waits for a read
    driver.do(P, commands.Drain("q", False))
    driver.flush()
    assert driver.answers[V, number]["code"] == "clearing"
    assert "queue q is being drained" in driver.answers[V, number]["text"]


def test_the_server_is_going_down(driver: Driver) -> None:
    driver.add(P, "q", "a")
    driver.engine.drain()
    assert code(driver) == "draining"


def test_of_a_job_that_is_only_on_disk_it_is_said_that_more_are_before_it(driver: Driver) -> None:
    driver.add(P, "q", "b", "c", "a")
    found = why(driver)
    assert found["text"] == "no worker takes jobs of queue q; at least 1 job is before it"
    assert (found["details"]["before"], found["details"]["is_exact"]) == (1, False)


def test_nothing_holds_it_back_but_what_is_before_it(driver: Driver) -> None:
    """Within the turn in which it came: an instant later it runs."""
    driver.subscribe(W, "q", credit=2)
    partition, queue = driver.engine._partition, driver.engine.queues.get("q")
    queue = queue or partition.add_queue("q")
    driver.ask(P, commands.Pause("q"))
    driver.add(P, "q", "b", "a")
    queue.is_paused = False
    assert (code(driver, "b"), code(driver, "a")) == ("next", "behind")


# ---- the other states ----------------------------------------------------------------------------


def test_it_is_delayed_or_waits_after_a_failure(driver: Driver) -> None:
    driver.fail(W, driver.lease(attempts=3), retry_ms=90_000)
    driver.add(P, "q", "b", run_at_ms=START_MS + 7_200_000)
    found = why(driver)
    assert found["text"] == "it failed once and runs again: due in 1 min 30 s"
    assert found["details"] == {"run_at_ms": START_MS + 90_000, "wait_ms": 90_000}
    assert why(driver, "b")["text"] == "it is delayed: due in 2 h 0 min"


def test_it_runs(driver: Driver) -> None:
    driver.lease()
    driver.pass_time(3)
    assert why(driver)["text"] == "it runs: attempt 1 by worker w, for 3.0 s by now"
    driver.detach(W)
    found = why(driver)
    assert "its worker has lost its connection, and has 10.0 s to come back" in found["text"]
    assert found["details"] == {
        "worker": "w",
        "attempt": 1,
        "started_at_ms": START_MS,
        "is_connected": False,
        "lease_left_ms": 10_000,
    }


def test_it_has_ended(driver: Driver) -> None:
    driver.fail(W, driver.lease("bad"))
    driver.ack(W, driver.lease("good"))
    driver.add(P, "q", "a")
    driver.ask(P, commands.Cancel("q", ["a"], None))
    driver.pass_time(2)
    found = why(driver, "bad")
    assert found["text"] == "it failed 2.0 s ago: its last attempt ended in an error"
    assert found["details"]["reason"] == FailReason.ERROR
    assert why(driver, "good")["text"] == "it was completed 2.0 s ago"
    assert why(driver)["text"] == "it was cancelled 2.0 s ago"


def test_it_waits_for_others(driver: Driver) -> None:
    driver.add(P, "q", "a")
    (job,) = driver.engine.queues["q"].jobs.values()
    assert isinstance(job, Job)
    driver.engine._partition.unplace(driver.engine.queues["q"], job)
    job.state = State.BLOCKED  # no command makes one yet
    assert code(driver) == "blocked"


def test_a_job_or_queue_that_is_not_there_is_refused(driver: Driver) -> None:
    assert why(driver).refusal is Refusal.UNKNOWN_QUEUE
    driver.add(P, "q", "b")
    assert why(driver).refusal is Refusal.UNKNOWN_JOB


# ---- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (-5, "0 ms"),
        (999, "999 ms"),
        (1_000, "1.0 s"),
        (59_940, "59.9 s"),
        (60_000, "1 min 0 s"),
        (3_600_000 + 61_000, "1 h 1 min"),
        (2 * 86_400_000 + 4 * 3_600_000, "2 d 4 h"),
    ],
)
def test_a_length_of_time_is_said_in_its_largest_units(ms: int, text: str) -> None:
    assert span(ms) == text


def test_protocol_md_has_every_code_in_the_order_of_asking() -> None:
    table = PROTOCOL[PROTOCOL.index("| code | why | details |") :].split("\n\n")[0]
    assert tuple(re.findall(r"^\| (\w+) \|", table, re.MULTILINE)[1:]) == CODES


# ---- asked directly ------------------------------------------------------------------------------

NOW = Moment(START_MS, 1_000.0)


@pytest.fixture
def alone() -> Partition:
    return Partition(SETTINGS, Random(1))


def waiting(alone: Partition, queue: QueueState) -> Job:
    return alone.add_job(queue, new_job(f"j{alone.next_seq}"), NOW)


def worker_of(alone: Partition, name: str = "w", credit: int = 0, heard_s: float = 30) -> Session:
    """One that takes jobs of q, and is to be heard of within heard_s."""
    session = alone.add_session(name)
    session.worker, session.connection = name, session.key
    session.deadline = NOW.monotonic + heard_s
    alone.subscribe(session, ["q"], credit)
    return session


def test_what_holds_the_queue_back_comes_first_then_its_workers_then_its_limits(
    alone: Partition,
) -> None:
    """All of it at once, and one after the other is put right."""
    queue = alone.add_queue("q")
    job = waiting(alone, queue)
    queue.is_paused = alone.is_draining = True
    queue.clearing = Clearing((State.WAITING,), Seq(9), forget_queue=True)
    settings = QueueSettings(concurrency=1, rate=Rate(1, 10_000, 1))
    alone.configure(queue, settings)
    queue.rate.start(START_MS, NOW.monotonic)
    queue.counts[State.ACTIVE] = 1

    def now() -> tuple[str, str]:
        found = explain(alone, queue, job, NOW)
        return found.code, found.text

    text = "the server is going down: jobs start again when it is back"
    assert now() == ("draining", text)
    alone.is_draining = False
    assert now() == ("clearing", "queue q is being obliterated: no job starts meanwhile")
    queue.clearing = None
    assert now() == ("paused", "queue q is paused")
    queue.is_paused = False
    assert now() == ("no_workers", "no worker takes jobs of queue q")
    worker = worker_of(alone, heard_s=0)
    silent = "its worker is connected and silent: jobs go to who is heard of"
    assert now() == ("workers_away", silent)
    worker.deadline += 0.001
    worker.is_held = True
    assert now() == ("workers_away", silent)
    worker.is_held, worker.is_quiet, worker.is_stopping = False, True, True
    quiet = "its worker is quiet: told to take no more jobs"
    assert now() == ("workers_quiet", quiet)
    worker.is_quiet = False
    assert now() == ("workers_quiet", quiet)
    worker.is_stopping = False
    busy = "all workers are busy: they run 0 jobs, and have room for no more"
    assert now() == ("workers_busy", busy)
    worker.credit = 1
    assert now() == ("concurrency", "queue q may run 1 job at once, and runs 1")
    queue.counts[State.ACTIVE] = 0
    assert now() == ("rate", "queue q may start 1 job per 10.0 s: the next one in 10.0 s")
    alone.configure(queue, QueueSettings())
    assert now() == ("next", "nothing holds it back: it is the next to run")


def test_several_workers_are_counted(alone: Partition) -> None:
    queue = alone.add_queue("q")
    job = waiting(alone, queue)
    one, other = worker_of(alone, "one"), worker_of(alone, "other")
    one.leases, other.leases = {Token(1): job}, {Token(2): job, Token(3): job}
    busy = explain(alone, queue, job, NOW)
    assert busy.text == "all workers are busy: they run 3 jobs, and have room for no more"
    assert busy.details == {"workers": 2, "slots": 3, "before": 0, "is_exact": True}
    one.is_quiet = True
    assert explain(alone, queue, job, NOW).details["slots"] == 2
    other.is_stopping = True
    quiet = explain(alone, queue, job, NOW)
    assert (quiet.code, quiet.details["workers"]) == ("workers_quiet", 2)
    assert quiet.text == "its 2 workers are quiet: told to take no more jobs"
    one.deadline = other.deadline = 0
    away = explain(alone, queue, job, NOW)
    assert (away.code, away.details["workers"]) == ("workers_away", 2)
    assert away.text == "its 2 workers are connected and silent: jobs go to who is heard of"


def test_of_workers_that_left_the_last_one_is_told_of(alone: Partition) -> None:
    queue = alone.add_queue("q")
    job = waiting(alone, queue)
    for number, left in enumerate((["q"], ["q", "r"], ["r"])):
        session = alone.add_session(f"s{number}")
        session.left, session.seen_at_ms = left, START_MS - 10_000 + number * 1_000
    away = explain(alone, queue, job, NOW)
    assert away.text == "no worker of queue q is connected: the last one left 9.0 s ago"
    assert away.details["workers"] == 2
    assert away.details["seen_at_ms"] == START_MS - 9_000


def test_one_or_many_are_before_it(alone: Partition) -> None:
    queue = alone.add_queue("q")
    worker_of(alone, credit=1)
    jobs = [waiting(alone, queue) for _ in range(1_236)]
    found = [explain(alone, queue, jobs[at], NOW) for at in (1, 2, 1_235)]
    assert [each.text for each in found] == [
        "1 job is before it",
        "2 jobs are before it",
        "1,235 jobs are before it",
    ]
    assert found[1] == ("behind", "2 jobs are before it", {"before": 2, "is_exact": True})


def test_how_many_may_run_is_told_with_how_many_do(alone: Partition) -> None:
    queue = alone.add_queue("q")
    job = waiting(alone, queue)
    worker_of(alone, credit=1)
    alone.configure(queue, QueueSettings(concurrency=1_000))
    queue.counts[State.ACTIVE] = 1_001
    found = explain(alone, queue, job, NOW)
    assert found.text == "queue q may run 1,000 jobs at once, and runs 1,001"
    assert found.details == {"limit": 1_000, "active": 1_001, "before": 0, "is_exact": True}


@pytest.mark.parametrize(
    ("failures", "in_ms", "text", "left_ms"),
    [
        (0, 500, "it is delayed: due in 500 ms", 500),
        (0, -500, "it is delayed: due in 0 ms", 0),
        (1, 500, "it failed once and runs again: due in 500 ms", 500),
        (1_234, 500, "it failed 1,234 times and runs again: due in 500 ms", 500),
    ],
)
def test_when_a_delayed_job_is_due(
    alone: Partition, failures: int, in_ms: int, text: str, left_ms: int
) -> None:
    job = bare_job(1, State.DELAYED)
    job.failures, job.run_at_ms = failures, START_MS + in_ms
    found = explain(alone, alone.add_queue("q"), job, NOW)
    details = {"run_at_ms": START_MS + in_ms, "wait_ms": left_ms}
    assert found == ("delayed", text, details)


def test_who_runs_it(alone: Partition) -> None:
    queue = alone.add_queue("q")
    worker, job = worker_of(alone, name=""), bare_job(1, State.ACTIVE)
    job.session, job.started_at_ms, job.failures = worker.key, START_MS - 2_500, 1
    worker.deadline = NOW.monotonic + 12.3456
    found = explain(alone, queue, job, NOW)
    details = {
        "worker": "",
        "attempt": 2,
        "started_at_ms": START_MS - 2_500,
        "is_connected": True,
        "lease_left_ms": 12_346,
    }
    assert found == ("active", "it runs: attempt 2 by a worker, for 2.5 s by now", details)
    worker.deadline = NOW.monotonic - 1
    assert explain(alone, queue, job, NOW).details["lease_left_ms"] == 0


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (FailReason.NONE, "it failed"),
        (FailReason.ERROR, "its last attempt ended in an error"),
        (FailReason.CRASHED, "its workers were lost too often while they ran it"),
        (FailReason.TIMED_OUT, "it ran for too long"),
        (FailReason.EXPIRED, "it was not run in time"),
        (FailReason.CHILD_FAILED, "a job that it waits for failed"),
        (FailReason.DAMAGED, "the disk gave back other data than was written"),
    ],
)
def test_how_it_failed(alone: Partition, reason: FailReason, text: str) -> None:
    job = bare_job(1, State.FAILED)
    job.fail_reason, job.finished_at_ms = reason, START_MS - 90_000
    found = explain(alone, alone.add_queue("q"), job, NOW)
    details = {"finished_at_ms": START_MS - 90_000, "reason": int(reason)}
    assert found == ("failed", f"it failed 1 min 30 s ago: {text}", details)


def test_when_it_ended(alone: Partition) -> None:
    for state in (State.COMPLETED, State.CANCELLED):
        job = bare_job(1, state)
        job.finished_at_ms = START_MS - 1_000
        name = state.name.lower()
        details = {"finished_at_ms": START_MS - 1_000}
        found = explain(alone, alone.add_queue("q"), job, NOW)
        assert found == (name, f"it was {name} 1.0 s ago", details)
    blocked = explain(alone, alone.add_queue("q"), bare_job(1, State.BLOCKED), NOW)
    assert blocked == ("blocked", "it waits for the end of other jobs", {})
