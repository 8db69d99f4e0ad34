"""The language in which jobs are searched for: text to a Query. Pure; docs/search.md tells of it.

    state:failed queue:mail,sms -name:test_* error:"timed out" attempts>=3 created:today
    data.user_id:42 data.total>100 data.items.*.sku:"A 7" age>1h welcome

Terms stand between blanks and must all hold. A term is `field:value`, `field:a,b` (any of them),
`field>number`, `field:low..high`, or a bare word; `-` before it means not. `*` in a text stands for
any characters, except in quotes. Whatever the text, parsing raises nothing but QueryError, which
says where and what to do.
"""

import math
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from enum import Enum
from typing import Final, NamedTuple, NoReturn, TypeVar

from holdfastd.engine.model import FailReason, State
from holdfastd.search.terms import (
    CONSTANTS,
    NUMBER,
    NUMBER_FIELDS,
    OPERATORS,
    TIME_FIELDS,
    Between,
    Field,
    Literal,
    Pattern,
    Query,
    Span,
    Term,
    Test,
    number_of,
    quoted,
    term,
)
from holdfastd.search.times import (
    INSTANT_MS_MAX,
    INSTANT_MS_MIN,
    after,
    before,
    duration_ms,
    time_of,
)

__all__ = ["Field", "Query", "QueryError", "parse", "quoted", "term"]

QUERY_LENGTH_MAX: Final = 4_000
"""Characters, also of the canonical text. An address line holds as many; arbitrary."""
TERMS_MAX: Final = 50
VALUES_MAX: Final = 100
"""Of one term. Both arbitrary."""
NUMBER_MAX: Final = 2**53
"""What every language can carry."""

_ALIASES: Final = {"task": Field.NAME, "job": Field.ID, "tags": Field.TAG, "queues": Field.QUEUE}
_FIELDS: Final = {field.value: field for field in Field if field is not Field.WORD} | _ALIASES
_AGE: Final = "age"
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

_BLANK: Final = re.compile(r"\s*")
_HEAD: Final = re.compile(r"([A-Za-z_]+)(?=[:=<>])")
_OPERATOR: Final = re.compile(r":?(>=|<=|>|<)|[:=]")
_BARE: Final = re.compile(r'[^\s",*]+')
_BARE_IN_WORD: Final = re.compile(r'[^\s"*]+')
_BARE_KEY: Final = re.compile(r'[^\s".:=<>*]+')
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_NUMBER_LIKE: Final = re.compile(r"-?[0-9]{1,16}")
E = TypeVar("E", bound=Enum)


class QueryError(Exception):
    """Attributes:
    text: what is wrong, with the value. advice: what to do. at: index of the character in the
    query where it is.
    """

    def __init__(self, text: str, at: int, advice: str):
        self.text = text
        self.at = at
        self.advice = advice
        super().__init__(f"{text}: {advice}")


def parse(text: str, now_ms: int) -> Query:
    """The query of a text; blank = all jobs.

    Args:
        now_ms: what `1h`, `today` and `age` are reckoned from.

    Raises:
        QueryError: it is none.
    """
    _check_text(text)
    scanner = _Scanner(text)
    terms: list[Term] = []
    while scanner.skip_blanks():
        if len(terms) == TERMS_MAX:
            _fail(f"there are more than {TERMS_MAX} terms", scanner.at, "leave some out")
        found = _term(scanner, now_ms)
        if found not in terms:
            terms.append(found)
    query = Query(tuple(terms))
    _check_length(str(query))
    return query


def _fail(text: str, at: int, advice: str) -> NoReturn:
    raise QueryError(text, at, advice)


def _check_length(text: str) -> None:
    if len(text) > QUERY_LENGTH_MAX:
        _fail(
            f"the query has {len(text):,} characters, written out", 0,
            f"use at most {QUERY_LENGTH_MAX:,}",
        )  # fmt: skip


def _check_text(text: str) -> None:
    _check_length(text)
    for at, character in enumerate(text):
        if character == "\0" or "\ud800" <= character <= "\udfff":
            _fail(f"character {ord(character):#x} is in no job", at, "leave it out")


