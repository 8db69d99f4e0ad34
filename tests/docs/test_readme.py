"""README.md: its figures are measured, its two commands are at the top, and it is short."""

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
README: Final = (ROOT / "README.md").read_text()
BENCHMARKS: Final = (ROOT / "docs" / "explanation" / "benchmarks.md").read_text()
MINUTES: Final = 5
WORDS_PER_MINUTE: Final = 250
"""Of somebody who reads a text on a screen; the usual figure."""


def table(text: str, head: str) -> list[list[str]]:
    """The rows below this head, without what stands in brackets behind a number."""
    lines = text[text.index(head) :].split("\n\n")[0].splitlines()[2:]
    cells = ([cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines)
    return [[row[0], *(re.sub(r" \(\d.*\)", "", cell) for cell in row[1:])] for row in cells]


def measured(product: str) -> list[str]:
    """Its row of the benchmarks, as README.md has it."""
    rows = table(BENCHMARKS, "|  | promise | one by one |")
    (row,) = [row for row in rows if re.fullmatch(rf"{re.escape(product)}†? \d.*", row[0])]
    promise, one_by_one, in_bulk, _, _, end_to_end, start, _ = row[1:]
    return [promise, one_by_one, in_bulk, end_to_end, start]


def test_the_figures_are_those_of_the_benchmarks_with_their_commits() -> None:
    rows = table(README, "| | confirmed | one by one |")
    assert len(rows) == 8
    assert {product: figures for product, *figures in rows} == {
        product: measured(product) for product, *_ in rows
    }
    commits = re.search(r"commit (\w+) and (\w+), ([\d-]+)", README)
    assert commits is not None
    for commit in commits.groups()[:2]:
        assert f"- {commits[3]} " in BENCHMARKS
        assert f"commit {commit}:" in BENCHMARKS


def test_the_two_commands_are_at_the_top() -> None:
    first = re.search(r"```console\n(.*?)```", README, re.DOTALL)
    assert first is not None
    assert re.findall(r"^\$ make (\w+)", first[1], re.MULTILINE) == ["demo", "test"]
    assert README.count("\n", 0, first.start()) < 15


def test_it_is_read_in_five_minutes() -> None:
    prose = re.sub(r"```.*?```|<picture>.*?</picture>|\]\([^)]*\)", "", README, flags=re.DOTALL)
    assert len(re.findall(r"\w+", prose)) < MINUTES * WORDS_PER_MINUTE
