"""broker.py: commands in, batches out; what is due, and what the engine tells of itself."""

import pytest

from holdfastd.engine import commands, dispatch
from holdfastd.engine.broker import HOUSEKEEPING_S
from holdfastd.engine.model import QueueKey, QueueSettings, Rate, SessionKey
from holdfastd.engine.outputs import Refusal
from holdfastd.engine.recurrence import Every
from holdfastd.engine.schedules import ScheduleSpec
from support.engine import START_MS, Driver, P, V, W, ids_of, new_job


def enqueue(*ids: str, is_generated: bool = False) -> commands.Enqueue:
    jobs = [new_job(id, is_generated=is_generated) for id in ids]
    return commands.Enqueue("q", list(enumerate(jobs)), [])


def configure(driver: Driver, name: str = "q", rate: Rate | None = None) -> None:
    driver.ask(P, commands.Configure(name, QueueSettings(rate=rate)))


# ---- commands ------------------------------------------------------------------------------------


def test_a_draining_daemon_leases_and_takes_nothing(driver: Driver) -> None:
    item = driver.lease()
    driver.engine.drain()
    assert driver.add(P, "q", "b").refusal is Refusal.DRAINING
    assert driver.ack(W, item, credit=1) == []


def test_commands_of_a_connection_that_is_not_attached_change_nothing(driver: Driver) -> None:
    driver.do(99, commands.Pause("q"))
    assert (driver.engine.queues, driver.engine.has_open_batch) == ({}, False)


def test_a_finished_daemon_writes_its_minute_unless_the_disk_is_full(driver: Driver) -> None:
    driver.add(P, "q", "a")
    driver.engine.refuses_jobs = Refusal.DISK_FULL
    driver.engine.finish(driver.moment)
    assert not driver.engine.wants_reads
    driver.engine.drain()
    refused = driver.add(P, "q", "b")
    assert refused.message == "the server is going down: connect again and send it again"
    driver.engine.finish(driver.moment)
    assert driver.engine.wants_reads


# ---- what is due ---------------------------------------------------------------------------------


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


# ---- when it wants to be called ------------------------------------------------------------------


def test_an_idle_engine_wants_to_be_called_for_its_housekeeping(driver: Driver) -> None:
    assert driver.engine.next_tick_s(driver.moment) == HOUSEKEEPING_S
    driver.pass_time(10)
    assert driver.engine.next_tick_s(driver.moment) == HOUSEKEEPING_S - 10


def test_a_delayed_job_is_due_at_its_instant(driver: Driver) -> None:
    driver.add(P, "q", "a", run_at_ms=START_MS + 3_500)
    assert driver.engine.next_tick_s(driver.moment) == 3.5
    driver.now_ms += 10_000
    assert driver.engine.next_tick_s(driver.moment) == 0


def test_a_worker_that_was_pushed_enough_has_the_rest_at_once(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "PUSH_BYTES_MAX", 1)
    driver.subscribe(W, "q", credit=9)
    driver.do(P, enqueue("a", "b", is_generated=True))
    driver.write()
    assert ids_of(driver.take(W)) == ["a"]
    assert driver.engine.next_tick_s(driver.moment) == 0


def test_while_the_disk_is_full_no_history_is_due(driver: Driver) -> None:
    driver.add(P, "q", "a")
    driver.now_ms += 3_600_000
    assert driver.engine.next_tick_s(driver.moment) == 0
    driver.engine.refuses_jobs = Refusal.DISK_FULL
    assert driver.engine.next_tick_s(driver.moment) == HOUSEKEEPING_S


def test_time_that_is_forgiven_and_a_clock_that_is_not_believed(driver: Driver) -> None:
    driver.lease()
    driver.now_ms += 3_600_000
    driver.monotonic += 3_600
    driver.engine.forgive(driver.moment)
    driver.engine.distrust(driver.moment)
    driver.flush()
    assert driver.counts("q") == {"active": 1}
    assert not driver.engine._partition.trusts_age(60_000, driver.moment)


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


def test_the_engine_tells_what_the_open_batch_holds(driver: Driver) -> None:
    engine = driver.engine
    driver.do(P, commands.Enqueue("q", [(0, new_job("a"))], []))
    assert (engine.open_job_count, engine.open_body_bytes, engine.has_open_batch) == (1, 1, True)
    driver.flush()
    assert (engine.open_job_count, engine.open_body_bytes, engine.has_open_batch) == (0, 0, False)


def test_the_engine_tells_what_workers_do(driver: Driver) -> None:
    driver.lease("a")
    key = driver.engine.sessions["worker"].key
    assert driver.engine.session_queues(key) == ["q"]
    assert driver.engine.session_queues(SessionKey(99)) == []
    assert [job.id for job in driver.engine.leased] == ["a"]
    assert list(driver.engine.ledger.own) == [driver.engine.queues["q"].key]
    assert driver.engine.history.per_minute("q", START_MS).added == 1


def test_while_the_disk_is_full_no_history_is_written(driver: Driver) -> None:
    driver.add(P, "q", "a")
    driver.engine.refuses_jobs = Refusal.DISK_FULL
    driver.now_ms += 3_600_000
    driver.engine.tick(driver.moment)
    assert not driver.engine.wants_reads


def test_the_engine_tells_of_schedules(driver: Driver) -> None:
    engine = driver.engine
    for id in "ab":
        spec = ScheduleSpec("q", id, Every(60_000), "work", b"data")
        driver.ask(P, commands.PutSchedule(spec))
    driver.ask(P, commands.PauseSchedule("q", "b", True))
    assert (engine.schedule_count, engine.paused_schedule_count) == (2, 1)
    assert [each.spec.id for each in engine.schedules("q")] == ["a", "b"]
    assert [engine.schedule("q", id) is not None for id in "abc"] == [True, True, False]
    assert engine.schedule_stats.fired == 0
