"""A JSON value as a tree to unfold, without losing anything: whole numbers keep all their digits.

Made by the server, so that no script parses numbers into floats. Bounded: what is beyond is
counted, and the raw text is one link away.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from markupsafe import Markup

NODES_MAX: Final = 2_000
"""In one tree; a browser unfolds that many without a pause. Arbitrary."""
DEPTH_MAX: Final = 50
TEXT_MAX: Final = 10_000
"""Characters of one text."""
OPEN_DEPTH: Final = 2
"""Levels that are unfolded at first."""
PREVIEW_MAX: Final = 4
"""Values of what is folded."""
BRIEF_MAX: Final = 24
"""Characters of each."""
NAMELESS: Final = Markup("")


def text(value: Any) -> str:
    """As indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def line(value: Any) -> str:
    """As JSON in one line."""
    return json.dumps(value, ensure_ascii=False)


def size(value: Any) -> str:
    """What it is, and how much of it, in words."""
    kinds = {dict: "object", list: "list", str: "text", bool: "boolean", type(None): "null"}
    length = len(line(value).encode(errors="replace"))
    return f"{kinds.get(type(value), 'number')}, {length:,} bytes as JSON"


def tree(value: Any) -> Markup:
    """The value as nested lists that unfold."""
    return Markup('<div class="json">{}</div>').format(_Tree().node(value, 0))


class _Tree:
    def __init__(self) -> None:
        self._left = NODES_MAX

    def node(self, value: Any, depth: int, name: Markup = NAMELESS) -> Markup:
        """name: what stands before it, with a colon; it stays on the line that unfolds."""
        self._left -= 1
        if isinstance(value, dict):
            named = ((_name("key", key), inner) for key, inner in value.items())
            return self._folded(name, named, value, "{", "}", depth)
        if isinstance(value, list):
            named = ((_name("index", at), inner) for at, inner in enumerate(value))
            return self._folded(name, named, value, "[", "]", depth)
        return name + _leaf(value)

    def _folded(
        self,
        name: Markup,
        items: Iterable[tuple[Markup, Any]],
        value: dict[str, Any] | list[Any],
        begin: str,
        end: str,
        depth: int,
    ) -> Markup:
        if not value:
            return Markup('{}<span class="json-empty">{}{}</span>').format(name, begin, end)
        if depth >= DEPTH_MAX:
            return Markup('{}<span class="json-more">{} nested deeper {}</span>').format(
                name, begin, end
            )
        rows = Markup("").join(self._rows(items, len(value), depth))
        return Markup(
            '<details{}><summary>{}{} <span class="json-count">{}</span> {}'
            '<span class="json-preview">{}</span></summary><ul>{}</ul></details>'
        ).format(
            Markup(" open") if depth < OPEN_DEPTH else "",
            name,
            begin,
            len(value),
            end,
            _preview(value),
            rows,
        )

    def _rows(
        self, items: Iterable[tuple[Markup, Any]], count: int, depth: int
    ) -> Iterator[Markup]:
        for shown, (name, value) in enumerate(items):
            if self._left <= 0:
                yield Markup('<li class="json-more">{:,} more</li>').format(count - shown)
                return
            yield Markup("<li>{}</li>").format(self.node(value, depth + 1, name))


def _name(kind: str, name: object) -> Markup:
    return Markup('<span class="json-{}">{}</span>: ').format(kind, name)


def _preview(value: dict[str, Any] | list[Any]) -> str:
    """What is folded, in a few words: its first plain values."""
    if isinstance(value, dict):
        parts = [f"{key}: {_brief(inner)}" for key, inner in islice(value.items(), PREVIEW_MAX)]
    else:
        parts = [_brief(inner) for inner in islice(value, PREVIEW_MAX)]
    return ", ".join([*parts, "…"] if len(value) > PREVIEW_MAX else parts)


def _brief(value: Any) -> str:
    if isinstance(value, dict):
        return "{…}" if value else "{}"
    if isinstance(value, list):
        return "[…]" if value else "[]"
    if isinstance(value, str) and len(value) > BRIEF_MAX:
        value = value[:BRIEF_MAX] + "…"
    return line(value)


def _leaf(value: Any) -> Markup:
    if isinstance(value, str):
        cut = value if len(value) <= TEXT_MAX else value[:TEXT_MAX] + "…"
        return _span("text", json.dumps(cut, ensure_ascii=False))
    kind = "null" if value is None else "bool" if isinstance(value, bool) else "number"
    return _span(kind, json.dumps(value))


def _span(kind: str, content: object) -> Markup:
    return Markup('<span class="json-{}">{}</span>').format(kind, content)
