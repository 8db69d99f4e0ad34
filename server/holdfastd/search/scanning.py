"""The characters of a query: what its pieces are, and what is raised where there are none."""

import re
from typing import Final, NamedTuple, NoReturn

from holdfastd.search.terms import Pattern

_BLANK: Final = re.compile(r"\s*")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)


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


def fail(text: str, at: int, advice: str) -> NoReturn:
    raise QueryError(text, at, advice)


class Value(NamedTuple):
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


class Scanner:
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

    def value(self, bare: re.Pattern[str]) -> Value:
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
        return Value(self.text[start : self.at], start, tuple(pieces), has_quotes)

    def in_quotes(self) -> str:
        start = self.at
        found = self.take(_QUOTED)
        if found is None:
            fail('the " is not closed', start, 'end the text with "; \\" stands for one inside')
        return re.sub(r"\\(.)", r"\1", found[1], flags=re.DOTALL)
