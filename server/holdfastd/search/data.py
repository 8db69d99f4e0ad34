"""Values inside a job's data: whether a payload has one, and bytes that it must contain if so.

A payload is msgpack, or whatever a client put there: what cannot be read has no values. Reading one
takes some microseconds, so most are ruled out by their bytes first: the last key of the path and
the value behind it, in every way that msgpack has to write it.
"""

import re
import struct
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgpack

from holdfastd.search.terms import Literal, Pattern, Span, Term, Test

UNREADABLE: Final = object()
"""In place of data that is no msgpack."""


class DataMatcher:
    """All terms of a query about data."""

    def __init__(self, terms: list[Term]):
        self._terms = terms
        self._hints = [hint for term in terms if not term.is_negated for hint in _hints_of(term)]
        self.texts = [text for hint in self._hints if (text := hint.text)]
        """Bytes that each payload that fits contains; SQLite looks for them."""
        self._may_fit = [hint.search for hint in self._hints if hint.search is not None]

    def fits(self, payload: bytes) -> bool:
        if not all(search(payload) for search in self._may_fit):
            return False
        data = unpacked(payload)
        return all(_has(data, term) is not term.is_negated for term in self._terms)


def unpacked(payload: bytes) -> Any:
    try:
        return msgpack.unpackb(payload, strict_map_key=False)
    except Exception:  # ValueError, its subclasses, TypeError (a map as a key), StackError
        return UNREADABLE


def _has(data: Any, term: Term) -> bool:
    fits = [_fitting(test) for test in term.tests]
    return any(fit(value) for value in _values(data, term.path) for fit in fits)


def _values(data: Any, path: tuple[str | None, ...]) -> Iterator[Any]:
    """What stands at the end of a path; of a list also its elements, since `data.tags:eu` is meant
    to find it among several."""
    if path:
        for inner in _inside(data, path[0]):
            yield from _values(inner, path[1:])
    elif data is not UNREADABLE:
        yield data
        if isinstance(data, list):
            yield from data


def _inside(data: Any, key: str | None) -> Iterator[Any]:
    if isinstance(data, dict):
        if key is None:
            yield from data.values()
        elif key in data:
            yield data[key]
        elif _INDEX.fullmatch(key) and int(key) in data:
            yield data[int(key)]
    elif isinstance(data, list):
        if key is None:
            yield from data
        elif _INDEX.fullmatch(key) and int(key) < len(data):
            yield data[int(key)]


_INDEX: Final = re.compile("0|[1-9][0-9]{0,17}")


# ---- one value -----------------------------------------------------------------------------------


def _fitting(test: Test) -> Callable[[Any], bool]:
    if isinstance(test, Literal):
        return _literal(test)
    if isinstance(test, Span):
        return lambda value: _is_number(value) and _is_within(value, test)
    if isinstance(test, Pattern):
        if test.pieces == ("", ""):
            return lambda value: True  # whatever it is, it is there
        return lambda value: isinstance(value, str) and test.fits(value)
    raise AssertionError(f"{test} is no test of data")


def _literal(test: Literal) -> Callable[[Any], bool]:
    wanted = test.value
    if wanted is None or isinstance(wanted, bool):
        return lambda value: value is wanted or value == test.text
    return lambda value: value == test.text or (_is_number(value) and value == wanted)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_within(value: Any, span: Span) -> bool:
    low, high = span.low, span.high
    is_over = low is None or value > low or (span.has_low and value == low)
    is_under = high is None or value < high or (span.has_high and value == high)
    return is_over and is_under


# ---- bytes ---------------------------------------------------------------------------------------


class _Hint:
    """text: bytes that must be somewhere in it. search: tells whether it may fit. None = any."""

    def __init__(self, text: bytes | None = None, search: Callable[[bytes], object] | None = None):
        self.text = text
        self.search = search


def _hints_of(term: Term) -> Iterator[_Hint]:
    """Keys that are digits may be indexes or numbers, which stand nowhere as text."""
    keys = [key for key in term.path if key and not _INDEX.fullmatch(key)]
    for key in keys:
        yield _Hint(text=key.encode())
    exact = [
        test.prefix.encode() for test in term.tests if isinstance(test, Pattern) and test.is_exact
    ]
    if len(exact) == len(term.tests) == 1 and exact[0]:
        yield _Hint(text=exact[0])
    elif keys and term.path[-1] == keys[-1]:
        behind = [ways for test in term.tests if (ways := _ways_to_pack(test))]
        if len(behind) == len(term.tests):
            yield _Hint(search=_key_and_value(keys[-1], b"|".join(behind)))


def _key_and_value(key: str, ways: bytes) -> Callable[[bytes], object]:
    """Of a list (its first byte is known) every element may be the value: it is read."""
    lists = rb"[\x90-\x9f\xdc\xdd]"
    return re.compile(
        re.escape(key.encode()) + b"(?:" + ways + b"|" + lists + b")", re.DOTALL
    ).search


def _ways_to_pack(test: Test) -> bytes:
    """A regular expression for the beginning of each; empty = there are too many."""
    if isinstance(test, Pattern) and test.is_exact:
        return _text(test.prefix)
    if not isinstance(test, Literal):
        return b""
    value = test.value
    if value is None or isinstance(value, bool):
        constant = {None: b"\\xc0", False: b"\\xc2", True: b"\\xc3"}[value]
        return constant + b"|" + _text(test.text)
    return b"|".join([_text(test.text), *map(re.escape, _numbers(value))])


def _text(text: str) -> bytes:
    """As str or, of old encoders, as raw bytes of the same code: any head, then the text."""
    packed = text.encode()
    return rb"(?:[\xa0-\xbf]|\xd9.|\xda..|\xdb....)" + re.escape(packed)


_INTEGERS: Final = (
    (b"\xcc", ">B"), (b"\xcd", ">H"), (b"\xce", ">I"), (b"\xcf", ">Q"),
    (b"\xd0", ">b"), (b"\xd1", ">h"), (b"\xd2", ">i"), (b"\xd3", ">q"),
)  # fmt: skip
_FLOATS: Final = ((b"\xca", ">f"), (b"\xcb", ">d"))


def _numbers(value: int | float) -> Iterator[bytes]:
    """An encoder need not take the shortest, and one of another language may take a float."""
    whole = int(value)
    if whole == value:
        if -32 <= whole <= 127:
            yield struct.pack(">B", whole & 0xFF)
        for head, form in _INTEGERS:
            try:
                yield head + struct.pack(form, whole)
            except struct.error:
                continue
    for head, form in _FLOATS:
        try:
            packed = struct.pack(form, value)
        except OverflowError:
            continue
        if struct.unpack(form, packed)[0] == value:
            yield head + packed
    if value == 0:
        yield from (head + struct.pack(form, -0.0) for head, form in _FLOATS)
