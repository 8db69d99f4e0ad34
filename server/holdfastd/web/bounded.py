"""HTTP connections, as many and for as long as strangers may have them.

uvicorn bounds a request's head (16 KiB) and an idle connection after its first answer, but not how
many connections there are, nor how long one takes for its requests: enough of them would take the
files that clients need.
"""

import asyncio
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS_MAX: Final = 512
"""Prometheus needs one, a browser six: 80 people at a time, in the worst case. Arbitrary."""
HEAD_S: Final = 10.0
"""For a request up to its body; as `tcp.handshake_timeout_ms` by default."""
BODY_S: Final = 60.0
"""For the body: the largest comes through 1.2 Mbit/s."""


class BoundedHttp(H11Protocol):
    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._owed = 0.0
        """Seconds that it was given; 0 = it owes nothing."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            transport.abort()
            return
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._await(0.0)
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Give it so long for what is missing of a request; what it sends of it meanwhile gives it
        no more time."""
        has_asked: object = self.cycle  # which uvicorn declares as if it were never None
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            self._await(BODY_S)
        elif state is h11.IDLE and (has_asked is None or self.conn.trailing_data[0]):
            self._await(HEAD_S)
        else:
            self._await(0.0)

    def _await(self, seconds: float) -> None:
        if seconds == self._owed:
            return
        self._owed = seconds
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if seconds:
            self._deadline = self.loop.call_later(seconds, self.transport.abort)
