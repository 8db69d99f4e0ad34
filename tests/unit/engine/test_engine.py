"""broker.py: when the engine wants to be called, limits over time, and what it tells of itself."""

import pytest

from holdfastd.engine import commands
from holdfastd.engine.model import NO_SESSION, QueueKey, QueueSettings, Rate, SessionKey, State
from holdfastd.engine.openbatch import OpenBatch
from holdfastd.engine.transitions import InvariantError
from support.engine import START_MS, Driver, P, V, W, ids_of


def configure(driver: Driver, name: str = "q", rate: Rate | None = None) -> None:
    driver.ask(P, commands.Configure(name, QueueSettings(rate=rate)))


# ---- rate, over time -----------------------------------------------------------------------------


def test_the_rate_holds_over_all_workers_and_a_restart(driver: Driver) -> None:
    configure(driver, rate=Rate(2, 10_000, 2))
    driver.add(P, "q", *"abcd")
    driver.subscribe(W, "q", credit=9)
    assert ids_of(driver.take(W)) == ["a", "b"]
    driver.start()
    driver.attach(V, "other")
    driver.subscribe(V, "q", credit=9)
    assert driver.take(V) == []
    driver.pass_time(4.999)
    assert driver.take(V) == []
    driver.pass_time(0.001)
    assert ids_of(driver.take(V)) == ["c"]


def test_one_timer_is_set_however_often_the_rate_holds_jobs_back(driver: Driver) -> None:
    configure(driver, rate=Rate(1, 10_000, 1))
    driver.subscribe(W, "q", credit=9)
    for id in "abcdefgh":
        driver.add(P, "q", id)
    assert len(driver.engine._partition.rate_timers) == 1
    assert driver.engine.next_tick_s(driver.moment) == pytest.approx(10)


def test_a_faster_rate_takes_effect_at_once_and_its_old_timer_does_no_harm(
    driver: Driver,
) -> None:
    configure(driver, rate=Rate(1, 20_000, 1))
    driver.subscribe(W, "q", credit=9)
    driver.add(P, "q", *"abc")
    assert ids_of(driver.take(W)) == ["a"]
    configure(driver, rate=Rate(1, 15_000, 1))
    driver.pass_time(15)
    assert ids_of(driver.take(W)) == ["b"]
    driver.pass_time(5)  # the first timer comes up; the second one is still set
    assert driver.take(W) == []
    driver.beat(W)
    driver.pass_time(10)
    assert ids_of(driver.take(W)) == ["c"]


def test_the_timer_of_a_queue_that_is_gone_does_no_harm(driver: Driver) -> None:
    configure(driver, rate=Rate(1, 10_000, 1))
    driver.subscribe(W, "q", credit=9)
    driver.add(P, "q", *"ab")
    driver.ask(P, commands.Obliterate("q", True))
    driver.pass_time(11)
    assert driver.engine.queues == {}


def test_a_free_slot_serves_the_workers_other_queues(driver: Driver) -> None:
    driver.subscribe(W, "q", "r", credit=1)
    driver.add(P, "q", "a")
    driver.add(P, "r", "b")
    (item,) = driver.take(W)
    driver.ack(W, item, credit=1)
    assert ids_of(driver.take(W)) == ["b"]


# ---- damaged jobs --------------------------------------------------------------------------------


def damage(driver: Driver, id: str) -> None:
    seq = driver.row(id).seq
    driver.disk.jobs[seq] = driver.disk.jobs[seq]._replace(is_damaged=True)


def test_a_job_that_came_back_and_is_damaged_on_disk_is_put_aside(driver: Driver) -> None:
    item = driver.lease("a")
    driver.add(P, "q", "b")
    damage(driver, "a")
    driver.release(W, item, credit=1)
    assert ids_of(driver.take(W)) == ["b"]
    assert driver.row("a").state is State.FAILED


def test_a_damaged_job_that_is_postponed_while_it_is_read_waits_for_its_instant(
    driver: Driver,
) -> None:
    item = driver.lease("a")
    damage(driver, "a")
    driver.do(W, commands.Release([(commands.Held(item[0], "q", "a"), 0)], 1))
    driver.write()
    driver.begin_read()
    driver.do(P, commands.Change("q", ["a"], None, None, START_MS + 5_000, None))
    driver.flush()
    assert driver.row("a").state is State.DELAYED
    driver.pass_time(5)
    assert driver.row("a").state is State.FAILED


def test_payloads_that_were_read_for_a_queue_that_is_gone_are_dropped(driver: Driver) -> None:
    item = driver.lease("a")
    driver.do(W, commands.Release([(commands.Held(item[0], "q", "a"), 0)], 1))
    driver.do(P, commands.Obliterate("q", True))
    driver.write()
    driver.begin_read()
    driver.reading.reverse()
    driver.end_read()
    driver.flush()
    assert driver.engine.queues == {}


# ---- what it tells of itself ---------------------------------------------------------------------


def test_the_engine_tells_names_counts_and_ages(driver: Driver) -> None:
    driver.lease("a")
    driver.add(P, "q", "b")
    engine, queue = driver.engine, driver.engine.queues["q"]
    session = engine.sessions["worker"]
    assert (engine.queue_name(queue.key), engine.queue_name(QueueKey(99))) == ("q", None)
    assert (engine.session_name(session.key), engine.session_name(SessionKey(99))) == ("w", "")
    assert (engine.lease_count, engine.open_job_count, queue.slots) == (1, 0, 1)
    assert queue.oldest_waiting_at_ms() == START_MS
    driver.ask(P, commands.Drain("q", True))
    assert queue.oldest_waiting_at_ms() is None


def test_an_empty_batch_has_nothing_to_write() -> None:
    assert OpenBatch().rows().is_empty


def test_a_leased_job_cannot_be_removed_by_mistake(driver: Driver) -> None:
    driver.lease()
    partition = driver.engine._partition
    (job,) = partition.leases.values()
    assert job.session != NO_SESSION
    with pytest.raises(InvariantError, match="while it is leased"):
        partition.remove(driver.engine.queues["q"], job)


def test_a_connection_that_goes_leaves_what_it_heard_of_queues_that_are_gone(
    driver: Driver,
) -> None:
    driver.ask(P, commands.Listen("q", None))
    driver.attach(V, "other")
    driver.ask(V, commands.Obliterate("q", False))
    driver.detach(P)
    assert driver.engine.sessions.keys() == {"worker", "other"}
