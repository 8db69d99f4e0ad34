"""What happened in each minute, by queue and job name: what the charts are made of.

Only the minute that runs is counted in memory. When it is over, the store is asked what it has of
that minute (from before a restart, or before the clock was set back) and of its hour; the minute is
added to both, and the sums are written as rows of the next batch. So there is nothing to recover
at a start, no row is overwritten by a smaller one, and a killed daemon loses one minute of
statistics at most. A stored minute or hour has a row for each pair of queue and job name, one for
each queue and one for all, so that every chart is made of one row per step.

What is counted, and in what, is in `engine.tally`. Minutes and hours are those of UTC.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from holdfastd.engine.changes import HistoryRow
from holdfastd.engine.queue import QueueState
from holdfastd.engine.tally import NOT_COUNTED, Tally, middle_ms

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
MINUTES_KEPT_MS: Final = 48 * HOUR_MS
HOURS_KEPT_MS: Final = 90 * 24 * HOUR_MS
PAIRS_MAX: Final = 500
"""Pairs of queue and job name that a minute, and an hour, has rows for. Once so many are known, a
new name counts under OTHER of its queue, and a new queue under OTHER of all. At the bound a minute
takes some 40 ms of a busy loop to be written (measured, docs/explanation/history.md)."""
NAMES_MAX: Final = 100
"""Of one queue: one that makes up names does not take the room of the others."""
OTHER: Final = "_other"
ALL: Final = ""
"""As a name: all of a queue. As a queue, too: all queues. No queue or job can have that name."""
UNWRITTEN_MAX: Final = 60
"""Minutes that wait for a full disk; the oldest is dropped."""


class Period:
    """A minute, or an hour.

    Attributes:
        at_ms: its beginning.
        queues: queue's name -> job's name -> what happened.
    """

    def __init__(self, at_ms: int):
        self.at_ms = at_ms
        self.queues: dict[str, dict[str, Tally]] = {}
        self._pair_count = 0

    @property
    def is_empty(self) -> bool:
        return not self.queues

    def tally(self, queue: str, name: str) -> Tally:
        """Where a pair is counted: for itself, as long as there is room."""
        names = self.queues.get(queue)
        if names is not None and name in names:
            return names[name]
        has_room = self._pair_count < PAIRS_MAX
        if names is None:
            return self._open(queue, name) if has_room else self._open(OTHER, OTHER)
        return self._open(queue, name if has_room and len(names) < NAMES_MAX else OTHER)

    def _open(self, queue: str, name: str) -> Tally:
        names = self.queues.setdefault(queue, {})
        if name not in names:
            names[name] = Tally()
            self._pair_count += 1
        return names[name]

    def sum_of(self, queue: str, name: str) -> Tally:
        """Queue and name may be ALL."""
        total = Tally()
        for names in self.queues.values() if queue == ALL else (self.queues.get(queue, {}),):
            for tally in names.values() if name == ALL else filter(None, (names.get(name),)):
                total.add(tally)
        return total

    def rows(self, step_ms: int) -> Iterator[HistoryRow]:
        """Of each pair, of each queue, of all."""
        total = Tally()
        for queue, names in self.queues.items():
            of_queue = Tally()
            for name, tally in names.items():
                of_queue.add(tally)
                yield _row(step_ms, self.at_ms, queue, name, tally)
            total.add(of_queue)
            yield _row(step_ms, self.at_ms, queue, ALL, of_queue)
        yield _row(step_ms, self.at_ms, ALL, ALL, total)


def _row(step_ms: int, at_ms: int, queue: str, name: str, tally: Tally) -> HistoryRow:
    return HistoryRow(
        step_ms,
        at_ms,
        queue,
        name,
        tally.added,
        tally.completed,
        tally.failed,
        tally.retried,
        tally.lost,
        sum(middle_ms(bucket) * count for bucket, count in tally.runs.items()),
        tally.waits,
        tally.runs,
    )


def begin_of(at_ms: int, step_ms: int) -> int:
    """Of the minute or hour that an instant is in."""
    return at_ms - at_ms % step_ms


def folded(minute: Period, stored: Iterable[HistoryRow]) -> list[HistoryRow]:
    """The rows to be written of a minute and its hour: what is stored of them (of pairs alone),
    and the minute."""
    sums = {
        MINUTE_MS: Period(minute.at_ms),
        HOUR_MS: Period(begin_of(minute.at_ms, HOUR_MS)),
    }
    for row in stored:
        sums[row.step_ms].tally(row.queue, row.name).add(row)
    for queue, names in minute.queues.items():
        for name, tally in names.items():
            for period in sums.values():
                period.tally(queue, name).add(tally)
    return [row for step_ms, period in sums.items() for row in period.rows(step_ms)]


@dataclass(frozen=True, slots=True)
class PerMinute:
    """Over the last minute."""

    added: int
    completed: int
    failed: int
    """For good."""


class History:
    """Attributes:
    minute: the one that runs.
    last: the last one that is over and had anything; None = there was none since the start.
    unwritten: those that are over and not on their way to the disk, the oldest first.
    """

    def __init__(self) -> None:
        self.minute = Period(0)
        self.last: Period | None = None
        self.unwritten: deque[Period] = deque(maxlen=UNWRITTEN_MAX)
        self._counted: list[QueueState] = []
        """Their tallies are those of the minute."""

    def tally(self, queue: QueueState, name: str, now_ms: int) -> Tally:
        """Where a job's doings are counted now. Where it happens for every job, look it up in
        `queue.tallies` first: a third of the time."""
        minute = self.minute
        if minute.is_empty:  # nothing was due at its end
            minute.at_ms = begin_of(now_ms, MINUTE_MS)
        tally = minute.tally(queue.name, name or OTHER)
        names = minute.queues.get(queue.name)
        if names is not None and names is not queue.tallies:
            queue.tallies = names
            self._counted.append(queue)
        return tally

    def tick(self, now_ms: int) -> None:
        """The minute may be over: because time has passed, or the clock was set."""
        if begin_of(now_ms, MINUTE_MS) != self.minute.at_ms:
            self.end_minute(now_ms)

    def end_minute(self, now_ms: int) -> None:
        """Begin the next one. It is the same again at a stop; the two are added up."""
        if not self.minute.is_empty:
            self.last = self.minute
            self.unwritten.append(self.minute)
            for queue in self._counted:
                queue.tallies = NOT_COUNTED
            self._counted.clear()
        self.minute = Period(begin_of(now_ms, MINUTE_MS))

    def next_tick_ms(self, now_ms: int) -> int | None:
        """Milliseconds until `tick` has something to do; None = nothing is counted."""
        if self.minute.is_empty:
            return None
        passed_ms = now_ms - self.minute.at_ms
        return MINUTE_MS - passed_ms if 0 <= passed_ms < MINUTE_MS else 0

    def per_minute(self, queue: str, now_ms: int) -> PerMinute:
        """What happened in the last 60 seconds, about: this minute, and of the one before as much
        as is within them, as if it was spread evenly. queue: may be ALL."""
        at_ms = begin_of(now_ms, MINUTE_MS)
        share = 1 - (now_ms - at_ms) / MINUTE_MS
        now = before = Tally()
        for period in filter(None, (self.last, self.minute)):
            if period.at_ms == at_ms:
                now = period.sum_of(queue, ALL)
            elif period.at_ms == at_ms - MINUTE_MS:
                before = period.sum_of(queue, ALL)
        return PerMinute(
            now.added + round(before.added * share),
            now.completed + round(before.completed * share),
            now.failed + round(before.failed * share),
        )
