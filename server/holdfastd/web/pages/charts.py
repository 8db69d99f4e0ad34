"""Small pictures as SVG, drawn by the server: they need no script, and no style in the page.

Sizes are attributes of shapes, colours are classes of app.css.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from markupsafe import Markup

ORDER: Final = ("active", "waiting", "delayed", "blocked", "failed", "completed", "cancelled")
"""Of the segments of a bar: what is going on first, what is done last."""
WIDTH: Final = 1_000
"""Units of a bar's width, whatever it measures on the screen."""
SEGMENT_MIN: Final = 12
"""One failed job among a million can still be seen."""
SPARK: Final = (120, 28)
"""Units of a sparkline, width and height."""


def bar(counts: Mapping[str, int], states: Sequence[str] = ORDER) -> Markup:
    """A queue's jobs by state as one segmented bar; not read out, for words beside it say it."""
    present = [(state, counts.get(state, 0)) for state in states if counts.get(state, 0) > 0]
    segments = Markup("").join(
        Markup('<rect class="fill-{}" x="{}" y="0" width="{}" height="8"/>').format(state, at, size)
        for state, at, size in _segments(present)
    )
    return Markup(
        '<svg class="bar" viewBox="0 0 {} 8" preserveAspectRatio="none" aria-hidden="true" '
        'focusable="false"><rect class="fill-none" x="0" y="0" width="{}" height="8"/>{}</svg>'
    ).format(WIDTH, WIDTH, segments)


def _segments(present: list[tuple[str, int]]) -> list[tuple[str, int, int]]:
    """State, start and width of each; together they are WIDTH."""
    if not present:
        return []
    total = sum(count for _, count in present)
    spare = WIDTH - SEGMENT_MIN * len(present)
    placed, at, passed = [], 0, 0
    for index, (state, count) in enumerate(present, 1):
        passed += count
        end = SEGMENT_MIN * index + spare * passed // total
        placed.append((state, at, end - at))
        at = end
    return placed


def sparkline(values: Sequence[float], label: str) -> Markup:
    """A line over equal steps of time, the newest at the right. label: what it shows, in words."""
    width, height = SPARK
    top = max(values, default=0)
    if len(values) < 2 or not top:
        line = f"M0 {height - 1}H{width}"
    else:
        step = width / (len(values) - 1)
        line = "M" + "L".join(
            f"{index * step:.1f} {height - 2 - value / top * (height - 4):.1f}"
            for index, value in enumerate(values)
        )
    return Markup(
        '<svg class="spark" viewBox="0 0 {w} {h}" preserveAspectRatio="none" role="img" '
        'aria-label="{label}"><path class="spark-area" d="{line}V{h}H0Z"/>'
        '<path class="spark-line" d="{line}"/></svg>'
    ).format(w=width, h=height, label=label, line=line)
