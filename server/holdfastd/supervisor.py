"""What the daemon tells the service manager that started it, by datagrams: sd_notify(3) of systemd.

Without NOTIFY_SOCKET in the environment nothing is said. Nothing here waits: for a manager that
does not read, the daemon does not stand still.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

from holdfastd.clock import Clock

EXTEND_EVERY_S: Final = 1.0
EXTEND_BY_S: Final = 30.0
"""A recovery that says nothing for so long has come to a stand."""
EXTEND_FOR_S: Final = 3600.0
"""And one that takes longer than this never ends: the disk hangs. A structure check of a broken
database takes 0.3 s per million jobs, a migration some times that."""
FEEDS_PER_PERIOD: Final = 4
"""sd_watchdog_enabled(3) asks for two at least; then one may be late."""


class Supervisor:
    """Attribute watchdog_s: seconds of silence after which the manager ends us; None = never."""

    def __init__(self, environment: Mapping[str, str], clock: Clock):
        self._clock = clock
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{name[1:]}" if name.startswith("@") else name  # an abstract one
        self.watchdog_s = _watchdog_s(environment)

    def _tell(self, *facts: str) -> None:
        if not self._address:
            return
        with (
            suppress(OSError),  # it does not read, or has gone: the work goes on
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as out,
        ):
            out.sendto("\n".join(facts).encode(), self._address)

    def ready(self, status: str) -> None:
        """Started, or done with a reload. status: one line for people, as all of them."""
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """`ready` must follow."""
        since_us = int(self._clock.monotonic() * 1_000_000)
        self._tell("RELOADING=1", f"MONOTONIC_USEC={since_us}", "STATUS=reloading")

    def stopping(self, status: str) -> None:
        self._tell("STOPPING=1", f"STATUS={status}")

    @asynccontextmanager
    async def recovering(self) -> AsyncIterator[None]:
        """Meanwhile the manager grants a start more time than it has."""
        extending = asyncio.create_task(self._extend())
        try:
            yield
        finally:
            extending.cancel()

    async def _extend(self) -> None:
        started = self._clock.monotonic()
        while (passed_s := self._clock.monotonic() - started) < EXTEND_FOR_S:
            status = f"STATUS=recovering for {passed_s:.0f} s"
            self._tell(f"EXTEND_TIMEOUT_USEC={EXTEND_BY_S * 1_000_000:.0f}", status)
            await asyncio.sleep(EXTEND_EVERY_S)

    async def feed_watchdog(self, answers: Callable[[], Awaitable[object]]) -> None:
        """Say that we live each time that `answers` has come back; until cancelled.

        If it does not come back, nothing more is said, and the manager ends the process. What it
        raises is passed on.
        """
        if self.watchdog_s is None:
            return
        while True:
            await answers()
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_s / FEEDS_PER_PERIOD)


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """Of sd_watchdog_enabled(3). None too if it is meant for another process."""
    period_us, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID")
    is_ours = pid is None or pid == str(os.getpid())
    if not is_ours or not period_us.isascii() or not period_us.isdigit():
        return None
    return int(period_us) / 1_000_000 or None
