"""All checks, theme by theme."""

from typing import Final

from holdfast.conformance import (
    adding,
    administering,
    events,
    frames,
    going_down,
    handshake,
    keys,
    leasing,
    limits,
    losing,
    ordering,
    reading,
    schedules,
    sessions,
)
from holdfast.conformance.checks import Check

CHECKS: Final[list[Check]] = [
    check
    for module in (
        handshake,
        keys,
        frames,
        sessions,
        adding,
        ordering,
        leasing,
        losing,
        limits,
        administering,
        reading,
        events,
        schedules,
        going_down,
    )
    for check in module.theme.checks
]
