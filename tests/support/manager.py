"""A service manager, as far as a daemon can tell: the socket that it is told things by."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

WAIT_S: Final = 20.0
MESSAGE_BYTES_MAX: Final = 4096

Message = dict[str, str]
"""The assignments of one datagram, by name."""


class Manager:
    """Attribute environment: what a process is started with."""

    def __init__(self, name: str, watchdog_s: float | None):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{name[1:]}" if name.startswith("@") else name)
        self.environment = {**os.environ, "NOTIFY_SOCKET": name}
        if watchdog_s is not None:
            self.environment["WATCHDOG_USEC"] = str(int(watchdog_s * 1_000_000))

    def next(self, within_s: float = WAIT_S) -> Message | None:
        """The next message; None = none came in time."""
        self._socket.settimeout(max(0.001, within_s))
        try:
            text = self._socket.recv(MESSAGE_BYTES_MAX).decode()
        except TimeoutError:
            return None
        return dict(line.split("=", 1) for line in text.split("\n"))

    def hears(self, name: str, within_s: float = WAIT_S) -> Message | None:
        """The next message with an assignment of that name; None = none came in time."""
        until = time.monotonic() + within_s
        while (left_s := until - time.monotonic()) > 0:
            message = self.next(left_s)
            if message is not None and name in message:
                return message
        return None

    def forget(self) -> None:
        """Drop what has come."""
        while self.next(0) is not None:
            pass

    def close(self) -> None:
        self._socket.close()


@contextmanager
def manager(name: str, watchdog_s: float | None = None) -> Iterator[Manager]:
    """name: a path, or an abstract one that begins with @."""
    made = Manager(name, watchdog_s)
    try:
        yield made
    finally:
        made.close()
