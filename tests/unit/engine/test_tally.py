"""tally.py: what happened to jobs of one name, and lengths in buckets."""

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfastd.engine.tally import (
    LENGTH_MS_MAX,
    NOT_COUNTED,
    QUICK,
    Buckets,
    Tally,
    bucket_of,
    middle_ms,
    percentile_ms,
)

LENGTHS = st.integers(0, LENGTH_MS_MAX) | st.integers(0, 20) | st.integers(0, 100_000)


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


# ---- a tally -------------------------------------------------------------------------------------


def test_two_tallies_are_added_up_field_by_field() -> None:
    one, other = Tally(), Tally()
    for number, name in enumerate(("added", "completed", "failed", "retried", "lost"), 1):
        setattr(one, name, number)
        setattr(other, name, 10 * number)
    one.waits[3], other.waits[3], other.waits[4] = 1, 2, 5
    one.runs[7], other.runs[8] = 1, 2
    one.add(other)
    assert (one.added, one.completed, one.failed, one.retried, one.lost) == (11, 22, 33, 44, 55)
    assert (one.waits, one.runs) == ({3: 3, 4: 5}, {7: 1, 8: 2})
    assert (other.added, other.waits) == (10, {3: 2, 4: 5})


@pytest.mark.parametrize(
    ("share", "length_ms"), [(0, 1), (0.5, 1), (0.51, 3), (0.75, 3), (0.76, 7), (1, 7)]
)
def test_a_share_is_within_the_length_that_it_takes(share: float, length_ms: int) -> None:
    assert percentile_ms({7: 1, 1: 2, 3: 1}, share) == length_ms


def test_what_is_not_counted_stays_empty() -> None:
    assert NOT_COUNTED == {}
