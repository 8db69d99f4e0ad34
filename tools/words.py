"""Print every text that a person may read, one a line: where it stands, what it is, the words.

    error    of an exception or a refusal: it names what is wrong, the value, and what to do
    log      an event of the daemon's log
    help     of a command or an option
    said     by a command, beside its data
    text     any other with a blank in it: problems of configuration and doctor, words of pages

`make words` prints all of them; `make words KIND=error` those of one kind. Read the list as the
person does who meets one of them at night, alone. Values stand in braces, as the code has them.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("server/holdfastd", "client/holdfast")
ERROR: Final = re.compile(r"(Error|Refusal|Refused|Unreachable|Exception|Failed|Lost)$|^misuse$")
"""Names of what is raised, or makes what is raised."""
FOR_PROGRAMS: Final = re.compile(
    r"(SELECT|INSERT|UPDATE|DELETE|CREATE|DROP|PRAGMA|WITH|FROM|WHERE|BEGIN|SAVEPOINT|AND|ORDER) "
)
"""How a part of a statement begins."""
NOT_SAID: Final = re.compile(r"Callable\[|\w+ \| \w+$")
"""Types, written as texts."""
COMMANDS: Final = {"command", "group"}
"""Click's decorators: the docstring under one of them is a help text."""


class Words(NamedTuple):
    path: Path
    """From the root of the repository."""
    line: int
    kind: str
    text: str
    """As written, values as {expression}; blanks and ends of lines are one blank each."""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}\t{self.kind}\t{self.text}"


def words() -> Iterator[Words]:
    """Of both packages, file by file."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node, kind in _texts(ast.parse(path.read_text()), "text"):
                text = " ".join(_written(node).split())
                yield Words(path.relative_to(ROOT), node.lineno, kind, text)


def _texts(node: ast.AST, kind: str) -> Iterator[tuple[ast.expr, str]]:
    """All texts under the node. kind: of what it is a part of."""
    if isinstance(node, ast.Constant | ast.JoinedStr):
        if _is_for_people(node):
            yield node, kind
        return
    if isinstance(node, ast.Call):
        kind = _kind_of_call(node, kind)
    elif isinstance(node, ast.keyword) and node.arg == "help":
        kind = "help"
    docstring = _docstring(node)
    if docstring is not None and _is_command(node):
        yield docstring, "help"
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)):
            yield from _texts(child, kind)  # but no docstring: those are for readers of the code


def _kind_of_call(call: ast.Call, kind: str) -> str:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)
    if ERROR.search(name):
        return "error"
    return {"event": "log", "tell": "log", "echo": "said", "_leave": "said"}.get(name, kind)


def _docstring(node: ast.AST) -> ast.Constant | None:
    if isinstance(node, ast.FunctionDef) and isinstance(node.body[0], ast.Expr):
        found = node.body[0].value
        return found if isinstance(found, ast.Constant) else None
    return None


def _is_command(node: ast.AST) -> bool:
    decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else []
    called = [each.func for each in decorators if isinstance(each, ast.Call)]
    return any(isinstance(each, ast.Attribute) and each.attr in COMMANDS for each in called)


def _written(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(map(_written, parts))
        case ast.FormattedValue(value=value):
            return f"{{{ast.unparse(value)}}}"
    return ""


def _is_for_people(node: ast.Constant | ast.JoinedStr) -> bool:
    text = _written(node).strip()
    return " " in text and not FOR_PROGRAMS.match(text) and not NOT_SAID.match(text)


def main(kind: str = "") -> None:
    for each in words():
        if kind in ("", each.kind):
            print(each)


if __name__ == "__main__":
    main(*sys.argv[1:2])
