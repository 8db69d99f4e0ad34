"""retry.py: how long a client waits, for the next attempt and for one to succeed."""

import pytest

from holdfast.retry import CAP_S, URGENT_CAP_S, connect_timeout_s, reconnect_delay_s


def test_the_first_attempt_is_made_at_once_and_later_ones_are_spread() -> None:
    assert reconnect_delay_s(0, 0.999, is_urgent=False) == 0
    assert reconnect_delay_s(1, 0.5, is_urgent=False) == 0.05
    assert reconnect_delay_s(3, 0.5, is_urgent=False) == 0.2


@pytest.mark.parametrize(("is_urgent", "cap_s"), [(False, CAP_S), (True, URGENT_CAP_S)])
def test_no_pause_is_longer_than_its_cap(is_urgent: bool, cap_s: float) -> None:
    assert reconnect_delay_s(10_000, 1.0, is_urgent) == cap_s


def test_an_attempt_that_took_too_long_is_given_more_time() -> None:
    """Or those who come back to a slow server all begin anew, for ever."""
    assert [connect_timeout_s(timeouts) for timeouts in (0, 1, 2, 3, 10_000)] == [5, 10, 20, 20, 20]
