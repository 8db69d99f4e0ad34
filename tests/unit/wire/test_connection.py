"""connection.py: what either side may say when, without sockets."""

from contextlib import suppress
from typing import Any

import msgpack
import pytest

from holdfast.wire import messages as wire
from holdfast.wire.connection import (
    ClientConnection,
    ConnectionState,
    ProtocolError,
    ServerConnection,
)
from holdfast.wire.constants import FRAME_BYTES_MAX, FRAME_BYTES_MAX_BEFORE_WELCOME, ErrorCode
from holdfast.wire.frames import encode_frame


def opened() -> tuple[ClientConnection, ServerConnection]:
    client, server = ClientConnection(), ServerConnection()
    client.receive(server.send(wire.Hello({})))
    server.receive(client.send(wire.Identify({})))
    client.receive(server.send(wire.Welcome({})))
    return client, server


def test_a_handshake_opens_both_sides() -> None:
    client, server = opened()
    assert (client.state, server.state) == (ConnectionState.OPEN, ConnectionState.OPEN)
    (request,) = server.receive(client.send(wire.Pause(1, "q")))
    assert request == wire.Pause(1, "q")
    assert client.receive(server.send_many([wire.Reply(1), wire.Reply(2, [3])])) == [
        wire.Reply(1),
        wire.Reply(2, [3]),
    ]


def test_nothing_but_identify_is_taken_first_and_no_large_frame() -> None:
    frame = encode_frame(wire.encode(wire.Pause(1, "q")))
    with pytest.raises(ProtocolError, match="PAUSE is not allowed here") as error:
        ServerConnection().receive(frame)
    assert error.value.code is ErrorCode.UNEXPECTED_MESSAGE
    too_large = (FRAME_BYTES_MAX_BEFORE_WELCOME + 1).to_bytes(4)
    with pytest.raises(ProtocolError) as error:
        ServerConnection().receive(too_large)
    assert error.value.code is ErrorCode.FRAME_TOO_LARGE


def test_a_client_may_not_say_what_only_a_server_says() -> None:
    _, server = opened()
    with pytest.raises(ProtocolError, match="JOBS is not allowed"):
        server.receive(encode_frame(wire.encode(wire.Jobs([]))))


def test_a_wrong_request_is_handed_out_and_the_next_one_goes_on() -> None:
    client, server = opened()
    unknown = encode_frame(msgpack.packb([99, 7, "x"]))
    wrong = encode_frame(msgpack.packb([84, 8, 5]))
    short = encode_frame(msgpack.packb([84, 9]))
    errors = server.receive(unknown + wrong + short + client.send(wire.Pause(10, "q")))
    assert [getattr(error, "request", None) for error in errors] == [7, 8, 9, 10]
    assert isinstance(errors[0], wire.MessageError)
    assert errors[0].code is ErrorCode.UNKNOWN_COMMAND
    assert "Pause.queue must be str, not int" in str(errors[1])
    assert "queue is missing" in str(errors[2])


# ---- who may say what, when ----------------------------------------------------------------------

FROM_SERVER = {
    "Hello", "Welcome", "Goaway", "Reply", "Error", "Jobs", "Revoke", "Events", "Stop"
}  # fmt: skip


def a_message(kind: type[wire.Message]) -> wire.Message:
    """Of that kind, with any values that decode."""
    samples: dict[Any, Any] = {int: 1, str: "q", bool: True, bytes: b"x", wire.Map: {}}
    samples |= {hint | None: None for hint in (int, str, wire.Fields)}
    return kind(*(samples.get(hint, []) for hint in kind.__annotations__.values()))


def state_of(connection: ClientConnection | ServerConnection) -> ConnectionState:
    """Asked anew: a type checker believes that it stays."""
    return connection.state


def names(kinds: Any) -> set[str]:
    return {kind.__name__ for kind in kinds}


def taken(connection: ClientConnection | ServerConnection) -> set[str]:
    """The names of what it would take now."""
    found = set()
    for kind in wire.MESSAGES.values():
        frame = encode_frame(wire.encode(a_message(kind)))
        probe = type(connection)()
        probe.state = connection.state
        with suppress(ProtocolError):
            probe.receive(frame)
            found.add(kind.__name__)
    return found


def test_a_server_takes_identify_then_nothing_then_what_clients_say() -> None:
    server = ServerConnection()
    assert taken(server) == {"Identify"}
    server.receive(ClientConnection().send(wire.Identify({})))
    assert state_of(server) is ConnectionState.IDENTIFIED
    assert taken(server) == set()
    server.send(wire.Hello({}))
    assert state_of(server) is ConnectionState.IDENTIFIED, "only a welcome opens it"
    server.send(wire.Welcome({}))
    assert taken(server) == names(wire.MESSAGES.values()) - FROM_SERVER - {"Identify"}


def test_a_client_takes_hello_then_welcome_then_what_servers_say() -> None:
    client = ClientConnection()
    assert taken(client) == {"Hello", "Error", "Goaway"}
    client.receive(ServerConnection().send(wire.Hello({})))
    assert state_of(client) is ConnectionState.GREETING
    client.send(wire.Identify({}))
    assert taken(client) == {"Welcome", "Error", "Goaway"}
    client.receive(ServerConnection().send(wire.Goaway({})))
    assert state_of(client) is ConnectionState.IDENTIFIED, "only a welcome opens it"
    client.receive(ServerConnection().send(wire.Welcome({})))
    assert taken(client) == FROM_SERVER - {"Hello", "Welcome"}


def test_a_server_takes_long_frames_from_its_welcome_on() -> None:
    _, server = opened()
    longest = FRAME_BYTES_MAX.to_bytes(4)
    assert server.receive(longest) == []
    with pytest.raises(ProtocolError, match="is over the limit of 4,194,304 here") as error:
        opened()[1].receive((FRAME_BYTES_MAX + 1).to_bytes(4))
    assert error.value.code is ErrorCode.FRAME_TOO_LARGE


def test_a_client_takes_long_frames_from_the_start() -> None:
    """The first jobs may come in the same bytes as the welcome."""
    assert ClientConnection().receive(FRAME_BYTES_MAX.to_bytes(4)) == []


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (bytes(4), ErrorCode.BAD_FRAME),
        (encode_frame(b"\xc1"), ErrorCode.BAD_FRAME),
        (b"GET / HTTP/1.1", ErrorCode.BAD_FRAME),
        (encode_frame(msgpack.packb([99, 1])), ErrorCode.UNEXPECTED_MESSAGE),
    ],
)
def test_a_first_frame_that_is_none_ends_the_connection(data: bytes, code: ErrorCode) -> None:
    with pytest.raises(ProtocolError) as error:
        ServerConnection().receive(data)
    assert error.value.code is code
    assert str(error.value)


def test_a_frame_that_is_none_ends_an_open_connection_too() -> None:
    _, server = opened()
    with pytest.raises(ProtocolError) as error:
        server.receive(encode_frame(msgpack.packb("text")))
    assert error.value.code is ErrorCode.BAD_FRAME
