"""How often something happened, and how long it took, in buckets of a quarter of an octave:
percentiles of many minutes, names or queues come from the buckets' sums."""

from collections import defaultdict
from collections.abc import Mapping
from math import ceil
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from holdfastd.engine.changes import HistoryRow

LENGTH_MS_MAX: Final = (1 << 33) - 1
"""99 days; what took longer counts as that."""


def bucket_of(length_ms: int) -> int:
    """Bucket of a length: 0 to 7 ms have each their own, then each power of two has four. The
    middle of one is at most an eighth away from what is in it."""
    if length_ms < 8:
        return max(length_ms, 0)
    length_ms = min(length_ms, LENGTH_MS_MAX)
    bits = length_ms.bit_length()
    return 4 * (bits - 2) + ((length_ms >> (bits - 3)) & 3)


def middle_ms(bucket: int) -> int:
    """The middle of a bucket."""
    if bucket < 8:
        return bucket
    shift = bucket // 4 - 1
    return ((4 + bucket % 4) << shift) + ((1 << shift) - 1) // 2


QUICK_MS: Final = 4_096
QUICK: Final = bytes(bucket_of(length_ms) for length_ms in range(QUICK_MS))
"""Buckets of lengths below QUICK_MS, to be looked up where it happens for every job."""

Buckets = Mapping[int, int]
"""How often, by bucket."""


def percentile_ms(counts: Buckets, share: float) -> int | None:
    """The length that `share` (0 to 1) of all were within; None = there are none."""
    total = sum(counts.values())
    if not total:
        return None
    rank = max(1, ceil(share * total))
    return middle_ms(next(each for each in sorted(counts) if (rank := rank - counts[each]) <= 0))


class Tally:
    """What happened to the jobs of one name of a queue.

    Attributes:
        added, completed: jobs.
        failed: jobs, for good.
        retried: attempts that failed, after which the job runs again.
        lost: attempts whose lease ran out.
        waits: from ready to leased; runs: from leased to completed or failed. By bucket.
    """

    __slots__ = ("added", "completed", "failed", "lost", "retried", "runs", "waits")

    def __init__(self) -> None:
        self.added = 0
        self.completed = 0
        self.failed = 0
        self.retried = 0
        self.lost = 0
        self.waits: defaultdict[int, int] = defaultdict(int)
        self.runs: defaultdict[int, int] = defaultdict(int)

    def add(self, other: "Tally | HistoryRow") -> None:
        self.added += other.added
        self.completed += other.completed
        self.failed += other.failed
        self.retried += other.retried
        self.lost += other.lost
        for mine, theirs in ((self.waits, other.waits), (self.runs, other.runs)):
            for bucket, count in theirs.items():
                mine[bucket] += count


NOT_COUNTED: Final[dict[str, Tally]] = {}
"""`QueueState.tallies` of a queue in which nothing has happened in this minute; stays empty."""
