"""A server that does what a test says, line by line: say this, expect that, cut.

The test is the script. It sees a client from the other side of the wire, and can do what the real
daemon never does: answer out of order, in pieces, too late, wrongly, or not at all.
"""

import asyncio
import contextlib
from types import TracebackType
from typing import Any, Final, TypeVar

import msgpack

from holdfast.wire import messages as wire
from holdfast.wire.connection import ProtocolError, ServerConnection
from holdfast.wire.constants import ErrorCode
from holdfast.wire.frames import encode_frame

M = TypeVar("M")

PATIENCE_S: Final = 10.0
"""For anything that a client has to do."""
SILENCE_S: Final = 0.05
"""After which a client that says nothing is taken to say nothing. Arbitrary."""
HELLO: Final[dict[str, Any]] = {
    "protocol": [1, 1],
    "server": "scripted",
    "features": [],
    "limits": {"frame_bytes": 4_194_304, "payload_bytes": 1_048_576, "items": 10_000},
    "epoch": 7,
    "nonce": bytes(16),
    "now_ms": 1_700_000_000_000,
}
WELCOME: Final[dict[str, Any]] = {
    "protocol": 1,
    "resumed": False,
    "last_request": 0,
    "last_refused": 0,
    "heartbeat_ms": 600_000,  # none comes by itself
    "lease_ms": 3_600_000,
    "grace_ms": 3_600_000,
    "lost": [],
}


class Line:
    """One connection of the client.

    Attributes:
        identity: what IDENTIFY carried, after `let_in`.
        hides_heartbeats: those that report nothing are answered, and the script does not hear them.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.identity: dict[str, Any] = {}
        self.hides_heartbeats = True
        self._reader = reader
        self._writer = writer
        self._wire = ServerConnection()
        self._heard: asyncio.Queue[Any] = asyncio.Queue()
        """Messages; an exception if what came is no protocol; None = the end."""
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while data := await self._reader.read(2**18):
                try:
                    messages = self._wire.receive(data)
                except ProtocolError as error:
                    self._heard.put_nowait(error)
                    break
                for message in messages:
                    await self._take(message)
        self._heard.put_nowait(None)

    async def _take(self, message: Any) -> None:
        if isinstance(message, wire.Heartbeat) and not message.reports and self.hides_heartbeats:
            await self.reply(message, [])
            return
        self._heard.put_nowait(message)
        if isinstance(message, wire.Goodbye):
            self._writer.close()

    # ---- saying ----------------------------------------------------------------------------

    async def say(self, *messages: wire.Message) -> None:
        await self.say_bytes(self._wire.send_many(messages))

    async def say_array(self, *elements: Any) -> None:
        """A frame with whatever is in it."""
        await self.say_bytes(encode_frame(msgpack.packb(elements)))

    async def say_bytes(self, data: bytes) -> None:
        self._writer.write(data)
        with contextlib.suppress(OSError):  # it has hung up: the script looks for that
            await self._writer.drain()

    async def say_in_pieces(self, *messages: wire.Message) -> None:
        """Byte by byte, each in a packet of its own as far as that can be had."""
        for byte in self._wire.send_many(messages):
            await self.say_bytes(bytes([byte]))
            await asyncio.sleep(0)

    async def reply(self, request: Any, result: Any = None) -> None:
        """To a request that was heard."""
        await self.say(wire.Reply(request.request, result))

    async def refuse(self, request: Any, code: int, text: str = "no") -> None:
        await self.say(wire.Error(request.request, int(code), text, {}))

    async def turn_away(self, code: ErrorCode, text: str) -> None:
        """Refuse the connection."""
        await self.say(wire.Error(None, int(code), text, {}))
        self._writer.close()

    def cut(self) -> None:
        self._writer.transport.abort()

    # ---- hearing ---------------------------------------------------------------------------

    async def hears(self, kind: type[M]) -> M:
        """The next message, which is of that kind."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                message = await self._heard.get()
        except TimeoutError:
            raise AssertionError(f"no {kind.__name__.upper()} came") from None
        came = "the end of the connection" if message is None else repr(message)
        assert isinstance(message, kind), f"expected {kind.__name__.upper()}, came {came}"
        return message

    async def hears_either(self, *kinds: type[Any]) -> Any:
        async with asyncio.timeout(PATIENCE_S):
            message = await self._heard.get()
        assert isinstance(message, kinds), f"came {message!r}"
        return message

    def heard_by_now(self) -> list[Any]:
        """All messages that nobody has taken yet."""
        heard = []
        while not self._heard.empty():
            heard.append(self._heard.get_nowait())
        return heard

    async def hears_nothing(self) -> None:
        """For a moment."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SILENCE_S):
                message = await self._heard.get()
            raise AssertionError(f"came {message!r}")

    async def is_left(self) -> None:
        """The client hangs up; what it says before that does not matter."""
        await self.is_left_without()

    async def is_left_without(self, *kinds: type[Any]) -> None:
        """It hangs up, and says none of these before."""
        async with asyncio.timeout(PATIENCE_S):
            while (message := await self._heard.get()) is not None:
                assert not isinstance(message, kinds), f"came {message!r}"

    # ---- what most scripts begin with --------------------------------------------------------

    async def let_in(self, **welcome: Any) -> dict[str, Any]:
        """HELLO, IDENTIFY, WELCOME with these fields. Returns what IDENTIFY carried."""
        await self.say(wire.Hello(HELLO))
        self.identity = (await self.hears(wire.Identify)).info
        await self.say(wire.Welcome({**WELCOME, "session": self.identity["session"], **welcome}))
        return self.identity

    async def take_subscription(self) -> wire.Subscribe:
        subscribe = await self.hears(wire.Subscribe)
        await self.reply(subscribe)
        return subscribe

    def close(self) -> None:
        self._listening.cancel()
        self._writer.transport.abort()


class ScriptedServer:
    """Nobody is answered before the script says so.

    Attributes: url; lines: all connections so far.
    """

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._dialled: asyncio.Queue[Line] = asyncio.Queue()
        self.lines: list[Line] = []

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"holdfast://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def dialled(self) -> Line:
        """The next connection, on which nothing was said."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self._dialled.get()
        except TimeoutError:
            raise AssertionError("the client has not come") from None

    async def dialled_or(self, done: "asyncio.Future[Any]") -> Line | None:
        """The next connection; None if that comes first."""
        dialled = asyncio.ensure_future(self._dialled.get())
        await asyncio.wait([dialled, done], return_when=asyncio.FIRST_COMPLETED)
        if dialled.done():
            return dialled.result()
        dialled.cancel()
        return None

    async def let_in(self, **welcome: Any) -> Line:
        """The next connection, after its handshake."""
        line = await self.dialled()
        await line.let_in(**welcome)
        return line

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(reader, writer)
        self.lines.append(line)
        self._dialled.put_nowait(line)

    async def __aenter__(self) -> "ScriptedServer":
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
        for line in self.lines:
            line.close()
        await self._server.wait_closed()


def job(token: int, id: str, name: str, data: Any = None, attempts: int = 1) -> list[Any]:
    """An item of JOBS, of the queue q."""
    payload = msgpack.packb(data)
    return [token, "q", id, name, payload, 1, attempts, 1_700_000_000_000, 0, 0]
