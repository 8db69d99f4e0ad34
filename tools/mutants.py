"""Does a test fail when a rule is changed? A branch can be covered by tests that would not notice.

Run by `make mutants MODULE=head`. Each rule of the module is changed in turn (a comparison, a
number, a call that is left out), and the module's own tests are run: those that whoever changes it
will look at. A change that they do not notice survives. It needs a better test, or it makes no
difference: then it stands in mutants.toml with the reason.

Why not mutmut or cosmic-ray. mutmut (3.7) names a change after its file's path, from which it takes
no prefix but `src.`: under server/ and client/ it never finds the one it made. And it leaves out
whatever is decorated: the properties in which many rules of head, queue and session stand.
cosmic-ray starts a process for each change and edits the files that all who test here share. Here
everything but our own packages is imported once and each change has a fork of that: some 0.4 s
instead of X
"""

import argparse
import ast
import os
import resource
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from math import ceil
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
EXPLAINED: Final = Path(__file__).with_suffix(".toml")
PACKAGES: Final = {
    "holdfastd.engine": ROOT / "server" / "holdfastd" / "engine",
    "holdfast.wire": ROOT / "client" / "holdfast" / "wire",
}
CPU_FACTOR: Final = 4
"""Tests that need so many times what they need unchanged are in a loop that does not end."""
CPU_S_MIN: Final = 3
CPU_S_MAX: Final = 60
MEMORY_BYTES_MAX: Final = 1 << 30
PLUGINS: Final = ("pytest_asyncio.plugin", "pytest_timeout")
"""Those that our configuration speaks to. Loading the others takes five times as long as the tests
of a module."""


# ---- what is changed -----------------------------------------------------------------------------


class Mutant(NamedTuple):
    where: str
    """Class and function, "" = the module itself."""
    line: int
    before: str
    after: str
    code: CodeType

    @property
    def key(self) -> tuple[str, str, str]:
        return self.where, self.before, self.after

    def __str__(self) -> str:
        return f"{self.line}: {self.where}: `{self.before}` -> `{self.after}`"


_OTHER: Final[dict[type[ast.AST], type[ast.AST]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
    ast.Pow: ast.Mult,
    ast.Break: ast.Continue,
    ast.Continue: ast.Break,
}
_OTHER_NAMES: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}
_FIELDS_OF_TYPES: Final = ("annotation", "returns", "decorator_list", "bases")
_NEVER: Final = (ast.Assert, ast.JoinedStr, ast.Import, ast.ImportFrom)
"""A message's words are no rule, but for those that stand alone."""


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Each change of a module, one at a time."""
    tree = ast.parse(path.read_text())
    for where, place, node in _places(tree, ""):
        for other in _others(node):
            _put(place, other)
            code = compile(ast.fix_missing_locations(tree), str(path), "exec")
            _put(place, node)
            yield Mutant(where, node.lineno, _text(node), _text(other), code)


class _Place(NamedTuple):
    """Where a node hangs."""

    parent: ast.AST
    field: str
    at: int | None
    """In a list, else None."""


def _put(place: _Place, node: ast.AST) -> None:
    if place.at is None:
        setattr(place.parent, place.field, node)
    else:
        getattr(place.parent, place.field)[place.at] = node


def _text(node: ast.AST) -> str:
    return f"if {ast.unparse(node.test)}" if isinstance(node, ast.If) else ast.unparse(node)


def _places(parent: ast.AST, where: str) -> Iterator[tuple[str, _Place, ast.expr | ast.stmt]]:
    """Every statement and expression that may be changed, with the class and function it is in."""
    for place, node in _children(parent):
        if isinstance(node, _NEVER) or _is_no_rule(node, parent):
            continue
        if isinstance(node, ast.expr | ast.stmt):
            yield where, place, node
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield from _places(node, f"{where}.{node.name}".lstrip("."))
        else:
            yield from _places(node, where)


def _children(parent: ast.AST) -> Iterator[tuple[_Place, ast.AST]]:
    for field, value in ast.iter_fields(parent):
        if field in _FIELDS_OF_TYPES:
            continue
        if isinstance(value, ast.AST):
            yield _Place(parent, field, None), value
        elif isinstance(value, list):
            for at, node in enumerate(value):
                if isinstance(node, ast.AST):
                    yield _Place(parent, field, at), node


def _is_no_rule(node: ast.AST, parent: ast.AST) -> bool:
    """A docstring; what only type checkers read; a number that stands by its name alone, which is a
    choice with its reason."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return True
    if isinstance(parent, ast.Module | ast.ClassDef) and isinstance(
        node, ast.Assign | ast.AnnAssign
    ):
        parts = ast.walk(node.value) if node.value is not None else ()
        kinds = (ast.Constant, ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop)
        return all(isinstance(part, kinds) for part in parts)
    return False


