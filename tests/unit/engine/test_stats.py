"""stats.py: counters and histograms as the metrics page wants them."""

import pytest

from holdfastd.engine.stats import Histogram, QueueStats


@pytest.mark.parametrize(("value", "bucket"), [(0, 0), (1, 0), (1.5, 1), (2, 1), (2.01, 2)])
def test_a_bound_is_within_its_bucket_and_the_last_one_takes_the_rest(
    value: float, bucket: int
) -> None:
    histogram = Histogram((1, 2))
    histogram.observe(value)
    assert [at for at, count in enumerate(histogram.counts) if count] == [bucket]
    assert histogram.counts[bucket] == 1
    assert histogram.total == value


def test_the_total_is_the_sum_of_all() -> None:
    histogram = Histogram((1,))
    for value in (0.5, 2, 3):
        histogram.observe(value)
    assert (histogram.counts, histogram.total) == ([1, 2], 5.5)


def test_a_copy_stays_as_it_was() -> None:
    histogram = Histogram((1, 2))
    histogram.observe(1)
    copy = histogram.copy()
    histogram.observe(1)
    assert (copy.bounds, copy.counts, copy.total) == ((1, 2), [1, 0, 0], 1)


def test_two_queues_have_histograms_of_their_own() -> None:
    mine, yours = QueueStats(), QueueStats()
    for name in ("wait_seconds", "duration_seconds_completed", "duration_seconds_failed"):
        getattr(mine, name).observe(1)
        assert getattr(yours, name).total == 0
    assert mine != yours
