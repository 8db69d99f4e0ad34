"""frames.py: a stream of bytes, cut into frames, however it comes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.wire.frames import (
    PREFIX_BYTES,
    EmptyFrame,
    FrameDecoder,
    FrameTooLarge,
    NotOurProtocol,
    encode_frame,
    prefix_of,
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


@pytest.mark.parametrize(
    "method", ["GET", "POST", "HEAD", "PUT", "OPTIONS", "DELETE", "PATCH", "CONNECT", "TRACE"]
)
def test_every_method_of_http_is_known(method: str) -> None:
    with pytest.raises(NotOurProtocol, match="an HTTP request"):
        FrameDecoder(2**31).feed(f"{method} / HTTP/1.1".encode())


def test_other_protocols_are_named_however_their_first_bytes_come() -> None:
    decoder = FrameDecoder(2**31)
    assert [decoder.feed(byte) for byte in (b"G", b"E", b"T")] == [[], [], []]
    with pytest.raises(NotOurProtocol) as refused:
        decoder.feed(b" ")
    assert refused.value.what == "an HTTP request: HTTP has a port of its own"
    assert (
        str(refused.value)
        == f"this port speaks the Holdfast protocol, and was sent {refused.value.what}"
    )


def test_only_the_first_bytes_are_taken_for_another_protocol() -> None:
    decoder = FrameDecoder(100)
    assert decoder.feed(encode_frame(b"a")) == [b"a"]
    with pytest.raises(FrameTooLarge):
        decoder.feed(b"GET ")


@pytest.mark.parametrize(("bytes_max", "is_taken"), [(9, False), (10, True), (11, True)])
def test_a_frame_may_be_as_long_as_the_limit(bytes_max: int, is_taken: bool) -> None:
    decoder, frame = FrameDecoder(bytes_max), b"0123456789"
    if is_taken:
        assert decoder.feed(encode_frame(frame)) == [frame]
        return
    with pytest.raises(FrameTooLarge) as refused:
        decoder.feed(encode_frame(frame))
    assert (refused.value.length, refused.value.bytes_max) == (10, 9)


def test_the_limit_may_change_between_two_frames() -> None:
    decoder = FrameDecoder(1)
    assert decoder.feed(encode_frame(b"a")) == [b"a"]
    decoder.bytes_max = 3
    assert decoder.feed(encode_frame(b"abc")) == [b"abc"]


def test_an_empty_frame_says_so() -> None:
    with pytest.raises(EmptyFrame, match="a frame of 0 bytes holds no message"):
        FrameDecoder(100).feed(encode_frame(b"a") + bytes(4))


def test_a_prefix_is_the_length_in_four_bytes() -> None:
    assert (PREFIX_BYTES, prefix_of(b"x" * 258)) == (4, b"\0\0\1\2")
    assert encode_frame(b"ab") == b"\0\0\0\2ab"
