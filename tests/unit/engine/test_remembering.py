"""remembering.py: how the history gets to the disk, and what a restart, a kill and
a clock that is set make of it."""

from math import inf

import pytest

from holdfastd.engine import commands, remembering
from holdfastd.engine.changes import HistoryRow
from holdfastd.engine.history import ALL, HOUR_MS, HOURS_KEPT_MS, MINUTE_MS, MINUTES_KEPT_MS, folded
from holdfastd.engine.outputs import Refusal
from holdfastd.engine.tally import bucket_of, middle_ms
from support.engine import START_MS, Driver, P, W, new_job

MINUTE_AT_MS = START_MS - START_MS % MINUTE_MS
HOUR_AT_MS = START_MS - START_MS % HOUR_MS


# ---- counted by the engine, written when the minute is over --------------------------------------


def row_of(driver: Driver, at_ms: int, pair: tuple[str, str] = (ALL, ALL)) -> HistoryRow | None:
    step_ms = HOUR_MS if at_ms == HOUR_AT_MS else MINUTE_MS
    return driver.disk.history.get((step_ms, at_ms, *pair))


def added(driver: Driver, at_ms: int, pair: tuple[str, str] = (ALL, ALL)) -> int:
    row = row_of(driver, at_ms, pair)
    return 0 if row is None else row.added


def end_minute(driver: Driver) -> None:
    driver.pass_time((MINUTE_MS - driver.now_ms % MINUTE_MS) / 1000)


def stop(driver: Driver) -> None:
    """As Pipeline.close does."""
    driver.engine.finish(driver.moment)
    driver.flush()


def test_what_happened_to_jobs_is_in_the_row_of_their_minute_and_of_its_hour(
    driver: Driver,
) -> None:
    driver.add(P, "q", "a", "b", "c", attempts=2)
    driver.pass_time(3)
    driver.subscribe(W, "q", credit=3)
    a, b, c = driver.take(W)
    driver.pass_time(0.5)
    driver.ack(W, a)
    driver.fail(W, b, 5_000)
    driver.fail(W, c, -1)
    assert not driver.disk.history
    end_minute(driver)
    for at_ms in (MINUTE_AT_MS, HOUR_AT_MS):
        row = row_of(driver, at_ms, ("q", "work"))
        assert row is not None
        assert row[4:9] == (3, 1, 1, 1, 0)
        assert row.waits == {bucket_of(3_000): 3}
        assert row.runs == {bucket_of(500): 3}
        assert row.run_ms == 3 * middle_ms(bucket_of(500))
        for sums in (("q", ALL), (ALL, ALL)):
            total = row_of(driver, at_ms, sums)
            assert total is not None
            assert total[4:] == row[4:]


def test_a_lost_lease_is_counted_and_so_is_the_job_that_fails_by_it(driver: Driver) -> None:
    driver.lease(max_crashes=1)
    driver.detach(W)
    driver.pass_time(11)
    end_minute(driver)
    row = row_of(driver, MINUTE_AT_MS, ("q", "work"))
    assert row is not None
    assert (row.lost, row.failed, row.runs) == (1, 1, {})


def test_a_minute_in_which_nothing_happened_costs_nothing(driver: Driver) -> None:
    driver.add(P, "q", "a")
    end_minute(driver)
    batch, rows = driver.batch, len(driver.disk.history)
    for _ in range(10):
        driver.pass_time(60)
    assert (driver.batch, len(driver.disk.history)) == (batch, rows)


def test_after_an_idle_hour_a_job_is_counted_in_its_own_minute(driver: Driver) -> None:
    driver.now_ms += HOUR_MS  # nobody ticks meanwhile
    driver.monotonic += 3_600
    driver.do(P, commands.Enqueue("q", [(0, new_job("a"))], []))
    end_minute(driver)
    assert added(driver, MINUTE_AT_MS + HOUR_MS) == 1


def test_the_engine_wakes_at_the_end_of_a_minute_that_has_something(driver: Driver) -> None:
    driver.add(P, "q", "a")
    assert driver.engine.next_tick_s(driver.moment) <= 40.0
    end_minute(driver)
    assert added(driver, MINUTE_AT_MS) == 1


