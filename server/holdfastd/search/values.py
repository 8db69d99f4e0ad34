"""How the values of a field are read: names, texts, numbers, times, and what is in data."""

import math
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Final, NoReturn

from holdfastd.engine.model import FailReason, State
from holdfastd.search.scanning import Value, fail
from holdfastd.search.terms import (
    CONSTANTS,
    NUMBER,
    NUMBER_FIELDS,
    TIME_FIELDS,
    Between,
    Field,
    Literal,
    Pattern,
    Span,
    Test,
    number_of,
)
from holdfastd.search.times import (
    INSTANT_MS_MAX,
    INSTANT_MS_MIN,
    after,
    before,
    duration_ms,
    time_of,
)

NUMBER_MAX: Final = 2**53
"""What every language can carry."""
_STATES: Final = {state.name.lower(): state for state in State} | {
    "ready": State.WAITING,
    "scheduled": State.DELAYED,
    "running": State.ACTIVE,
    "done": State.COMPLETED,
    "dead": State.FAILED,
    "canceled": State.CANCELLED,
}
"""What others call them, too."""
_REASONS: Final = {
    reason.name.lower(): reason for reason in FailReason if reason is not FailReason.NONE
}

_NUMBER_LIKE: Final = re.compile(r"-?[0-9]{1,16}")


class Reader:
    """How the values of a field are read. Each raises QueryError."""

    def value(self, value: Value, what: str) -> Test:
        """what: the field, as it was written."""
        raise NotImplementedError

    def compared(self, operator: str, value: Value, what: str) -> Test:
        """By >, >=, < or <=."""
        fail(
            f"{what} cannot be compared", value.at,
            f"write {what}:value; numbers and times can be compared",
        )  # fmt: skip


class _Texts(Reader):
    def value(self, value: Value, what: str) -> Test:
        return value.pattern()


class _Errors(Reader):
    def value(self, value: Value, what: str) -> Test:
        return value.pattern().inside()


class _Names(Reader):
    """Of an enum."""

    def __init__(self, names: Mapping[str, State | FailReason]):
        self._names = names

    def value(self, value: Value, what: str) -> Test:
        name = value.pieces[0].lower()
        if len(value.pieces) > 1 or name not in self._names:
            near = get_close_matches(name, self._names, 1)
            guess = f"did you mean {near[0]}? There" if near else "there"
            names = ", ".join(dict.fromkeys(each.name.lower() for each in self._names.values()))
            fail(f"{what}:{value.source} is no {what}", value.at, f"{guess} are {names}")
        return self._names[name]


class _Ends(Reader):
    """Of what can be compared and has ranges: a value is a pair of its first and last number."""

    example = ""
    lowest = -NUMBER_MAX
    highest = NUMBER_MAX

    def ends(self, text: str, value: Value, what: str) -> tuple[int, int]:
        raise NotImplementedError

    def value(self, value: Value, what: str) -> Test:
        if not value.is_plain:
            self.refuse(value, what)
        if ".." not in value.source:
            return Between(*self.ends(value.source, value, what))
        low_text, high_text = value.source.split("..", 1)
        low = self.ends(low_text, value, what)[0] if low_text else None
        high = self.ends(high_text, value, what)[1] if high_text else None
        if low is None and high is None:
            self.refuse(value, what)
        if low is not None and high is not None and low > high:
            fail(f"{what}:{value.source} ends before it begins", value.at, "swap its ends")
        return Between(low, high)

    def compared(self, operator: str, value: Value, what: str) -> Test:
        if not value.is_plain:
            self.refuse(value, what)
        first, last = self.ends(value.source, value, what)
        return {
            ">": Between(min(last + 1, self.highest), None),
            ">=": Between(first, None),
            "<": Between(None, max(first - 1, self.lowest)),
            "<=": Between(None, last),
        }[operator]

    def refuse(self, value: Value, what: str) -> NoReturn:
        fail(f"{value.source} is no value of {what}", value.at, f"write {self.example}")


class _Numbers(_Ends):
    example = "a whole number or a range, as in attempts>=3 or priority:-10..10"

    def ends(self, text: str, value: Value, what: str) -> tuple[int, int]:
        if not _NUMBER_LIKE.fullmatch(text) or abs(int(text)) > NUMBER_MAX:
            self.refuse(value, what)
        return int(text), int(text)


