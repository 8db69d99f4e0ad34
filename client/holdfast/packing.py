"""Data and results: what Python has, as msgpack."""

from typing import Any, Final, NamedTuple

import msgpack

from holdfast.errors import NotPackable

_PLAIN: Final = (int, float, str, bytes, bytearray, bool, type(None))
INTEGER_MIN: Final = -(2**63)
INTEGER_MAX: Final = 2**64 - 1


def pack(value: Any, name: str = "data") -> bytes:
    """Raises NotPackable with the path of the part that does not go."""
    try:
        packed: bytes = msgpack.packb(value, strict_types=False)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _culprit(value, name) or NotPackable(name, str(error)) from error
    return packed


def sendable(text: str) -> str:
    """Text of anywhere (an exception, a log line) that UTF-8 cannot carry, with ? in its places."""
    return text.encode(errors="replace").decode()


def unpack(packed: bytes | None) -> Any:
    """None for None. Keys may be anything msgpack can carry. What is no msgpack, from a client that
    puts something else into its jobs, comes as Unreadable."""
    if packed is None:
        return None
    try:
        return msgpack.unpackb(packed, strict_map_key=False)
    except Exception as error:  # msgpack raises ValueError, its subclasses, TypeError, StackError
        return Unreadable(packed, str(error) or type(error).__name__)


class Unreadable(NamedTuple):
    """Bytes that are not msgpack. why: what is wrong with them."""

    packed: bytes
    why: str


def _culprit(value: Any, path: str, depth: int = 0) -> NotPackable | None:
    """The first part that msgpack refuses."""
    if depth > 100:
        return NotPackable(path, "structure nested too deeply")
    if isinstance(value, dict):
        for key, item in value.items():
            found = _culprit(key, f"key {key!r} of {path}", depth + 1)
            found = found or _culprit(item, f"{path}[{key!r}]", depth + 1)
            if found:
                return found
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            found = _culprit(item, f"{path}[{index}]", depth + 1)
            if found:
                return found
    elif isinstance(value, int) and not INTEGER_MIN <= value <= INTEGER_MAX:
        return NotPackable(path, "number over 64 bits")
    elif isinstance(value, str) and not _is_utf8(value):
        return NotPackable(path, "str with surrogates (not UTF-8)")
    elif not isinstance(value, _PLAIN):
        return NotPackable(path, type(value).__qualname__)
    return None


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