# ---- characters ----------------------------------------------------------------------------------


class _Value(NamedTuple):
    """One value as it is written."""

    source: str
    at: int
    pieces: tuple[str, ...]
    """Between the stars."""
    has_quotes: bool

    @property
    def is_plain(self) -> bool:
        """Neither stars nor quotes: it may be a number, a time, a name."""
        return len(self.pieces) == 1 and not self.has_quotes

    def pattern(self) -> Pattern:
        first, *rest = self.pieces
        if not rest:
            return Pattern((first,))
        *middle, last = rest
        return Pattern((first, *filter(None, middle), last))


class _Scanner:
    def __init__(self, text: str):
        self.text = text
        self.at = 0

    def skip_blanks(self) -> bool:
        """Whether there is more."""
        self.take(_BLANK)
        return self.at < len(self.text)

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
        return found

    def takes(self, character: str) -> bool:
        is_there = self.text.startswith(character, self.at)
        self.at += is_there
        return is_there

    def value(self, bare: re.Pattern[str]) -> _Value:
        """Bare and quoted pieces and stars, up to what is none of them; it may be empty."""
        start = self.at
        pieces, has_quotes = [""], False
        while self.at < len(self.text):
            if self.takes("*"):
                pieces.append("")
            elif self.text[self.at] == '"':
                pieces[-1] += self.in_quotes()
                has_quotes = True
            elif (found := self.take(bare)) is not None:
                pieces[-1] += found[0]
            else:
                break
        return _Value(self.text[start : self.at], start, tuple(pieces), has_quotes)

    def in_quotes(self) -> str:
        start = self.at
        found = self.take(_QUOTED)
        if found is None:
            _fail('the " is not closed', start, 'end the text with "; \\" stands for one inside')
        return re.sub(r"\\(.)", r"\1", found[1], flags=re.DOTALL)


# ---- terms ---------------------------------------------------------------------------------------


def _term(scanner: _Scanner, now_ms: int) -> Term:
    start = scanner.at
    is_negated = scanner.takes("-")
    if scanner.text.startswith("data.", scanner.at):
        return _data_term(scanner, start, is_negated)
    head = scanner.take(_HEAD)
    if head is None:
        return _word_term(scanner, start, is_negated)
    name = head[1].lower()
    if name == _AGE:
        return Term(Field.CREATED, _any_of(scanner, start, _Ages(now_ms)), is_negated)
    field = _field(name, head)
    if field is Field.DATA:
        _fail("data: has no path", start, "say which value, as in data.user_id:42")
    return Term(field, _any_of(scanner, start, _reader_of(field, now_ms)), is_negated)


def _field(name: str, head: re.Match[str]) -> Field:
    if name in _FIELDS:
        return _FIELDS[name]
    near = get_close_matches(name, [*_FIELDS, _AGE], 1)
    guess = f"did you mean {near[0]}? " if near else ""
    fields = ", ".join(field.value for field in Field if field is not Field.WORD)
    _fail(
        f"{head[1]} is no field", head.start(),
        f'{guess}Fields are {fields}, {_AGE}; to look for the word itself, put it in "quotes"',
    )  # fmt: skip


def _word_term(scanner: _Scanner, start: int, is_negated: bool) -> Term:
    value = scanner.value(_BARE_IN_WORD)
    if not value.source:
        _fail("- stands alone", start, "write the term right behind it, as in -state:completed")
    if value.is_plain and value.source in OPERATORS:
        _fail(
            f"{value.source} is no operator", value.at,
            "terms must all hold, a,b is any of them, -term is not; put the word in quotes to look "
            "for it",
        )  # fmt: skip
    pattern = value.pattern()
    if not any(pattern.pieces):
        _fail("the word is empty", value.at, "write some of the id or the name")
    return Term(Field.WORD, (_inside(pattern),), is_negated)


def _inside(pattern: Pattern) -> Pattern:
    """It is looked for anywhere: stars at its ends say nothing."""
    pieces = tuple(filter(None, pattern.pieces))
    return Pattern(pieces or ("", ""))


