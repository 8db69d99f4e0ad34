"""Frames, messages, connections and checks, without sockets."""

import itertools
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.wire import messages as wire
from holdfast.wire.checks import Refusal, check_backoff, check_options, check_queue_name
from holdfast.wire.connection import (
    ClientConnection,
    ConnectionState,
    ProtocolError,
    ServerConnection,
)
from holdfast.wire.constants import FRAME_BYTES_MAX_BEFORE_WELCOME, ErrorCode
from holdfast.wire.frames import (
    EmptyFrame,
    FrameDecoder,
    FrameTooLarge,
    NotOurProtocol,
    encode_frame,
)

FRAMES = [b"a", b"bb" * 300, b"c" * 70_000]
STREAM = b"".join(encode_frame(frame) for frame in FRAMES)


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_frames_come_out_however_the_stream_is_cut(cuts: list[int]) -> None:
    decoder = FrameDecoder(100_000)
    edges = [0, *sorted(cuts), len(STREAM)]
    found = [
        frame
        for start, end in itertools.pairwise(edges)
        for frame in decoder.feed(STREAM[start:end])
    ]
    assert found == FRAMES


def test_a_length_over_the_limit_is_refused_before_its_body_comes() -> None:
    with pytest.raises(FrameTooLarge, match=r"4,294,967,295 bytes is over the limit of 100 here"):
        FrameDecoder(100).feed(b"\xff\xff\xff\xff")
    with pytest.raises(EmptyFrame):
        FrameDecoder(100).feed(bytes(4))


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "an HTTP request"),
        (b"POST /x HTTP/1.1\r\n", "an HTTP request"),
        (b"\x16\x03\x01\x02\x00\x01", "a TLS hello"),
    ],
)
def test_other_protocols_are_named(first: bytes, words: str) -> None:
    with pytest.raises(NotOurProtocol, match=words):
        FrameDecoder(2**31).feed(first)


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


@given(st.binary(min_size=1, max_size=200))
def test_junk_raises_nothing_but_what_is_documented(junk: bytes) -> None:
    try:
        message = wire.decode(junk)
    except wire.MessageError as error:
        allowed = {ErrorCode.BAD_FRAME, ErrorCode.BAD_REQUEST, ErrorCode.UNKNOWN_COMMAND}
        is_documented = error.code in allowed
    else:
        is_documented = wire.decode(wire.encode(message)) == message
    assert is_documented


@pytest.mark.parametrize(
    "frame",
    [
        b"\xdd\xff\xff\xff\xff",  # an array that claims 4 G elements
        b"\x91" * 2_000,  # nested beyond reason
        msgpack.packb([16, 1, "q", [[1]] * 20_000]),  # too many items
        msgpack.packb([65, msgpack.Timestamp(1)]),  # an ext type
        msgpack.packb("text"),
        msgpack.packb([]),
    ],
)
def test_bombs_and_nonsense_are_bad_frames(frame: bytes) -> None:
    with pytest.raises(wire.MessageError) as error:
        wire.decode(frame)
    assert error.value.code is ErrorCode.BAD_FRAME


def test_elements_of_a_newer_peer_are_ignored() -> None:
    assert wire.decode(msgpack.packb([84, 1, "q", "new", 5])) == wire.Pause(1, "q")


# ---- checks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "a b", "ü", "x" * 129, "a/b", 5, None, "a\n"])
def test_wrong_queue_names_are_refused(name: object) -> None:
    with pytest.raises(Refusal, match="is not allowed: use 1 to 128 of"):
        check_queue_name(name)


def test_all_options_come_out_as_they_went_in() -> None:
    backoff = {"kind": "exponential", "delay_ms": 5, "factor": 3.0, "cap_ms": 9, "jitter": "full"}
    given: dict[str, Any] = {
        "priority": -(2**31),
        "lifo": True,
        "delay_ms": 0,
        "attempts": 1,
        "max_crashes": 2,
        "backoff": backoff,
        "tags": ["eu", "ü" * 64],
    }
    assert check_options(given) == given


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prio": 1}, "unknown option 'prio': a job knows priority, lifo"),
        ({"priority": True}, "priority must be a whole number"),
        ({"lifo": 1}, "lifo must be true or false, not 1"),
        ({"run_at_ms": -1}, "run_at_ms must be a whole number from 0"),
        ({"delay_ms": 1, "run_at_ms": 1}, "exclude each other"),
        ({"tags": "eu"}, "tags must be a list of at most 20 texts, not 'eu'"),
        ({"tags": ["eu"] * 21}, "tags must be a list of at most 20 texts"),
        ({"tags": ["eu", "a,b"]}, "tags[1] must be 1 to 64 printable characters without blanks"),
        ({"tags": [""]}, "tags[0] must be"),
        ({"tags": ["a b"]}, "tags[0] must be"),
        ({"tags": ["a\u00a0b"]}, "tags[0] must be"),
        ({"tags": ["x" * 65]}, "tags[0] must be"),
        ({"tags": [7]}, "tags[0] must be"),
        ([], "options must be a map"),
    ],
)
def test_wrong_options_are_refused_with_what_is_allowed(options: Any, words: str) -> None:
    with pytest.raises(Refusal) as refusal:
        check_options(options)
    assert words in refusal.value.message


@pytest.mark.parametrize(
    ("backoff", "words"),
    [
        ({"kind": "slow"}, "must be a map with kind fixed, exponential, list"),
        ({"kind": "fixed"}, "of kind fixed needs delay_ms"),
        ({"kind": "fixed", "delay_ms": 1, "cap_ms": 2}, "'cap_ms' is not one"),
        ({"kind": "list", "delays_ms": []}, "must be a list of 1 to 100 delays"),
        ({"kind": "list", "delays_ms": [1, -1]}, "delays_ms[1] must be a whole number"),
        ({"kind": "fixed", "delay_ms": 1, "jitter": "some"}, "one of none, equal, full"),
        ({"kind": "exponential", "delay_ms": 1, "factor": 0.5}, "a number from 1 to 100"),
    ],
)
def test_wrong_backoffs_are_refused_with_what_is_allowed(backoff: Any, words: str) -> None:
    with pytest.raises(Refusal) as refusal:
        check_backoff("backoff", backoff)
    assert words in refusal.value.message
