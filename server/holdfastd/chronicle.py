"""Charts: the history that is stored, with the running minute from memory.

    points = await chronicle.read(queue, name, from_ms, to_ms, step_ms)
    worst = await chronicle.top("failing", from_ms, to_ms, limit)
    now = chronicle.per_minute(queue)

A chart is one read of at most ROWS_MAX rows, made off the event loop on a connection of its own.
Percentiles come from the sums of buckets (engine.history), never from other percentiles: they are
at most an eighth away from the true ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from holdfastd.clock import Clock
from holdfastd.engine.history import (
    ALL,
    HOUR_MS,
    HOURS_KEPT_MS,
    MINUTE_MS,
    MINUTES_KEPT_MS,
    History,
    Period,
    PerMinute,
    begin_of,
)
from holdfastd.engine.tally import Buckets, Tally, percentile_ms
from holdfastd.store.base import HistoryOrder, HistorySum, Place, Store

POINTS_MAX: Final = 500
"""Of a chart; more than a screen shows."""
STEPS_MS: Final = tuple(
    minutes * MINUTE_MS for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1_440)
)
"""A minute to a day of UTC. 48 hours of minutes make 480 points of 6, hence of 10."""
ROWS_MAX: Final = 2_952
"""48 hours of minutes, the rest of the first step, and those that may be in memory (62); 90 days
have 2,160 hours."""
TOP_MINUTES_MS: Final = HOUR_MS
"""Up to so much time `top` looks at minutes, beyond at hours: at worst 60,000 rows."""
TOP_MS_MAX: Final = 7 * 24 * HOUR_MS
"""At worst 170,000 rows; a usual day has a thousandth of that."""
SLOWEST_CANDIDATES: Final = 5
"""So many times the pairs that are asked for have their percentiles computed: those with the
longest mean."""

Kind = Literal["failing", "slowest", "busiest"]
_ORDERS: Final[dict[Kind, HistoryOrder]] = {
    "failing": HistoryOrder.FAILED,
    "slowest": HistoryOrder.MEAN_RUN,
    "busiest": HistoryOrder.ENDED,
}


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds, within an eighth. None = there was nothing."""

    p50: int | None
    p95: int | None
    p99: int | None


@dataclass(frozen=True, slots=True)
class Point:
    """What happened from at_ms until the next point."""

    at_ms: int
    added: int
    completed: int
    failed: int
    """Jobs that failed for good."""
    retried: int
    """Attempts that failed, after which the job runs again."""
    lost: int
    """Attempts whose lease ran out."""
    wait_ms: Percentiles
    """From ready to leased, of attempts that began."""
    run_ms: Percentiles
    """From leased to completed or failed, of attempts that ended so."""


@dataclass(frozen=True, slots=True)
class Top:
    """A job name of a queue."""

    queue: str
    name: str
    ended: int
    """Jobs completed or failed for good."""
    failed: int
    run_p95_ms: int | None


