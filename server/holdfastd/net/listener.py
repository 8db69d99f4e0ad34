"""The TCP port: accepts connections, hands them the pipeline's outputs, lets them go at the end.

A connection is in `_peers` from the moment it is accepted until it is lost, under a number that is
never used again: an output for a number that is not there is dropped, its client has gone. Outputs
come by `send` alone, when their batch is durable; what needs the disk first (`reader`, `searcher`)
and what is more than a message is done from there. Connections whose jobs found the batch full wait
in `_waiting`, and go on one at a time.
"""

import asyncio
import os
import socket
import ssl
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from holdfast.wire import messages as wire
from holdfast.wire.constants import (
    FRAME_BYTES_MAX,
    ITEMS_MAX,
    PROTOCOL_VERSION,
    PROTOCOL_VERSION_MIN,
    ErrorCode,
)
from holdfastd import VERSION
from holdfastd.access.door import Door
from holdfastd.engine.model import QueueSettings
from holdfastd.engine.outputs import Displace, Output, Show, Welcome
from holdfastd.net.answers import messages_of
from holdfastd.net.auditing import Auditing
from holdfastd.net.peer import NO_ROOM, Peer
from holdfastd.net.reader import Reader
from holdfastd.net.requests import Requests
from holdfastd.net.searcher import Searcher
from holdfastd.net.telling import Telling
from holdfastd.net.tlsport import TlsPort, listening_on
from holdfastd.net.unread import Unread
from holdfastd.observed import Observed
from holdfastd.pipeline import Pipeline
from holdfastd.search.finder import Finder

BACKLOG: Final = 4096
"""Connections the kernel holds for us, as after a restart when every worker comes back at once."""
NONCE_BYTES: Final = 16
STORE_BEHIND: Final = "the store is behind"


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    host: str
    port: int
    """0 = any free one."""
    connections_max: int
    handshake_timeout_s: float
    payload_bytes_max: int
    heartbeat_ms: int
    lease_ms: int
    grace_ms: int


