"""HTTP connections, as many and for as long as strangers may have them.

uvicorn bounds a request's head (16 KiB) and an idle connection after its first answer, but not how
many connections there are, nor how long one takes for its first request: enough of them would take
the files that clients need.
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS_MAX: Final = 256
"""Prometheus needs one, a browser six. Arbitrary."""
REQUEST_S: Final = 10.0
"""For the first request on a connection; as `tcp.handshake_timeout_ms` by default."""


class BoundedHttp(H11Protocol):
    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            transport.abort()
            return
        self._deadline = self.loop.call_later(REQUEST_S, self._too_late)

    def _too_late(self) -> None:
        has_asked: object = self.cycle  # which uvicorn declares as if it were never None
        if has_asked is None:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)
