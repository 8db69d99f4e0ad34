"""A JSON value as a tree to unfold, without losing anything: whole numbers keep all their digits.

Made by the server, so that no script parses numbers into floats. Bounded: what is beyond is
counted, and the raw text is one link away.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from markupsafe import Markup

NODES_MAX: Final = 2_000
"""In one tree; a browser unfolds that many without a pause. Arbitrary."""
DEPTH_MAX: Final = 50
TEXT_MAX: Final = 10_000
"""Characters of one text."""
OPEN_DEPTH: Final = 2
"""Levels that are unfolded at first."""


def text(value: Any) -> str:
    """As indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def line(value: Any) -> str:
    """As JSON in one line."""
    return json.dumps(value, ensure_ascii=False)


def tree(value: Any) -> Markup:
    """The value as nested lists that unfold."""
    return Markup('<div class="json">{}</div>').format(_Tree().node(value, 0))


class _Tree:
    def __init__(self) -> None:
        self._left = NODES_MAX

    def node(self, value: Any, depth: int) -> Markup:
        self._left -= 1
        if isinstance(value, dict):
            named = ((_span("key", key), each) for key, each in value.items())
            return self._folded(named, len(value), "{}", depth)
        if isinstance(value, list):
            numbered = ((_span("index", index), each) for index, each in enumerate(value))
            return self._folded(numbered, len(value), "[]", depth)
        return _leaf(value)

    def _folded(
        self, items: Iterable[tuple[Markup, Any]], count: int, brackets: str, depth: int
    ) -> Markup:
        begin, end = brackets
        if not count:
            return _span("empty", brackets)
        if depth >= DEPTH_MAX:
            return _span("more", f"{begin} nested deeper {end}")
        rows = Markup("").join(self._rows(items, count, depth))
        is_open = Markup(" open") if depth < OPEN_DEPTH else ""
        summary = Markup("{} {} {}").format(begin, _span("count", count), end)
        return Markup("<details{}><summary>{}</summary><ul>{}</ul></details>").format(
            is_open, summary, rows
        )

    def _rows(
        self, items: Iterable[tuple[Markup, Any]], count: int, depth: int
    ) -> Iterator[Markup]:
        for index, (name, value) in enumerate(items):
            if self._left <= 0:
                yield Markup('<li class="json-more">{:,} more</li>').format(count - index)
                return
            yield Markup("<li>{}: {}</li>").format(name, self.node(value, depth + 1))


def _leaf(value: Any) -> Markup:
    if isinstance(value, str):
        cut = value if len(value) <= TEXT_MAX else value[:TEXT_MAX] + "…"
        return _span("text", json.dumps(cut, ensure_ascii=False))
    kind = "null" if value is None else "bool" if isinstance(value, bool) else "number"
    return _span(kind, json.dumps(value))


def _span(kind: str, content: object) -> Markup:
    return Markup('<span class="json-{}">{}</span>').format(kind, content)
