"""policy.py, limits.py, head.py, events.py, transitions.py: functions of numbers."""

import itertools

import pytest

from holdfast.wire import constants
from holdfastd.engine import following, model, partition, working
from holdfastd.engine.events import EVENTS_KEPT, EventRing
from holdfastd.engine.head import NOTHING, Head
from holdfastd.engine.limits import RateLimiter
from holdfastd.engine.model import (
    DEFAULT_OPTIONS,
    Backoff,
    BackoffKind,
    FailReason,
    Jitter,
    Job,
    QueueKey,
    Rate,
    Seq,
    State,
)
from holdfastd.engine.policy import DELAY_MS_MAX, backoff_ms
from holdfastd.engine.transitions import TRANSITIONS, Event, InvariantError, move


def job(seq: int, state: State = State.WAITING, payload: bytes | None = b"x") -> Job:
    return Job(Seq(seq), QueueKey(1), f"j{seq}", "n", state, 0, seq, 0, 0, DEFAULT_OPTIONS, payload)


# ---- backoff -------------------------------------------------------------------------------------


def test_a_fixed_backoff_is_the_same_each_time() -> None:
    backoff = Backoff(BackoffKind.FIXED, (500,))
    assert [backoff_ms(backoff, failures, 0.9) for failures in (1, 2, 9)] == [500, 500, 500]


def test_an_exponential_backoff_doubles_up_to_its_cap() -> None:
    backoff = Backoff(BackoffKind.EXPONENTIAL, (1000,), 2.0, 5000)
    assert [backoff_ms(backoff, failures, 0) for failures in (1, 2, 3, 4)] == [
        1000,
        2000,
        4000,
        5000,
    ]


def test_an_exponential_backoff_does_not_overflow() -> None:
    backoff = Backoff(BackoffKind.EXPONENTIAL, (1000,), 100.0, 60_000)
    assert backoff_ms(backoff, 10_000, 0) == 60_000


def test_an_exponential_backoff_without_a_cap_stays_within_ten_years() -> None:
    for factor, failures in ((100.0, 9), (100.0, 10_000), (2.0, 60)):
        backoff = Backoff(BackoffKind.EXPONENTIAL, (1000,), factor, 0)
        assert backoff_ms(backoff, failures, 0) == DELAY_MS_MAX


def test_an_exponential_backoff_from_zero_stays_zero() -> None:
    backoff = Backoff(BackoffKind.EXPONENTIAL, (0,), 100.0, 60_000)
    assert [backoff_ms(backoff, failures, 0) for failures in (1, 10_000)] == [0, 0]


def test_a_listed_backoff_repeats_its_last_delay() -> None:
    backoff = Backoff(BackoffKind.LIST, (10, 20))
    assert [backoff_ms(backoff, failures, 0) for failures in (1, 2, 3)] == [10, 20, 20]


@pytest.mark.parametrize(
    ("jitter", "lowest", "highest"),
    [(Jitter.NONE, 1000, 1000), (Jitter.FULL, 0, 999), (Jitter.EQUAL, 500, 999)],
)
def test_jitter_spreads_a_delay_over_its_range(jitter: Jitter, lowest: int, highest: int) -> None:
    backoff = Backoff(BackoffKind.FIXED, (1000,), jitter=jitter)
    assert backoff_ms(backoff, 1, 0.0) == lowest
    assert backoff_ms(backoff, 1, 0.999) == highest


# ---- rate ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "burst"), [(1, 1), (10, 1), (10, 4), (7, 20)])
def test_no_window_sees_more_starts_than_the_limit_and_its_burst(limit: int, burst: int) -> None:
    limiter = RateLimiter(Rate(limit, 1000, burst))
    starts = []
    for now_ms in range(5_000):
        while limiter.wait_ms(now_ms / 1000) <= 0:
            limiter.start(now_ms, now_ms / 1000)
            starts.append(now_ms)
    assert len(starts) >= limit * 5 * 0.95
    for first, at in enumerate(starts):
        in_window = sum(1 for other in starts[first:] if other < at + 1000)
        assert in_window <= limit + burst - 1


def test_the_wait_is_until_the_next_start_and_a_clock_set_back_is_bounded() -> None:
    limiter = RateLimiter(Rate(2, 1000, 1))
    limiter.start(10_000, 3.0)
    assert limiter.wait_ms(3.0) == 500
    assert limiter.wait_ms(3.5) == 0
    after = RateLimiter(Rate(2, 1000, 1))
    after.resume(limiter.full_at_ms, 10_200, 7.0)
    assert after.wait_ms(7.0) == 300
    set_back = RateLimiter(Rate(2, 1000, 1))
    set_back.resume(limiter.full_at_ms, 0, 7.0)
    assert set_back.wait_ms(7.0) == 500


def test_a_wait_that_has_passed_is_over_whatever_floats_make_of_it() -> None:
    """A rest of it would be a timer that is due at once, again and again."""
    limiter = RateLimiter(Rate(7, 1000, 3))
    monotonic = 123_456.789
    for _ in range(1_000):
        monotonic += limiter.wait_ms(monotonic) / 1000
        assert limiter.wait_ms(monotonic) == 0
        limiter.start(0, monotonic)


