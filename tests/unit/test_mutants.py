"""tools/mutants.py: which changes are made, and that each explained one is still among them."""

from pathlib import Path
from textwrap import indent

import pytest
from tools.mutants import PACKAGES, Mutant, explained, mutants_of


def changes(tmp_path: Path, source: str) -> list[tuple[str, str]]:
    """Of a function of these lines."""
    path = tmp_path / "module.py"
    path.write_text("def f():\n" + indent(source, "  "))
    return [(mutant.before, mutant.after) for mutant in mutants_of(path)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", [("a < b", "a <= b")]),
        ("0 < a <= b", [("0 < a <= b", "0 <= a <= b"), ("0 < a <= b", "0 < a < b"), ("0", "1")]),
        ("a and b", [("a and b", "a or b"), ("a and b", "b"), ("a and b", "a")]),
        ("not a", [("not a", "a")]),
        ("a // b", [("a // b", "a * b")]),
        ("x(1)", [("x(1)", "pass"), ("1", "2")]),
        ("x.y = True", [("x.y = True", "pass"), ("True", "False")]),
        ("x += y", [("x += y", "x -= y"), ("x += y", "pass")]),
        ("min(x)", [("min(x)", "pass"), ("min", "max")]),
        ("if x:\n  pass", [("if x", "if not x")]),
        ("if x is y:\n  pass", [("x is y", "x is not y")]),
        ("a if b else c", [("a if b else c", "a"), ("a if b else c", "c")]),
        ("for x in y:\n  break", [("break", "continue")]),
        ("return x", [("return x", "return")]),
        ("def g(x: int = 1) -> bool:\n  return x", [("return x", "return")]),
    ],
)
def test_a_rule_is_changed(tmp_path: Path, source: str, expected: list[tuple[str, str]]) -> None:
    assert changes(tmp_path, source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring."""',
        "assert x < y",
        "x = f'{y} of {z + 1}'",
        "import x",
        "x: Final[1 + 2]",
    ],
)
def test_what_is_no_rule_is_let_be(tmp_path: Path, source: str) -> None:
    assert changes(tmp_path, source) == []


def test_declarations_are_let_be(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("A = 1 + 2\nclass B:\n  b: int = 5\n@c(1)\ndef d(e=1, *, f=2): pass\n")
    assert list(mutants_of(path)) == []


def test_a_change_is_made_and_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("class A:\n  def f(self):\n    return [1 + 2, 5]")
    found = []
    for mutant in mutants_of(path):
        names: dict[str, type] = {}
        exec(mutant.code, names)
        found.append((mutant.where, mutant.line, names["A"]().f()))
    expected = [None, [-1, 5], [4, 5], [3 + 1, 5], [3, 6]]
    assert found == [("A.f", 3, result) for result in expected]


def test_every_explained_change_is_one_that_is_made() -> None:
    for module, keys in explained().items():
        (path,) = [p for f in PACKAGES.values() if (p := f / f"{module}.py").exists()]
        made: set[tuple[str, str, str]] = {mutant.key for mutant in mutants_of(path)}
        assert not keys - made, f"{module}: explained, and no longer there"


def test_a_change_says_where_it_is() -> None:
    mutant = Mutant("A.f", 3, "a", "b", compile("", "", "exec"))
    assert (str(mutant), mutant.key) == ("3: A.f: `a` -> `b`", ("A.f", "a", "b"))
