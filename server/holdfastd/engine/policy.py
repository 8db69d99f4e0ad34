"""Decisions about retries as functions of numbers, and how a policy is told."""

from typing import Any, Final

from holdfastd.engine.model import Backoff, BackoffKind, Jitter

DELAY_MS_MAX: Final = 10 * 365 * 24 * 3600 * 1000
"""Ten years: no retry is later, whatever the exponent, so that instants fit 64 bits. As in the
protocol; a test compares them."""


def backoff_ms(backoff: Backoff, failures: int, random: float) -> int:
    """Milliseconds from a failure to the next attempt, from 0 to DELAY_MS_MAX.

    Args:
        backoff: the job's policy.
        failures: failures so far, this one included: 1 = before the first retry.
        random: in [0, 1); used only where the policy has jitter.

    Jitter as in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): full = anywhere
    between 0 and the delay, equal = anywhere in its upper half.
    """
    delay_ms = _delay_ms(backoff, failures)
    if backoff.jitter is Jitter.FULL:
        return int(delay_ms * random)
    if backoff.jitter is Jitter.EQUAL:
        return delay_ms // 2 + int((delay_ms - delay_ms // 2) * random)
    return delay_ms


def _delay_ms(backoff: Backoff, failures: int) -> int:
    if backoff.kind is BackoffKind.LIST:
        return backoff.delays_ms[min(failures, len(backoff.delays_ms)) - 1]
    first_ms = backoff.delays_ms[0]
    if backoff.kind is BackoffKind.FIXED:
        return first_ms
    cap_ms = min(backoff.cap_ms or DELAY_MS_MAX, DELAY_MS_MAX)
    try:
        return int(min(first_ms * backoff.factor ** (failures - 1), cap_ms))
    except OverflowError:
        return cap_ms if first_ms else 0


def describe_backoff(backoff: Backoff) -> dict[str, Any] | None:
    """As an option of a job (protocol.md, Options); None = it is tried again at once."""
    if backoff.delays_ms == (0,):
        return None
    told: dict[str, Any] = {
        "kind": backoff.kind.name.lower(),
        "jitter": backoff.jitter.name.lower(),
    }
    if backoff.kind is BackoffKind.LIST:
        return told | {"delays_ms": list(backoff.delays_ms)}
    told["delay_ms"] = backoff.delays_ms[0]
    if backoff.kind is BackoffKind.EXPONENTIAL:
        told |= {"factor": backoff.factor, "cap_ms": backoff.cap_ms}
    return told