def _data_term(scanner: _Scanner, start: int, is_negated: bool) -> Term:
    scanner.at += len("data")
    path: list[str | None] = []
    while scanner.takes("."):
        path.append(_key(scanner))
    if scanner.at >= len(scanner.text) or scanner.text[scanner.at] not in ":=<>":
        _fail(
            f"{scanner.text[start : scanner.at]} is not followed by : or a comparison", start,
            'write data.user_id:42, data.total>100, or data.note:* for any value; put a key that '
            'has other characters in quotes, as in data."a b":1',
        )  # fmt: skip
    return Term(Field.DATA, _any_of(scanner, start, _Data()), is_negated, tuple(path))


def _key(scanner: _Scanner) -> str | None:
    if scanner.takes("*"):
        return None
    if scanner.text.startswith('"', scanner.at):
        return scanner.in_quotes()
    found = scanner.take(_BARE_KEY)
    if found is None:
        _fail("the path has an empty key", scanner.at, 'write data.user.city:Oslo; "" is that key')
    return found[0]


class _Reader:
    """How the values of a field are read. Each raises QueryError."""

    def value(self, value: _Value, what: str) -> Test:
        """what: the field, as it was written."""
        raise NotImplementedError

    def compared(self, operator: str, value: _Value, what: str) -> Test:
        """By >, >=, < or <=."""
        _fail(
            f"{what} cannot be compared", value.at,
            f"write {what}:value; numbers and times can be compared",
        )  # fmt: skip


def _any_of(scanner: _Scanner, start: int, reader: _Reader) -> tuple[Test, ...]:
    """The values behind a field's name."""
    what = scanner.text[start : scanner.at].lstrip("-")
    operator = scanner.take(_OPERATOR)
    assert operator is not None, "what stands here was looked at"
    tests: list[Test] = []
    while not tests or scanner.takes(","):
        value = scanner.value(_BARE)
        if not value.source:
            _fail(
                f"{what}{operator[0]} has no value", scanner.at, 'write one; "" is the empty text'
            )
        if len(tests) == VALUES_MAX:
            _fail(f"{what} has more than {VALUES_MAX} values", value.at, "leave some out")
        if operator[1]:
            if tests:
                _fail(f"{operator[1]} takes one value", value.at, f"write {what}:a,b for several")
            test = reader.compared(operator[1], value, what)
        else:
            test = reader.value(value, what)
        if test not in tests:
            tests.append(test)
    return tuple(tests)


# ---- values --------------------------------------------------------------------------------------


class _Texts(_Reader):
    def value(self, value: _Value, what: str) -> Test:
        return value.pattern()


class _Errors(_Reader):
    def value(self, value: _Value, what: str) -> Test:
        return _inside(value.pattern())


class _Names(_Reader):
    """Of an enum."""

    def __init__(self, names: Mapping[str, State | FailReason]):
        self._names = names

    def value(self, value: _Value, what: str) -> Test:
        name = value.pieces[0].lower()
        if len(value.pieces) == 1 and name in self._names:
            return self._names[name]
        near = get_close_matches(name, self._names, 1)
        guess = f"did you mean {near[0]}? " if near else ""
        names = ", ".join(dict.fromkeys(each.name.lower() for each in self._names.values()))
        _fail(f"{what}:{value.source} is no {what}", value.at, f"{guess}There are {names}")


class _Ends(_Reader):
    """Of what can be compared and has ranges: a value is a pair of its first and last number."""

    example = ""
    lowest = -NUMBER_MAX
    highest = NUMBER_MAX

    def ends(self, text: str, value: _Value, what: str) -> tuple[int, int]:
        raise NotImplementedError

    def value(self, value: _Value, what: str) -> Test:
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
            _fail(f"{what}:{value.source} ends before it begins", value.at, "swap its ends")
        return Between(low, high)

    def compared(self, operator: str, value: _Value, what: str) -> Test:
        if not value.is_plain:
            self.refuse(value, what)
        first, last = self.ends(value.source, value, what)
        return {
            ">": Between(min(last + 1, self.highest), None),
            ">=": Between(first, None),
            "<": Between(None, max(first - 1, self.lowest)),
            "<=": Between(None, last),
        }[operator]

    def refuse(self, value: _Value, what: str) -> NoReturn:
        _fail(f"{value.source} is no value of {what}", value.at, f"write {self.example}")


