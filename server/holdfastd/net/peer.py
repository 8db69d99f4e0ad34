"""One connection: bytes in, commands to the pipeline; messages out, bytes. No rules of the queue.

Connections take turns. What comes in one read may be hundreds of requests; after TURN_ITEMS the
others have their turn, and the writer gets what there is: it works on the first while the loop is
at the next, and nobody waits for the end of a neighbour's flood.

Reading stops while the client does not read what we send, and while the store is behind. A client
that does not read is pushed no jobs and answered no reads meanwhile; if more than OUTPUT_BYTES_MAX
piles up all the same, or too much over all clients (see `unread`), it is cut off, and its leases go
the way of any lost connection.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, Protocol, cast

from holdfast.wire import messages as wire
from holdfast.wire.checks import Refusal, shown
from holdfast.wire.connection import ProtocolError, ServerConnection
from holdfast.wire.constants import (
    PROTOCOL_VERSION,
    PROTOCOL_VERSION_MIN,
    REQUEST_MAX,
    SESSION_ID_LENGTH_MAX,
    ErrorCode,
)
from holdfastd import tls
from holdfastd.access.door import Door
from holdfastd.access.rights import ANYBODY, Rights
from holdfastd.engine import commands
from holdfastd.engine.model import Token
from holdfastd.engine.outputs import Welcome
from holdfastd.engine.partition import Moment
from holdfastd.net.answering import Answers, status_of
from holdfastd.net.auditing import AUDITED, Auditing, who_of
from holdfastd.net.reader import Reader
from holdfastd.net.requests import Requests
from holdfastd.net.searcher import Searcher
from holdfastd.net.telling import Telling
from holdfastd.net.unread import Unread
from holdfastd.observed import Observed
from holdfastd.pipeline import Pipeline

FULL_BYTES: Final = 64 * 1024
"""Unsent bytes at which a client counts as one that does not read. The kernel holds some MB before
that; what we hold is times the number of clients that do it."""
OUTPUT_BYTES_MAX: Final = 16 * 1024 * 1024
"""Unsent bytes of one connection. An honest client stays below: FULL_BYTES, then what two batches
push at most (see PUSH_BYTES_MAX of the engine), and the answers in them."""
TURN_ITEMS: Final = 128
"""Jobs, acks and other requests of one connection that are handled before the others have their
turn: some 2 ms. One job per frame became 8 % faster by it; half or twice as many make no difference
that could be measured."""
TURN: Final = "what came before waits for its turn"
_TURNS: Final = frozenset({TURN})
NO_ROOM: Final = "its jobs wait for the next batch"
DOES_NOT_READ: Final = "the client does not read"
ORIGIN_TEXT_LENGTH_MAX: Final = 256
NO_CERTIFICATE: Final = (
    "a client certificate is needed here: give one as cert_file= or HOLDFAST_CERT_FILE"
)


PROTOCOL_ERRORS: Final = {
    ErrorCode.BAD_FRAME: "bad_frame",
    ErrorCode.FRAME_TOO_LARGE: "too_large",
    ErrorCode.UNEXPECTED_MESSAGE: "unexpected_message",
}
"""As they are counted; what else closes a connection is an IDENTIFY of the wrong form."""
REJECTED: Final = {ErrorCode.NO_COMMON_PROTOCOL: "protocol_version"}
_LIST_AT: Final = {
    kind: at
    for kind in wire.MESSAGES.values()
    for at, name in enumerate(kind._fields)
    if kind.__annotations__[name] is wire.Fields
}
"""Which field is the list of items, for messages that have one."""


class Owner(Protocol):
    """What a connection needs of its listener."""

    pipeline: Pipeline
    reader: Reader
    searcher: Searcher
    requests: Requests
    observed: Observed
    unread: Unread
    door: Door
    auditing: Auditing
    telling: Telling
    handshake_timeout_s: float

    def hello(self) -> wire.Hello: ...
    def welcome_info(self) -> dict[str, Any]:
        """The parts of WELCOME that are the same for all."""

    def opened(self, peer: "Peer") -> int | None:
        """A number for the connection; None = it is not taken."""

    def why_not_opened(self) -> tuple[ErrorCode, str]: ...
    def closed(self, peer: "Peer") -> None: ...
    def wait_for_room(self, peer: "Peer") -> None:
        """Have it go on when the next batch takes jobs."""


class Peer(asyncio.Protocol):
    """Attributes:
    number: of this connection, never used again while the daemon runs; 0 = not accepted.
    role: "worker", "producer", or "unidentified" before IDENTIFY.
    identity: who it is; anybody before IDENTIFY.
    """

    def __init__(self, owner: Owner):
        self._owner = owner
        self._wire = ServerConnection()
        self._answers = Answers(owner.observed)
        self._transport: asyncio.Transport | None = None
        self._handshake: asyncio.TimerHandle | None = None
        self._nonce = b""
        """Of our HELLO."""
        self.host = self.address = "?"
        """Of the client: its host, and HOST:PORT."""
        self._session_id = ""
        self._client = ""
        self.identity = ANYBODY
        self._rights: Rights | None = None
        """Those of the identity; None = it may do everything."""
        self._is_attached = False
        self._inbox: deque[wire.Message | wire.MessageError] = deque()
        """What has come and waits for its turn."""
        self._stops: set[str] = set()
        """Why reading is stopped; empty = it is not."""
        self._stopped_at = 0.0
        self.is_full = False
        """The client does not read what we send."""
        self._longest_write = 0
        """Bytes, since it last had little unsent."""
        self.number = 0
        self.role = "unidentified"

    # ---- asyncio.Protocol ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are ones in all but name.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(FULL_BYTES)
        self._note_address()
        number = self._owner.opened(self)
        hello = self._owner.hello()
        self._nonce = hello.info["nonce"]
        self.say([hello])
        if number is None:
            self.refuse(*self._owner.why_not_opened())
            return
        self.number = number
        if tls.lacks_certificate(transport):
            self._reject("tls", Refusal(ErrorCode.NOT_AUTHENTICATED, NO_CERTIFICATE))
            return
        loop = asyncio.get_running_loop()
        self._handshake = loop.call_later(self._owner.handshake_timeout_s, self._too_late)

    def _note_address(self) -> None:
        name = self._transport.get_extra_info("peername") if self._transport is not None else None
        if isinstance(name, tuple) and len(name) >= 2:
            self.host, port = str(name[0]), name[1]
            self.address = f"[{self.host}]:{port}" if ":" in self.host else f"{self.host}:{port}"

    def _too_late(self) -> None:
        self._owner.observed.connections_rejected["handshake_timeout"] += 1
        seconds = self._owner.handshake_timeout_s
        self.refuse(ErrorCode.HANDSHAKE_TIMEOUT, f"no IDENTIFY came within {seconds:g} s")

    def data_received(self, data: bytes) -> None:
        self._owner.observed.received_bytes += len(data)
        try:
            self._inbox += self._wire.receive(data)
        except ProtocolError as error:
            kind = PROTOCOL_ERRORS.get(error.code, "schema")
            self._owner.observed.protocol_errors[kind] += 1
            text = f"a client at {self.host} broke the protocol: {error}"
            self._owner.telling.tell("protocol_error", self.host, text)
            self.refuse(error.code, str(error))
        else:
            self._take_turn()

    def _take_turn(self) -> None:
        """Handle TURN_ITEMS, or a few more; the rest when the others had their turn, and when there
        is no other reason to read nothing from this client."""
        inbox, moment = self._inbox, self._owner.pipeline.moment()
        items = 0
        while inbox and items < TURN_ITEMS and self._stops <= _TURNS:
            if self._owner.pipeline.is_full and type(inbox[0]) is wire.Enqueue:
                self.stop_reading(NO_ROOM)
                self._owner.wait_for_room(self)
                break
            message = inbox.popleft()
            self._handle(message, moment)
            items += _item_count(message)
        if inbox:
            self.stop_reading(TURN)
            self._take_turn_later()
        else:
            self.go_on_reading(TURN)

    def _take_turn_later(self) -> None:
        if self._stops == _TURNS:
            asyncio.get_running_loop().call_soon(self._take_turn)

    def _take_last_turn(self) -> None:
        """What came before the connection ended was sent before it ended."""
        moment = self._owner.pipeline.moment()
        while self._inbox:
            self._handle(self._inbox.popleft(), moment)

    def eof_received(self) -> bool:
        return False  # close: a client that half-closes is going

    def connection_lost(self, exc: Exception | None) -> None:
        if self._handshake is not None:
            self._handshake.cancel()
        self._transport = None
        self._take_last_turn()
        if self._is_attached:
            self._is_attached = False
            self._submit(commands.Detach())
        self._owner.unread.forget(self)
        self._owner.closed(self)

    def pause_writing(self) -> None:
        self.is_full = True
        self.stop_reading(DOES_NOT_READ)
        self._hold()

    def resume_writing(self) -> None:
        self.is_full = False
        self._owner.unread.forget(self)
        self.go_on_reading(DOES_NOT_READ)
        self._hold()
        self._owner.reader.go_on(self.number)

    def _hold(self) -> None:
        if self._is_attached:
            self._submit(commands.Hold(self.is_full))

    def _submit(self, command: commands.Command) -> None:
        """One that is not a request of the client."""
        self._owner.pipeline.submit(self.number, 0, command, self._owner.pipeline.moment())

    # ---- reading -------------------------------------------------------------------------------

    def stop_reading(self, reason: str) -> None:
        """Take nothing more from this client until every reason has gone."""
        if not self._stops and self._transport is not None:
            self._transport.pause_reading()
            self._stopped_at = self._owner.pipeline.moment().monotonic
        self._stops.add(reason)

    def go_on_reading(self, reason: str) -> None:
        if reason not in self._stops:
            return
        self._stops.discard(reason)
        self._take_turn_later()
        if not self._stops and self._transport is not None:
            stopped = self._owner.pipeline.moment().monotonic - self._stopped_at
            self._owner.observed.backpressure_seconds += stopped
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def _handle(self, message: wire.Message | wire.MessageError, moment: Moment) -> None:
        if self._owner.requests.knows(message):
            self._handle_command(message, moment)
        elif isinstance(message, wire.MessageError):
            is_unknown = message.code is ErrorCode.UNKNOWN_COMMAND
            kind = "unknown_command" if is_unknown else "schema"
            self._owner.observed.protocol_errors[kind] += 1
            self._answer_error(message.request, message.code, message.text, {})
        elif isinstance(message, wire.Get | wire.List | wire.Search):
            self._handle_read(message, moment)
        elif isinstance(message, wire.Identify):
            self._identify(message)
        elif isinstance(message, wire.Goodbye):
            self._goodbye()

    def _handle_read(self, message: wire.Get | wire.List | wire.Search, moment: Moment) -> None:
        try:
            if self._rights is not None:
                self._rights.check(message)
        except Refusal as refusal:
            self._refuse_request(message, refusal)
        else:
            self._answers.expect(message, moment.monotonic)
            if isinstance(message, wire.Search):
                patterns = None if self._rights is None else self._rights.patterns
                self._owner.searcher.ask(self.number, message, patterns)
            else:
                self._owner.reader.ask(self.number, message)

    def _handle_command(self, message: Any, moment: Moment) -> None:
        request = getattr(message, "request", 0)
        try:
            if not 0 <= request <= REQUEST_MAX:
                text = f"request number {request} is none from 1 to {REQUEST_MAX}"
                raise Refusal(ErrorCode.BAD_REQUEST, text)
            command = self._command(message, moment)
        except Refusal as refusal:
            self._refuse_request(message, refusal)
            if type(message) is wire.Enqueue and 0 < request <= REQUEST_MAX:
                refused = commands.Refused(message.queue, len(message.items))
                self._owner.pipeline.submit(self.number, request, refused, moment)
        else:
            self._answers.expect(message, moment.monotonic)
            if type(message) in AUDITED:
                self._owner.auditing.asked(self.number, self._who(), message)
            self._owner.pipeline.submit(self.number, request, command, moment)

    def _command(self, message: Any, moment: Moment) -> commands.Command:
        """What it is for the engine, if it may be asked. Raises Refusal."""
        rights = self._rights
        if rights is None:
            return self._owner.requests.command(message, moment.now_ms)
        rights.check(message)
        command = self._owner.requests.command(message, moment.now_ms)
        if isinstance(command, commands.Counts | commands.Schedules):
            return command._replace(shows=rights.allows_queue)
        return command

    def _refuse_request(self, message: Any, refusal: Refusal) -> None:
        self._answers.count(message, status_of(refusal.code))
        if type(message) in AUDITED:
            self._owner.auditing.refused(self._who(), message, refusal)
        request = getattr(message, "request", None)
        self._answer_error(request or None, refusal.code, refusal.message, refusal.details)

    def _who(self) -> dict[str, Any]:
        return who_of(self.identity, self.address, self._session_id, self._client)

    def _answer_error(
        self, request: int | None, code: ErrorCode, text: str, details: dict[str, Any]
    ) -> None:
        self.say([wire.Error(request, int(code), text, details)])

    # ---- the connection itself -----------------------------------------------------------------

    def _identify(self, message: wire.Identify) -> None:
        if self._handshake is not None:
            self._handshake.cancel()
            self._handshake = None
        try:
            command = _attach_command(message.info)
        except Refusal as refusal:
            self._reject(REJECTED.get(refusal.code, "bad_request"), refusal)
            return
        try:
            self.identity = self._owner.door.admit(message.info.get("auth"), self._nonce, self.host)
        except Refusal as refusal:
            self._reject("auth", refusal)
            return
        self._rights = self.identity.rights
        self._session_id = command.session_id
        self._client = command.origin.get("client", "")
        self.role = "worker" if command.worker else "producer"
        self._is_attached = True
        session_id = self.identity.session_of(command.session_id)
        self._owner.pipeline.attach(self.number, command._replace(session_id=session_id))

    def _reject(self, reason: str, refusal: Refusal) -> None:
        text = f"a client at {self.host} was not let in: {refusal.message}"
        self._owner.telling.tell("not_let_in", self.host, text)
        self._owner.observed.connections_rejected[reason] += 1
        self.refuse(refusal.code, refusal.message, refusal.details)

    def welcome(self, welcome: Welcome) -> None:
        """The session is taken up, and that is durable."""
        info = {
            **self._owner.welcome_info(),
            "session": self._session_id,
            "resumed": welcome.resumed,
            "last_request": welcome.last_request,
            "last_refused": welcome.last_refused,
            "lost": welcome.lost,
        }
        self.say([wire.Welcome(info)])

    def _goodbye(self) -> None:
        if self._is_attached:
            self._is_attached = False
            self._submit(commands.End())
        if self._transport is not None:
            self._transport.close()

    def refuse(self, code: ErrorCode, text: str, details: dict[str, Any] | None = None) -> None:
        """Say why, and close."""
        self._answer_error(None, code, text, details or {})
        if self._transport is not None:
            self._transport.close()

    # ---- writing -------------------------------------------------------------------------------

    def say(self, messages: Sequence[wire.Message]) -> None:
        """Send messages; their batch is durable. Nothing happens if the client has gone."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._answers.are_due:
            self._answers.note(messages, self._owner.pipeline.moment().monotonic)
        data = self._wire.send_many(messages)
        self._owner.observed.sent_bytes += len(data)
        transport.write(data)
        unsent_bytes = transport.get_write_buffer_size()
        if unsent_bytes > OUTPUT_BYTES_MAX:
            self.cut()
        elif unsent_bytes > FULL_BYTES:
            self._longest_write = max(self._longest_write, len(data))
            self._owner.unread.note(self)
        else:
            self._longest_write = 0

    @property
    def held_bytes(self) -> int:
        """At most: what was written at once is held whole until the last of it is sent. Measured
        with clients that were pushed jobs of 1 MB: 107 MB were unsent, 270 MB held."""
        transport = self._transport
        unsent_bytes = 0 if transport is None else transport.get_write_buffer_size()
        return unsent_bytes and unsent_bytes + self._longest_write

    def cut(self) -> None:
        """It does not read, and that costs too much."""
        self._owner.observed.connections_rejected["does_not_read"] += 1
        self.abort()

    def close(self) -> None:
        """After what was said has been sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _item_count(message: Any) -> int:
    """What it costs, roughly: its items, 1 at least."""
    at = _LIST_AT.get(type(message))
    return 1 if at is None else max(1, len(message[at]))


def _attach_command(info: dict[str, Any]) -> commands.Attach:
    """IDENTIFY's map, checked. Raises Refusal."""
    protocol = info.get("protocol")
    if type(protocol) is not int or not PROTOCOL_VERSION_MIN <= protocol <= PROTOCOL_VERSION:
        raise Refusal(
            ErrorCode.NO_COMMON_PROTOCOL,
            f"protocol version {shown(protocol)} is not spoken here, but "
            f"{PROTOCOL_VERSION_MIN} to {PROTOCOL_VERSION}: use a client of that version",
            {"min": PROTOCOL_VERSION_MIN, "max": PROTOCOL_VERSION},
        )
    session = info.get("session")
    if type(session) is not str or not 0 < len(session) <= SESSION_ID_LENGTH_MAX:
        raise Refusal(
            ErrorCode.BAD_REQUEST,
            f"session must be 1 to {SESSION_ID_LENGTH_MAX} characters, not {shown(session)}",
        )
    leases = info.get("leases") or []
    if type(leases) is not list or not all(type(token) is int for token in leases):
        raise Refusal(ErrorCode.BAD_REQUEST, f"leases must be tokens, not {shown(leases)}")
    worker = info.get("worker") or {}
    if not isinstance(worker, dict):
        raise Refusal(ErrorCode.BAD_REQUEST, f"worker must be a map, not {shown(worker)}")
    origin = {"client": info.get("client"), **worker}
    return commands.Attach(
        session,
        str(worker.get("name", ""))[:ORIGIN_TEXT_LENGTH_MAX],
        tuple(Token(token) for token in leases),
        {str(key)[:64]: str(value)[:ORIGIN_TEXT_LENGTH_MAX] for key, value in origin.items()},
    )
