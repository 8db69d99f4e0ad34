"""One TCP connection of a client, from HELLO to its end.

It is used once: `welcome` is a future that ends with WELCOME or with why there was none, and after
`on_lost` nothing happens any more; `why` says what ended it. Messages of the open connection go to
its owner, who makes another one.
"""

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Protocol, cast

from holdfast.access import Access, tls_trouble
from holdfast.errors import AccessDenied, HoldfastError, MisuseError, PeerError, refused
from holdfast.greeting import check_hello, check_welcome
from holdfast.wire import messages as wire
from holdfast.wire.connection import ClientConnection, ConnectionState, ProtocolError
from holdfast.wire.constants import ERROR_CODES, ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable


class Owner(Protocol):
    """Whose connection it is: `holdfast.link.Link`."""

    @property
    def access(self) -> Access: ...

    def identify(self, hello: wire.Hello) -> wire.Identify:
        """Who we are, and the proof of it. Raises MisuseError if the key's file is no good."""

    def received(self, message: wire.Message) -> None:
        """A message of the open connection, or GOAWAY."""

    def resume_writing(self) -> None:
        """The connection is not full any more."""


class TcpConnection(asyncio.Protocol):
    """One TCP connection: from HELLO to its end."""

    def __init__(self, owner: Owner):
        self._owner = owner
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
            self._fail(PeerError(f"{self._owner.access.address.url}: {error}: no holdfastd?"))

    def _handle(self, message: wire.Message | wire.MessageError) -> None:
        if isinstance(message, wire.MessageError):
            return  # a push of a newer server that we did not ask for
        if self._wire.state is ConnectionState.OPEN and self.welcome.done():
            self._owner.received(message)
        elif isinstance(message, wire.Hello):
            self._identify(message)
        elif isinstance(message, wire.Welcome):
            self._enter(message)
        elif isinstance(message, wire.Goaway):
            self._owner.received(message)
        elif isinstance(message, wire.Error):
            self._refuse(message)

    def _identify(self, hello: wire.Hello) -> None:
        try:
            check_hello(hello)
            self.write([self._owner.identify(hello)])
        except MisuseError as error:
            self._fail(error)
        except PeerError as error:
            self._fail(PeerError(f"{self._owner.access.address.url}: {error}"))

    def _enter(self, welcome: wire.Welcome) -> None:
        try:
            check_welcome(welcome)
        except PeerError as error:
            self._fail(PeerError(f"{self._owner.access.address.url}: {error}"))
        if not self.welcome.done():
            self.welcome.set_result(welcome)

    def _refuse(self, message: wire.Error) -> None:
        error = refused(message.code, message.message, message.details)
        if ERROR_CODES[error.code].retryable or isinstance(error, AccessDenied):
            self._fail(error)
        elif error.code is ErrorCode.SESSION_TAKEN:
            self.why = str(error)
        else:
            self._fail(PeerError(f"{self._owner.access.address.url} refused us: {error}"))

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
            error = tls_trouble(exc, self._owner.access.address)
            self.why = str(error)
        elif exc is not None:
            self.why = str(exc) or type(exc).__name__
            error = ConnectionError(self.why)
        elif self._owner.access.cert_file and self._wire.state is ConnectionState.GREETING:
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
        self._owner.resume_writing()

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
