"""What a chart shows, made from the points of the history."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from holdfastd.web.pages import words

_MIN: Final = 60_000
_H: Final = 60 * _MIN
_D: Final = 24 * _H
ROWS_MAX: Final = 60
"""Of a chart's table, the newest; the export has them all."""


class Range(NamedTuple):
    """A choice of the range picker."""

    name: str
    """As in the address."""
    text: str
    length_ms: int
    step_ms: int
    """Of one point: some 60 to 180 of them make a line that one can read."""

    def bounds(self, now_ms: int) -> tuple[int, int]:
        """From (included) and to (not included), on whole steps; the current step is in it."""
        to_ms = now_ms // self.step_ms * self.step_ms + self.step_ms
        return to_ms - self.length_ms, to_ms


RANGES: Final = (
    Range("1h", "1 h", _H, _MIN),
    Range("6h", "6 h", 6 * _H, 5 * _MIN),
    Range("24h", "24 h", _D, 15 * _MIN),
    Range("7d", "7 d", 7 * _D, 2 * _H),
    Range("30d", "30 d", 30 * _D, 6 * _H),
    Range("90d", "90 d", 90 * _D, _D),
)


def range_named(name: str) -> Range:
    """The one of that name, else the first."""
    return next((each for each in RANGES if each.name == name), RANGES[0])


@dataclass(frozen=True)
class Series:
    name: str
    state: str
    """The token of its colour in app.css."""
    values: list[float | None]
    """One per time; None = nothing was measured then."""
    is_stacked: bool = False
    is_dashed: bool = False


class Row(NamedTuple):
    time: str
    """To the minute, as UTC."""
    cells: list[str]


@dataclass(frozen=True)
class Chart:
    """What ui.chart draws."""

    title: str
    unit: str
    """"count" or "ms"."""
    times_ms: list[int]
    series: list[Series]
    empty: str
    """What to say where there is nothing to draw."""

    @property
    def has_values(self) -> bool:
        return any(value for series in self.series for value in series.values)

    @property
    def json(self) -> str:
        """For charts.js."""
        series = [
            {
                "name": each.name,
                "state": each.state,
                "values": each.values,
                "stacked": each.is_stacked,
                "dashed": each.is_dashed,
            }
            for each in self.series
        ]
        told = {"unit": self.unit, "times": self.times_ms, "series": series}
        return json.dumps(told, separators=(",", ":"))

    @property
    def rows(self) -> list[Row]:
        """The newest first."""
        written = words.duration if self.unit == "ms" else words.number
        table = zip(
            self.times_ms, zip(*(each.values for each in self.series), strict=True), strict=True
        )
        newest = list(table)[: -ROWS_MAX - 1 : -1]
        return [
            Row(words.written(at_ms)[:16], [written(value) for value in values])
            for at_ms, values in newest
        ]


Points = Sequence[dict[str, Any]]
"""Of `Board.history`; there need not be one for each step."""


def throughput(points: Points, chosen: Range, now_ms: int) -> Chart:
    """Jobs completed and attempts failed, per minute."""
    line = _Line(points, chosen, now_ms)
    minutes = chosen.step_ms / _MIN

    def rate(name: str) -> list[float | None]:
        return line.values(lambda point: round(point[name] / minutes, 2), 0)

    series = [
        Series("completed", "completed", rate("completed"), is_stacked=True),
        Series("failed", "failed", rate("failed"), is_stacked=True),
    ]
    return Chart(
        "Throughput, jobs per minute",
        "count",
        line.times_ms,
        series,
        "Jobs that end in this time are counted here, minute by minute.",
    )


def added(points: Points, chosen: Range, now_ms: int) -> Chart:
    """Jobs added, retried and lost, per minute."""
    line = _Line(points, chosen, now_ms)
    minutes = chosen.step_ms / _MIN
    colours = {"added": "waiting", "retried": "delayed", "lost": "blocked"}
    series = [
        Series(name, colour, line.values(_rate_of(name, minutes), 0))
        for name, colour in colours.items()
    ]
    return Chart(
        "Added, retried and lost, per minute",
        "count",
        line.times_ms,
        series,
        "Jobs that are added in this time are counted here.",
    )


def _rate_of(name: str, minutes: float) -> Callable[[dict[str, Any]], float]:
    return lambda point: round(point[name] / minutes, 2)


def latency(points: Points, chosen: Range, now_ms: int) -> Chart:
    """How long jobs waited and ran: the median, and what 95 of 100 stay below."""
    line = _Line(points, chosen, now_ms)

    def part(kind: str, percentile: str) -> list[float | None]:
        return line.values(lambda point: (point[kind] or {}).get(percentile), None)

    series = [
        Series("wait p50", "waiting", part("wait_ms", "p50")),
        Series("wait p95", "waiting", part("wait_ms", "p95"), is_dashed=True),
        Series("run p50", "active", part("run_ms", "p50")),
        Series("run p95", "active", part("run_ms", "p95"), is_dashed=True),
    ]
    return Chart(
        "Wait and run",
        "ms",
        line.times_ms,
        series,
        "How long jobs wait for a worker and run, as soon as some did.",
    )


class _Line:
    """Points put on each step of a range."""

    def __init__(self, points: Points, chosen: Range, now_ms: int):
        from_ms, to_ms = chosen.bounds(now_ms)
        self.times_ms = list(range(from_ms, to_ms, chosen.step_ms))
        self._by_time = {
            point["at_ms"] // chosen.step_ms * chosen.step_ms: point for point in points
        }

    def values(
        self, of: Callable[[dict[str, Any]], float | None], missing: float | None
    ) -> list[float | None]:
        found = (self._by_time.get(at_ms) for at_ms in self.times_ms)
        return [missing if point is None else of(point) for point in found]
