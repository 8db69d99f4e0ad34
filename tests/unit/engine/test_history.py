"""The history: what is counted in a minute, how it gets to the disk, and what a restart, a kill and
a clock that is set make of it."""

from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfastd.engine import commands, remembering
from holdfastd.engine.changes import HistoryRow
from holdfastd.engine.history import (
    ALL,
    HOUR_MS,
    HOURS_KEPT_MS,
    MINUTE_MS,
    MINUTES_KEPT_MS,
    NAMES_MAX,
    OTHER,
    PAIRS_MAX,
    Period,
    folded,
)
from holdfastd.engine.outputs import Refusal
from holdfastd.engine.tally import (
    LENGTH_MS_MAX,
    QUICK,
    Buckets,
    Tally,
    bucket_of,
    middle_ms,
    percentile_ms,
)
from support.engine import START_MS, Driver, P, W, new_job

LENGTHS = st.integers(0, LENGTH_MS_MAX) | st.integers(0, 20) | st.integers(0, 100_000)
MINUTE_AT_MS = START_MS - START_MS % MINUTE_MS
HOUR_AT_MS = START_MS - START_MS % HOUR_MS


# ---- buckets -------------------------------------------------------------------------------------


@given(LENGTHS)
def test_the_middle_of_a_bucket_is_within_an_eighth_of_what_is_in_it(length_ms: int) -> None:
    assert abs(middle_ms(bucket_of(length_ms)) - length_ms) <= length_ms / 8


@given(LENGTHS)
def test_a_longer_length_is_never_in_an_earlier_bucket(length_ms: int) -> None:
    assert bucket_of(length_ms + 1) - bucket_of(length_ms) in (0, 1)


def test_lengths_out_of_range_are_in_the_outermost_buckets() -> None:
    assert bucket_of(-5) == 0
    assert bucket_of(10**18) == bucket_of(LENGTH_MS_MAX) == 127


def test_short_lengths_are_looked_up_as_they_would_be_computed() -> None:
    assert list(QUICK) == [bucket_of(length_ms) for length_ms in range(len(QUICK))]


def counts_of(lengths: list[int]) -> Buckets:
    tally = Tally()
    for length_ms in lengths:
        tally.runs[bucket_of(length_ms)] += 1
    return tally.runs


def true_percentile(lengths: list[int], share: float) -> int:
    return sorted(lengths)[max(1, ceil(share * len(lengths))) - 1]


@given(st.lists(LENGTHS, min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_is_within_an_eighth_of_that_of_the_raw_values(
    lengths: list[int], share: float
) -> None:
    true_ms = true_percentile(lengths, share)
    found_ms = percentile_ms(counts_of(lengths), share)
    assert found_ms is not None
    assert abs(found_ms - true_ms) <= true_ms / 8


def test_of_nothing_there_is_no_percentile() -> None:
    assert percentile_ms({}, 0.5) is None


def test_the_mean_of_percentiles_would_be_wrong_by_far() -> None:
    """The sabotaged twin: what the sum of buckets is for."""
    quick, slow = [10] * 1_000, [10_000] * 10
    means = [percentile_ms(counts_of(part), 0.5) or 0 for part in (quick, slow)]
    true_ms = true_percentile(quick + slow, 0.5)
    assert abs(sum(means) / 2 - true_ms) > true_ms / 8
    assert percentile_ms(counts_of(quick + slow), 0.5) == true_ms


# ---- folding -------------------------------------------------------------------------------------

Event = tuple[int, str, str, int]
"""Minute, queue, name, length."""
EVENTS = st.lists(
    st.tuples(
        st.integers(0, 130), st.sampled_from("ab"), st.sampled_from("xyz"), st.integers(0, 10_000)
    ),
    max_size=60,
)


def stored_after(events: list[Event], cuts: set[int]) -> dict[Any, HistoryRow]:
    """What is on disk when these events came in this order, with a restart after some of them."""
    disk: dict[Any, HistoryRow] = {}
    minute = Period(0)

    def write() -> None:
        places = {(MINUTE_MS, minute.at_ms), (HOUR_MS, minute.at_ms - minute.at_ms % HOUR_MS)}
        stored = [row for key, row in disk.items() if key[:2] in places and row.name != ALL]
        if not minute.is_empty:
            disk.update({row[:4]: row for row in folded(minute, stored)})

    for at, (number, queue, name, length_ms) in enumerate(events):
        if number * MINUTE_MS != minute.at_ms or at in cuts:
            write()
            minute = Period(number * MINUTE_MS)
        tally = minute.tally(queue, name)
        tally.completed += 1
        tally.runs[bucket_of(length_ms)] += 1
    write()
    return disk


@given(EVENTS, st.sets(st.integers(0, 59)))
def test_minutes_hours_and_sums_are_those_of_the_raw_events_in_any_order_over_restarts(
    events: list[Event], cuts: set[int]
) -> None:
    """In any order: the clock was set back and forth."""
    disk = stored_after(events, cuts)
    expected: dict[Any, list[int]] = {}
    for number, queue, name, length_ms in events:
        at_ms = number * MINUTE_MS
        for place in ((MINUTE_MS, at_ms), (HOUR_MS, at_ms - at_ms % HOUR_MS)):
            for pair in ((queue, name), (queue, ALL), (ALL, ALL)):
                expected.setdefault((*place, *pair), []).append(length_ms)
    assert disk.keys() == expected.keys()
    for key, lengths in expected.items():
        assert disk[key].completed == len(lengths)
        assert disk[key].runs == counts_of(lengths)


def pairs_of(period: Period) -> list[tuple[str, str]]:
    return [(queue, name) for queue, names in period.queues.items() for name in names]


def test_a_hundred_thousand_queues_make_a_bounded_number_of_rows_and_are_all_in_the_sum() -> None:
    minute = Period(0)
    for number in range(100_000):
        minute.tally(f"q{number}", "work").added += 1
    assert len(pairs_of(minute)) == PAIRS_MAX + 1
    rows = list(minute.rows(MINUTE_MS))
    assert len(rows) <= 2 * PAIRS_MAX + 3
    by_key = {(row.queue, row.name): row.added for row in rows}
    assert by_key[ALL, ALL] == 100_000
    assert by_key[OTHER, OTHER] == by_key[OTHER, ALL] == 100_000 - PAIRS_MAX


def test_a_hundred_hours_of_changing_queues_make_no_more_rows_of_an_hour() -> None:
    stored: list[HistoryRow] = []
    for number in range(5):
        minute = Period(number * MINUTE_MS)
        for queue in range(400):
            minute.tally(f"q{number}-{queue}", "work").added += 1
        rows = folded(minute, stored)
        stored = [row for row in rows if row.step_ms == HOUR_MS and row.name != ALL]
    assert len(stored) == PAIRS_MAX + 1
    assert sum(row.added for row in stored) == 5 * 400


def test_a_queue_that_makes_up_names_takes_no_room_of_the_others() -> None:
    minute = Period(0)
    for number in range(10_000):
        minute.tally("mad", f"name-{number}").added += 1
    minute.tally("sane", "work").added += 1
    assert len(minute.queues["mad"]) == NAMES_MAX + 1
    assert minute.queues["mad"][OTHER].added == 10_000 - NAMES_MAX
    assert minute.queues["sane"]["work"].added == 1


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