class _Times(_Ends):
    lowest = INSTANT_MS_MIN
    highest = INSTANT_MS_MAX
    example = (
        "a day or a time in UTC, as in 2026-11-25, 2026-11-25T03:15, 2026-11-25T03:15+01:00, a "
        "range of them with .. between, today, -1h (an hour ago), or 1h (within it)"
    )

    def __init__(self, now_ms: int, *, is_ahead: bool):
        """is_ahead: the field's times are to come."""
        self._now_ms = now_ms
        self._is_ahead = is_ahead

    def ends(self, text: str, value: Value, what: str) -> tuple[int, int]:
        try:
            time = time_of(text, self._now_ms)
        except (ValueError, OverflowError) as error:
            fail(f"{text} is no time: {error}", value.at, f"write {self.example}")
        if time is None:
            self.refuse(value, what)
        return time

    def value(self, value: Value, what: str) -> Test:
        length_ms = duration_ms(value.source) if value.is_plain else None
        if length_ms is None:
            return super().value(value, what)
        if self._is_ahead:
            return Between(self._now_ms, after(self._now_ms, length_ms))
        return Between(before(self._now_ms, length_ms), self._now_ms)

    def compared(self, operator: str, value: Value, what: str) -> Test:
        if value.is_plain and duration_ms(value.source) is not None:
            sign = "+" if self._is_ahead else "-"
            fail(
                f"{what}{operator}{value.source} could mean both", value.at,
                f"write {what}:{value.source} for within it, or {what}{operator}{sign}"
                f"{value.source} for {operator} the time so far from now",
            )  # fmt: skip
        return super().compared(operator, value, what)


class Ages(_Ends):
    """How long ago a job was made; becomes a range of times, in which more is earlier."""

    example = "a duration, as in age>1h, age<30m or age:1h..2d"

    def __init__(self, now_ms: int):
        self._now_ms = now_ms

    def ends(self, text: str, value: Value, what: str) -> tuple[int, int]:
        length_ms = duration_ms(text)
        if length_ms is None:
            self.refuse(value, what)
        return length_ms, length_ms

    def value(self, value: Value, what: str) -> Test:
        if ".." not in value.source:
            self.refuse(value, what)
        return self._turned(super().value(value, what))

    def compared(self, operator: str, value: Value, what: str) -> Test:
        return self._turned(super().compared(operator, value, what))

    def _turned(self, ages: Test) -> Between:
        assert isinstance(ages, Between)
        return Between(
            None if ages.high is None else before(self._now_ms, ages.high),
            None if ages.low is None else before(self._now_ms, ages.low),
        )


class Data(Reader):
    def value(self, value: Value, what: str) -> Test:
        if not value.is_plain:
            return value.pattern()
        text = value.source
        if text in CONSTANTS or NUMBER.fullmatch(text):
            _finite(text, value)
            return Literal(text)
        low_text, dots, high_text = text.partition("..")
        if dots and (low_text or high_text) and _are_numbers(low_text, high_text):
            low, high = (_finite(end, value) if end else None for end in (low_text, high_text))
            if low is not None and high is not None and low > high:
                fail(f"{what}:{text} ends before it begins", value.at, "swap its ends")
            return Span(low, high)
        return Pattern((text,))

    def compared(self, operator: str, value: Value, what: str) -> Test:
        if not value.is_plain or not NUMBER.fullmatch(value.source):
            fail(
                f"{value.source} is no number", value.at,
                f"write {what}{operator}100, or {what}:text for a text",
            )  # fmt: skip
        number = _finite(value.source, value)
        has_end = operator.endswith("=")
        if operator[0] == ">":
            return Span(number, None, has_low=has_end)
        return Span(None, number, has_high=has_end)


def _are_numbers(*texts: str) -> bool:
    return all(not text or NUMBER.fullmatch(text) for text in texts)


def _finite(text: str, value: Value) -> int | float:
    if text in CONSTANTS:
        return 0
    number = number_of(text)
    if abs(number) >= 2**64 if isinstance(number, int) else math.isinf(number):
        fail(f"{text} is too large a number", value.at, "no job's data can have it")
    return number


_READERS: Final[dict[Field, Callable[[int], Reader]]] = {
    Field.STATE: lambda now_ms: _Names(_STATES),
    Field.REASON: lambda now_ms: _Names(_REASONS),
    Field.ERROR: lambda now_ms: _Errors(),
    Field.DUE: lambda now_ms: _Times(now_ms, is_ahead=True),
}


def reader_of(field: Field, now_ms: int) -> Reader:
    if field in _READERS:
        return _READERS[field](now_ms)
    if field in NUMBER_FIELDS:
        return _Numbers()
    if field in TIME_FIELDS:
        return _Times(now_ms, is_ahead=False)
    return _Texts()
