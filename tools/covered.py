"""Is each module of the engine and of the wire covered by its own test file, and by nothing else?

Run by `make coverage`. A branch that only other modules' tests happen to pass is tested by chance:
whoever changes it does not find its test. So module X has to be covered in full, lines and
branches, by tests/unit/engine/test_X.py (or wire) alone. websockets asks this of its modules with a
process for each (its tests/maxi_cov.py); here one does, since coverage can keep apart what was run
for whom: the file that runs is its context.
"""

import importlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from coverage import Coverage

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = {
    "holdfastd.engine": ROOT / "server" / "holdfastd" / "engine",
    "holdfast.wire": ROOT / "client" / "holdfast" / "wire",
}
TESTED_WITH: Final = {"scheduling": "schedules"}
"""Modules of one subject, whose sentences are of both: what a schedule is, and when it fires."""
IMPORTS: Final = "imports"
"""Context of what runs when a module is imported: its declarations need no test."""


class Module(NamedTuple):
    name: str
    path: Path
    tests: Path
    """Its own; not there if it has nothing but declarations."""

    @property
    def context(self) -> str:
        return self.tests.relative_to(ROOT).as_posix()


def modules() -> Iterator[Module]:
    for package, folder in PACKAGES.items():
        tests = ROOT / "tests" / "unit" / folder.name
        for path in sorted(folder.glob("*.py")):
            if path.stem != "__init__":
                stem = TESTED_WITH.get(path.stem, path.stem)
                yield Module(f"{package}.{path.stem}", path, tests / f"test_{stem}.py")


class Contexts:
    """A plugin of pytest: what is collected and run of a file is noted under its name."""

    def __init__(self, coverage: Coverage):
        self._coverage = coverage

    @pytest.hookimpl(tryfirst=True)
    def pytest_collectstart(self, collector: pytest.Collector) -> None:
        if isinstance(collector, pytest.Module):
            self._switch_to(collector.path)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._switch_to(ROOT / nodeid.partition("::")[0])

    def _switch_to(self, path: Path) -> None:
        self._coverage.switch_context(path.relative_to(ROOT).as_posix())


def main() -> int:
    coverage = Coverage(data_file=None, config_file=str(ROOT / "pyproject.toml"))
    coverage.start()
    coverage.switch_context(IMPORTS)
    found = list(modules())
    for module in found:
        importlib.import_module(module.name)
    own = dict.fromkeys(str(module.tests) for module in found if module.tests.exists())
    quietly = ["-q", "--no-header", "--no-summary", "-p", "no:cacheprovider"]
    code = pytest.main([*quietly, *own], plugins=[Contexts(coverage)])
    coverage.stop()
    if code:
        return int(code)
    short = [module for module in found if _is_short(coverage, module)]
    print(f"{len(found) - len(short)} of {len(found)} modules are covered by their own tests")
    return 1 if short else 0


def _is_short(coverage: Coverage, module: Module) -> bool:
    """Of its full coverage; then it is told what is missing."""
    contexts = [f"^{IMPORTS}$", f"^{module.context}$"]
    report = io.StringIO()
    percent = coverage.report(
        morfs=[str(module.path)], contexts=contexts, show_missing=True, file=report
    )
    if percent < 100:
        print(f"{module.name} by {module.context}\n{report.getvalue()}")
    return percent < 100


if __name__ == "__main__":
    sys.exit(main())
