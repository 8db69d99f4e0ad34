"""policy.py: how long a failed attempt waits for the next, and how that is told."""

import pytest

from holdfastd.engine.model import Backoff, BackoffKind, Jitter
from holdfastd.engine.policy import DELAY_MS_MAX, backoff_ms, describe_backoff


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


def test_an_odd_delay_is_halved_to_the_smaller_half_and_spread_over_the_larger() -> None:
    backoff = Backoff(BackoffKind.FIXED, (1_001,), jitter=Jitter.EQUAL)
    assert [backoff_ms(backoff, 1, random) for random in (0.0, 0.5, 0.999)] == [500, 750, 1_000]


def test_half_of_a_delay_with_full_jitter() -> None:
    backoff = Backoff(BackoffKind.FIXED, (1_001,), jitter=Jitter.FULL)
    assert backoff_ms(backoff, 1, 0.5) == 500


def test_a_factor_may_be_a_fraction_and_a_delay_is_whole() -> None:
    backoff = Backoff(BackoffKind.EXPONENTIAL, (1_000,), 1.5, 0)
    delays = [backoff_ms(backoff, failures, 0) for failures in (1, 2, 3, 4)]
    assert delays == [1_000, 1_500, 2_250, 3_375]
    assert all(type(delay) is int for delay in delays)


def test_a_cap_beyond_ten_years_is_ten_years() -> None:
    backoff = Backoff(BackoffKind.EXPONENTIAL, (1_000,), 100.0, 2 * DELAY_MS_MAX)
    assert [backoff_ms(backoff, failures, 0) for failures in (9, 10_000)] == [DELAY_MS_MAX] * 2


@pytest.mark.parametrize(
    ("backoff", "told"),
    [
        (Backoff(), None),
        (
            Backoff(BackoffKind.EXPONENTIAL, (1_000,), 3.0, 60_000, Jitter.FULL),
            {
                "kind": "exponential",
                "jitter": "full",
                "delay_ms": 1_000,
                "factor": 3.0,
                "cap_ms": 60_000,
            },
        ),
        (
            Backoff(BackoffKind.FIXED, (5,)),
            {"kind": "fixed", "jitter": "none", "delay_ms": 5},
        ),
        (
            Backoff(BackoffKind.LIST, (5, 6), jitter=Jitter.EQUAL),
            {"kind": "list", "jitter": "equal", "delays_ms": [5, 6]},
        ),
    ],
)
def test_a_backoff_is_told_as_it_is_given(backoff: Backoff, told: dict[str, object] | None) -> None:
    assert describe_backoff(backoff) == told
