"""TCP in memory: bytes arrive late, in pieces cut anywhere, or never.

A connection is two transports that write into each other. What is written stays in the writer's
buffer until the other side has read it, so a side that does not read makes the other one full.
When a process is killed, what it had written still arrives, as a kernel would send it.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, Final

from support.simulation.loop import PROCESS, Process, SimLoop

CONNECT_S: Final = 1_000.0
"""How long a connect into nowhere takes: longer than any client waits."""
PEER_GONE_S: Final = 20.0
"""A client notices that soon that nothing is acknowledged (TCP_USER_TIMEOUT in holdfast.link)."""


class _Socket:
    """What is asked of a socket beside reading and writing."""

    def setsockopt(self, *_: Any) -> None: ...

    def getsockname(self) -> tuple[str, int]:
        return ("daemon", 4653)


class Server:
    """What `create_server` gives."""

    def __init__(self, factory: Callable[[], asyncio.Protocol], process: Process | None):
        self.factory = factory
        self.process = process
        self.is_open = True
        self.sockets = [_Socket()]

    def close(self) -> None:
        self.is_open = False

    @property
    def accepts(self) -> bool:
        return self.is_open and (self.process is None or self.process.is_alive)


class Transport(asyncio.Transport):
    """One end of a connection. `process` owns it; `other` is the other end."""

    other: "Transport"
    protocol: Any

    def __init__(self, network: "Network", process: Process | None, number: int):
        super().__init__()
        self.process = process
        self.number = number
        self.is_stalled = False
        """What it wrote does not arrive, until it does."""
        self.is_lost = False
        self._network = network
        self._loop = network.loop
        self._context = process.context if process is not None else network.context
        self._high_bytes = 64 * 1024
        self._is_closing = False
        self._is_reading = True
        self._has_begun = False
        """The protocol is there."""
        self._is_writing_paused = False
        self._unsent: deque[bytes] = deque()
        self._unread: deque[bytes | None] = deque()
        """Arrived here, not read by the protocol yet; None = the end."""
        self._buffered_bytes = 0
        """Written here, not read there."""
        self._is_moving = False
        self._has_ended = False

    def begin(self) -> None:
        """The protocol has been told of the connection."""
        self._has_begun = True
        self._wake_reader()

    # ---- asyncio.Transport -----------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return _Socket() if name == "socket" else default

    def is_closing(self) -> bool:
        return self._is_closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high_bytes = high or self._high_bytes

    def get_write_buffer_size(self) -> int:
        return self._buffered_bytes

    def write(self, data: Any) -> None:
        if self._is_closing or not data:
            return
        self._unsent.append(bytes(data))
        self._buffered_bytes += len(data)
        if self._buffered_bytes > self._high_bytes and not self._is_writing_paused:
            self._is_writing_paused = True
            self.protocol.pause_writing()
        self._move()

    def pause_reading(self) -> None:
        self._is_reading = False

    def resume_reading(self) -> None:
        self._is_reading = True
        self._wake_reader()

    def close(self) -> None:
        """What was written still goes out; bytes that nobody read here may cost it, as TCP's
        reset does."""
        if self._is_closing:
            return
        self._is_closing = True
        if self._unread and self._network.rng.random() < 0.5:
            self._drop_unsent()
        self._end(None)

    def abort(self) -> None:
        self._is_closing = True
        self._drop_unsent()
        self._end(None)

    # ---- the end ---------------------------------------------------------------------------

    def _end(self, error: Exception | None) -> None:
        """Ours is over now; the other side's when what we wrote has arrived."""
        self._lose(error)
        self._has_ended = True
        self._move()

    def _lose(self, error: Exception | None) -> None:
        if not self.is_lost:
            self.is_lost = self._is_closing = True
            self._unread.clear()
            self._network.forget(self)
            self._loop.call_soon(self._tell_lost, error, context=self._context)

    def _tell_lost(self, error: Exception | None) -> None:
        if hasattr(self, "protocol"):
            self.protocol.connection_lost(error)

    def reset(self) -> None:
        """The connection is found broken at this end."""
        self._drop_unsent()
        self._lose(ConnectionResetError("connection reset by peer"))

    def _drop_unsent(self) -> None:
        self._unsent.clear()

    def died(self) -> None:
        """Its process is gone; the kernel sends what was written, and the end."""
        if not self.is_lost:
            self.is_lost = self._is_closing = True
            self._network.forget(self)
            self._has_ended = True
            self._move()

    # ---- moving bytes ----------------------------------------------------------------------

    def stall(self) -> None:
        self.is_stalled = True

    def go_on(self) -> None:
        self.is_stalled = False
        self._move()

    def _move(self) -> None:
        if not self._is_moving and not self.is_stalled and (self._unsent or self._has_ended):
            self._is_moving = True
            delay_s = self._network.delay_s()
            self._loop.call_later(delay_s, self._arrive, context=self._network.context)

    def _arrive(self) -> None:
        self._is_moving = False
        if self.is_stalled:
            return
        if self._unsent:
            self.other.receive(self._next_piece())
        elif self._has_ended:
            self._has_ended = False
            self.other.receive(None)
        self._move()

    def _next_piece(self) -> bytes:
        """All that was written, or a part that ends anywhere."""
        data = b"".join(self._unsent)
        self._unsent.clear()
        rng = self._network.rng
        if rng.random() < 0.15 and len(data) > 1:
            at = rng.randint(1, min(len(data) - 1, rng.choice((3, 10, 100_000))))
            self._unsent.append(data[at:])
            data = data[:at]
        return data

    def receive(self, data: bytes | None) -> None:
        if self.is_lost:
            self._was_read(len(data or b""))
            return
        self._unread.append(data)
        self._wake_reader()

    def _wake_reader(self) -> None:
        self._loop.call_soon(self._read, context=self._context)

    def _read(self) -> None:
        while self._unread and self._has_begun and self._is_reading and not self.is_lost:
            data = self._unread.popleft()
            if data is None:
                self._loop.note(b"end of %d" % self.number)
                self.protocol.eof_received()
                self.close()
                return
            self._loop.note(b"%d:" % self.number)
            self._loop.note(data)
            self._was_read(len(data))
            self.protocol.data_received(data)

    def _was_read(self, count: int) -> None:
        """The other side's buffer gets room."""
        other = self.other
        other._buffered_bytes -= count
        if other._is_writing_paused and other._buffered_bytes <= other._high_bytes // 4:
            other._is_writing_paused = False
            if not other.is_lost:
                self._loop.call_soon(other.protocol.resume_writing, context=other._context)