def test_without_a_rate_nothing_waits() -> None:
    assert RateLimiter(None).wait_ms(5.0) == 0


# ---- head ----------------------------------------------------------------------------------------


def taken(head: Head) -> list[int]:
    seqs = []
    while (first := head.peek()) is not None:
        seqs.append(int(first.seq))
        head.pop()
    return seqs


def test_a_head_gives_jobs_in_the_order_of_their_keys() -> None:
    head = Head(10, 1000)
    for number in (3, 1, 2):
        assert head.place(job(number), 0, number)
    head.place(job(4), -1, 9)
    assert taken(head) == [4, 1, 2, 3]
    assert (head.count, head.bytes) == (0, 0)


def test_a_full_head_lowers_its_horizon_to_the_first_job_without_room() -> None:
    head = Head(2, 1000)
    assert [head.place(job(number), 0, number) for number in (1, 2, 3, 4)] == [
        True,
        True,
        False,
        False,
    ]
    assert head.horizon == (0, 3)
    assert head.page_after() == (0, 2)
    assert not head.is_low
    taken(head)
    assert head.is_low


def test_bytes_fill_a_head_as_well() -> None:
    head = Head(100, 10)
    placed = [head.place(job(number, payload=b"x" * 6), 0, number) for number in (1, 2, 3)]
    assert placed == [True, True, False]


def test_a_job_that_belongs_into_the_middle_is_let_in_and_the_tail_is_cut() -> None:
    head = Head(2, 1000)
    for number in (1, 2):
        head.place(job(number), 5, number)
    for number in (3, 4, 5):
        assert head.place(job(number), 1, number)
    assert head.is_overfull
    assert [dropped.seq for dropped in head.cut()] == [5, 1, 2]
    assert head.horizon == (1, 5)
    assert taken(head) == [3, 4]


def test_a_job_that_left_otherwise_is_skipped() -> None:
    head = Head(10, 1000)
    jobs = [job(number) for number in (1, 2, 3)]
    for each in jobs:
        head.place(each, 0, each.seq)
    head.unplace(jobs[0])
    head.unplace(jobs[1])
    head.place(jobs[0], 0, 9)
    assert head.first(5) == [jobs[2], jobs[0]]
    assert taken(head) == [3, 1]


def test_a_cleared_head_takes_nothing_below_nothing() -> None:
    head = Head(10, 1000)
    head.place(job(1), 0, 1)
    assert [cleared.seq for cleared in head.clear(NOTHING)] == [1]
    assert not head.place(job(2), 0, 2)
    assert head.page_after() is None
    assert len(head) == 0


def test_a_payload_that_was_read_counts() -> None:
    head = Head(10, 1000)
    bare = job(1, payload=None)
    head.place(bare, 0, 1)
    head.fill(bare, b"12345")
    assert head.bytes == 5
    head.unplace(bare)
    assert head.bytes == 0


# ---- events --------------------------------------------------------------------------------------


def test_a_ring_gives_what_came_after_a_number_and_says_what_is_missing() -> None:
    ring = EventRing(3 << 40)
    events = [ring.add(1, 5, f"j{number}", "n", {}) for number in range(5)]
    assert events[0].number == (3 << 40) + 1
    assert ring.after(events[2].number) == (events[3:], False)
    assert ring.after(ring.last) == ([], False)
    assert ring.after((2 << 40) + 7) == (events, True)
    assert ring.after(ring.last + 1) == ([], True)


def test_a_ring_is_bounded() -> None:
    ring = EventRing(1 << 40)
    first = ring.add(1, 0, None, None, {})
    for _ in range(EVENTS_KEPT):
        ring.add(1, 0, None, None, {})
    kept, missed = ring.after(first.number)
    assert (len(kept), missed) == (EVENTS_KEPT, False)
    assert ring.after(first.number - 1)[1]


# ---- transitions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_every_move_is_in_the_table_or_refused(state: State, event: Event) -> None:
    subject = job(1, state)
    expected = TRANSITIONS.get((state, event))
    if expected is None:
        with pytest.raises(InvariantError, match="is not in the table"):
            move(subject, event)
        assert subject.state is state
    else:
        assert move(subject, event) == (state, expected)
        assert subject.state is expected


# ---- numbers that stand twice, since the engine knows no wire ------------------------------------


def test_the_engines_numbers_are_those_of_the_protocol() -> None:
    assert {s.name: s.value for s in State} == {s.name: s.value for s in constants.State}
    wire_reasons = {reason.name: reason.value for reason in constants.FailReason}
    assert {r.name: r.value for r in FailReason if r} == wire_reasons
    kinds = {name: value for name, value in vars(partition.EventNumber).items() if name[0] != "_"}
    assert kinds == {kind.name: kind.value for kind in constants.EventKind}
    assert model.TOKEN_COUNTER_BITS == constants.TOKEN_COUNTER_BITS
    assert working.LOG_LINES_PER_JOB_MAX == constants.LOG_LINES_PER_JOB_MAX
    assert DELAY_MS_MAX == constants.DELAY_MS_MAX
    assert following.WAITS_PER_SESSION_MAX == constants.WAITS_PER_SESSION_MAX
