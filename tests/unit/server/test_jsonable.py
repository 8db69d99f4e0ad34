"""Jobs' data between msgpack and JSON: what a worker gets, what a page shows."""

import json
from typing import Any

import msgpack
import pytest

from holdfastd.web.jsonable import DEPTH_MAX, packed, shown


@pytest.mark.parametrize(
    "value",
    [None, True, 0, 2**63, -(2**63), 1.5, "ä", [], {}, [1, [2, {"a": None}]], {"a": {"b": [1]}}],
    ids=repr,
)
def test_what_json_knows_comes_back_as_it_was(value: Any) -> None:
    assert shown(packed(value)) == value
    assert msgpack.unpackb(packed(value)) == value
    assert json.loads(json.dumps(shown(packed(value)))) == value


def test_bytes_are_marked_and_come_back() -> None:
    told = shown(msgpack.packb({"raw": b"\x00\xff"}))
    assert told == {"raw": {"$bytes": "AP8="}}
    assert packed(told) == msgpack.packb({"raw": b"\x00\xff"})
    with pytest.raises(ValueError, match="cannot be packed"):
        packed({"$bytes": "not base64"})
    assert shown(packed({"$bytes": "AP8=", "more": 1})) == {"$bytes": "AP8=", "more": 1}


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_numbers_that_json_lacks_are_marked(number: float) -> None:
    assert shown(msgpack.packb(number)) == {"$float": repr(number)}


def test_keys_that_are_no_texts_become_texts() -> None:
    told = shown(msgpack.packb({1: "a", b"k": "b", None: "c"}))
    assert told == {"1": "a", "k": "b", "None": "c"}


def test_what_is_no_msgpack_is_shown_raw() -> None:
    assert shown(b"\xc1") == {"$raw": "wQ=="}
    assert shown(msgpack.packb(1) + b"\x01") == {"$raw": "AQE="}
    assert shown(None) is None


def test_deep_data_is_shown_raw_and_too_deep_data_is_refused() -> None:
    deep: Any = 1
    for _ in range(DEPTH_MAX - 1):
        deep = [deep]
    assert shown(packed(deep)) == deep
    assert set(shown(packed([[deep]]))) == {"$raw"}
    for _ in range(20_000):
        deep = [deep]
    with pytest.raises(ValueError, match="cannot be packed"):
        packed(deep)
