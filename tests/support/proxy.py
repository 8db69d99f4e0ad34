"""A TCP proxy that loses what it is told to lose, and breaks connections."""

import asyncio
import contextlib
from types import TracebackType


class Proxy:
    """Between a client and a daemon, on the test's loop.

    Attributes:
        loses_requests: bytes from clients are dropped. loses_replies: bytes from the server are.
        dropped_bytes: how much was, in both directions.
    """

    def __init__(self, port: int):
        self._target_port = port
        self.loses_requests = False
        self.loses_replies = False
        self.dropped_bytes = 0
        self._dropped = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"holdfast://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        """Break every connection; what comes next gets through."""
        self.loses_requests = self.loses_replies = False
        for writer in self._writers:
            writer.transport.abort()

    async def dropped(self, bytes_more: int) -> None:
        """Wait until so many bytes more than now are lost."""
        goal = self.dropped_bytes + bytes_more
        while self.dropped_bytes < goal:
            self._dropped.clear()
            await self._dropped.wait()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # asyncio's streams would complain
            await self._connect(reader, writer)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, upstream[1]}
        async with asyncio.TaskGroup() as both:
            both.create_task(self._pass_on(reader, upstream[1], of_client=True))
            both.create_task(self._pass_on(upstream[0], writer, of_client=False))
        self._writers -= {writer, upstream[1]}

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, of_client: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if self.loses_requests if of_client else self.loses_replies:
                    self.dropped_bytes += len(data)
                    self._dropped.set()
                else:
                    writer.write(data)
                    await writer.drain()
        writer.close()

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await self._server.wait_closed()
