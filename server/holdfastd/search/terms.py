"""What a query says: terms that must all hold, and the canonical text of each.

Values only; `search.query` makes them of text. Times in them are instants: a query that was read at
one time means the same later. The canonical text, `str(query)`, is read again as an equal query.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final, TypeAlias

from holdfastd.engine.model import FailReason, State


class Field(Enum):
    """What a term is about; the value is how it is written."""

    STATE = "state"
    QUEUE = "queue"
    NAME = "name"
    ID = "id"
    TAG = "tag"
    WORKER = "worker"
    """Session name of who runs it, or ran an attempt that did not complete."""
    ERROR = "error"
    """Type or message of any attempt."""
    REASON = "reason"
    PRIORITY = "priority"
    ATTEMPTS = "attempts"
    """The number of the run that is on, was the last, or comes next: 1 = the first."""
    CREATED = "created"
    STARTED = "started"
    FINISHED = "finished"
    DUE = "due"
    """When a delayed job will run."""
    DATA = "data"
    WORD = "word"
    """Of no field: in the id or the name."""


TEXT_FIELDS: Final = frozenset({Field.QUEUE, Field.NAME, Field.ID, Field.TAG, Field.WORKER})
"""A pattern must fit all of these. ERROR and WORD are looked for anywhere, in any case."""
NUMBER_FIELDS: Final = frozenset({Field.PRIORITY, Field.ATTEMPTS})
TIME_FIELDS: Final = frozenset({Field.CREATED, Field.STARTED, Field.FINISHED, Field.DUE})

_BARE_VALUE: Final = re.compile(r"(?![<>=])(?!.*\.\.)[\w.:/@+-]+")
_BARE_WORD: Final = re.compile(r"(?!data\.)[\w./@+][\w./@+-]*")
_BARE_KEY: Final = re.compile(r"[\w/@+-]+")
OPERATORS: Final = ("AND", "OR", "NOT")
"""Words that people write who think of another language: bare, they are refused."""
NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
"""As in JSON: a leading zero makes a text of it, such as a postal code."""
CONSTANTS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text in which any characters may stand between two pieces. One piece = exactly that text;
    the first and the last may be empty, those between them are not."""

    pieces: tuple[str, ...]

    @property
    def is_exact(self) -> bool:
        return len(self.pieces) == 1

    @property
    def prefix(self) -> str:
        return self.pieces[0]

    def inside(self) -> "Pattern":
        """To be looked for anywhere in a text: stars at its ends say nothing."""
        return Pattern(tuple(filter(None, self.pieces)) or ("", ""))

    def fits(self, text: str) -> bool:
        """In time that grows with the text alone: a regular expression may try for ever."""
        first, *rest = self.pieces
        if not rest:
            return text == first
        *middle, last = rest
        at, end = len(first), len(text) - len(last)
        if at > end or not text.startswith(first) or not text.endswith(last):
            return False
        for piece in middle:
            at = text.find(piece, at, end)
            if at < 0:
                return False
            at += len(piece)
        return True

    def __str__(self) -> str:
        return "*".join(quoted(piece) if piece or self.is_exact else "" for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class Between:
    """Whole numbers (or instants in Unix milliseconds), both ends included. None = open."""

    low: int | None
    high: int | None


@dataclass(frozen=True, slots=True)
class Literal:
    """An unquoted value in data that reads as a number, true, false or null: it is that, and the
    text that is written the same."""

    text: str

    @property
    def value(self) -> int | float | bool | None:
        if self.text in CONSTANTS:
            return CONSTANTS[self.text]
        return number_of(self.text)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Span:
    """Numbers in data. None = open."""

    low: int | float | None
    high: int | float | None
    has_low: bool = True
    """The end itself belongs to it."""
    has_high: bool = True


Test: TypeAlias = Pattern | Between | Literal | Span | State | FailReason


@dataclass(frozen=True, slots=True)
class Term:
    field: Field
    tests: tuple[Test, ...]
    """At least one; any of them must fit."""
    is_negated: bool = False
    path: tuple[str | None, ...] = ()
    """Of DATA: keys of maps or indexes of lists, from outside in; None = any."""

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        return tuple(test for test in self.tests if isinstance(test, Pattern))

    @property
    def ranges(self) -> tuple[Between, ...]:
        return tuple(test for test in self.tests if isinstance(test, Between))

    def __str__(self) -> str:
        sign = "-" if self.is_negated else ""
        if self.field is Field.WORD:
            return f"{sign}{_word(self.patterns[0])}"
        name = self.field.value
        if self.field is Field.DATA:
            name += "".join("." + ("*" if key is None else _key(key)) for key in self.path)
        if len(self.tests) == 1 and (compared := self._compared(self.tests[0])):
            return f"{sign}{name}{compared}"
        return f"{sign}{name}:{','.join(map(self._shown, self.tests))}"

    def _compared(self, test: Test) -> str:
        """Of a range with one open end; "" = it is none."""
        if not isinstance(test, Between | Span) or (test.low is None) == (test.high is None):
            return ""
        if test.low is not None:
            sign = ">" if isinstance(test, Span) and not test.has_low else ">="
            return f"{sign}{self._end(test.low)}"
        sign = "<" if isinstance(test, Span) and not test.has_high else "<="
        return f"{sign}{self._end(test.high)}"

    def _shown(self, test: Test) -> str:
        if isinstance(test, State | FailReason):
            return test.name.lower()
        if isinstance(test, Between | Span):
            low, high = self._end(test.low), self._end(test.high)
            is_one = low == high and isinstance(test, Between)
            return low if is_one else f"{low}..{high}"
        if isinstance(test, Pattern) and self.field is Field.DATA and test.is_exact:
            return _data_text(test.prefix)
        return str(test)

    def _end(self, end: int | float | None) -> str:
        """Of a range; "" = open."""
        if end is None:
            return ""
        return instant_text(int(end)) if self.field in TIME_FIELDS else repr(end)


@dataclass(frozen=True, slots=True)
class Query:
    """Terms that must all hold; none = all jobs."""

    terms: tuple[Term, ...] = ()

    def __str__(self) -> str:
        return " ".join(map(str, self.terms))

    def positive(self, field: Field) -> list[Term]:
        """Its terms of a field that are not negated."""
        return [term for term in self.terms if term.field is field and not term.is_negated]

    @property
    def data_paths(self) -> list[tuple[str | None, ...]]:
        """Into the data, at which it looks; negated or not."""
        return [term.path for term in self.terms if term.field is Field.DATA]

    def without(self, *fields: Field) -> "Query":
        return Query(tuple(term for term in self.terms if term.field not in fields))


def term(field: Field, text: str) -> str:
    """The text of a term for exactly this value, to be added to a query."""
    return f"{field.value}:{quoted(text)}"


def quoted(text: str) -> str:
    """A value as it is written, in quotes where it needs them."""
    return text if _BARE_VALUE.fullmatch(text) else _in_quotes(text)


def _in_quotes(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def number_of(text: str) -> int | float:
    """Of a text that NUMBER fits. May be infinite."""
    return int(text) if re.fullmatch("-?[0-9]+", text) else float(text)


def _word(pattern: Pattern) -> str:
    return "*".join(
        piece
        if not piece or (_BARE_WORD.fullmatch(piece) and piece not in OPERATORS)
        else _in_quotes(piece)
        for piece in pattern.pieces
    )


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _in_quotes(key)


def _data_text(text: str) -> str:
    """Quotes also keep a text from being read as something else."""
    if NUMBER.fullmatch(text) or text in CONSTANTS:
        return _in_quotes(text)
    return quoted(text)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def instant_text(at_ms: int) -> str:
    """Unix milliseconds, as a query writes them: 2026-11-25T03:15:00.123Z."""
    at = _EPOCH + timedelta(milliseconds=at_ms)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
