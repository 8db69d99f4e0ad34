"""One connection without its socket: bytes in, messages out, for either side.

States: the server says HELLO, the client answers IDENTIFY, the server WELCOME (or ERROR); from then
on the connection is open. What a side may receive in a state stands in one table; anything else is
a ProtocolError, after which the connection is of no more use. A request that is wrong in itself
comes out as a MessageError among the messages, so that it can be answered and the rest goes on.
"""

from collections.abc import Iterable
from enum import Enum, auto
from typing import Final, TypeAlias

from holdfast.wire.constants import (
    FRAME_BYTES_MAX,
    FRAME_BYTES_MAX_BEFORE_WELCOME,
    ErrorCode,
)
from holdfast.wire.frames import EmptyFrame, FrameDecoder, FrameError, FrameTooLarge, prefix_of
from holdfast.wire.messages import (
    MESSAGES,
    Error,
    Events,
    Goaway,
    Hello,
    Identify,
    Jobs,
    Message,
    MessageError,
    Reply,
    Revoke,
    Stop,
    Welcome,
    decode,
    encode,
    name_of,
)

Received: TypeAlias = list[Message | MessageError]


class ProtocolError(Exception):
    """The peer broke the protocol; the connection must be closed. code: one of 1xx."""

    def __init__(self, code: ErrorCode, text: str):
        self.code = code
        super().__init__(text)


class ConnectionState(Enum):
    GREETING = auto()
    """Nothing came yet: a client waits for HELLO, a server for IDENTIFY."""
    IDENTIFIED = auto()
    """IDENTIFY is on its way; WELCOME is not."""
    OPEN = auto()


_FROM_SERVER: Final = frozenset({Hello, Welcome, Goaway, Reply, Error, Jobs, Revoke, Events, Stop})
_FROM_CLIENT: Final = frozenset(MESSAGES.values()) - _FROM_SERVER

SERVER_MAY_RECEIVE: Final[dict[ConnectionState, frozenset[type[Message]]]] = {
    ConnectionState.GREETING: frozenset({Identify}),
    ConnectionState.IDENTIFIED: frozenset(),
    ConnectionState.OPEN: _FROM_CLIENT - {Identify},
}
CLIENT_MAY_RECEIVE: Final[dict[ConnectionState, frozenset[type[Message]]]] = {
    ConnectionState.GREETING: frozenset({Hello, Error, Goaway}),
    ConnectionState.IDENTIFIED: frozenset({Welcome, Error, Goaway}),
    ConnectionState.OPEN: _FROM_SERVER - {Hello, Welcome},
}


class _Connection:
    """What both sides share. Subclasses say what moves them on."""

    MAY_RECEIVE: dict[ConnectionState, frozenset[type[Message]]]

    def __init__(self, bytes_max: int):
        """bytes_max: longest frame accepted for now."""
        self.state = ConnectionState.GREETING
        self._decoder = FrameDecoder(bytes_max)

    def receive(self, data: bytes) -> Received:
        """Messages that are complete now, and requests that are wrong in themselves, in order.

        Raises:
            ProtocolError: what came before in the same bytes is lost with it; close.
        """
        try:
            frames = self._decoder.feed(data)
        except FrameTooLarge as error:
            raise ProtocolError(ErrorCode.FRAME_TOO_LARGE, str(error)) from error
        except FrameError as error:
            raise ProtocolError(ErrorCode.BAD_FRAME, str(error)) from error
        received: Received = []
        for frame in frames:
            message = self._decode(frame)
            if not isinstance(message, MessageError):
                self._check(message)
                self._received(message)
            received.append(message)
        return received

    def _decode(self, frame: bytes) -> Message | MessageError:
        try:
            return decode(frame)
        except MessageError as error:
            if error.code // 100 == 1:
                raise ProtocolError(error.code, error.text) from error
            if self.state is not ConnectionState.OPEN:
                raise ProtocolError(ErrorCode.UNEXPECTED_MESSAGE, error.text) from error
            return error

    def _check(self, message: Message) -> None:
        if type(message) not in self.MAY_RECEIVE[self.state]:
            raise ProtocolError(
                ErrorCode.UNEXPECTED_MESSAGE,
                f"{name_of(type(message))} is not allowed here: the connection is "
                f"{self.state.name.lower()}",
            )

    def send(self, message: Message) -> bytes:
        """The frame of one message."""
        return self.send_many([message])

    def send_many(self, messages: Iterable[Message]) -> bytes:
        """The frames of several messages, to be written at once."""
        pieces: list[bytes] = []
        for message in messages:
            self._sent(message)
            body = encode(message)
            pieces += (prefix_of(body), body)
        return b"".join(pieces)

    def _received(self, message: Message) -> None:
        raise NotImplementedError

    def _sent(self, message: Message) -> None:
        raise NotImplementedError


class ServerConnection(_Connection):
    MAY_RECEIVE = SERVER_MAY_RECEIVE

    def __init__(self) -> None:
        super().__init__(FRAME_BYTES_MAX_BEFORE_WELCOME)

    def _received(self, message: Message) -> None:
        if self.state is ConnectionState.GREETING:
            self.state = ConnectionState.IDENTIFIED

    def _sent(self, message: Message) -> None:
        if type(message) is Welcome:
            self.state = ConnectionState.OPEN
            self._decoder.bytes_max = FRAME_BYTES_MAX


class ClientConnection(_Connection):
    MAY_RECEIVE = CLIENT_MAY_RECEIVE

    def __init__(self) -> None:
        # In full from the start: the first jobs may come in the same bytes as WELCOME.
        super().__init__(FRAME_BYTES_MAX)

    def _received(self, message: Message) -> None:
        if type(message) is Welcome:
            self.state = ConnectionState.OPEN

    def _sent(self, message: Message) -> None:
        if type(message) is Identify:
            self.state = ConnectionState.IDENTIFIED


__all__ = [
    "CLIENT_MAY_RECEIVE",
    "SERVER_MAY_RECEIVE",
    "ClientConnection",
    "ConnectionState",
    "EmptyFrame",
    "ProtocolError",
    "Received",
    "ServerConnection",
]
