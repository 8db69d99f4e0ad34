"""How long to wait before the next connection. Pure: the random number comes in."""

from typing import Final

FIRST_S: Final = 0.05
CAP_S: Final = 5.0
URGENT_CAP_S: Final = 2.0
"""A worker with leases tries at least that often, well within the server's grace of 10 s; so does
who was told that the server will be back."""
DENIED_S: Final = 5.0
DENIED_CAP_S: Final = 30.0
"""One whose key is refused waits between these: ten wrong keys a minute make the server refuse all
unknown ones of that host."""
CONNECT_TIMEOUT_S: Final = 5.0
"""For a connection and its handshake together, the first time."""
CONNECT_TIMEOUT_CAP_S: Final = 20.0


def connect_timeout_s(timeouts: int) -> float:
    """How long to wait for a connection and its handshake.

    Longer after each time that it was not enough: when ten thousand clients come back to a server
    that has little time, those who give up after 5 s begin anew at the end of the line, and nobody
    gets in.

    Args:
        timeouts: attempts since the last connection that took too long.
    """
    return float(min(CONNECT_TIMEOUT_CAP_S, CONNECT_TIMEOUT_S * 2 ** min(timeouts, 8)))


def denied_delay_s(random: float) -> float:
    """The wait before the next attempt of one whose key was refused. random: in [0, 1)."""
    return DENIED_S + (DENIED_CAP_S - DENIED_S) * random


def reconnect_delay_s(failures: int, random: float, is_urgent: bool) -> float:
    """Full jitter ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015).

    Args:
        failures: attempts that failed since the last connection; 0 = try at once.
        random: in [0, 1).
        is_urgent: leases are held, or the server is expected back.
    """
    if failures == 0:
        return 0.0
    cap_s = URGENT_CAP_S if is_urgent else CAP_S
    return float(min(cap_s, FIRST_S * 2 ** min(failures, 16)) * random)
