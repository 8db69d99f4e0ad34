"""A session with the server over any number of connections, on the running asyncio loop.

Theory of operation. Every call gets a number and a future and stays in `_pending` until its reply
came. A connection is made when it is first needed and again whenever it breaks. After WELCOME the
client knows from `last_request` which of the unanswered requests are durable, and sends again by
these rules (protocol.md, Sessions):

- above it: never applied; sent again as it is, under its number;
- at or below it: applied, the answer is lost. An ENQUEUE above `last_refused` is done: its jobs
  were added, and may have been completed and removed since. What can be repeated is sent again
  under a new number (an ENQUEUE with its generated ids as text, so that they are looked up), after
  those above, since numbers must rise; what cannot is reported as done, without a result;
- the server does not know the session any more: everything above 0, ids as text.

A request that is refused as DRAINING stays unanswered: it goes to the server that comes next.
A server that said GOAWAY is expected back: the end of its connection is no news, unless it stays
away.

What belongs to the connection (subscription, listening) is renewed by `on_open`, before the rest.
Nothing here blocks; messages of one loop tick leave in one write.
"""

import asyncio
import os
import random
import secrets
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final, cast

from holdfast.access import Access, tls_trouble
from holdfast.errors import (
    AccessDenied,
    Closed,
    HoldfastError,
    MisuseError,
    PeerError,
    Unreachable,
    refused,
)
from holdfast.retry import connect_timeout_s, denied_delay_s, reconnect_delay_s
from holdfast.wire import messages as wire
from holdfast.wire.connection import ClientConnection, ConnectionState, ProtocolError
from holdfast.wire.constants import ERROR_CODES, PROTOCOL_VERSION, ErrorCode, ItemStatus

if TYPE_CHECKING:
    from collections.abc import Callable

CLIENT_NAME: Final = "holdfast-python 0.1.0"
PENDING_MAX: Final = 10_000
"""Unanswered requests; further calls wait for room."""

AWAY_S: Final = 10.0
"""How long a server that said GOAWAY may be away without a word about it: the grace that workers
have by default. Until then a restart has cost nothing but time."""
CLOSE_S: Final = 2.0
"""How long the end of a connection may take before it is cut. Arbitrary."""
LEASES_NAMED_MAX: Final = 500
"""Tokens of up to 9 bytes within the 8 KiB that a server reads before WELCOME. Leases that are held
and not named are pushed again with the same token; the worker knows them."""

REPEATABLE: Final = (
    wire.Enqueue,
    wire.Ack,
    wire.Fail,
    wire.Release,
    wire.Extend,
    wire.Heartbeat,
    wire.Wait,
    wire.Get,
    wire.List,
    wire.Counts,
    wire.Search,
    wire.Explain,
    wire.Schedules,
    wire.Schedule,
    wire.RunSchedule,
)
"""Requests that may be sent again although they were applied: reads, and those whose job id, token
or whole content makes the second time harmless."""
OF_CONNECTION: Final = (wire.Subscribe, wire.Listen, wire.Unlisten)
"""Never sent again: `on_open` says what holds for a new connection."""


class _Pending:
    __slots__ = ("future", "generated", "message", "was_sent")

    def __init__(self, message: Any, future: "asyncio.Future[Any]"):
        self.message = message
        self.future = future
        self.was_sent = False
        self.generated: frozenset[int] = frozenset()
        """Items of an ENQUEUE whose generated ids were sent again as text: if such an id exists,
        it was this request that created it."""

    def with_text_ids(self) -> None:
        if not isinstance(self.message, wire.Enqueue):
            return
        items = self.message.items
        raw = frozenset(at for at, item in enumerate(items) if isinstance(item[0], bytes))
        if raw:
            self.generated = raw
            texts = [
                [item[0].hex(), *item[1:]] if at in raw else item for at, item in enumerate(items)
            ]
            self.message = self.message._replace(items=texts)

    def done(self) -> list[list[int]]:
        """The result of an ENQUEUE that was applied and whose answer is lost. Of the caller's own
        ids it is not known whether they were there before: "existing" in state 0."""
        return [
            [at, ItemStatus.EXISTING, 0]
            for at, item in enumerate(self.message.items)
            if isinstance(item[0], str) and at not in self.generated
        ]

    def own_result(self, result: Any) -> Any:
        """The reply's result, as if it had come the first time. Whether a job with an id of the
        caller's own was created by the first sending cannot be known: it stays "existing"."""
        if not self.generated or not isinstance(result, list):
            return result
        return [
            item
            for item in result
            if item[1] != ItemStatus.EXISTING or item[0] not in self.generated
        ]


