"""A query's text as its terms, to add one or take one out: what a click on a facet does.

The text stays as its writer wrote it but for the one term that changes, and a text that the parser
would refuse can be changed all the same. What the terms mean is `search.query`'s to say.
"""

import re
from typing import Final

from holdfastd.search.query import quoted

_TERM: Final = re.compile(r'(?:"(?:\\.|[^"\\])*"?|[^\s"])+')
"""Up to a blank outside of quotes; a quote that is not closed reaches to the end."""
_HEAD: Final = re.compile(r"(-?[A-Za-z_]+)[:=]")
_VALUE: Final = re.compile(r'(?:"(?:\\.|[^"\\])*"?|[^,"])+')


def terms(text: str) -> list[str]:
    """As they are written: 'state:failed "two words"' -> ['state:failed', '"two words"']."""
    return _TERM.findall(text)


def picked(text: str, key: str) -> set[str]:
    """Values that the text asks for under a key, without quotes; none for what it excludes."""
    return {value for each in terms(text) if _key(each) == key for value in _values(each)}


def toggled(text: str, key: str, value: str) -> str:
    """The text that asks for this value of the key too; or, if it does, that does so no more."""
    kept: list[str] = []
    asked: dict[str, str] = {}
    for each in terms(text):
        if _key(each) == key:
            asked |= _values(each)
        else:
            kept.append(each)
    if asked.pop(value, None) is None:
        asked[value] = quoted(value)
    changed = [f"{key}:{','.join(asked.values())}"] if asked else []
    return " ".join([*changed, *kept])


def term(key: str, value: str) -> str:
    """The query that asks for exactly this value."""
    return f"{key}:{quoted(value)}"


def _key(written: str) -> str:
    """What a term is about, "" for a bare word; with its "-" if it excludes."""
    found = _HEAD.match(written)
    return found[1].lower() if found else ""


def _values(written: str) -> dict[str, str]:
    """As they are meant, and as they are written: quotes make of a star a star."""
    return {_unquoted(value): value for value in _VALUE.findall(_HEAD.sub("", written, count=1))}


def _unquoted(written: str) -> str:
    if not written.startswith('"'):
        return written
    return re.sub(r"\\(.)", r"\1", written[1:].removesuffix('"'))
