"""Jobs' data between msgpack and JSON.

What JSON has no words for keeps its meaning: bytes are `{"$bytes": base64}`, what is no msgpack is
`{"$raw": base64}`. Whole numbers keep all their digits; readers in JavaScript must mind that.
"""

import base64
import math
from datetime import UTC, datetime
from typing import Any, Final

import msgpack

DEPTH_MAX: Final = 200
"""Deeper lists and maps are shown as `{"$raw": …}`: JSON readers give up somewhere."""


def shown(packed: bytes | None) -> Any:
    """A payload or result as JSON can carry it; None for None."""
    if packed is None:
        return None
    try:
        return _plain(msgpack.unpackb(packed, strict_map_key=False), 0)
    except Exception:  # msgpack raises ValueError, its subclasses, TypeError, StackError
        return {"$raw": _base64(packed)}


def packed(value: Any) -> bytes:
    """What JSON has carried, as a Python client would have packed it: a worker gets the same.

    Raises:
        ValueError: it cannot be packed; the text says what is wrong.
    """
    try:
        made: bytes = msgpack.packb(_unplain(value))
    except (ValueError, OverflowError, TypeError, RecursionError) as error:
        raise ValueError(f"cannot be packed: {error}") from error
    return made


def survives(payload: bytes | None) -> bool:
    """Whether a payload comes back from JSON as it was. What does not: keys that are no text,
    instants and other extensions, infinite numbers, what is no msgpack."""
    if payload is None:
        return True
    try:
        before = msgpack.unpackb(payload, strict_map_key=False)
        return bool(msgpack.unpackb(packed(shown(payload)), strict_map_key=False) == before)
    except Exception:  # as in `shown`
        return False


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):  # JSON has no words for these three
        return value if math.isfinite(value) else {"$float": repr(value)}
    if depth == DEPTH_MAX:
        raise ValueError("too deep")
    if isinstance(value, dict):
        return {_key(key): _plain(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, depth + 1) for inner in value]
    if isinstance(value, bytes):
        return {"$bytes": _base64(value)}
    if isinstance(value, msgpack.Timestamp):
        return datetime.fromtimestamp(value.to_unix(), UTC).isoformat()
    return {"$ext": [value.code, _base64(value.data)]}


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    return key.decode(errors="replace") if isinstance(key, bytes) else str(key)


def _unplain(value: Any) -> Any:
    if isinstance(value, list):
        return [_unplain(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1 and isinstance(value.get("$bytes"), str):
        return base64.b64decode(value["$bytes"], validate=True)
    return {key: _unplain(inner) for key, inner in value.items()}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
