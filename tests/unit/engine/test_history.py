"""history.py: what is counted in a minute, and how minutes are added up."""

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfastd.engine.changes import HistoryRow
from holdfastd.engine.history import (
    ALL,
    HOUR_MS,
    MINUTE_MS,
    NAMES_MAX,
    OTHER,
    PAIRS_MAX,
    UNWRITTEN_MAX,
    History,
    Period,
    PerMinute,
    folded,
)
from holdfastd.engine.model import QueueKey
from holdfastd.engine.queue import QueueState
from holdfastd.engine.tally import NOT_COUNTED, Buckets, Tally, bucket_of


def counts_of(lengths: list[int]) -> Buckets:
    tally = Tally()
    for length_ms in lengths:
        tally.runs[bucket_of(length_ms)] += 1
    return tally.runs


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


def a_queue(name: str = "q") -> QueueState:
    return QueueState(QueueKey(1), name)


def test_a_job_is_counted_in_the_minute_that_runs_and_looked_up_there() -> None:
    history, queue = History(), a_queue()
    tally = history.tally(queue, "work", 5 * MINUTE_MS + 17)
    assert history.minute.at_ms == 5 * MINUTE_MS
    assert queue.tallies == {"work": tally}
    assert history.tally(queue, "work", 5 * MINUTE_MS + 18) is tally


# ---- the minute that runs ------------------------------------------------------------------------


def test_a_queue_that_found_no_room_is_not_looked_up() -> None:
    history = History()
    for number in range(PAIRS_MAX):
        history.tally(a_queue(f"q{number}"), "work", 0)
    late = a_queue("late")
    assert history.tally(late, "work", 0) is history.minute.queues[OTHER][OTHER]
    assert late.tallies is NOT_COUNTED


def test_a_minute_that_is_over_waits_to_be_written_and_the_next_one_begins() -> None:
    history, queue = History(), a_queue()
    history.tally(queue, "work", 0)
    minute = history.minute
    history.tick(MINUTE_MS - 1)
    assert (history.minute, list(history.unwritten)) == (minute, [])
    history.tick(MINUTE_MS)
    assert (history.last, list(history.unwritten)) == (minute, [minute])
    assert (history.minute.at_ms, history.minute.is_empty) == (MINUTE_MS, True)
    assert queue.tallies is NOT_COUNTED
    assert not NOT_COUNTED


def test_a_minute_in_which_nothing_happened_is_not_written() -> None:
    history = History()
    history.tick(5 * MINUTE_MS)
    assert (history.last, list(history.unwritten)) == (None, [])
    assert history.minute.at_ms == 5 * MINUTE_MS


def test_of_minutes_that_cannot_be_written_the_oldest_goes() -> None:
    history = History()
    for number in range(UNWRITTEN_MAX + 1):
        history.tally(a_queue(), "work", number * MINUTE_MS)
        history.end_minute((number + 1) * MINUTE_MS)
    assert len(history.unwritten) == UNWRITTEN_MAX
    assert history.unwritten[0].at_ms == MINUTE_MS


@pytest.mark.parametrize(
    ("now_ms", "left_ms"),
    [
        (MINUTE_MS, MINUTE_MS),
        (MINUTE_MS + 1, MINUTE_MS - 1),
        (2 * MINUTE_MS - 1, 1),
        (2 * MINUTE_MS, 0),
        (MINUTE_MS - 1, 0),
    ],
)
def test_it_asks_for_the_end_of_its_minute_and_at_once_if_the_clock_was_set(
    now_ms: int, left_ms: int
) -> None:
    history = History()
    assert history.next_tick_ms(now_ms) is None
    history.tally(a_queue(), "work", MINUTE_MS)
    assert history.next_tick_ms(now_ms) == left_ms


def test_a_sum_is_of_a_pair_of_a_queue_of_a_name_or_of_all() -> None:
    minute = Period(0)
    for number, (queue, name) in enumerate(product("qr", "ab")):
        minute.tally(queue, name).added = 10**number
    assert [
        minute.sum_of(*pair).added
        for pair in (("q", "a"), ("q", ALL), (ALL, "a"), (ALL, ALL), ("none", ALL), ("q", "none"))
    ] == [1, 11, 101, 1111, 0, 0]


def test_the_last_minute_counts_what_is_within_60_seconds_as_if_it_was_spread_evenly() -> None:
    history, queue = History(), a_queue()
    tally = history.tally(queue, "work", 0)
    tally.added, tally.completed, tally.failed = 60, 30, 12
    assert history.per_minute("q", 30_000) == PerMinute(60, 30, 12)
    history.end_minute(MINUTE_MS)
    history.tally(queue, "work", MINUTE_MS).added = 7
    assert history.per_minute("q", MINUTE_MS + 15_000) == PerMinute(7 + 45, 22, 9)
    assert history.per_minute(ALL, MINUTE_MS + 15_000) == PerMinute(7 + 45, 22, 9)
    assert history.per_minute("none", MINUTE_MS + 15_000) == PerMinute(0, 0, 0)
    assert history.per_minute("q", 3 * MINUTE_MS) == PerMinute(0, 0, 0)


def test_a_row_has_what_was_counted_and_the_length_of_all_runs() -> None:
    minute = Period(5 * MINUTE_MS)
    tally = minute.tally("q", "work")
    tally.added, tally.completed, tally.failed, tally.retried, tally.lost = 1, 2, 3, 4, 5
    tally.waits[9] = 6
    tally.runs[bucket_of(3)], tally.runs[bucket_of(5)] = 2, 10
    rows = {row[2:4]: row for row in minute.rows(MINUTE_MS)}
    assert rows.keys() == {("q", "work"), ("q", ALL), (ALL, ALL)}
    for row in rows.values():
        assert row[:2] == (MINUTE_MS, 5 * MINUTE_MS)
        assert row[4:] == (1, 2, 3, 4, 5, 56, {9: 6}, {3: 2, 5: 10})


def test_a_name_that_is_empty_is_counted_with_the_others() -> None:
    """It would be taken for the sum of all."""
    history = History()
    history.tally(a_queue(), ALL, 0).added = 1
    assert list(history.minute.queues["q"]) == [OTHER]
