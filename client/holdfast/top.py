"""What `holdfast top` shows: queues with their jobs by state and what happens to them per second.

Pure: samples of COUNTS in, lines of text out. A rate is the difference of two samples of
`since_start` (protocol.md, COUNTS) over the time between them: all that happened in it, whatever
was pruned meanwhile. It is not known, and shown as "-", when there is no sample before, when the
queue was not in it, and over a restart of the daemon, which begins to count anew.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

STATES: Final = ("waiting", "delayed", "active", "completed", "failed", "cancelled")
"""As columns. `blocked` is left out: no command makes such a job yet."""
RATES: Final = ("added", "completed", "failed", "retries", "lost")
"""As in `since_start`."""
NAME_WIDTH_MIN: Final = 12
"""A longer name of a queue is cut to this before any column is."""


class Sample(NamedTuple):
    """All queues at one time."""

    at: float
    """Monotonic seconds."""
    queues: dict[str, dict[str, Any]]
    """What `Queue.all_queues` gives."""


class Row(NamedTuple):
    """One queue."""

    name: str
    counts: dict[str, int]
    """Jobs by state."""
    workers: int
    is_paused: bool
    per_second: dict[str, float | None]
    """By RATES; None = not known."""


class View(NamedTuple):
    """What there is to show."""

    rows: list[Row]
    seconds: float | None
    """Between the two samples of the rates; None = there is one only."""


def compare(before: Sample | None, now: Sample) -> View:
    seconds = now.at - before.at if before is not None else None
    rows = [
        Row(
            name,
            {state: found[state] for state in STATES},
            found["workers"],
            found["paused"],
            _rates(before.queues.get(name) if before else None, found, seconds),
        )
        for name, found in now.queues.items()
    ]
    return View(rows, seconds)


def _rates(
    before: dict[str, Any] | None, now: dict[str, Any], seconds: float | None
) -> dict[str, float | None]:
    old, new = (before or {}).get("since_start"), now.get("since_start")
    if not old or not new or not seconds or any(new[rate] < old[rate] for rate in RATES):
        return dict.fromkeys(RATES)
    return {rate: (new[rate] - old[rate]) / seconds for rate in RATES}


# ---- in order ------------------------------------------------------------------------------------


def _by_rate(rate: str) -> Callable[[Row], Any]:
    return lambda row: (-(row.per_second[rate] or 0.0), row.name)


def _by_count(state: str) -> Callable[[Row], Any]:
    return lambda row: (-row.counts[state], row.name)


ORDERS: Final[dict[str, Callable[[Row], Any]]] = {
    "waiting": _by_count("waiting"),
    "active": _by_count("active"),
    "delayed": _by_count("delayed"),
    "failed": _by_count("failed"),
    "added/s": _by_rate("added"),
    "done/s": _by_rate("completed"),
    "failed/s": _by_rate("failed"),
    "name": lambda row: row.name,
}
"""The largest first, names from A."""


# ---- as text -------------------------------------------------------------------------------------


class Column(NamedTuple):
    title: str
    text: Callable[[Row], str]


def _count_column(state: str) -> Column:
    return Column(state, lambda row: f"{row.counts[state]:,}")


def _rate_column(title: str, rate: str) -> Column:
    return Column(title, lambda row: rate_text(row.per_second[rate]))


COLUMNS: Final = (
    *(_count_column(state) for state in STATES),
    Column("workers", lambda row: "paused" if row.is_paused else f"{row.workers:,}"),
    _rate_column("added/s", "added"),
    _rate_column("done/s", "completed"),
    _rate_column("failed/s", "failed"),
    _rate_column("retries/s", "retries"),
    _rate_column("lost/s", "lost"),
)


def rate_text(rate: float | None) -> str:
    if rate is None:
        return "-"
    return f"{rate:,.1f}" if rate < 100 else f"{rate:,.0f}"


def total(view: View) -> Row:
    """All queues as one; a rate is known if that of any queue is."""
    rows = view.rows
    counts = {state: sum(row.counts[state] for row in rows) for state in STATES}
    return Row("all", counts, sum(row.workers for row in rows), False, _total_rates(rows))


def _total_rates(rows: list[Row]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for rate in RATES:
        known = [each for row in rows if (each := row.per_second[rate]) is not None]
        found[rate] = sum(known) if known else None
    return found


def table(view: View, order: str, width: int | None, height: int | None) -> Iterator[str]:
    """A header, the queues in order, and their sum if there are several.

    Args:
        width, height: characters and lines at most; None = no bound.
    """
    rows = sorted(view.rows, key=ORDERS[order])
    shown = rows if height is None else rows[: max(0, height - 3)]
    last = [total(view)] if len(rows) > 1 else []
    cells = [[column.text(row) for column in COLUMNS] for row in (*shown, *last)]
    widths = [
        max(len(column.title), *(len(line[at]) for line in cells), 0)
        if cells
        else len(column.title)
        for at, column in enumerate(COLUMNS)
    ]
    name_width = _name_width([row.name for row in shown], widths, width)

    def line(name: str, texts: list[str]) -> str:
        whole = " ".join(
            (_fit(name, name_width), *(f"{text:>{widths[at]}}" for at, text in enumerate(texts)))
        )
        return whole[:width].rstrip()

    yield line("queue", [column.title for column in COLUMNS])
    for row, texts in zip((*shown, *last), cells, strict=True):
        yield line(row.name, texts)
    if len(shown) < len(rows):
        yield f"and {len(rows) - len(shown):,} more queues"[:width]


def _name_width(names: list[str], widths: list[int], width: int | None) -> int:
    wanted = max([NAME_WIDTH_MIN, *map(len, names)])
    if width is None:
        return wanted
    return max(NAME_WIDTH_MIN, min(wanted, width - sum(widths) - len(widths)))


def _fit(name: str, width: int) -> str:
    return f"{name:<{width}}" if len(name) <= width else f"{name[: width - 1]}…"


def facts(view: View, order: str) -> dict[str, Any]:
    """For programs: the queues in order, by name."""
    return {
        "seconds": None if view.seconds is None else round(view.seconds, 3),
        "queues": {
            row.name: {
                **row.counts,
                "workers": row.workers,
                "paused": row.is_paused,
                "per_second": {
                    rate: None if value is None else round(value, 3)
                    for rate, value in row.per_second.items()
                },
            }
            for row in sorted(view.rows, key=ORDERS[order])
        },
    }
