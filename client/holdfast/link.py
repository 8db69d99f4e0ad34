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
import ssl
from typing import TYPE_CHECKING, Any, Final

from holdfast import __version__
from holdfast.access import Access, tls_trouble
from holdfast.errors import (
    AccessDenied,
    Closed,
    HoldfastError,
    MisuseError,
    PeerError,
    Unreachable,
    refused,
    words_of,
)
from holdfast.pending import OF_CONNECTION, REPEATABLE, Pending
from holdfast.retry import connect_timeout_s, denied_delay_s, reconnect_delay_s
from holdfast.tcp import TcpConnection
from holdfast.wire import messages as wire
from holdfast.wire.constants import PROTOCOL_VERSION, ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable

CLIENT_NAME: Final = f"holdfast-python {__version__}"
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
        self._pending: dict[int, Pending] = {}
        self._number = 0
        self._outbox: list[wire.Message] = []
        self._is_flush_scheduled = False
        self._connection: TcpConnection | None = None
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
        pending = Pending(message._replace(request=number), future)
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

    def _push(self, pending: Pending) -> None:
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

    async def _see_closed(self, connection: TcpConnection) -> None:
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
                has_waited = isinstance(error, TimeoutError)  # for what is noted already
                self._note_lost(self.last_error if has_waited else words_of(error))
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

    async def _connect(self, timeout_s: float) -> tuple[TcpConnection, wire.Welcome]:
        loop = asyncio.get_running_loop()
        self._is_leaving = False
        async with asyncio.timeout(timeout_s):
            try:
                _, connection = await loop.create_connection(
                    lambda: TcpConnection(self),
                    self.address.host,
                    self.address.port,
                    ssl=self._tls_context(),
                )
            except ssl.SSLError as error:
                self._tls = None
                raise tls_trouble(error, self.address) from error
            self.last_error = "connected, but it says nothing: is it the port for clients?"
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

    def _open(self, connection: TcpConnection, welcome: wire.Welcome) -> None:
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

    def _ask_again(self, number: int, pending: Pending) -> None:
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
