"""What a caller may say of a job, and how it goes on the wire. Seconds here, milliseconds there."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any, Final, TypeAlias

from holdfast.errors import MisuseError, misuse
from holdfast.wire.checks import Refusal, check_backoff, check_options
from holdfast.wire.constants import DELAY_MS_MAX

Duration: TypeAlias = float | int | timedelta
"""Seconds, or a timedelta."""


def milliseconds(name: str, value: Duration) -> int:
    """Raises MisuseError if it is no duration."""
    if isinstance(value, timedelta):
        return round(value.total_seconds() * 1000)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and abs(value) < 2**53:  # false for NaN
        return round(value * 1000)
    raise MisuseError(f"{name} must be seconds or a timedelta, not {value!r}")


def _delay_ms(value: Duration) -> int:
    """In the caller's words: he has said seconds."""
    delay_ms = milliseconds("delay", value)
    if not 0 <= delay_ms <= DELAY_MS_MAX:
        most = DELAY_MS_MAX // 86_400_000
        raise MisuseError(f"delay must be 0 s to {most:,} days, not {delay_ms / 1000:,.15g} s")
    return delay_ms


def _instant_ms(name: str, value: datetime | float) -> int:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise MisuseError(f"{name} must have a time zone: {value!r} could be anywhere")
        return round(value.timestamp() * 1000)
    return milliseconds(name, value)


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a failed attempt waits for the next; made by `fixed`, `exponential` or `list`."""

    wire: dict[str, Any]
    """As it goes on the wire; see protocol.md, Backoff."""

    @classmethod
    def fixed(cls, delay: Duration, *, jitter: str = "none") -> "Backoff":
        return cls._checked({"kind": "fixed", "delay_ms": milliseconds("delay", delay)}, jitter)

    @classmethod
    def exponential(
        cls,
        first: Duration,
        *,
        factor: float = 2.0,
        cap: Duration | None = None,
        jitter: str = "none",
    ) -> "Backoff":
        """first, first * factor, first * factor², … and never more than cap."""
        wire: dict[str, Any] = {
            "kind": "exponential",
            "delay_ms": milliseconds("first", first),
            "factor": factor,
        }
        if cap is not None:
            wire["cap_ms"] = milliseconds("cap", cap)
        return cls._checked(wire, jitter)

    @classmethod
    def list(cls, delays: Iterable[Duration], *, jitter: str = "none") -> "Backoff":
        """The n-th delay before the n-th retry; the last one for all after it."""
        delays_ms = [milliseconds("delay", delay) for delay in delays]
        return cls._checked({"kind": "list", "delays_ms": delays_ms}, jitter)

    @classmethod
    def _checked(cls, wire: dict[str, Any], jitter: str) -> "Backoff":
        try:
            return cls(check_backoff("backoff", {**wire, "jitter": jitter}))
        except Refusal as refusal:
            raise misuse(refusal) from None


OPTIONS: Final = (
    "id",
    "attempts",
    "backoff",
    "delay",
    "run_at",
    "priority",
    "lifo",
    "max_crashes",
    "tags",
)
"""What `add` takes beside name and data."""


def wire_options(options: dict[str, Any]) -> dict[str, Any] | None:
    """The caller's options (without id) as the wire's; None when there are none.

    Raises:
        MisuseError: an unknown option (with a suggestion), or a value out of range.
    """
    wire: dict[str, Any] = {}
    for name, value in options.items():
        if name not in OPTIONS or name == "id":
            close = get_close_matches(name, OPTIONS, 1)
            hint = f": did you mean {close[0]}?" if close else f": a job knows {', '.join(OPTIONS)}"
            raise MisuseError(f"unknown option {name!r}{hint}")
        if value is None:
            continue
        if name == "delay":
            wire["delay_ms"] = _delay_ms(value)
        elif name == "run_at":
            wire["run_at_ms"] = _instant_ms(name, value)
        elif name == "backoff":
            wire[name] = value.wire if isinstance(value, Backoff) else value
        else:
            wire[name] = value
    try:
        return check_options(wire) if wire else None
    except Refusal as refusal:
        raise misuse(refusal) from None
