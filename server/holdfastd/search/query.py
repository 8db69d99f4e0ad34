"""The language in which jobs are searched for: text to a Query. Pure.

docs/reference/search.md tells of it.

    state:failed queue:mail,sms -name:test_* error:"timed out" attempts>=3 created:today
    data.user_id:42 data.total>100 data.items.*.sku:"A 7" age>1h welcome

Terms stand between blanks and must all hold. A term is `field:value`, `field:a,b` (any of them),
`field>number`, `field:low..high`, or a bare word; `-` before it means not. `*` in a text stands for
any characters, except in quotes. Whatever the text, parsing raises nothing but QueryError, which
says where and what to do.
"""

import re
from difflib import get_close_matches
from typing import Final

from holdfastd.search.scanning import QueryError, Scanner, fail
from holdfastd.search.terms import OPERATORS, Field, Query, Term, Test, quoted, term
from holdfastd.search.values import Ages, Data, Reader, reader_of

__all__ = ["Field", "Query", "QueryError", "parse", "quoted", "term"]

QUERY_LENGTH_MAX: Final = 4_000
"""Characters, also of the canonical text. An address line holds as many; arbitrary."""
TERMS_MAX: Final = 50
VALUES_MAX: Final = 100
"""Of one term."""
KEYS_MAX: Final = 32
"""Of a path into data. All three are arbitrary."""

_ALIASES: Final = {"task": Field.NAME, "job": Field.ID, "tags": Field.TAG, "queues": Field.QUEUE}
_FIELDS: Final = {field.value: field for field in Field if field is not Field.WORD} | _ALIASES
_AGE: Final = "age"
_HEAD: Final = re.compile(r"([A-Za-z_]+)(?=[:=<>])")
_OPERATOR: Final = re.compile(r":?(>=|<=|>|<)|[:=]")
_BARE: Final = re.compile(r'[^\s",*]+')
_BARE_IN_WORD: Final = re.compile(r'[^\s"*]+')
_BARE_KEY: Final = re.compile(r'[^\s".:=<>*]+')


def parse(text: str, now_ms: int) -> Query:
    """The query of a text; blank = all jobs.

    Args:
        now_ms: what `1h`, `today` and `age` are reckoned from.

    Raises:
        QueryError: it is none.
    """
    _check_text(text)
    scanner = Scanner(text)
    terms: list[Term] = []
    while scanner.skip_blanks():
        if len(terms) == TERMS_MAX:
            fail(f"there are more than {TERMS_MAX} terms", scanner.at, "leave some out")
        terms.append(_term(scanner, now_ms))
    query = Query(tuple(dict.fromkeys(terms)))
    _check_length(str(query))
    return query


def _check_length(text: str) -> None:
    if len(text) > QUERY_LENGTH_MAX:
        fail(
            f"the query has {len(text):,} characters, written out", 0,
            f"use at most {QUERY_LENGTH_MAX:,}",
        )  # fmt: skip


def _check_text(text: str) -> None:
    _check_length(text)
    for at, character in enumerate(text):
        if character == "\0" or "\ud800" <= character <= "\udfff":
            fail(f"character {ord(character):#x} is in no job", at, "leave it out")


# ---- terms ---------------------------------------------------------------------------------------


def _term(scanner: Scanner, now_ms: int) -> Term:
    start = scanner.at
    is_negated = scanner.takes("-")
    if scanner.text.startswith("data.", scanner.at):
        return _data_term(scanner, start, is_negated)
    head = scanner.take(_HEAD)
    if head is None:
        return _word_term(scanner, start, is_negated)
    name = head[1].lower()
    if name == _AGE:
        return Term(Field.CREATED, _any_of(scanner, start, Ages(now_ms)), is_negated)
    field = _field(name, head)
    if field is Field.DATA:
        fail("data: has no path", start, "say which value, as in data.user_id:42")
    return Term(field, _any_of(scanner, start, reader_of(field, now_ms)), is_negated)


def _field(name: str, head: re.Match[str]) -> Field:
    if name not in _FIELDS:
        near = get_close_matches(name, [*_FIELDS, _AGE], 1)
        guess = f"did you mean {near[0]}? Fields" if near else "fields"
        fields = ", ".join(field.value for field in Field if field is not Field.WORD)
        fail(
            f"{head[1]} is no field", head.start(),
            f'{guess} are {fields}, {_AGE}; to look for the word itself, put it in "quotes"',
        )  # fmt: skip
    return _FIELDS[name]


def _word_term(scanner: Scanner, start: int, is_negated: bool) -> Term:
    value = scanner.value(_BARE_IN_WORD)
    if not value.source:
        fail("- stands alone", start, "write the term right behind it, as in -state:completed")
    if value.is_plain and value.source in OPERATORS:
        fail(
            f"{value.source} is no operator", value.at,
            "terms must all hold, a,b is any of them, -term is not; put the word in quotes to look "
            "for it",
        )  # fmt: skip
    pattern = value.pattern()
    if not any(pattern.pieces):
        fail("the word is empty", value.at, "write some of the id or the name")
    return Term(Field.WORD, (pattern.inside(),), is_negated)


def _data_term(scanner: Scanner, start: int, is_negated: bool) -> Term:
    scanner.at += len("data")
    path: list[str | None] = []
    while scanner.takes("."):
        if len(path) == KEYS_MAX:
            fail(f"the path has more than {KEYS_MAX} keys", scanner.at, "leave the last ones out")
        path.append(_key(scanner))
    if scanner.at >= len(scanner.text) or scanner.text[scanner.at] not in ":=<>":
        fail(
            f"{scanner.text[start : scanner.at]} is not followed by : or a comparison", start,
            'write data.user_id:42, data.total>100, or data.note:* for any value; put a key that '
            'has other characters in quotes, as in data."a b":1',
        )  # fmt: skip
    return Term(Field.DATA, _any_of(scanner, start, Data()), is_negated, tuple(path))


def _key(scanner: Scanner) -> str | None:
    if scanner.takes("*"):
        return None
    if scanner.text.startswith('"', scanner.at):
        return scanner.in_quotes()
    found = scanner.take(_BARE_KEY)
    if found is None:
        fail("the path has an empty key", scanner.at, 'write data.user.city:Oslo; "" is that key')
    return found[0]


def _any_of(scanner: Scanner, start: int, reader: Reader) -> tuple[Test, ...]:
    """The values behind a field's name."""
    what = scanner.text[start : scanner.at].lstrip("-")
    operator = scanner.take(_OPERATOR)
    assert operator is not None, "what stands here was looked at"
    tests: list[Test] = []
    while not tests or scanner.takes(","):
        value = scanner.value(_BARE)
        if not value.source:
            fail(f"{what}{operator[0]} has no value", scanner.at, 'write one; "" is the empty text')
        if len(tests) == VALUES_MAX:
            fail(f"{what} has more than {VALUES_MAX} values", value.at, "leave some out")
        if operator[1]:
            if tests:
                fail(f"{operator[1]} takes one value", value.at, f"write {what}:a,b for several")
            test = reader.compared(operator[1], value, what)
        else:
            test = reader.value(value, what)
        tests.append(test)
    return tuple(dict.fromkeys(tests))
