"""Frames that are almost right: golden ones with bytes or values changed."""

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgpack

from holdfast.wire.frames import PREFIX_BYTES, encode_frame

_PROTOCOL: Final = (Path(__file__).parents[2] / "protocol.md").read_text()
GOLDEN: Final[dict[str, bytes]] = {
    name: bytes.fromhex(data)
    for name, data in re.findall(
        r"^([A-Z]+): ([0-9a-f]+)$", _PROTOCOL[_PROTOCOL.index("```golden") :], re.MULTILINE
    )
}
"""By name, with their lengths."""

_ODD: Final[tuple[Callable[[], Any], ...]] = (
    lambda: None,
    lambda: True,
    lambda: -1,
    lambda: 0,
    lambda: 1,
    lambda: 2**31,
    lambda: 2**53 + 1,
    lambda: 2**64 - 1,
    lambda: -(2**63),
    lambda: 1.5,
    lambda: float("nan"),
    lambda: float("inf"),
    lambda: "",
    lambda: "mail",
    lambda: "a b\n\x00",
    lambda: "x" * 300,
    lambda: b"",
    lambda: b"0123456789abcdef",
    list,
    dict,
    lambda: [[[[[]]]]],
    lambda: {"kind": "list", "delays_ms": [0]},
    lambda: ["mail"],
    lambda: [["mail"]],
)


def mutated(frame: bytes, rng: random.Random) -> bytes:
    """Of whole frames: its length is always right, so that what follows can be read."""
    body = frame[PREFIX_BYTES:]
    if rng.random() < 0.5:
        return encode_frame(_with_other_bytes(body, rng) or b"\xc0")
    value = msgpack.unpackb(body, strict_map_key=False)
    for _ in range(rng.randint(1, 2)):
        value = _with_other_value(value, rng)
    return encode_frame(msgpack.packb(value))


def _with_other_bytes(body: bytes, rng: random.Random) -> bytes:
    data = bytearray(body)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data)) if data else 0
        match rng.randrange(4):
            case 0 if data:
                data[at] ^= 1 << rng.randrange(8)
            case 1 if data:
                data[at] = rng.randrange(256)
            case 2:
                data[at:at] = rng.randbytes(rng.randint(1, 4))
            case _:
                del data[at : at + rng.randint(1, 4)]
    return bytes(data)


def _with_other_value(value: Any, rng: random.Random) -> Any:
    """Somewhere in it, something else."""
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        match rng.randrange(8):
            case 0:
                return value[:at]
            case 1:
                return [*value, value[at]]
            case _:
                return [*value[:at], _with_other_value(value[at], rng), *value[at + 1 :]]
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        if rng.randrange(4):
            return {**value, key: _with_other_value(value[key], rng)}
        return {**value, "strange": rng.choice(_ODD)()}
    return rng.choice(_ODD)()
