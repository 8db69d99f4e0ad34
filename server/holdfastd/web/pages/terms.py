"""A query's text as its terms, to add one or take one out: what a click on a facet does.

The text stays as its writer wrote it but for the one term that changes, and a text that the parser
would refuse can be changed all the same. What the terms mean is `search.query`'s to say.
"""

import re
from collections.abc import Iterator
from typing import Final

_TERM: Final = re.compile(r'(?:"(?:\\.|[^"\\])*"?|[^\s"])+')
"""Up to a blank outside of quotes; a quote that is not closed reaches to the end."""
_VALUE: Final = re.compile(r'(?:"(?:\\.|[^"\\])*"?|[^,"])+')
_PLAIN: Final = re.compile(r"[^\s\",*<>=\\()-][^\s\",*\\()]*")
"""Needs no quotes as a value."""


def terms(text: str) -> list[str]:
    """As they are written: 'state:failed "two words"' -> ['state:failed', '"two words"']."""
    return _TERM.findall(text)


def picked(text: str, key: str) -> set[str]:
    """Values that the text asks for under a key, without quotes; none for what it excludes."""
    return {value for each in terms(text) if _key(each) == key for value in _values(each)}


def toggled(text: str, key: str, value: str) -> str:
    """The text that asks for this value of the key too; or, if it does, that does so no more."""
    kept, others = [], []
    for written in terms(text):
        if _key(written) == key:
            others += _values(written)
        else:
            kept.append(written)
    values = [one for one in others if one != value] if value in others else [*others, value]
    changed = [f"{key}:{','.join(map(quoted, dict.fromkeys(values)))}"] if values else []
    return " ".join([*changed, *kept])


def term(key: str, value: str) -> str:
    """The query that asks for exactly this value."""
    return f"{key}:{quoted(value)}"


def quoted(value: str) -> str:
    """A value as it is written in a query, for exactly this text."""
    if _PLAIN.fullmatch(value) and ".." not in value:
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _key(term: str) -> str:
    """What stands before the first colon, "" for a bare word; with its "-" if it excludes."""
    key, colon, _ = term.partition(":")
    return key.lower() if colon and '"' not in key else ""


def _values(term: str) -> Iterator[str]:
    for written in _VALUE.findall(term.partition(":")[2]):
        yield _unquoted(written)


def _unquoted(written: str) -> str:
    if not written.startswith('"'):
        return written
    return re.sub(r"\\(.)", r"\1", written[1:].removesuffix('"'))
