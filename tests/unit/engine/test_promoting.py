"""promoting.py: delayed jobs come due; those that are next are in memory."""

import pytest

from holdfastd.engine import commands
from holdfastd.engine.partition import job_of_row
from holdfastd.engine.replies import Asked
from support.engine import SMALL_HEAD, START_MS, Driver, P, W, ids_of, new_job, numbered


def test_a_delayed_job_waits_until_it_is_due_and_then_queues_up_behind(driver: Driver) -> None:
    driver.add(P, "q", "later", run_at_ms=START_MS + 5_000)
    driver.pass_time(4.999)
    driver.add(P, "q", "now")
    assert driver.counts("q") == {"waiting": 1, "delayed": 1}
    driver.pass_time(0.001)
    driver.subscribe(W, "q", credit=9)
    assert ids_of(driver.take(W)) == ["now", "later"]


def test_a_burst_of_due_jobs_is_promoted_in_several_steps(driver: Driver) -> None:
    driver.add(P, "q", *numbered(999), *"abc", run_at_ms=START_MS + 1_000)
    driver.now_ms += 1_000
    driver.engine.tick(driver.moment)
    assert driver.counts("q") == {"waiting": 1_000, "delayed": 2}
    assert driver.engine.next_tick_s(driver.moment) == 0
    driver.flush()
    assert driver.counts("q") == {"waiting": 1_002}


# ---- beyond the horizon --------------------------------------------------------------------------


@pytest.mark.usefixtures("small_heads")
def test_delayed_jobs_are_read_as_they_come_due_after_a_restart_too() -> None:
    driver = Driver()
    driver.attach(P, "producer")
    for number in reversed(range(4 * SMALL_HEAD)):
        driver.add(P, "q", f"j{number:03}", run_at_ms=START_MS + 1_000 * (number + 1))
    driver.start()
    driver.attach(W, "worker")
    driver.subscribe(W, "q", credit=100)
    for id in numbered(4 * SMALL_HEAD):
        driver.beat(W)
        driver.pass_time(1)
        assert ids_of(driver.take(W)) == [id]


@pytest.mark.usefixtures("small_heads")
def test_a_page_of_delayed_jobs_that_was_overtaken_by_a_cut_is_read_again() -> None:
    driver = Driver()
    driver.attach(P, "producer")
    driver.add(P, "q", *numbered(6), run_at_ms=START_MS + 9_000)
    driver.start()
    driver.begin_read()
    driver.engine._partition.delayed.horizon = (START_MS, 0)  # as a cut leaves it
    driver.end_read()
    driver.flush()
    driver.attach(W, "worker")
    driver.subscribe(W, "q", credit=100)
    driver.pass_time(9)
    assert ids_of(driver.take(W)) == numbered(6)


@pytest.mark.usefixtures("small_heads")
def test_delayed_jobs_that_changed_while_their_page_was_read_are_where_they_belong() -> None:
    driver = Driver()
    driver.attach(P, "producer")
    driver.add(P, "q", *numbered(3), run_at_ms=START_MS + 9_000)
    driver.start()
    driver.begin_read()
    engine, moment = driver.engine, driver.moment
    engine.attach(P, commands.Attach("producer", "", (), {}), moment)
    found = {row.id: job_of_row(row) for row in driver.rows()}
    session, at_ms = engine.sessions["producer"], START_MS + 5_000
    for number, (id, run_at_ms) in enumerate((("j000", 0), ("j001", at_ms)), 900):
        change = commands.Change("q", [id], None, None, run_at_ms, None)
        key = engine.queues["q"].key
        asked = Asked(session, number, change, {(key, id): found[id]}, moment)
        engine._lookups._execute(asked)
    driver.do(P, enqueue_at("soon", START_MS + 1_000), 910)
    driver.end_read()
    driver.flush()
    assert driver.counts("q") == {"waiting": 1, "delayed": 3}
    driver.attach(W, "worker")
    driver.subscribe(W, "q", credit=100)
    order = ids_of(driver.take(W))
    for _ in range(9):
        driver.beat(W)
        driver.pass_time(1)
        order += ids_of(driver.take(W))
    assert order == ["j000", "soon", "j001", "j002"]


def enqueue_at(id: str, run_at_ms: int) -> commands.Enqueue:
    return commands.Enqueue("q", [(0, new_job(id, is_generated=True, run_at_ms=run_at_ms))], [])
