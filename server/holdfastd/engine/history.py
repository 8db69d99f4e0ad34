"""What happened in each minute and hour, by queue and job name: the source of charts.

While a minute goes on it is counted in memory; when it is over its rows go out with the next batch,
and the rows of its hour as they are by then. So a crash costs the minute that was open, and no
more. What a queue did, and all queues, have rows of their own under the name "" (and the queue ""),
so that a chart of a month reads 720 rows and not those of every name.

Lengths (how long a job waited, how long it ran) are counted in buckets, four to each doubling: a
percentile is right within 13 %, and those of many minutes, or queues, can be added up, which
percentiles cannot.

A row's `part` tells apart what was counted for the same minute before and after a restart, or a
wall clock that was set back: who reads adds them up.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from holdfastd.engine.changes import HistoryRow

if TYPE_CHECKING:
    from holdfastd.engine.queue import QueueState

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
MINUTES_KEPT_MS: Final = 48 * HOUR_MS
HOURS_KEPT_MS: Final = 90 * 24 * HOUR_MS
PAIRS_MAX: Final = 500
"""Pairs of queue and name that are counted by themselves in a minute; what is more is summed up
under OTHER. Arbitrary: a thousand rows a minute."""
HOUR_PAIRS_MAX: Final = 2_000
"""The same for an hour, in which others may come in each minute."""
OTHER: Final = "_other"
ALL: Final = ""
PARTS_PER_EPOCH: Final = 1_000
"""Times that a wall clock is set back in one run of the daemon, and told apart."""


class Tally:
    """Counts of one minute or hour.

    Attributes:
        added: jobs. completed, failed: jobs that ended so. retried: attempts that failed and come
        again. lost: leases. wait, run: milliseconds, by bucket (see `bucket_of`).
    """

    __slots__ = ("added", "completed", "failed", "lost", "retried", "run", "wait")

    def __init__(self) -> None:
        self.added = self.completed = self.failed = self.retried = self.lost = 0
        self.wait: dict[int, int] = {}
        self.run: dict[int, int] = {}

    def waited(self, ms: int) -> None:
        bucket = bucket_of(ms)
        self.wait[bucket] = self.wait.get(bucket, 0) + 1

    def ran(self, ms: int) -> None:
        bucket = bucket_of(ms)
        self.run[bucket] = self.run.get(bucket, 0) + 1

    def add(self, other: "Tally") -> None:
        self.added += other.added
        self.completed += other.completed
        self.failed += other.failed
        self.retried += other.retried
        self.lost += other.lost
        for mine, theirs in ((self.wait, other.wait), (self.run, other.run)):
            for bucket, count in theirs.items():
                mine[bucket] = mine.get(bucket, 0) + count


class Pace(NamedTuple):
    """Jobs of a minute."""

    added: int
    completed: int
    failed: int


def bucket_of(ms: int) -> int:
    """0 to 7 each have their own; then four to each doubling. Below 0 counts as 0."""
    if ms < 8:
        return ms if ms > 0 else 0
    shift = ms.bit_length() - 3
    return (shift << 2) + (ms >> shift)


def middle_of(bucket: int) -> float:
    """Milliseconds that stand for all that fell into it."""
    if bucket < 8:
        return float(bucket)
    shift = (bucket >> 2) - 1
    low = (4 + (bucket & 3)) << shift
    return low + ((1 << shift) - 1) / 2


def percentile(buckets: dict[int, int], share: float) -> float | None:
    """Milliseconds that a share (0 to 1) of what was counted did not exceed; None = nothing was."""
    total = sum(buckets.values())
    if not total:
        return None
    left = share * total
    for bucket in sorted(buckets):
        left -= buckets[bucket]
        if left <= 0:
            break
    return middle_of(bucket)


class History:
    """The minute that goes on, and its hour so far."""

    def __init__(self) -> None:
        self.epoch = 0
        self._set_back = 0
        self._minute: int | None = None
        """Number of the minute that is open; None = nothing has happened yet."""
        self._queues: dict[QueueState, None] = {}
        """Those with tallies of this minute."""
        self._pairs = 0
        self._other = Tally()
        self._hour: dict[tuple[str, str], Tally] = {}
        self._last_minute: int | None = None
        self._last: dict[str, Pace] = {}
        """Of the minute that was closed last, by queue; ALL = together."""

    # ---- counting --------------------------------------------------------------------------------

    def of(self, queue: "QueueState", name: str) -> Tally:
        """Where to count what happens now to jobs of that name."""
        tally = queue.tallies.get(name)
        return self._open(queue, name) if tally is None else tally

    def _open(self, queue: "QueueState", name: str) -> Tally:
        if self._pairs >= PAIRS_MAX:
            return self._other
        self._pairs += 1
        self._queues[queue] = None
        tally = queue.tallies[name] = Tally()
        return tally

    # ---- closing a minute ------------------------------------------------------------------------

    @property
    def is_counting(self) -> bool:
        """Something has happened in the open minute."""
        return bool(self._queues or self._other.added or self._other.completed)

    def closes_in_ms(self, now_ms: int) -> int:
        return MINUTE_MS - now_ms % MINUTE_MS

    def close_if_over(self, now_ms: int) -> list[HistoryRow]:
        """The rows of a minute that is over; empty = it is not, or nothing happened."""
        minute = now_ms // MINUTE_MS
        if self._minute is None:
            self._minute = minute
        if minute == self._minute:
            return []
        is_set_back = minute < self._minute
        rows = self.close(now_ms)
        if is_set_back:  # these minutes come again, and their hour
            self._set_back += 1
            self._hour.clear()
        return rows

    def close(self, now_ms: int) -> list[HistoryRow]:
        """The rows of the open minute, over or not; the next one begins."""
        minute = now_ms // MINUTE_MS if self._minute is None else self._minute
        self._minute = now_ms // MINUTE_MS
        tallies = self._take()
        self._last_minute = minute
        self._last = {
            queue: Pace(tally.added, tally.completed, tally.failed)
            for (queue, name), tally in tallies.items()
            if name == ALL
        }
        at_ms = minute * MINUTE_MS
        hour_ms = at_ms // HOUR_MS * HOUR_MS
        rows = [self._row(MINUTE_MS, at_ms, pair, tally) for pair, tally in tallies.items()]
        for pair, tally in tallies.items():
            kept = self._of_hour(pair)
            self._hour[kept].add(tally)
            rows.append(self._row(HOUR_MS, hour_ms, kept, self._hour[kept]))
        if now_ms // HOUR_MS * HOUR_MS != hour_ms:
            self._hour.clear()
        return rows

    def _take(self) -> dict[tuple[str, str], Tally]:
        """What the minute has, by queue and name, with the sums."""
        found: dict[tuple[str, str], Tally] = {}
        for queue in self._queues:
            for name, tally in queue.tallies.items():
                if (queue.name, name) in found:  # it was removed, and made again
                    tally.add(found[queue.name, name])
                found[queue.name, name] = tally
            queue.tallies = {}
        if self._other.added or self._other.completed or self._other.wait:
            found[OTHER, OTHER] = self._other
            self._other = Tally()
        self._queues = {}
        self._pairs = 0
        return found | _sums(found)

    def _of_hour(self, pair: tuple[str, str]) -> tuple[str, str]:
        if pair not in self._hour:
            if len(self._hour) >= HOUR_PAIRS_MAX and pair[0] != ALL:
                pair = (OTHER, OTHER)
            self._hour.setdefault(pair, Tally())
        return pair

    def _row(self, step_ms: int, at_ms: int, pair: tuple[str, str], tally: Tally) -> HistoryRow:
        part = self.epoch * PARTS_PER_EPOCH + self._set_back
        return HistoryRow(
            step_ms,
            pair[0],
            pair[1],
            at_ms,
            part,
            tally.added,
            tally.completed,
            tally.failed,
            tally.retried,
            tally.lost,
            tuple(sorted(tally.wait.items())),
            tuple(sorted(tally.run.items())),
        )

    def kept_from_ms(self, now_ms: int) -> tuple[int, int]:
        """Rows of minutes, and of hours, before these instants are to go."""
        return now_ms - MINUTES_KEPT_MS, now_ms - HOURS_KEPT_MS

    # ---- looking at it ---------------------------------------------------------------------------

    def now(self) -> dict[tuple[str, str], Tally]:
        """The open minute so far, by queue and name, without the sums. Not to be changed."""
        found = {
            (queue.name, name): tally
            for queue in self._queues
            for name, tally in queue.tallies.items()
        }
        return found | ({(OTHER, OTHER): self._other} if self._other.added else {})

    def pace(self, queue: str, tallies: Iterable[Tally], now_ms: int) -> Pace:
        """Jobs in the last 60 s: of the open minute, and of the one before the share that is not
        older. tallies: of the queue, open; ALL: of all."""
        passed = now_ms % MINUTE_MS / MINUTE_MS
        before = self._last.get(queue) if self._is_last(now_ms) else None
        added = completed = failed = 0
        for tally in tallies:
            added += tally.added
            completed += tally.completed
            failed += tally.failed
        if before is None:
            return Pace(added, completed, failed)
        left = 1 - passed
        return Pace(
            added + round(before.added * left),
            completed + round(before.completed * left),
            failed + round(before.failed * left),
        )

    def _is_last(self, now_ms: int) -> bool:
        return self._last_minute == now_ms // MINUTE_MS - 1


def _sums(tallies: dict[tuple[str, str], Tally]) -> dict[tuple[str, str], Tally]:
    """Of each queue, and of all."""
    sums: dict[tuple[str, str], Tally] = {}
    for (queue, _), tally in tallies.items():
        for pair in ((queue, ALL), (ALL, ALL)):
            sums.setdefault(pair, Tally()).add(tally)
    return sums
