"""The arrows of ARCHITECTURE.md: who may import whom."""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

ALLOWED: dict[str, tuple[str, ...]] = {
    # package prefix: prefixes of our own packages that it may import
    "holdfast.wire": ("holdfast.wire",),
    "holdfast": ("holdfast",),
    "holdfastd.engine": ("holdfastd.engine",),
    "holdfastd.clock": (),
    "holdfastd.access.exposure": ("holdfastd.config", "holdfastd.access.keyfile"),
    "holdfastd.access": (
        "holdfastd.access",
        "holdfastd.clock",
        "holdfastd.logs",
        "holdfast.wire",
    ),
    "holdfastd.audit": ("holdfastd.logs",),
    "holdfastd.tls": ("holdfastd.access",),
    "holdfastd.supervisor": ("holdfastd.clock",),
    "holdfastd.activation": ("holdfastd.config",),
    "holdfastd.observed": ("holdfastd.engine",),
    "holdfastd.doctor": (
        "holdfastd.doctor",
        "holdfastd.store",
        "holdfastd.access",
        "holdfastd.backups",
        "holdfastd.clock",
        "holdfastd.config",
        "holdfastd.tls",
        "holdfastd.VERSION",
        "holdfast.wire",
    ),
    "holdfastd.backups": (
        "holdfastd.clock",
        "holdfastd.config",
        "holdfastd.logs",
        "holdfastd.observed",
        "holdfastd.ownprocess",
    ),
    "holdfastd.ownprocess": ("holdfastd.config",),
    "holdfastd.examining": ("holdfastd.clock", "holdfastd.config", "holdfastd.ownprocess"),
    "holdfastd.store": ("holdfastd.store", "holdfastd.engine"),
    "holdfastd.search": (
        "holdfastd.search",
        "holdfastd.store",
        "holdfastd.engine",
        "holdfastd.clock",
    ),
    "holdfastd.pipeline": (
        "holdfastd.engine",
        "holdfastd.store.base",
        "holdfastd.clock",
        "holdfastd.observed",
    ),
    "holdfastd.inside": ("holdfastd.engine", "holdfastd.pipeline"),
    "holdfastd.chronicle": ("holdfastd.engine", "holdfastd.store.base", "holdfastd.clock"),
    "holdfastd.net": (
        "holdfastd.net",
        "holdfastd.translation",
        "holdfastd.tls",
        "holdfastd.access",
        "holdfastd.audit",
        "holdfastd.clock",
        "holdfastd.logs",
        "holdfastd.engine",
        "holdfastd.store.base",
        "holdfastd.pipeline",
        "holdfastd.search",
        "holdfastd.translation",
        "holdfastd.observed",
        "holdfastd.VERSION",
        "holdfast.wire",
    ),
    "holdfastd.web": (
        "holdfastd.web",
        "holdfastd.audit",
        "holdfastd.chronicle",
        "holdfastd.search",
        "holdfastd.translation",
        "holdfastd.access",
        "holdfastd.clock",
        "holdfastd.logs",
        "holdfastd.engine",
        "holdfastd.store.base",
        "holdfastd.pipeline",
        "holdfastd.inside",
        "holdfastd.chronicle",
        "holdfastd.observed",
        "holdfastd.VERSION",
        "holdfast.wire",
    ),
}
ENGINE_MAY_ALSO = {
    "collections",
    "dataclasses",
    "enum",
    "functools",
    "heapq",
    "math",
    "bisect",
    "random",
    "typing",
    "__future__",
}


def modules() -> Iterator[tuple[str, Path]]:
    for top in ("server", "client"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT / top).with_suffix("").parts
            yield ".".join(part for part in parts if part != "__init__"), path


def imports_of(path: Path) -> Iterator[str]:
    """Full dotted names of what a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rule_of(module: str) -> tuple[str, ...] | None:
    prefixes = [prefix for prefix in ALLOWED if is_in(module, prefix)]
    return ALLOWED[max(prefixes, key=len)] if prefixes else None


def is_in(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=lambda value: str(value)[-40:])
def test_imports_point_downwards_only(module: str, path: Path) -> None:
    allowed = rule_of(module)
    ours = [
        name for name in imports_of(path) if is_in(name, "holdfast") or is_in(name, "holdfastd")
    ]
    if allowed is not None:
        wrong = [name for name in ours if not any(is_in(name, prefix) for prefix in allowed)]
        assert not wrong, f"{module} must not import {wrong}"
    if module.startswith("holdfast.") or module == "holdfast":
        assert not [name for name in ours if is_in(name, "holdfastd")]
    if is_in(module, "holdfastd"):
        foreign = [name for name in ours if is_in(name, "holdfast")]
        assert not [name for name in foreign if not is_in(name, "holdfast.wire")]


TIMES_MAY_ALSO = {
    "holdfastd.engine.recurrence": {"cronsim", "datetime", "itertools"},
    "holdfastd.engine.schedules": {"datetime"},
    # The zones are data of a package, read as its code is.
    "holdfastd.engine.zones": {"datetime", "difflib", "importlib", "zoneinfo"},
}


def test_the_engine_imports_nothing_that_could_do_io() -> None:
    engine = [(module, path) for module, path in modules() if is_in(module, "holdfastd.engine")]
    assert len(engine) > 10
    for module, path in engine:
        for name in imports_of(path):
            root = name.partition(".")[0]
            allowed = ENGINE_MAY_ALSO | TIMES_MAY_ALSO.get(module, set()) | {"holdfastd"}
            assert root in allowed, f"{module} imports {name}"


def import_graph() -> dict[str, set[str]]:
    """Module -> our modules that it imports, those for types alone included."""
    known = dict(modules())
    return {
        module: {
            found
            for name in imports_of(path)
            for found in (name, name.rpartition(".")[0])
            if found in known and found not in ("holdfast", "holdfastd")  # a package's face
        }
        for module, path in known.items()
    }


def circle_in(graph: Mapping[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle
    return []


def test_no_two_modules_import_each_other_by_any_way() -> None:
    graph = import_graph()
    assert len(graph) > 200
    assert circle_in(graph) == []
    graph["holdfastd.engine.model"].add("holdfastd.daemon")
    assert "holdfastd.daemon" in circle_in(graph)