class Network:
    """Attributes:
    delay_max_s: of a piece of data, one way, in quiet times.
    is_down_for: names of hosts that reach nobody.
    """

    def __init__(self, loop: SimLoop, rng: Random, delay_max_s: float):
        self.loop = loop
        self.rng = rng
        self.delay_max_s = delay_max_s
        self.is_down_for: set[str] = set()
        self.connections: dict[int, Transport] = {}
        """The clients' ends of those that are open, by number."""
        self.context = Process(loop, "network").context
        self._numbers = itertools.count(1)
        self._server: Server | None = None

    def delay_s(self) -> float:
        delay_s = self.rng.random() * self.delay_max_s
        return delay_s * 100 if self.rng.random() < 0.002 else delay_s

    def listen(self, factory: Any) -> Server:
        self._server = Server(factory, PROCESS.get())
        return self._server

    async def connect(self, factory: Any, host: str) -> tuple[Transport, Any]:
        await asyncio.sleep(self.delay_s())
        if host in self.is_down_for:
            await asyncio.sleep(CONNECT_S)
        server = self._server
        if server is None or not server.accepts:
            raise ConnectionRefusedError("connection refused")
        client = self._connected(server)
        client.protocol = factory()
        client.protocol.connection_made(client)
        client.begin()
        return client, client.protocol

    def _connected(self, server: Server) -> Transport:
        number = next(self._numbers)
        client = Transport(self, PROCESS.get(), number)
        theirs = Transport(self, server.process, number)
        client.other, theirs.other = theirs, client
        self.connections[number] = client
        for end in (client, theirs):
            if end.process is not None:
                end.process.on_death.append(end.died)
        self.loop.call_soon(self._accept, server, theirs, context=theirs._context)
        return client

    def _accept(self, server: Server, transport: Transport) -> None:
        if not transport.is_lost:
            transport.protocol = server.factory()
            transport.protocol.connection_made(transport)
            transport.begin()

    def forget(self, end: Transport) -> None:
        if self.connections.get(end.number) is end:
            del self.connections[end.number]

    # ---- faults ----------------------------------------------------------------------------

    def cut(self, client: Transport, within_s: float) -> None:
        """What is on its way is lost; either end notices in its own time."""
        for end in (client, client.other):
            end.stall()
            self.loop.call_later(self.rng.random() * within_s, end.reset, context=self.context)

    def vanish(self, client: Transport, notices_after_s: float) -> None:
        """Half-open: the client gives up after a while, the server learns it much later."""
        for end in (client, client.other):
            end.stall()
        self.loop.call_later(PEER_GONE_S, client.reset, context=self.context)
        self.loop.call_later(notices_after_s, client.other.reset, context=self.context)