class Link:
    def __init__(self, access: Access, worker: dict[str, Any] | None = None):
        """worker: name, host, pid of a worker; None for a producer."""
        self.access = access
        self.address = access.address
        self.session = secrets.token_hex(16)
        self.on_open: Callable[[list[int]], None] = lambda lost: None
        """A connection is open; `lost` are the leases that the server no longer has."""
        self.on_lost: Callable[[str], None] = lambda why: None
        """The connection broke, or could not be made; called at each change for the worse."""
        self.on_goaway: Callable[[], None] = lambda: None
        """The server goes down and is expected back; `on_lost` comes only if it stays away."""
        self.on_refused: Callable[[HoldfastError], None] = lambda error: None
        """The server refuses us, or is none: it will be tried again, and waiting does not help."""
        self.on_jobs: Callable[[list[Any]], None] = lambda items: None
        self.on_revoke: Callable[[list[Any]], None] = lambda items: None
        self.on_stop: Callable[[], None] = lambda: None
        """An operator wants this worker to end."""
        self.on_events: Callable[[str, list[Any]], None] = lambda queue, events: None
        self.leases: Callable[[], list[int]] = list
        """The tokens held, asked for at each handshake."""
        self.users = 0
        """Queues that share it."""
        self.heartbeat_s = 10.0
        """The server's wish; known after the first WELCOME."""
        self.last_error = "not connected yet"
        self._denied: AccessDenied | None = None
        """The server refuses us, and will not be asked again for a while: calls fail at once."""
        self._tls: ssl.SSLContext | None = None
        """Made when it is needed, and anew after TLS failed: the files may be others by then."""
        self._worker = worker
        self._pid = os.getpid()
        self._pending: dict[int, _Pending] = {}
        self._number = 0
        self._outbox: list[wire.Message] = []
        self._is_flush_scheduled = False
        self._connection: _Connection | None = None
        self._runner: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._is_closed = False
        self._was_lost_said = False
        self._expected_until: float | None = None
        """By the loop's clock: when a server that goes down should be back; None = it does not."""
        self._is_leaving = False
        """The server has said so on this connection; it may yet say WELCOME."""

    # ---- calls -----------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    async def call(self, message: Any, timeout: float | None) -> Any:
        """Send a request (its number is set here) and return the reply's result.

        Raises:
            Refused: the server said no. Unreachable: no answer within timeout seconds (None = for
            ever). Closed, PeerError.
        """
        if not self._room.is_set():
            await self._room.wait()
        future = self.send(message)
        if timeout is None:
            return await future
        try:
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            raise Unreachable(self.address.url, timeout, self._why_waiting()) from None

    def _why_waiting(self) -> str:
        return "connected, but it did not answer" if self.is_open else self.last_error

    def send(self, message: Any) -> "asyncio.Future[Any]":
        """Queue a request; the future gets its result. Connects if need be."""
        if self._is_closed:
            raise Closed
        self._number += 1
        number = self._number
        future = asyncio.get_running_loop().create_future()
        pending = _Pending(message._replace(request=number), future)
        self._pending[number] = pending
        future.add_done_callback(lambda _: self._forget(number))
        if len(self._pending) >= PENDING_MAX:
            self._room.clear()
        self._push(pending)
        return future

    def say(self, message: wire.Message) -> None:
        """Send something that is not answered; dropped when there is no connection."""
        if self.is_open:
            self._post(message)

    def _forget(self, number: int) -> None:
        self._pending.pop(number, None)
        if len(self._pending) < PENDING_MAX:
            self._room.set()

    def _push(self, pending: _Pending) -> None:
        if self._connection is not None:
            pending.was_sent = True
            self._post(pending.message)
        elif self._denied is not None:
            pending.future.set_exception(self._denied)
        else:
            self.start()

    # ---- writing ---------------------------------------------------------------------------

    def _post(self, message: wire.Message) -> None:
        self._outbox.append(message)
        if not self._is_flush_scheduled:
            self._is_flush_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flush_scheduled = False
        connection = self._connection
        if connection is not None and self._outbox and not connection.is_full:
            outbox, self._outbox = self._outbox, []
            connection.write(outbox)

    # ---- life ------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect and stay connected; does nothing if that is under way."""
        if self._runner is None and not self._is_closed:
            self._runner = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Send what is left, say goodbye, and end. Unanswered calls raise Closed."""
        if self._is_closed:
            return
        self._is_closed = True
        connection = self._connection
        if connection is not None:
            self._outbox.append(wire.Goodbye())
            connection.write(self._outbox)
            self._outbox = []
            connection.close()
        self._fail_all(Closed())
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
        if connection is not None:
            await self._see_closed(connection)

    async def _see_closed(self, connection: "_Connection") -> None:
        """TLS says goodbye on both sides: a loop that ended before would leave it half open."""
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._lost.wait()
        except TimeoutError:
            connection.abort()

    def _fail_all(self, error: HoldfastError) -> None:
        for pending in list(self._pending.values()):
            if not pending.future.done():
                pending.future.set_exception(error)

    async def _run(self) -> None:
        failures = timeouts = 0
        while not self._is_closed:
            is_urgent = bool(self.leases()) or self._expected_until is not None
            delay_s = reconnect_delay_s(failures, random.random(), is_urgent)
            if self._denied is not None:
                delay_s = denied_delay_s(random.random())
            if delay_s:
                await asyncio.sleep(delay_s)
            self._denied = None
            try:
                connection, welcome = await self._connect(connect_timeout_s(timeouts))
            except (OSError, TimeoutError, PeerError, HoldfastError) as error:
                failures += 1
                timeouts += isinstance(error, TimeoutError)
                self._note_lost(str(error) or type(error).__name__)
                if isinstance(error, AccessDenied):
                    self._denied = error
                if isinstance(error, PeerError | AccessDenied | MisuseError):
                    self._fail_all(error)
                    self.on_refused(error)
                continue
            failures = (
                1  # the next attempt waits a little, so that many clients do not come at once
            )
            timeouts = 0
            self._lost.clear()
            connection.on_lost = self._lost.set
            self._open(connection, welcome)
            if not connection.is_lost:
                await self._lost.wait()
            self._connection = None
            self._outbox = []
            self._note_lost(connection.why)

    def _note_lost(self, why: str) -> None:
        self.last_error = why
        until = self._expected_until
        if until is not None and asyncio.get_running_loop().time() < until:
            return
        if not self._is_closed and not self._was_lost_said:
            self._was_lost_said = True
            self.on_lost(why)

    async def _connect(self, timeout_s: float) -> tuple["_Connection", wire.Welcome]:
        loop = asyncio.get_running_loop()
        self._is_leaving = False
        async with asyncio.timeout(timeout_s):
            try:
                _, connection = await loop.create_connection(
                    lambda: _Connection(self),
                    self.address.host,
                    self.address.port,
                    ssl=self._tls_context(),
                )
            except ssl.SSLError as error:
                self._tls = None
                raise tls_trouble(error, self.address) from error
            try:
                welcome = await connection.welcome
            except BaseException:
                connection.close()
                raise
        return connection, welcome

    def _tls_context(self) -> ssl.SSLContext | None:
        if self.address.is_tls and self._tls is None:
            self._tls = self.access.tls_context()
        return self._tls

    def identify(self, hello: wire.Hello) -> wire.Identify:
        """Who we are, and the proof of it. Raises MisuseError if the key's file is no good."""
        info: dict[str, Any] = {
            "protocol": PROTOCOL_VERSION,
            "client": CLIENT_NAME,
            "session": self.session,
            "leases": self.leases()[:LEASES_NAMED_MAX],
        }
        auth = self.access.auth(hello.info.get("nonce", b""))
        if auth is not None:
            info["auth"] = auth
        if self._worker:
            info["worker"] = self._worker
        return wire.Identify(info)

    def _open(self, connection: "_Connection", welcome: wire.Welcome) -> None:
        """A handshake is done: renew what belongs to the connection, then send again."""
        info = welcome.info
        self.heartbeat_s = info["heartbeat_ms"] / 1000
        self._connection = connection
        self._was_lost_said = False
        if not self._is_leaving:
            self._expected_until = None
        last_request, last_refused = info["last_request"], info["last_refused"]
        unanswered = [item for item in self._pending.items() if not item[1].future.done()]
        self.on_open(list(info.get("lost") or ()))
        for number, pending in unanswered:
            if isinstance(pending.message, OF_CONNECTION):
                pending.future.set_result(None)
            elif number > last_request:
                if pending.was_sent and not info["resumed"]:
                    pending.with_text_ids()
                self._push(pending)
        for number, pending in unanswered:
            if number > last_request or pending.future.done():
                continue
            if isinstance(pending.message, wire.Enqueue) and number > last_refused:
                pending.future.set_result(pending.done())
            else:
                self._ask_again(number, pending)

    def _ask_again(self, number: int, pending: _Pending) -> None:
        """It was applied, and the answer is lost."""
        if not isinstance(pending.message, REPEATABLE):
            pending.future.set_result(None)
            return
        pending.with_text_ids()
        del self._pending[number]
        self._number += 1
        fresh = self._number
        pending.message = pending.message._replace(request=fresh)
        self._pending[fresh] = pending
        pending.future.add_done_callback(lambda _: self._forget(fresh))
        self._push(pending)

    # ---- what the server says ----------------------------------------------------------------

    def received(self, message: wire.Message) -> None:
        if isinstance(message, wire.Reply):
            pending = self._pending.get(message.request)
            if pending is not None and not pending.future.done():
                pending.future.set_result(pending.own_result(message.result))
        elif isinstance(message, wire.Jobs):
            self.on_jobs(message.items)
        elif isinstance(message, wire.Revoke):
            self.on_revoke(message.items)
        elif isinstance(message, wire.Stop):
            self.on_stop()
        elif isinstance(message, wire.Events):
            self.on_events(message.queue, message.events)
        elif isinstance(message, wire.Goaway):
            self._is_leaving = True
            self._expected_until = asyncio.get_running_loop().time() + AWAY_S
            self.on_goaway()
        elif isinstance(message, wire.Error):
            self._refused(message)

    def _refused(self, message: wire.Error) -> None:
        error = refused(message.code, message.message, message.details)
        if message.request is None or error.code is ErrorCode.DRAINING:
            self.last_error = str(error)  # refused by one that goes down: the next one gets it
            return
        pending = self._pending.get(message.request)
        if pending is not None and not pending.future.done():
            pending.future.set_exception(error)

    @property
    def is_forked(self) -> bool:
        """This process is a child of the one that made the link: it must not use it."""
        return os.getpid() != self._pid

    def resume_writing(self) -> None:
        self._flush()


