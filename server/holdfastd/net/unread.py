"""What clients do not read, over all connections: bounded, so that many of them do no harm either.

Each is held back by itself (see `peer`), but a thousand that hold some MB each would be gigabytes.
"""

from typing import Final, Protocol

UNREAD_BYTES_MAX: Final = 128 * 1024 * 1024
"""Held for all connections together. An honest client reads within milliseconds; this is for one
that is slow, or for some dozens that are stopped. Arbitrary."""
UNREAD_BYTES_AFTER_CUT: Final = UNREAD_BYTES_MAX * 3 // 4
"""Cutting goes on to here, so that it is not done anew with each message."""


class Sink(Protocol):
    """A connection as far as it matters here."""

    @property
    def held_bytes(self) -> int:
        """Memory of what is unsent; 0 = all is sent."""

    def cut(self) -> None:
        """Break it now, and drop what was not sent."""


class Unread:
    def __init__(self) -> None:
        self._last_seen: dict[Sink, int] = {}
        """Bytes held for those that had much unsent when they were last looked at."""
        self._total = 0

    def note(self, sink: Sink) -> None:
        """It has much that is unsent. If that is too much in all, those with most are cut."""
        self._set(sink, sink.held_bytes)
        if self._total > UNREAD_BYTES_MAX:
            self._cut()

    def forget(self, sink: Sink) -> None:
        """It reads again, or has gone."""
        self._total -= self._last_seen.pop(sink, 0)

    def _set(self, sink: Sink, held_bytes: int) -> None:
        self._total += held_bytes - self._last_seen.get(sink, 0)
        self._last_seen[sink] = held_bytes

    def _cut(self) -> None:
        for sink in self._last_seen:  # most may have been sent meanwhile
            self._set(sink, sink.held_bytes)
        most_first = sorted(self._last_seen, key=self._last_seen.__getitem__, reverse=True)
        for sink in most_first:
            if self._total <= UNREAD_BYTES_AFTER_CUT:
                return
            self.forget(sink)
            sink.cut()
