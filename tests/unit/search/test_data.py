"""Values inside data: bytes never rule out a payload that has them."""

import struct
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfastd.engine.model import State
from holdfastd.search.data import DataMatcher
from holdfastd.search.query import parse


def matcher(text: str) -> DataMatcher:
    return DataMatcher(list(parse(text, 0).terms))


def fits(text: str, data: Any) -> bool:
    return has(matcher(text), msgpack.packb(data))


def has(matcher: DataMatcher, payload: bytes) -> bool:
    """As a search does it: SQLite looks for the texts first."""
    return all(text in payload for text in matcher.texts) and matcher.fits(payload)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("data.a:1", {"a": 1}),
        ("data.a:1", {"a": 1.0}),
        ("data.a:1.0", {"a": 1}),
        ("data.a:1", {"a": "1"}),
        ("data.a:1", {"a": [3, 1]}),
        ("data.a:1", {"a": ["1"]}),
        ('data.a:"1"', {"a": "1"}),
        ("data.a:x,y", {"a": "y"}),
        ("data.a:x*z", {"a": "xyz"}),
        ('data.a:""', {"a": ""}),
        ("data.a:true", {"a": True}),
        ("data.a:true", {"a": "true"}),
        ("data.a:null", {"a": None}),
        ("data.a:*", {"a": None}),
        ("data.a>1.5", {"a": 2}),
        ("data.a:-3..-1", {"a": -3}),
        ("data.0:x", ["x"]),
        ("data.0:x", {"0": "x"}),
        ("data.7:x", {7: "x"}),
        ("data.a.1.b:x", {"a": [{}, {"b": "x"}]}),
        ("data.*.b:x", {"q": {"b": "x"}}),
        ("data.a.*:x", {"a": [["x"]]}),
        ("data.Grüße:ñ", {"Grüße": "ñ"}),
        ("-data.a:1", {"a": 2}),
        ("-data.a:*", {}),
        ("data.a:18446744073709551615", {"a": 2**64 - 1}),
        ("data.a:0", {"a": -0.0}),
    ],
)
def test_it_fits(text: str, data: Any) -> None:
    assert fits(text, data)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("data.a:1", {"a": True}),
        ("data.a:1", {"b": 1}),
        ("data.a:1", {"x": {"a": 1}}),
        ("data.a:1", {"a": {"a": 2}}),
        ('data.a:"1"', {"a": 1}),
        ("data.a:x", {"a": "X"}),
        ("data.a:x", {"a": "xx"}),
        ("data.a>1", {"a": 1}),
        ("data.a>1", {"a": "2"}),
        ("data.a>0", {"a": True}),
        ("data.1:x", ["x"]),
        ("data.-1:x", ["x"]),
        ("data.a:false", {"a": 0}),
        ("data.a:*", {}),
        ("-data.a:1", {"a": 1}),
        ("data.a:9007199254740993", {"a": 9007199254740992}),
    ],
)
def test_it_does_not_fit(text: str, data: Any) -> None:
    assert not fits(text, data)


@pytest.mark.parametrize(
    "payload", [b"", b"\xc1", b"\x81\xa1a", b"plain text with a 1", b"\x81\x80\x01"]
)
def test_what_is_no_msgpack_has_no_values(payload: bytes) -> None:
    assert not has(matcher("data.a:*"), payload)
    assert has(matcher("-data.a:1"), payload)


HEADS = {">B": 0xCC, ">H": 0xCD, ">I": 0xCE, ">Q": 0xCF, ">b": 0xD0, ">h": 0xD1, ">i": 0xD2}
HEADS |= {">q": 0xD3, ">f": 0xCA, ">d": 0xCB}


@pytest.mark.parametrize("form", list(HEADS))
@pytest.mark.parametrize("number", [0, 1, 42, -1, -33, 127, 128, 300, 70_000, 2**40])
def test_a_number_is_found_in_every_way_to_write_it(form: str, number: int) -> None:
    try:
        packed = bytes([HEADS[form]]) + struct.pack(form, number)
    except struct.error:
        return
    if struct.unpack(form, packed[1:])[0] == number:
        assert has(matcher(f"data.a:{number}"), b"\x81\xa1a" + packed)


@pytest.mark.parametrize("head", [b"\xa2", b"\xd9\x02", b"\xda\x00\x02", b"\xdb\x00\x00\x00\x02"])
def test_a_text_is_found_in_every_way_to_write_it(head: bytes) -> None:
    for text in ("42", '"42"', "42,x", "42,x*"):
        assert has(matcher(f"data.a:{text}"), b"\x81\xa1a" + head + b"42")


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.integers(-200, 200),
    st.floats(allow_nan=False, allow_infinity=False), st.text("ab1. \"\\*é", max_size=4),
)  # fmt: skip
KEYS = st.one_of(st.text("ab0.é ", max_size=2), st.integers(0, 3).map(str))
DATA = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)


def paths_in(data: Any) -> list[tuple[list[str], Any]]:
    """Every leaf, with its path."""
    if isinstance(data, dict | list):
        items = data.items() if isinstance(data, dict) else enumerate(data)
        return [([str(key), *path], leaf) for key, item in items for path, leaf in paths_in(item)]
    return [([], data)]


def written(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(value)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@given(st.dictionaries(KEYS, DATA, min_size=1, max_size=3))
def test_every_value_is_found_where_it_stands(data: dict[str, Any]) -> None:
    for path, leaf in paths_in(data):
        keys = ".".join(written(key) for key in path)
        assert fits(f"data.{keys}:{written(leaf)}", data)
        assert fits(f"data.{keys}:*", data)
        assert not fits(f"-data.{keys}:{written(leaf)}", data)
        assert not fits(f"data.{keys}.z:1 data.{keys}:*", {})


def test_states_are_no_data() -> None:
    """Of a twin: a matcher that fits everything would pass half of the tests above."""
    assert not fits("data.state:1", {"id": int(State.WAITING)})