def _others(node: ast.expr | ast.stmt) -> Iterator[ast.AST]:
    """What might stand in its place."""
    match node:
        case ast.Compare():
            for at, op in enumerate(node.ops):
                ops = [*node.ops[:at], _swapped(op), *node.ops[at + 1 :]]
                yield ast.Compare(node.left, ops, node.comparators)
        case ast.BoolOp():
            yield ast.BoolOp(_swapped(node.op), node.values)
            for at in range(len(node.values)):
                rest = [*node.values[:at], *node.values[at + 1 :]]
                yield ast.BoolOp(node.op, rest) if len(rest) > 1 else rest[0]
        case ast.BinOp() if type(node.op) in _OTHER:
            yield ast.BinOp(node.left, _swapped(node.op), node.right)
        case ast.UnaryOp():
            yield node.operand
        case ast.IfExp():
            yield node.body
            yield node.orelse
        case ast.Constant():
            yield from _other_constants(node.value)
        case ast.Name() if node.id in _OTHER_NAMES:
            yield ast.Name(_OTHER_NAMES[node.id], node.ctx)
        case ast.If() if not _is_turned_round_by_a_swap(node.test):
            yield ast.If(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
        case ast.Return() if node.value is not None:
            yield ast.Return(None)
        case ast.AugAssign():
            yield ast.AugAssign(node.target, _swapped(node.op), node.value)
            yield ast.Pass()
        case ast.Break() | ast.Continue():
            yield _swapped(node)
        case ast.Delete() | ast.Raise():
            yield ast.Pass()
        case ast.Expr(value=ast.Call()):
            yield ast.Pass()
        case ast.Assign() if not isinstance(node.targets[0], ast.Name | ast.Tuple):
            yield ast.Pass()


def _is_turned_round_by_a_swap(test: ast.expr) -> bool:
    """The opposite comes of another change of it."""
    one = isinstance(test, ast.Compare) and len(test.ops) == 1 and test.ops[0]
    opposites = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)
    return isinstance(one, opposites) or isinstance(test, ast.UnaryOp)


def _swapped(node: ast.AST) -> Any:
    return _OTHER[type(node)]()


def _other_constants(value: object) -> Iterator[ast.AST]:
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int | float):
        yield ast.Constant(value + 1)
    elif isinstance(value, str):
        yield ast.Constant(f"{value}!")


# ---- whether it is noticed -----------------------------------------------------------------------


class _Changed(MetaPathFinder, Loader):
    """Imports a module as it was changed."""

    def __init__(self, name: str, path: Path, code: CodeType):
        self._name, self._path, self._code = name, path, code

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        is_it = name == self._name
        return spec_from_file_location(name, self._path, loader=self) if is_it else None

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, vars(module))


class Module:
    """Attribute has_tests: of its own; it has none if it has nothing but declarations."""

    def __init__(self, package: str, path: Path):
        self.name = path.stem
        self._full_name = f"{package}.{path.stem}"
        self._path = path
        self._tests = ROOT / "tests" / "unit" / path.parent.name / f"test_{path.stem}.py"
        self.has_tests = self._tests.exists()
        self._cpu_s = CPU_S_MAX

    def survivors(self) -> tuple[list[Mutant], int]:
        """And how many there were in all."""
        status, cpu_s = self._run(None)
        assert status == 0, f"{self._tests} fails as it is"
        self._cpu_s = max(CPU_S_MIN, ceil(CPU_FACTOR * cpu_s))
        survivors, count = [], 0
        for mutant in mutants_of(self._path):
            count += 1
            if self._run(mutant.code)[0] == 0:
                survivors.append(mutant)
                print(f"  {self.name}.py:{mutant}", flush=True)
        return survivors, count

    def _run(self, code: CodeType | None) -> tuple[int, float]:
        """Returns 0 if the tests pass, and the CPU seconds that they took."""
        child = os.fork()
        if child == 0:
            self._test(code)
        _, status, usage = os.wait4(child, 0)
        return status, usage.ru_utime + usage.ru_stime

    def _test(self, code: CodeType | None) -> None:
        import pytest  # known by then

        resource.setrlimit(resource.RLIMIT_CPU, (self._cpu_s, self._cpu_s))
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(nowhere, stream)
        if code is not None:
            sys.meta_path.insert(0, _Changed(self._full_name, self._path, code))
        quietly = ["-x", "-q", "--no-header", "--no-summary", "-p", "no:cacheprovider"]
        quietly += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of what is imported once
        quietly += [word for name in PLUGINS for word in ("-p", name)]
        os._exit(int(pytest.main([*quietly, str(self._tests)]) != 0))


def explained() -> dict[str, set[tuple[str, str, str]]]:
    """By module, what makes no difference."""
    rows = tomllib.loads(EXPLAINED.read_text()).get("explained", [])
    found: dict[str, set[tuple[str, str, str]]] = {}
    for row in rows:
        assert row["reason"], row
        found.setdefault(row["module"], set()).add((row["where"], row["before"], row["after"]))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("modules", nargs="*", help="such as head; none = all")
    wanted = parser.parse_args().modules
    os.nice(19)
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = tempfile.mkdtemp(prefix="mutants-")
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for name in ("pytest", "hypothesis", *PLUGINS):
        import_module(name)  # once, for all who are forked
    known, unexplained = explained(), 0
    for package, folder in PACKAGES.items():
        for path in sorted(folder.glob("*.py")):
            module = Module(package, path)
            if module.has_tests and (module.name in wanted or not wanted):
                survivors, count = module.survivors()
                new = [each for each in survivors if each.key not in known.get(path.stem, ())]
                unexplained += len(new)
                killed, told = count - len(survivors), len(survivors) - len(new)
                row = f"{count} changes, {killed} noticed, {told} explained, {len(new)} survive"
                print(f"{path.stem}: {row}", flush=True)
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