class Listener:
    def __init__(
        self,
        pipeline: Pipeline,
        settings: ListenerSettings,
        observed: Observed,
        door: Door,
        auditing: Auditing,
        tls: Callable[[], ssl.SSLContext] | None = None,
        finder: Finder | None = None,
    ):
        """tls: the context for a new handshake; None = the port does not speak TLS. finder: None =
        there is no SEARCH."""
        self.pipeline = pipeline
        self.observed = observed
        self.door = door
        self.auditing = auditing
        self.telling = Telling(lambda: pipeline.moment().monotonic)
        self.unread = Unread()
        self.handshake_timeout_s = settings.handshake_timeout_s
        self.reader = Reader(pipeline.store, pipeline.engine, self._say_one, self._is_full)
        self.searcher = Searcher(
            finder, lambda: pipeline.moment().now_ms, self._say_one, lambda at: at in self._peers
        )
        self.requests = Requests(settings.payload_bytes_max, self._settings_of)
        self._settings = settings
        self._peers: dict[int, Peer] = {}
        self._last_number = 0
        self._tls = tls
        self._server: asyncio.Server | TlsPort | None = None
        self._is_draining = False
        pipeline.connect(self)
        pipeline.on_pressure = self._on_pressure
        pipeline.on_room = self._let_in
        self._waiting: deque[Peer] = deque()
        """Connections whose jobs found the open batch full, in order."""

    def _settings_of(self, name: str) -> QueueSettings:
        queue = self.pipeline.engine.queues.get(name)
        return QueueSettings() if queue is None else queue.settings

    def configure(self, settings: ListenerSettings) -> None:
        """From now on; host and port stay as they are, and what clients were told does."""
        self._settings = settings
        self.handshake_timeout_s = settings.handshake_timeout_s
        self.requests.payload_bytes_max = settings.payload_bytes_max

    # ---- life ----------------------------------------------------------------------------------

    async def start(self, listening: socket.socket | None = None) -> tuple[str, int]:
        """Listen, or accept from one that does. Returns the address.

        Raises:
            OSError: it is in use or not ours.
        """
        host, port = self._settings.host, self._settings.port
        if self._tls is not None:
            sockets = [listening] if listening else await listening_on(host, port, BACKLOG)
            address = sockets[0].getsockname()
            self._server = self._tls_port(sockets, self._tls)
            self._server.start()
        else:
            loop = asyncio.get_running_loop()
            where = {"sock": listening} if listening else {"host": host, "port": port}
            server = await loop.create_server(lambda: Peer(self), **where, backlog=BACKLOG)
            address = server.sockets[0].getsockname()
            self._server = server
        return address[0], address[1]

    def _tls_port(self, sockets: list[socket.socket], tls: Callable[[], ssl.SSLContext]) -> TlsPort:
        return TlsPort(
            sockets,
            tls,
            lambda: Peer(self),
            self._has_room,
            lambda: self.handshake_timeout_s,
            self.observed,
            self.telling,
        )

    def _has_room(self, greeted: int) -> bool:
        """For one more, beside so many that are no peers yet."""
        return not self._is_draining and len(self._peers) + greeted < self._settings.connections_max

    async def run(self) -> None:
        """Answer reads and searches; until cancelled."""
        # Not a task group: what the store raises has to rise as it is.
        await asyncio.gather(self.reader.run(), self.searcher.run())

    async def drain(self) -> None:
        """Accept nobody any more, tell everybody to come back."""
        self._is_draining = True
        if self._server is not None:
            self._server.close()
        for peer in list(self._peers.values()):
            peer.say([wire.Goaway({"reason": "restart"})])

    async def close(self) -> None:
        """Close every connection, after what was said to it has been sent."""
        for peer in list(self._peers.values()):
            peer.close()
        if self._server is not None:
            self._server.close()

    def abort(self) -> None:
        """Cut every connection now; for clients that do not read."""
        for peer in list(self._peers.values()):
            peer.abort()

    def put_out(self) -> int:
        """Close the connections of keys that are no longer good for them; returns how many."""
        count = 0
        for peer in list(self._peers.values()):
            why = self.door.why_out(peer.identity)
            if why is not None:
                count += 1
                peer.refuse(ErrorCode.NOT_AUTHENTICATED, why)
        return count

    @property
    def connections(self) -> dict[str, int]:
        """Open connections by role."""
        roles = {"producer": 0, "worker": 0, "unidentified": 0}
        for peer in self._peers.values():
            roles[peer.role] += 1
        return roles

    # ---- for connections -----------------------------------------------------------------------

    def opened(self, peer: Peer) -> int | None:
        self.observed.connections_opened += 1
        if len(self._peers) >= self._settings.connections_max or self._is_draining:
            reason = "draining" if self._is_draining else "limit"
            self.observed.connections_rejected[reason] += 1
            return None
        self._last_number += 1
        self._peers[self._last_number] = peer
        if self.pipeline.is_behind:
            peer.stop_reading(STORE_BEHIND)
        return self._last_number

    def why_not_opened(self) -> tuple[ErrorCode, str]:
        if self._is_draining:  # it was accepted in the very moment
            return ErrorCode.DRAINING, "the server is going down: connect again"
        return ErrorCode.BUSY, "too many connections: try again later"

    def closed(self, peer: Peer) -> None:
        self._peers.pop(peer.number, None)
        self.reader.go_on(peer.number)
        self.auditing.gone(peer.number)

    def wait_for_room(self, peer: Peer) -> None:
        self._waiting.append(peer)

    def _let_in(self) -> None:
        """One after the other, each for a turn, as long as there is room."""
        if self._waiting and not self.pipeline.is_full:
            self._waiting.popleft().go_on_reading(NO_ROOM)
            asyncio.get_running_loop().call_soon(self._let_in)

    def hello(self) -> wire.Hello:
        moment = self.pipeline.moment()
        return wire.Hello(
            {
                "protocol": [PROTOCOL_VERSION_MIN, PROTOCOL_VERSION],
                "server": f"holdfastd {VERSION}",
                "features": ["schedules", *(["search"] if self.searcher.is_able else [])],
                "limits": {
                    "frame_bytes": FRAME_BYTES_MAX,
                    "payload_bytes": self._settings.payload_bytes_max,
                    "items": ITEMS_MAX,
                },
                "epoch": self.pipeline.epoch,
                "nonce": os.urandom(NONCE_BYTES),
                "now_ms": moment.now_ms,
            }
        )

    def welcome_info(self) -> dict[str, Any]:
        return {
            "protocol": PROTOCOL_VERSION,
            "heartbeat_ms": self._settings.heartbeat_ms,
            "lease_ms": self._settings.lease_ms,
            "grace_ms": self._settings.grace_ms,
        }

    # ---- outputs of durable batches --------------------------------------------------------------

    def send(self, outputs: list[Output]) -> None:
        """Say what a durable batch leads to; all messages of a connection in one write."""
        self.auditing.said(outputs)
        said: defaultdict[int, list[wire.Message]] = defaultdict(list)
        for output in outputs:
            messages = messages_of(output)
            if messages:
                said[output.connection] += messages
            else:
                self._act(output)
        for number, messages in said.items():
            peer = self._peers.get(number)
            if peer is not None:
                peer.say(messages)

    def _act(self, output: Output) -> None:
        """What is more than a message."""
        peer = self._peers.get(output.connection)
        if peer is None:
            return
        if isinstance(output, Show):
            self.reader.show(output.connection, output.request, output.queue, output.id)
        elif isinstance(output, Welcome):
            peer.welcome(output)
        elif isinstance(output, Displace):
            peer.refuse(ErrorCode.SESSION_TAKEN, "another connection has resumed this session")

    def _say_one(self, connection: int, message: wire.Message) -> None:
        peer = self._peers.get(connection)
        if peer is not None:
            peer.say([message])

    def _is_full(self, connection: int) -> bool:
        peer = self._peers.get(connection)
        return peer is not None and peer.is_full

    def _on_pressure(self, is_behind: bool) -> None:
        for peer in list(self._peers.values()):
            if is_behind:
                peer.stop_reading(STORE_BEHIND)
            else:
                peer.go_on_reading(STORE_BEHIND)