class _Connection(asyncio.Protocol):
    """One TCP connection: from HELLO to its end."""

    def __init__(self, link: Link):
        self._link = link
        self._wire = ClientConnection()
        self._transport: asyncio.Transport | None = None
        self.welcome: asyncio.Future[wire.Welcome] = asyncio.get_running_loop().create_future()
        self.on_lost: Callable[[], None] = lambda: None
        self.is_lost = False
        self.is_full = False
        """The server does not read as fast as we write."""
        self.why = "the connection was closed"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        notice_dead_peers(transport.get_extra_info("socket"))

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._wire.receive(data):
                self._handle(message)
        except ProtocolError as error:
            self._fail(PeerError(f"{self._link.address.url}: {error}: no holdfastd?"))

    def _handle(self, message: wire.Message | wire.MessageError) -> None:
        if isinstance(message, wire.MessageError):
            return  # a push of a newer server that we did not ask for
        if self._wire.state is ConnectionState.OPEN and self.welcome.done():
            self._link.received(message)
        elif isinstance(message, wire.Hello):
            self._identify(message)
        elif isinstance(message, wire.Welcome):
            if not self.welcome.done():
                self.welcome.set_result(message)
        elif isinstance(message, wire.Goaway):
            self._link.received(message)
        elif isinstance(message, wire.Error):
            self._refuse(message)

    def _identify(self, hello: wire.Hello) -> None:
        try:
            self.write([self._link.identify(hello)])
        except MisuseError as error:
            self._fail(error)

    def _refuse(self, message: wire.Error) -> None:
        error = refused(message.code, message.message, message.details)
        if ERROR_CODES[error.code].retryable or isinstance(error, AccessDenied):
            self._fail(error)
        elif error.code is ErrorCode.SESSION_TAKEN:
            self.why = str(error)
        else:
            self._fail(PeerError(f"{self._link.address.url} refused us: {error}"))

    def _fail(self, error: HoldfastError) -> None:
        self.why = str(error)
        if not self.welcome.done():
            self.welcome.set_exception(error)
        self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        error: Exception = ConnectionError(self.why)
        if isinstance(
            exc, ssl.SSLError
        ):  # as when it wants a certificate of us: TLS 1.3 tells late
            error = tls_trouble(exc, self._link.address)
            self.why = str(error)
        elif exc is not None:
            self.why = str(exc) or type(exc).__name__
            error = ConnectionError(self.why)
        elif self._link.access.cert_file and self._wire.state is ConnectionState.GREETING:
            self.why = (
                "it closed the connection without a word: is our certificate signed by its CA?"
            )
            error = ConnectionError(self.why)
        if not self.welcome.done():
            self.welcome.set_exception(error)
        self.on_lost()

    def pause_writing(self) -> None:
        self.is_full = True

    def resume_writing(self) -> None:
        self.is_full = False
        self._link.resume_writing()

    def write(self, messages: list[wire.Message]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(self._wire.send_many(messages))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def notice_dead_peers(sock: socket.socket) -> None:
    """A host that vanished is noticed within some 20 s, not after the kernel's two hours."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", 10),
        ("TCP_KEEPINTVL", 5),
        ("TCP_KEEPCNT", 2),
        ("TCP_USER_TIMEOUT", 20_000),
    ):
        if hasattr(socket, name):  # not everywhere
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