# ---- restarts ------------------------------------------------------------------------------------


def test_a_minute_goes_on_after_a_restart(driver: Driver) -> None:
    driver.add(P, "q", "a", "b")
    stop(driver)
    assert added(driver, MINUTE_AT_MS) == 2
    driver.start()
    driver.attach(P, "producer")
    driver.add(P, "q", "c")
    end_minute(driver)
    assert added(driver, MINUTE_AT_MS) == added(driver, HOUR_AT_MS) == 3


def test_without_reading_it_back_the_restart_would_write_over_it(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sabotaged twin."""
    monkeypatch.setattr(remembering, "folded", lambda minute, stored: folded(minute, ()))
    with pytest.raises(AssertionError):
        test_a_minute_goes_on_after_a_restart(driver)


def test_a_kill_loses_the_running_minute_and_no_other(driver: Driver) -> None:
    driver.add(P, "q", "a", "b")
    end_minute(driver)
    driver.add(P, "q", "c")
    driver.crash()
    assert added(driver, HOUR_AT_MS) == added(driver, MINUTE_AT_MS) == 2
    assert driver.row("c") is not None
    driver.attach(P, "producer")
    driver.add(P, "q", "d")
    end_minute(driver)
    assert added(driver, HOUR_AT_MS) == 3


@pytest.mark.parametrize("is_written", [False, True])
def test_a_kill_while_a_minute_is_being_written_neither_halves_nor_doubles_it(
    driver: Driver, is_written: bool
) -> None:
    driver.add(P, "q", "a", "b")
    driver.now_ms += MINUTE_MS
    driver.monotonic += 60
    driver.engine.tick(driver.moment)
    driver.read()
    driver.begin_write()
    driver.crash(is_written)
    assert added(driver, HOUR_AT_MS) == added(driver, MINUTE_AT_MS) == (2 if is_written else 0)


# ---- clocks --------------------------------------------------------------------------------------


def set_clock(driver: Driver, jump_ms: int) -> None:
    """As the pipeline tells it."""
    driver.now_ms += jump_ms
    driver.engine.distrust(driver.moment)
    driver.flush()


def test_a_minute_that_comes_twice_is_added_up(driver: Driver) -> None:
    driver.add(P, "q", "a", "b")
    set_clock(driver, HOUR_MS)
    driver.add(P, "q", "c")
    set_clock(driver, -HOUR_MS)
    driver.add(P, "q", "d")
    end_minute(driver)
    assert added(driver, MINUTE_AT_MS) == added(driver, HOUR_AT_MS) == 3
    assert added(driver, MINUTE_AT_MS + HOUR_MS) == 1


def test_a_day_of_23_or_25_hours_is_a_day_as_any_other(driver: Driver) -> None:
    """Minutes and hours are those of UTC: the end of summer time is not seen at all."""
    driver.now_ms = 1_793_494_800_000  # 2026-11-01T01:00Z, when clocks in New York are set back
    for number in range(4):
        driver.add(P, "q", f"job-{number}")
        driver.pass_time(1_800)
    driver.flush()
    hours = [key[1] for key in driver.disk.history if key[0] == HOUR_MS and key[2] == ALL]
    assert hours == [1_793_494_800_000, 1_793_498_400_000]
    assert [driver.disk.history[HOUR_MS, at_ms, ALL, ALL].added for at_ms in hours] == [2, 2]


def test_a_daemon_that_was_stopped_for_an_hour_counts_on_in_the_new_minute(
    driver: Driver,
) -> None:
    driver.add(P, "q", "a")
    driver.pass_time(3_600)
    driver.add(P, "q", "b")
    end_minute(driver)
    assert added(driver, MINUTE_AT_MS) == added(driver, MINUTE_AT_MS + HOUR_MS) == 1


# ---- what goes -----------------------------------------------------------------------------------


def steps(driver: Driver) -> list[int]:
    return sorted(key[0] for key in driver.disk.history if key[2] == ALL)


def pass_hours(driver: Driver, hours: int) -> None:
    """With the worker there, and a job in the end."""
    driver.pass_time(hours * 3_600)
    driver.attach(P, "producer")
    driver.add(P, "q", f"after-{driver.now_ms}")
    end_minute(driver)


def test_minutes_go_after_48_hours_and_hours_after_90_days(driver: Driver) -> None:
    driver.add(P, "q", "a")
    pass_hours(driver, MINUTES_KEPT_MS // HOUR_MS - 1)
    assert steps(driver) == [MINUTE_MS, MINUTE_MS, HOUR_MS, HOUR_MS]
    pass_hours(driver, 2)
    assert steps(driver) == [MINUTE_MS, MINUTE_MS, HOUR_MS, HOUR_MS, HOUR_MS]
    pass_hours(driver, HOURS_KEPT_MS // HOUR_MS)
    assert steps(driver) == [MINUTE_MS, HOUR_MS]


def test_nothing_goes_while_the_clock_is_not_to_be_believed(driver: Driver) -> None:
    driver.add(P, "q", "a")
    end_minute(driver)
    set_clock(driver, 10 * HOURS_KEPT_MS)
    driver.attach(P, "producer")
    driver.add(P, "q", "b")
    end_minute(driver)
    assert added(driver, HOUR_AT_MS) == 1


def test_the_history_of_a_queue_outlives_it_and_goes_on_when_it_comes_back(
    driver: Driver,
) -> None:
    driver.add(P, "q", "a")
    driver.ask(P, commands.Obliterate("q", True))
    assert "q" not in driver.engine.queues
    driver.add(P, "q", "b")
    end_minute(driver)
    assert added(driver, MINUTE_AT_MS, ("q", "work")) == 2


def test_a_full_disk_gets_no_history_and_nothing_is_lost_by_that(driver: Driver) -> None:
    """What is left of it is for the answers of workers."""
    driver.add(P, "q", "a")
    driver.engine.refuses_jobs = Refusal.DISK_FULL
    batch = driver.batch
    end_minute(driver)
    driver.pass_time(60)
    assert driver.batch == batch
    driver.engine.refuses_jobs = None
    driver.flush()
    assert added(driver, MINUTE_AT_MS) == 1


# ---- the last minute -----------------------------------------------------------------------------


def test_the_last_minute_is_what_is_within_60_seconds_as_if_it_was_spread_evenly(
    driver: Driver,
) -> None:
    history = driver.engine.history
    driver.add(P, "q", *(f"a-{number}" for number in range(60)))
    assert history.per_minute("q", driver.now_ms).added == 60
    end_minute(driver)
    driver.pass_time(15)
    assert history.per_minute("q", driver.now_ms).added == 45
    driver.add(P, "r", "b")
    assert history.per_minute("q", driver.now_ms).added == 45
    assert history.per_minute(ALL, driver.now_ms).added == 46
    assert history.per_minute("none", driver.now_ms).added == 0
    driver.pass_time(100)
    assert history.per_minute(ALL, driver.now_ms).added == 0


def test_a_queue_looks_its_tallies_up_only_while_they_are_the_running_minutes(
    driver: Driver,
) -> None:
    driver.add(P, "q", "a")
    queue = driver.engine.queues["q"]
    assert queue.tallies["work"].added == 1
    end_minute(driver)
    assert not queue.tallies


def test_a_minute_that_waits_to_be_written_is_due_at_once_and_one_at_a_time(
    driver: Driver,
) -> None:
    remembering_ = driver.engine._remembering
    assert remembering_.next_tick_s(driver.moment) == inf
    for number in range(2):
        driver.do(P, commands.Enqueue("q", [(0, new_job(f"{number}", is_generated=True))], []))
        driver.engine.history.end_minute(driver.now_ms)
    assert remembering_.next_tick_s(driver.moment) == 0
    remembering_.tick(driver.moment)
    assert len(driver.engine.history.unwritten) == 1
    assert remembering_.next_tick_s(driver.moment) == inf, "one is being read for"
    driver.do(P, commands.Enqueue("q", [(0, new_job("c", is_generated=True))], []))
    left_s = (MINUTE_MS - driver.now_ms % MINUTE_MS) / 1000
    assert remembering_.next_tick_s(driver.moment) == left_s
    driver.flush()
    assert added(driver, MINUTE_AT_MS) == 2
