"""explaining.py: why a job is not running, in one code and one sentence."""

import re
from pathlib import Path
from typing import Any

import pytest

from holdfastd.engine import commands
from holdfastd.engine.explaining import CODES, span
from holdfastd.engine.model import FailReason, Job, QueueSettings, Rate, State
from holdfastd.engine.outputs import Refusal
from support.engine import START_MS, Driver, P, V, W

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
