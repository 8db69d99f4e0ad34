"""The past for charts: points of minutes to days, from the database and the minute that goes on.

Steps below an hour come from the rows of minutes, which are there for 48 hours, all others from
those of hours, which are there for 90 days. Percentiles are made of histograms that were added up,
never of percentiles.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from holdfastd.engine.broker import Engine
from holdfastd.engine.changes import HistoryRow
from holdfastd.engine.history import ALL, HOUR_MS, MINUTE_MS, Tally, percentile
from holdfastd.store.base import Store

POINTS_MAX: Final = 3_000
"""Of one read: two days of minutes, or more than 90 days of hours."""
TOPS_S: Final = 15.0
"""Who fails most, or is slowest, is looked up so often at most for the same time."""
TOPS_KEPT: Final = 20
KINDS: Final = ("failing", "slowest", "busiest")


class ChronicleError(Exception):
    """The past cannot be asked for like that; the text says why."""


class Percentiles(NamedTuple):
    """Milliseconds, right within 13 %; None = nothing was measured."""

    p50: float | None
    p95: float | None
    p99: float | None


class Point(NamedTuple):
    """What happened in one step."""

    at_ms: int
    """When it began."""
    added: int
    completed: int
    failed: int
    retried: int
    lost: int
    wait_ms: Percentiles
    run_ms: Percentiles


class Top(NamedTuple):
    """One name of jobs of a queue."""

    queue: str
    name: str
    ended: int
    failed: int
    run_p95_ms: float | None


class Chronicle:
    def __init__(
        self,
        store: Store,
        engine: Engine,
        now_ms: Callable[[], int],
        monotonic: Callable[[], float],
    ):
        self._store = store
        self._engine = engine
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._tops: dict[tuple[int, int], tuple[float, dict[tuple[str, str], Tally]]] = {}
        self._looking = asyncio.Lock()

    async def read(
        self, queue: str | None, name: str | None, from_ms: int, to_ms: int, step_ms: int
    ) -> list[Point]:
        """The steps in which anything happened, oldest first.

        Args:
            queue, name: None = of all together. A name needs its queue.
            from_ms, to_ms: wall time; steps that begin from the first (included) to the second.
            step_ms: whole minutes, or whole hours.

        Raises:
            ChronicleError: there is no such step, or too many of them.
        """
        source_ms = _source(step_ms, from_ms, to_ms)
        if name is not None and queue is None:
            raise ChronicleError("a name of jobs needs its queue")
        pair = (queue or ALL, name or ALL)
        rows = await self._store.history(*pair, source_ms, from_ms, to_ms)
        tallies: dict[int, Tally] = {}
        for row in rows:
            tallies.setdefault(row.at_ms // step_ms * step_ms, Tally()).add(_tally(row))
        now_ms = self._now_ms()
        at_ms = now_ms // MINUTE_MS * MINUTE_MS
        if from_ms <= at_ms < to_ms:
            current = list(self._current(*pair))
            if current:
                tally = tallies.setdefault(at_ms // step_ms * step_ms, Tally())
                for each in current:
                    tally.add(each)
        return [_point(at_ms, tally) for at_ms, tally in sorted(tallies.items())]

    async def top(self, kind: str, from_ms: int, to_ms: int, limit: int) -> list[Top]:
        """Names of jobs by what they did in that time, whole hours: "failing" most (those that
        fail at all), "slowest" by the 95th percentile of their runs, "busiest" by jobs that ended.

        Raises:
            ChronicleError: there is no such kind.
        """
        if kind not in KINDS:
            raise ChronicleError(f"there is no {kind!r}: use {', '.join(KINDS)}")
        tallies = await self._of_names(from_ms // HOUR_MS * HOUR_MS, to_ms)
        tops = [_top(*pair, tally) for pair, tally in tallies.items()]
        if kind == "failing":
            found = sorted((top for top in tops if top.failed), key=lambda top: -top.failed)
        elif kind == "slowest":
            found = sorted(
                (top for top in tops if top.run_p95_ms is not None),
                key=lambda top: -(top.run_p95_ms or 0),
            )
        else:
            found = sorted((top for top in tops if top.ended), key=lambda top: -top.ended)
        return found[:limit]

    async def _of_names(self, from_ms: int, to_ms: int) -> dict[tuple[str, str], Tally]:
        """By queue and name; made once for all who ask within TOPS_S."""
        async with self._looking:
            key = (from_ms, to_ms // HOUR_MS)
            good_until, kept = self._tops.get(key, (0.0, {}))
            if self._monotonic() < good_until:
                return kept
            tallies: dict[tuple[str, str], Tally] = {}
            for row in await self._store.history_of_names(HOUR_MS, from_ms, to_ms):
                tallies.setdefault((row.queue, row.name), Tally()).add(_tally(row))
            if self._now_ms() // HOUR_MS * HOUR_MS < to_ms:
                for pair, tally in self._engine.history.now().items():
                    tallies.setdefault(pair, Tally()).add(tally)
            self._tops.pop(key, None)
            self._tops[key] = (self._monotonic() + TOPS_S, tallies)
            if len(self._tops) > TOPS_KEPT:
                del self._tops[next(iter(self._tops))]
            return tallies

    def per_min(self, queue: str | None) -> dict[str, int]:
        """Jobs added, completed and failed in the last 60 s (from whole minutes, so roughly).
        queue: None = of all."""
        now_ms, name = self._now_ms(), queue or ALL
        return self._engine.history.pace(name, self._current(name, ALL), now_ms)._asdict()

    def _current(self, queue: str, name: str) -> Iterable[Tally]:
        """Of the minute that goes on."""
        if queue == ALL:
            return self._engine.history.now().values()
        known = self._engine.queues.get(queue)
        if known is None:
            return ()
        if name == ALL:
            return known.tallies.values()
        tally = known.tallies.get(name)
        return () if tally is None else (tally,)


def _source(step_ms: int, from_ms: int, to_ms: int) -> int:
    """Of which rows steps are made."""
    if step_ms < MINUTE_MS or step_ms % MINUTE_MS:
        raise ChronicleError(f"a step is whole minutes or hours, not {step_ms:,} ms")
    if (to_ms - from_ms) / step_ms > POINTS_MAX:
        text = f"{(to_ms - from_ms) // step_ms:,} steps: ask for {POINTS_MAX:,} at most"
        raise ChronicleError(text)
    if step_ms < HOUR_MS:
        return MINUTE_MS
    if step_ms % HOUR_MS:
        raise ChronicleError("a step above an hour is whole hours")
    return HOUR_MS


def _tally(row: HistoryRow) -> Tally:
    tally = Tally()
    tally.added, tally.completed, tally.failed = row.added, row.completed, row.failed
    tally.retried, tally.lost = row.retried, row.lost
    tally.wait, tally.run = dict(row.wait), dict(row.run)
    return tally


def _point(at_ms: int, tally: Tally) -> Point:
    return Point(
        at_ms,
        tally.added,
        tally.completed,
        tally.failed,
        tally.retried,
        tally.lost,
        _percentiles(tally.wait),
        _percentiles(tally.run),
    )


def _percentiles(buckets: dict[int, int]) -> Percentiles:
    return Percentiles(*(percentile(buckets, share) for share in (0.5, 0.95, 0.99)))


def _top(queue: str, name: str, tally: Tally) -> Top:
    ended = tally.completed + tally.failed
    return Top(queue, name, ended, tally.failed, percentile(tally.run, 0.95))