class Chronicle:
    def __init__(self, store: Store, history: History, clock: Clock):
        """history: the engine's; this is used on the event loop's thread alone."""
        self._store = store
        self._history = history
        self._clock = clock

    async def read(
        self, queue: str | None, name: str | None, from_ms: int, to_ms: int, step_ms: int
    ) -> list[Point]:
        """A chart from from_ms to before to_ms, one point per step, in order, also where nothing
        happened. What is before 90 days ago or after now is left out; so may the list be empty.

        Args:
            queue: None = all. A queue that is gone has its history.
            name: of its jobs; None = all. Asked without a queue, nothing is found.
            step_ms: what is wished for; see `step_of` for what is given.
        """
        now_ms = self._clock.now_ms()
        from_ms, to_ms = max(from_ms, now_ms - HOURS_KEPT_MS), min(to_ms, now_ms + 1)
        if from_ms >= to_ms:
            return []
        step_ms = step_of(from_ms, to_ms, step_ms, now_ms)
        unit_ms = MINUTE_MS if step_ms < HOUR_MS else HOUR_MS
        first_ms = begin_of(from_ms, step_ms)
        tallies = {at_ms: Tally() for at_ms in range(first_ms, to_ms, step_ms)}
        places = [(unit_ms, at_ms) for at_ms in range(first_ms, to_ms, unit_ms)]
        for at_ms, tally in await self._tallies(queue or ALL, name or ALL, places):
            point = tallies.get(begin_of(at_ms, step_ms))
            if point is not None:
                point.add(tally)
        return [_point(at_ms, tally) for at_ms, tally in tallies.items()]

    async def _tallies(self, queue: str, name: str, places: list[Place]) -> list[tuple[int, Tally]]:
        """What is known at these places, on disk and in memory."""
        unwritten = list(self._in_memory())
        asked = {*places, *((MINUTE_MS, minute.at_ms) for minute in unwritten)}
        # Copied now, since the running minute goes on while the store is read.
        sums = [(minute.at_ms, minute.sum_of(queue, name)) for minute in unwritten]
        rows = await self._store.history(queue, name, sorted(asked))
        wanted = set(places)
        found: list[tuple[int, Tally]] = []
        for row in rows:
            if (row.step_ms, row.at_ms) in wanted:
                stored = Tally()
                stored.add(row)
                found.append((row.at_ms, stored))
        # A minute that is over is in its hour as soon as it is stored itself.
        written = {row.at_ms for row in rows if row.step_ms == MINUTE_MS}
        running_at_ms = self._history.minute.at_ms
        return found + [
            (at_ms, tally)
            for at_ms, tally in sums
            if at_ms not in written or at_ms == running_at_ms
        ]

    def _in_memory(self) -> Iterator[Period]:
        """Minutes that may not be on disk."""
        history = self._history
        yield from history.unwritten
        if history.last is not None and history.last not in history.unwritten:
            yield history.last
        yield history.minute

    async def top(self, kind: Kind, from_ms: int, to_ms: int, limit: int) -> list[Top]:
        """Job names by what happened from from_ms to to_ms, both rounded to the minute (of more
        than an hour, to the hour), up to the last minute that is over; of at most the last 7 days
        before to_ms. What was counted together is called "_other".

        Args:
            kind: failing: most jobs failed for good; slowest: highest 95th percentile of running;
                busiest: most jobs ended.
        """
        unit_ms = MINUTE_MS if to_ms - from_ms <= TOP_MINUTES_MS else HOUR_MS
        from_ms = begin_of(max(from_ms, to_ms - TOP_MS_MAX), unit_ms)
        candidates = limit * SLOWEST_CANDIDATES if kind == "slowest" else limit
        sums = await self._store.history_top(_ORDERS[kind], unit_ms, from_ms, to_ms, candidates)
        tops = [_top(pair) for pair in sums]
        if kind == "slowest":
            tops.sort(key=lambda top: -(top.run_p95_ms or 0))
        return tops[:limit]

    def per_minute(self, queue: str | None = None) -> PerMinute:
        """Of the last 60 seconds, about; see History.per_minute. In the first minute after a start
        there is only what has happened since. 0 for a queue that is counted with others."""
        return self._history.per_minute(queue or ALL, self._clock.now_ms())


def step_of(from_ms: int, to_ms: int, step_ms: int, now_ms: int) -> int:
    """The smallest step from step_ms on that makes at most POINTS_MAX points, and of which the
    history is still there: minutes are kept for 48 hours. The longest where none does."""
    least_ms = max(step_ms, (to_ms - from_ms) // (POINTS_MAX - 1))
    if from_ms < now_ms - MINUTES_KEPT_MS:
        least_ms = max(least_ms, HOUR_MS)
    return next((step for step in STEPS_MS if step >= least_ms), STEPS_MS[-1])


def _point(at_ms: int, tally: Tally) -> Point:
    return Point(
        at_ms,
        tally.added,
        tally.completed,
        tally.failed,
        tally.retried,
        tally.lost,
        _percentiles(tally.waits),
        _percentiles(tally.runs),
    )


def _percentiles(counts: Buckets) -> Percentiles:
    return Percentiles(*(percentile_ms(counts, share) for share in (0.5, 0.95, 0.99)))


def _top(pair: HistorySum) -> Top:
    runs: dict[int, int] = {}
    for part in pair.runs:
        for bucket, count in part.items():
            runs[bucket] = runs.get(bucket, 0) + count
    ended = pair.completed + pair.failed
    return Top(pair.queue, pair.name, ended, pair.failed, percentile_ms(runs, 0.95))
