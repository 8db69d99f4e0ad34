"""docs/reference/logs.md lists every event with its levels and fields, no more and no less."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from holdfastd import logs
from holdfastd.access.door import KeyChanges
from holdfastd.cli import backup_facts
from holdfastd.store.backup import Backup, Contents

ROOT: Final = Path(__file__).parents[2]
TEXT: Final = (ROOT / "docs" / "reference" / "logs.md").read_text()
SERVER: Final = ROOT / "server" / "holdfastd"
LEVELS: Final = ("debug", "info", "warning", "error", "critical")
ANY: Final = "*"
"""In the place of fields: they are those of a command."""
MADE: Final = Backup(Path("b"), Contents(1, 1, 1, 1, Counter(), [], 0), 1, 1.0, 1.0)
FIELDS_ELSEWHERE: Final = {
    # event: the fields of what is passed on as **facts
    "backup_done": set(backup_facts(MADE)),
    "keys_changed": set(KeyChanges._fields),
    "audit": {ANY},
}
OWN_FIELDS: Final = {"at", "level", "event", "message", "traceback"}


class Event(NamedTuple):
    name: str
    levels: set[str]
    fields: set[str]


def told() -> list[Event]:
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|", TEXT, re.M)
    return [
        Event(name, set(levels.split(", ")), set() if fields == "-" else set(fields.split(", ")))
        for name, levels, fields in rows
    ]


def is_call_of(node: ast.AST, owner: str, method: str) -> bool:
    """`owner.method(…)`, or `….owner.method(…)`."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    of = node.func.value
    name = of.id if isinstance(of, ast.Name) else of.attr if isinstance(of, ast.Attribute) else ""
    return name.lstrip("_") == owner and node.func.attr == method


def levels_in(node: ast.AST) -> set[str]:
    """Of every `logging.LEVEL` in it."""
    names = {each.attr.lower() for each in ast.walk(node) if isinstance(each, ast.Attribute)}
    return names & set(LEVELS)


def events_in(path: Path) -> Iterator[Event]:
    tree = ast.parse(path.read_text())
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node in ast.walk(function):
            if is_call_of(node, "logs", "event"):
                yield event_of(node, function)
            elif is_call_of(node, "telling", "tell"):
                yield Event(literal(node, 0), {"warning"}, {"host"})


def literal(call: Any, at: int) -> str:
    name = ast.literal_eval(call.args[at])
    assert isinstance(name, str)
    return name


def event_of(call: Any, function: ast.AST) -> Event:
    name = literal(call, 2)
    level = call.args[1]
    levels = levels_in(level) or levels_in(function)  # else it is worked out there
    fields = {keyword.arg for keyword in call.keywords if keyword.arg} - {"exc_info"}
    if any(keyword.arg is None for keyword in call.keywords):
        fields |= FIELDS_ELSEWHERE[name]
    return Event(name, levels, fields)


def written() -> list[Event]:
    """By the code. `net.telling` passes on the names that it is given."""
    files = [path for path in SERVER.rglob("*.py") if path.name != "telling.py"]
    events = [event for path in files for event in events_in(path)]
    return [*events, Event(logs.LIBRARY, {"warning", "error", "critical"}, {"logger"})]


def by_name(events: list[Event]) -> dict[str, Event]:
    return {event.name: event for event in events}


def test_every_event_is_described_with_its_levels_and_fields() -> None:
    assert by_name(told()) == by_name(written())


def test_an_event_has_one_place_in_the_code_and_one_in_the_document() -> None:
    for events in (told(), written()):
        assert [name for name, count in Counter(e.name for e in events).items() if count > 1] == []
    assert len(told()) > 20


def test_no_field_is_named_like_one_that_every_line_has() -> None:
    for event in written():
        assert not event.fields & OWN_FIELDS, event.name


def test_the_server_writes_no_line_that_is_no_event() -> None:
    """But the module that writes them."""
    for path in SERVER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if path.name != "logs.py":
                for method in ("log", "exception", *LEVELS):
                    assert not is_call_of(node, "log", method), f"{path}: {ast.unparse(node)}"
                    assert not is_call_of(node, "logging", method), f"{path}: {ast.unparse(node)}"
