"""A port that speaks TLS: each connection is made to do so before a `Peer` hears of it.

A TLS client speaks first. So the first byte is looked at (and left where it is): who says something
else, or nothing for SILENCE_S, is a client of the plain protocol, in which the server speaks first,
and is told in the clear to use TLS. That, and a certificate that can be replaced, is why the loop's
`create_server(ssl=…)` is not used: it would close the connection without a word.

Before its handshake is done, a connection costs a socket, a task and what OpenSSL holds; there are
as many as `has_room` allows, and each has its time.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from errno import EMFILE, ENFILE, ENOBUFS, ENOMEM
from typing import Final

from holdfast.wire import messages as wire
from holdfast.wire.constants import ErrorCode
from holdfast.wire.frames import encode_frame
from holdfastd import logs
from holdfastd.net.telling import Telling
from holdfastd.observed import Observed

log = logging.getLogger(__name__)

SILENCE_S: Final = 2.0
"""A TLS client sends its hello at once: this is for a lost packet (RFC 6298: 1 s). Below the 5 s
for which a client waits, so that it hears why."""
TLS_HANDSHAKE: Final = b"\x16"
"""The first byte of any TLS connection (RFC 8446, section 5.1)."""
UNREAD_BYTES: Final = 64 * 1024
ACCEPTED_PER_TURN: Final = 64
ACCEPT_AGAIN_S: Final = 1.0
"""After the system had no more files or memory; what asyncio does too."""
_NO_RESOURCES: Final = (EMFILE, ENFILE, ENOBUFS, ENOMEM)
_TLS_REQUIRED: Final = wire.Error(
    None,
    int(ErrorCode.TLS_REQUIRED),
    "this port speaks TLS: use holdfasts:// in place of holdfast://",
    {},
)


class TlsPort:
    def __init__(
        self,
        sockets: Sequence[socket.socket],
        context: Callable[[], ssl.SSLContext],
        new_peer: Callable[[], asyncio.Protocol],
        has_room: Callable[[int], bool],
        handshake_timeout_s: Callable[[], float],
        observed: Observed,
        telling: Telling,
    ):
        """sockets: listening ones; they are this object's from now on. context: the one for a new
        handshake. has_room: for one more beside so many whose handshake is not done."""
        self._sockets = sockets
        self._context = context
        self._new_peer = new_peer
        self._has_room = has_room
        self._handshake_timeout_s = handshake_timeout_s
        self._observed = observed
        self._telling = telling
        self._greeting: set[asyncio.Task[None]] = set()
        """One for each connection whose handshake is not done."""
        self._is_closed = False

    def start(self) -> None:
        for listening in self._sockets:
            listening.setblocking(False)
            self._accept_from(listening)

    def _accept_from(self, listening: socket.socket) -> None:
        if not self._is_closed:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def close(self) -> None:
        """Accept nobody any more; those whose handshake is not done go."""
        self._is_closed = True
        for listening in self._sockets:
            if listening.fileno() >= 0:
                asyncio.get_running_loop().remove_reader(listening)
                listening.close()
        for task in self._greeting:
            task.cancel()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTED_PER_TURN):
            try:
                accepted, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _NO_RESOURCES:
                    raise
                self._pause(listening, error)
                return
            self._begin(accepted)

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        text = f"no connection can be accepted ({error.strerror}): trying again"
        logs.event(log, logging.ERROR, "accept_failed", text)
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening)
        loop.call_later(ACCEPT_AGAIN_S, self._accept_from, listening)

    def _begin(self, accepted: socket.socket) -> None:
        if not self._has_room(len(self._greeting)):
            self._observed.connections_rejected["limit"] += 1
            accepted.close()
            return
        accepted.setblocking(False)
        with suppress(OSError):
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = asyncio.get_running_loop().create_task(self._greet(accepted))
        self._greeting.add(task)
        task.add_done_callback(self._greeting.discard)

    async def _greet(self, accepted: socket.socket) -> None:
        """Whatever a stranger does costs its own connection, and no more."""
        host = "?"
        try:
            host = accepted.getpeername()[0]
            if await _speaks_tls(accepted):
                await asyncio.get_running_loop().connect_accepted_socket(
                    self._new_peer,
                    accepted,
                    ssl=self._context(),
                    ssl_handshake_timeout=self._handshake_timeout_s(),
                )
            else:
                self._refuse_plain(accepted, host)
        except OSError as error:  # ssl.SSLError is one
            accepted.close()
            self._note_failure(host, error)
        except asyncio.CancelledError:
            accepted.close()
            raise

    def _refuse_plain(self, accepted: socket.socket, host: str) -> None:
        """Say so in the clear: a few bytes, which the kernel takes at once."""
        with accepted, suppress(OSError):
            accepted.send(encode_frame(wire.encode(_TLS_REQUIRED)))
            accepted.shutdown(socket.SHUT_WR)
            accepted.recv(UNREAD_BYTES)  # what is unread would make the kernel take it back
        self._observed.connections_rejected["tls"] += 1
        text = (
            f"a client at {host} does not speak TLS, and this port does: it must use holdfasts://"
        )
        self._telling.tell("tls_required", host, text)

    def _note_failure(self, host: str, error: OSError) -> None:
        if isinstance(error, ConnectionResetError | BrokenPipeError):
            return  # it has gone, as port scanners and health checks of the network do
        self._observed.connections_rejected["tls"] += 1
        why = getattr(error, "reason", None) or error.strerror or str(error)
        text = f"no TLS with a client at {host}: {why}"
        self._telling.tell("tls_failed", host, text)


async def _speaks_tls(accepted: socket.socket) -> bool:
    """Whether its first byte, which is left where it is, is that of TLS."""
    loop = asyncio.get_running_loop()
    has_come = asyncio.Event()
    loop.add_reader(accepted, has_come.set)
    try:
        async with asyncio.timeout(SILENCE_S):
            await has_come.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(accepted)
    first = accepted.recv(1, socket.MSG_PEEK)
    if not first:
        raise ConnectionResetError("it has gone")
    return first == TLS_HANDSHAKE


async def listening_on(host: str, port: int, backlog: int) -> list[socket.socket]:
    """A socket for each address of the host. Raises OSError; then there is none."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            one = socket.socket(family, kind, protocol)
            sockets.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:  # or it would take the IPv4 port too
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(address)
            one.listen(backlog)
    except OSError:
        for one in sockets:
            one.close()
        raise
    return sockets
