"""limits.py: the rate, over any window, any clock, any restart."""

import pytest

from holdfastd.engine.limits import EARLY_MS, RateLimiter
from holdfastd.engine.model import Rate


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


def test_a_burst_is_spent_at_once_and_comes_back_job_by_job() -> None:
    limiter = RateLimiter(Rate(2, 1_000, 3))
    waits = []
    for _ in range(4):
        waits.append(limiter.wait_ms(7.0))
        limiter.start(0, 7.0)
    assert waits == [0, 0, 0, 500]
    assert limiter.wait_ms(7.0) == 500, "nobody waits for more than one bucket"
    assert limiter.wait_ms(7.5) == 0


def test_a_bucket_that_was_full_for_long_holds_no_more_than_its_burst() -> None:
    limiter = RateLimiter(Rate(2, 1_000, 3))
    limiter.start(0, 1.0)
    for _ in range(3):
        assert limiter.wait_ms(500.0) == 0
        limiter.start(0, 500.0)
    assert limiter.wait_ms(500.0) == 500


def test_what_is_stored_is_rounded_up_so_that_a_restart_starts_nothing_early() -> None:
    limiter = RateLimiter(Rate(3, 1_000, 1))
    limiter.start(10_000, 3.0)
    assert limiter.full_at_ms == 10_334


def test_without_a_rate_nothing_is_stored() -> None:
    limiter = RateLimiter(None)
    limiter.start(10_000, 3.0)
    assert limiter.full_at_ms == 0


def test_what_was_stored_stays_until_the_next_start() -> None:
    limiter = RateLimiter(Rate(1, 1_000, 1))
    limiter.resume(10_700, 10_000, 3.0)
    assert (limiter.full_at_ms, limiter.wait_ms(3.0)) == (10_700, 700)
    limiter.start(10_700, 3.7)
    assert limiter.full_at_ms == 11_700


def test_a_rest_of_a_wait_that_floats_leave_is_none() -> None:
    limiter = RateLimiter(Rate(1, 1_000, 1))
    limiter.start(0, 0.0)
    assert limiter.wait_ms(0.999_999_5) == 0
    assert limiter.wait_ms(0.999_99) > EARLY_MS
