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
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final, NamedTuple

import pytest

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


# ---- what is changed -----------------------------------------------------------------------------


class Mutant(NamedTuple):
    where: str
    """Class and function."""
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
_FIELDS_OF_DECLARATIONS: Final = (
    "annotation", "returns", "decorator_list", "bases", "defaults", "kw_defaults",
)  # fmt: skip
_NEVER: Final = (ast.Assert, ast.JoinedStr, ast.Import, ast.ImportFrom)
"""A message's words are no rule, but for those that stand alone."""


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Each change of a module, one at a time."""
    tree = ast.parse(path.read_text())
    for where, place, node in _places(tree, "", is_in_function=False):
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


def _places(
    parent: ast.AST, where: str, is_in_function: bool
) -> Iterator[tuple[str, _Place, ast.expr | ast.stmt]]:
    """Every statement and expression of a function that may be changed, and which function it is.
    What runs when a module is imported is declarations."""
    for place, node in _children(parent):
        if isinstance(node, _NEVER) or _is_no_rule(node):
            continue
        if isinstance(node, ast.expr | ast.stmt) and is_in_function:
            yield where, place, node
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            is_function = is_in_function or isinstance(node, ast.FunctionDef)
            yield from _places(node, f"{where}.{node.name}".lstrip("."), is_function)
        else:
            yield from _places(node, where, is_in_function)


def _children(parent: ast.AST) -> Iterator[tuple[_Place, ast.AST]]:
    for field, value in ast.iter_fields(parent):
        if field in _FIELDS_OF_DECLARATIONS:
            continue
        if isinstance(value, ast.AST):
            yield _Place(parent, field, None), value
        elif isinstance(value, list):
            for at, node in enumerate(value):
                if isinstance(node, ast.AST):
                    yield _Place(parent, field, at), node


def _is_no_rule(node: ast.AST) -> bool:
    """A docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


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
        case ast.Return() if node.value is not None and ast.unparse(node.value) != "None":
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


class Module:
    """Attribute has_tests: of its own; it has none if it has nothing but declarations."""

    def __init__(self, package: str, path: Path):
        self.name = path.stem
        self.path = path
        self.full_name = f"{package}.{path.stem}"
        self._tests = ROOT / "tests" / "unit" / path.parent.name / f"test_{path.stem}.py"
        self.has_tests = self._tests.exists()

    def survivors(self) -> tuple[list[Mutant], int]:
        """And how many changes were made in all."""
        each = _EachMutant(self)
        quietly = ["-o", "addopts=--import-mode=importlib", "-p", "no:terminal"]
        code = pytest.main(["-x", *quietly, str(self._tests)], plugins=[each])
        assert code == 0, f"the tests of {self.name} are not collected"
        return each.survivors, each.count


class _EachMutant:
    """A plugin of pytest: in place of the loop over the tests, a fork for each change, with it."""

    def __init__(self, module: Module):
        self.survivors: list[Mutant] = []
        self.count = 0
        self._module = module
        self._is_child = False
        self._cpu_s = CPU_S_MAX

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        if self._is_child:
            return None  # pytest's own loop is next
        status, cpu_s = self._run(session, None)
        assert status == 0, f"the tests of {self._module.name} fail as it is"
        self._cpu_s = max(CPU_S_MIN, ceil(CPU_FACTOR * cpu_s))
        for mutant in mutants_of(self._module.path):
            self.count += 1
            if self._run(session, mutant)[0] == 0:
                self.survivors.append(mutant)
                print(f"  {self._module.name}.py:{mutant}", flush=True)
        return True

    def _run(self, session: pytest.Session, mutant: Mutant | None) -> tuple[int, float]:
        """Returns 0 if the tests pass, and the CPU seconds that they took."""
        child = os.fork()
        if child == 0:
            self._test(session, mutant)
        _, status, usage = os.wait4(child, 0)
        return status, usage.ru_utime + usage.ru_stime

    def _test(self, session: pytest.Session, mutant: Mutant | None) -> None:
        self._is_child = True
        resource.setrlimit(resource.RLIMIT_CPU, (self._cpu_s, self._cpu_s))
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(nowhere, stream)
        code = 1
        try:
            if mutant is not None:
                _change(sys.modules[self._module.full_name], mutant)
            session.config.hook.pytest_runtestloop(session=session)
            code = int(session.testsfailed > 0)
        finally:
            os._exit(code)


def _change(module: ModuleType, mutant: Mutant) -> None:
    """Give the function that is changed its other code: whoever has imported it has it changed."""
    place: Any = module
    for at, name in enumerate(names := mutant.where.split("."), 1):
        place = vars(place)[name]
        function = getattr(place, "fget", None) or getattr(place, "__func__", place)
        if isinstance(function, FunctionType):
            function.__code__ = _code_of(mutant.code, ".".join(names[:at]))
            return
    raise LookupError(f"{mutant.where} is no function")


def _code_of(code: CodeType, qualname: str) -> CodeType:
    """Of the function of that name, somewhere in a module's code."""
    inner = [const for const in code.co_consts if isinstance(const, CodeType)]
    for each in inner:
        if each.co_qualname == qualname:
            return each
        if qualname.startswith(f"{each.co_qualname}."):
            return _code_of(each, qualname)
    raise LookupError(f"{qualname} is not there")


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
