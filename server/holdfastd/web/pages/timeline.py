"""A job's life as a list of steps, each with how long it lasted until the next.

What happened comes from `Board.job` as `timeline`: `{at_ms, event, attempt, text}`, oldest first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

HEAD: Final = 5
"""Steps of a long life that are shown at its beginning."""
TAIL: Final = 12
"""And at its end; those in between are folded."""

_LOOKS: Final = {
    "created": ("plus", "waiting", "Added"),
    "added": ("plus", "waiting", "Added"),
    "delayed": ("delayed", "delayed", "Delayed"),
    "waiting": ("waiting", "waiting", "Waiting"),
    "leased": ("active", "active", "Started"),
    "active": ("active", "active", "Started"),
    "started": ("active", "active", "Started"),
    "failed": ("failed", "failed", "Failed"),
    "lost": ("warning", "failed", "Worker lost"),
    "released": ("retry", "waiting", "Given back"),
    "retrying": ("retry", "delayed", "Runs again"),
    "completed": ("completed", "completed", "Completed"),
    "cancelled": ("cancelled", "cancelled", "Cancelled"),
}
"""Icon, state whose colour it has, and words of each event."""
_LAST: Final = frozenset(
    {"created", "added", "delayed", "waiting", "leased", "active", "started", "retrying"}
)
"""Events that begin something which lasts; the others are moments."""


@dataclass(frozen=True, slots=True)
class Step:
    at_ms: int
    title: str
    icon: str
    state: str
    attempt: int | None = None
    text: str = ""
    lasted_ms: int | None = None
    """Until the next; None = it is a moment, or the next is not known to be later."""
    is_now: bool = False
    folded: list["Step"] = field(default_factory=list)
    """Steps that this one stands for."""


def steps(timeline: Sequence[Mapping[str, Any]], now_ms: int, *, is_over: bool) -> list[Step]:
    """is_over: nothing more will happen; else the last step lasts until now."""
    made = [
        _step(
            event,
            timeline[index + 1]["at_ms"] if index + 1 < len(timeline) else None,
            now_ms,
            is_over=is_over,
        )
        for index, event in enumerate(timeline)
    ]
    return _folded(made)


def _step(event: Mapping[str, Any], next_ms: int | None, now_ms: int, *, is_over: bool) -> Step:
    icon, state, title = _LOOKS.get(event["event"], ("info", "waiting", event["event"]))
    is_now = next_ms is None and not is_over
    until = now_ms if is_now else next_ms
    lasted = 0 if until is None or event["event"] not in _LAST else until - event["at_ms"]
    return Step(
        event["at_ms"],
        title,
        icon,
        state,
        event.get("attempt"),
        event.get("text", ""),
        lasted if lasted > 0 else None,
        is_now,
    )


def _folded(made: list[Step]) -> list[Step]:
    """A long list with its middle as one step."""
    if len(made) <= HEAD + TAIL + 1:
        return made
    middle = made[HEAD:-TAIL]
    fold = Step(middle[0].at_ms, "", "", "", folded=middle)
    return [*made[:HEAD], fold, *made[-TAIL:]]