class _Numbers(_Ends):
    example = "a whole number or a range, as in attempts>=3 or priority:-10..10"

    def ends(self, text: str, value: _Value, what: str) -> tuple[int, int]:
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

    def ends(self, text: str, value: _Value, what: str) -> tuple[int, int]:
        try:
            time = time_of(text, self._now_ms)
        except (ValueError, OverflowError) as error:
            _fail(f"{text} is no time: {error}", value.at, f"write {self.example}")
        if time is None:
            self.refuse(value, what)
        return time

    def value(self, value: _Value, what: str) -> Test:
        length_ms = duration_ms(value.source) if value.is_plain else None
        if length_ms is None:
            return super().value(value, what)
        if self._is_ahead:
            return Between(self._now_ms, after(self._now_ms, length_ms))
        return Between(before(self._now_ms, length_ms), self._now_ms)

    def compared(self, operator: str, value: _Value, what: str) -> Test:
        if value.is_plain and duration_ms(value.source) is not None:
            sign = "+" if self._is_ahead else "-"
            _fail(
                f"{what}{operator}{value.source} could mean both", value.at,
                f"write {what}:{value.source} for within it, or {what}{operator}{sign}"
                f"{value.source} for {operator} the time so far from now",
            )  # fmt: skip
        return super().compared(operator, value, what)


class _Ages(_Ends):
    """How long ago a job was made; becomes a range of times, in which more is earlier."""

    example = "a duration, as in age>1h, age<30m or age:1h..2d"

    def __init__(self, now_ms: int):
        self._now_ms = now_ms

    def ends(self, text: str, value: _Value, what: str) -> tuple[int, int]:
        length_ms = duration_ms(text)
        if length_ms is None:
            self.refuse(value, what)
        return length_ms, length_ms

    def value(self, value: _Value, what: str) -> Test:
        if ".." not in value.source:
            self.refuse(value, what)
        return self._turned(super().value(value, what))

    def compared(self, operator: str, value: _Value, what: str) -> Test:
        return self._turned(super().compared(operator, value, what))

    def _turned(self, ages: Test) -> Between:
        assert isinstance(ages, Between)
        return Between(
            None if ages.high is None else before(self._now_ms, ages.high),
            None if ages.low is None else before(self._now_ms, ages.low),
        )


class _Data(_Reader):
    def value(self, value: _Value, what: str) -> Test:
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
                _fail(f"{what}:{text} ends before it begins", value.at, "swap its ends")
            return Span(low, high)
        return Pattern((text,))

    def compared(self, operator: str, value: _Value, what: str) -> Test:
        if not value.is_plain or not NUMBER.fullmatch(value.source):
            _fail(
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


def _finite(text: str, value: _Value) -> int | float:
    if text in CONSTANTS:
        return 0
    number = number_of(text)
    if abs(number) >= 2**64 if isinstance(number, int) else math.isinf(number):
        _fail(f"{text} is too large a number", value.at, "no job's data can have it")
    return number


_READERS: Final[dict[Field, Callable[[int], _Reader]]] = {
    Field.STATE: lambda now_ms: _Names(_STATES),
    Field.REASON: lambda now_ms: _Names(_REASONS),
    Field.ERROR: lambda now_ms: _Errors(),
    Field.DUE: lambda now_ms: _Times(now_ms, is_ahead=True),
}


def _reader_of(field: Field, now_ms: int) -> _Reader:
    if field in _READERS:
        return _READERS[field](now_ms)
    if field in NUMBER_FIELDS:
        return _Numbers()
    if field in TIME_FIELDS:
        return _Times(now_ms, is_ahead=False)
    return _Texts()
