"""messages.py: messages to msgpack and back; whatever is none is refused as documented."""

from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.wire import messages as wire
from holdfast.wire.constants import ITEMS_MAX, MAP_ITEMS_MAX, ErrorCode, Op


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


# ---- every message -------------------------------------------------------------------------------

SAMPLES: dict[Any, list[Any]] = {
    int: [7],
    str: ["q"],
    bool: [True],
    bytes: [b"x"],
    wire.Map: [{"a": 1}],
    wire.Fields: [["a", 1]],
    int | None: [7, None],
    str | None: ["q", None],
    wire.Fields | None: [["a"], None],
    Any: [7, None, {"a": 1}],
}
"""By what a field is annotated with: each thing it may be."""
WRONG: dict[Any, Any] = {
    int: "7", str: 7, bool: 1, bytes: "x", wire.Map: [], wire.Fields: {}, int | None: True,
    str | None: b"q", wire.Fields | None: "a",
}  # fmt: skip
KINDS = list(wire.MESSAGES.items())


def fields_of(kind: type[wire.Message]) -> dict[str, Any]:
    return {name: kind.__annotations__[name] for name in kind._fields}


@pytest.mark.parametrize(("op", "kind"), KINDS, ids=lambda value: getattr(value, "__name__", ""))
def test_every_message_comes_out_as_it_went_in(op: int, kind: type[wire.Message]) -> None:
    for values in product(*(SAMPLES[hint] for hint in fields_of(kind).values())):
        message = kind(*values)
        frame = wire.encode(message)
        assert msgpack.unpackb(frame) == [op, *values]
        found = wire.decode(frame)
        assert (type(found), found) == (kind, message)


@pytest.mark.parametrize(("op", "kind"), KINDS, ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_missing_at_the_end_has_its_default_or_is_named(
    op: int, kind: type[wire.Message]
) -> None:
    fields = fields_of(kind)
    values = [SAMPLES[hint][0] for hint in fields.values()]
    required = len(values) - len(kind._field_defaults)
    for count in range(len(values)):
        frame = msgpack.packb([op, *values[:count]])
        if count >= required:
            assert wire.decode(frame) == kind(*values[:count])
            continue
        with pytest.raises(wire.MessageError) as refused:
            wire.decode(frame)
        name = list(fields)[count]
        assert refused.value.text == f"{kind.__name__} needs {kind._fields}; {name} is missing"
        assert refused.value.request == (7 if "request" in fields and count else None)


@pytest.mark.parametrize(("op", "kind"), KINDS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_field_of_another_type_is_named(op: int, kind: type[wire.Message]) -> None:
    fields = fields_of(kind)
    values = [SAMPLES[hint][0] for hint in fields.values()]
    for at, (name, hint) in enumerate(fields.items()):
        if hint not in WRONG:
            continue
        wrong = [*values[:at], WRONG[hint], *values[at + 1 :]]
        with pytest.raises(wire.MessageError) as refused:
            wire.decode(msgpack.packb([op, *wrong]))
        assert refused.value.code is ErrorCode.BAD_REQUEST
        assert refused.value.text.startswith(f"{kind.__name__}.{name} must be ")
        assert refused.value.text.endswith(f", not {type(WRONG[hint]).__name__}")
        expected = 7 if "request" in fields and name != "request" else None
        assert refused.value.request == expected


def test_a_field_that_may_be_nothing_says_so() -> None:
    with pytest.raises(wire.MessageError, match=r"Wait\.id must be str, not int"):
        wire.decode(msgpack.packb([Op.WAIT, 1, "q", 5]))
    with pytest.raises(wire.MessageError, match=r"Listen\.after must be int or NoneType, not str"):
        wire.decode(msgpack.packb([Op.LISTEN, 1, "q", "x"]))


@pytest.mark.parametrize(
    ("rest", "request_"), [([5], 5), ([], None), (["x"], None), ([True], None)]
)
def test_an_unknown_command_is_answered_by_its_number_where_it_has_one(
    rest: list[Any], request_: int | None
) -> None:
    with pytest.raises(wire.MessageError, match="unknown command 999") as refused:
        wire.decode(msgpack.packb([999, *rest]))
    assert refused.value.code is ErrorCode.UNKNOWN_COMMAND
    assert refused.value.request == request_


@pytest.mark.parametrize("op", [True, "16", 16.0, None])
def test_an_op_is_a_whole_number(op: object) -> None:
    with pytest.raises(wire.MessageError, match="an array that starts with an op"):
        wire.decode(msgpack.packb([op, 1, "q"]))


def test_lists_and_maps_are_bounded() -> None:
    wire.decode(msgpack.packb([Op.JOBS, [1] * ITEMS_MAX]))
    wire.decode(msgpack.packb([Op.HELLO, {str(key): 1 for key in range(MAP_ITEMS_MAX)}]))
    for array in (
        [Op.JOBS, [1] * (ITEMS_MAX + 1)],
        [Op.HELLO, {str(key): 1 for key in range(MAP_ITEMS_MAX + 1)}],
        [Op.HELLO, {1: 2}],
    ):
        with pytest.raises(wire.MessageError, match="not a msgpack frame: ") as refused:
            wire.decode(msgpack.packb(array))
        assert refused.value.code is ErrorCode.BAD_FRAME
        assert refused.value.request is None
        assert str(refused.value) == refused.value.text


def test_each_thread_packs_for_itself() -> None:
    with ThreadPoolExecutor(4) as pool:
        messages = [wire.Pause(number, "q" * number) for number in range(100)]
        assert [wire.decode(frame) for frame in pool.map(wire.encode, messages)] == messages
