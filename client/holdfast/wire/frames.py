"""Frames: a 4-byte big-endian length, then so many bytes. protocol.md, section Frames."""

from struct import Struct
from typing import Final

_LENGTH: Final = Struct("!I")
PREFIX_BYTES: Final = _LENGTH.size

_HTTP_METHODS: Final = (
    b"GET ",
    b"POST",
    b"HEAD",
    b"PUT ",
    b"OPTI",
    b"DELE",
    b"PATC",
    b"CONN",
    b"TRAC",
)
_TLS_HELLO: Final = b"\x16\x03"
"""Content type handshake, major version 3 (RFC 8446, section 5.1)."""


class FrameError(Exception):
    """Bytes that are no frames; nothing after them can be understood."""


class FrameTooLarge(FrameError):
    """Attributes: length and bytes_max, in bytes."""

    def __init__(self, length: int, bytes_max: int):
        self.length = length
        self.bytes_max = bytes_max
        super().__init__(f"a frame of {length:,} bytes is over the limit of {bytes_max:,} here")


class EmptyFrame(FrameError):
    def __init__(self) -> None:
        super().__init__("a frame of 0 bytes holds no message")


class NotOurProtocol(FrameError):
    """The first bytes are those of another protocol. Attribute: what, such as "a TLS hello"."""

    def __init__(self, what: str):
        self.what = what
        super().__init__(f"this port speaks the Holdfast protocol, and was sent {what}")


def prefix_of(body: bytes) -> bytes:
    """What goes in front of a body (1 byte at least) to make it a frame."""
    return _LENGTH.pack(len(body))


def encode_frame(body: bytes) -> bytes:
    """The body (1 byte at least) with its length in front."""
    return prefix_of(body) + body


class FrameDecoder:
    """Cuts a stream of bytes, in whatever pieces it comes, into frames.

    Attributes:
        bytes_max: longest body accepted; may be changed between two calls of `feed`.
    """

    def __init__(self, bytes_max: int):
        self.bytes_max = bytes_max
        self._buffer = bytearray()
        self._is_first = True

    def feed(self, data: bytes) -> list[bytes]:
        """The bodies of the frames that are complete now, in order.

        Raises:
            FrameTooLarge, EmptyFrame: as soon as the length has been read, before its body is kept.
            NotOurProtocol: an HTTP request or a TLS hello as the very first bytes.
        """
        buffer = self._buffer
        buffer += data
        if self._is_first and len(buffer) >= PREFIX_BYTES:
            _refuse_other_protocols(bytes(buffer[:PREFIX_BYTES]))
            self._is_first = False
        with memoryview(buffer) as view:
            frames, stop = self._cut(view)
        del buffer[:stop]
        return frames

    def _cut(self, view: memoryview) -> tuple[list[bytes], int]:
        """The complete frames, and where the incomplete rest starts."""
        frames: list[bytes] = []
        start, last_start = 0, len(view) - PREFIX_BYTES
        length_at, bytes_max = _LENGTH.unpack_from, self.bytes_max
        while start <= last_start:
            (length,) = length_at(view, start)
            if not 0 < length <= bytes_max:
                raise FrameTooLarge(length, bytes_max) if length else EmptyFrame
            stop = start + PREFIX_BYTES + length
            if stop > len(view):
                break
            frames.append(bytes(view[start + PREFIX_BYTES : stop]))
            start = stop
        return frames, start


def _refuse_other_protocols(first: bytes) -> None:
    if first in _HTTP_METHODS:
        raise NotOurProtocol("an HTTP request: HTTP has a port of its own")
    if first.startswith(_TLS_HELLO):
        raise NotOurProtocol("a TLS hello: it does not speak TLS, use holdfast://")
