"""Decisions about retries as functions of numbers."""

from holdfastd.engine.model import Backoff, BackoffKind, Jitter


def backoff_ms(backoff: Backoff, failures: int, random: float) -> int:
    """Milliseconds from a failure to the next attempt.

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
    try:
        delay_ms = first_ms * backoff.factor ** (failures - 1)
    except OverflowError:
        return backoff.cap_ms
    return int(min(delay_ms, backoff.cap_ms)) if backoff.cap_ms else int(delay_ms)
