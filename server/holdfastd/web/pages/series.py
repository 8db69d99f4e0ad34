"""What a chart shows, made from the points of the history."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from holdfastd.web.pages import words

_MIN: Final = 60_000
_H: Final = 60 * _MIN
_D: Final = 24 * _H
ROWS_MAX: Final = 60
"""Of a chart's table, the newest; the export has them all."""


PASSED_MIN_MS: Final = 10_000
"""The first jobs of a minute are no rate yet."""


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


Points = Sequence[dict[str, Any]]
"""Of `Board.history`; there need not be one for each step."""


class Past(NamedTuple):
    """What was found for a range, and when it was looked for."""

    points: Points
    chosen: Range
    now_ms: int


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


def throughput(past: Past) -> Chart:
    """Jobs completed and attempts failed, per minute."""
    line = _Line(past)
    series = [
        Series("completed", "completed", line.rates("completed"), is_stacked=True),
        Series("failed", "failed", line.rates("failed"), is_stacked=True),
    ]
    empty = "Jobs that end in this time are counted here, minute by minute."
    return Chart("Throughput, jobs per minute", "count", line.times_ms, series, empty)


def added(past: Past) -> Chart:
    """Jobs added, retried and lost, per minute."""
    line = _Line(past)
    colours = {"added": "waiting", "retried": "delayed", "lost": "blocked"}
    series = [Series(name, colour, line.rates(name)) for name, colour in colours.items()]
    empty = "Jobs that are added in this time are counted here."
    return Chart("Added, retried and lost, per minute", "count", line.times_ms, series, empty)


def latency(past: Past) -> Chart:
    """How long jobs waited and ran: the median, and what 95 of 100 stay below."""
    line = _Line(past)
    series = [
        Series("wait p50", "waiting", line.measured("wait_ms", "p50")),
        Series("wait p95", "waiting", line.measured("wait_ms", "p95"), is_dashed=True),
        Series("run p50", "active", line.measured("run_ms", "p50")),
        Series("run p95", "active", line.measured("run_ms", "p95"), is_dashed=True),
    ]
    empty = "How long jobs wait for a worker and run, as soon as some did."
    return Chart("Wait and run", "ms", line.times_ms, series, empty)


class _Line:
    """Points put on each step of a range.

    Attributes:
        times_ms: when each step begins.
    """

    def __init__(self, past: Past):
        from_ms, to_ms = past.chosen.bounds(past.now_ms)
        self._step_ms = step_ms = past.chosen.step_ms
        self._now_ms = past.now_ms
        self.times_ms = list(range(from_ms, to_ms, step_ms))
        self._by_time = {point["at_ms"] // step_ms * step_ms: point for point in past.points}

    def rates(self, name: str) -> list[float | None]:
        """Per minute; the step that is not over yet by what has passed of it."""
        return [self._rate(name, at_ms) for at_ms in self.times_ms]

    def _rate(self, name: str, at_ms: int) -> float | None:
        """None = it has just begun, and nothing is known of it."""
        passed_ms = min(self._step_ms, self._now_ms - at_ms)
        point = self._by_time.get(at_ms)
        if passed_ms < PASSED_MIN_MS or (point is None and passed_ms < self._step_ms):
            return None
        if point is None:
            return 0
        return round(float(point[name]) * _MIN / passed_ms, 2)

    def measured(self, kind: str, percentile: str) -> list[float | None]:
        """None where nothing was."""
        measured = (self._by_time.get(at_ms, {}).get(kind) or {} for at_ms in self.times_ms)
        return [each.get(percentile) for each in measured]
