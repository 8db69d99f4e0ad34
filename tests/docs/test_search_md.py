"""docs/reference/search.md: its queries find what it says, and its tables are those of the code."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.wire.constants import LIST_LIMIT_MAX
from holdfastd.engine.model import FailReason, State
from holdfastd.search import finder, process, query, searching
from holdfastd.search.query import Field, parse
from holdfastd.search.searching import Searching
from support.shelf import NOW_MS, Shelf, Shelved

SEARCH_MD = (Path(__file__).parents[2] / "docs" / "reference" / "search.md").read_text()
MINUTE_MS = 60_000


def table(*heads: str) -> list[list[str]]:
    start = SEARCH_MD.index(f"| {' | '.join(heads)} |")
    lines = SEARCH_MD[start:].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def job_of(queue: str, id: str, name: str, state: str, data: str, more: str) -> Shelved:
    job = Shelved(queue, id, name, State[state.upper()], json.loads(data))
    if tag := re.search(r"tag (\w+)", more):
        job = job._replace(tags=(tag[1],))
    if attempt := re.search(r"attempt (\d)", more):
        job = job._replace(failures=int(attempt[1]), reason=FailReason.ERROR)
    if error := re.search(r'"(.+)"', more):
        job = job._replace(errors=(("TimeoutError", error[1], "worker-1"),))
    if "two days old" in more:
        job = job._replace(created_at_ms=NOW_MS - 2 * 24 * 60 * MINUTE_MS)
    if priority := re.search(r"priority (\d+)", more):
        job = job._replace(priority=int(priority[1]))
    if worker := re.search(r"runs on (\S+)", more):
        job = job._replace(worker=worker[1])
    if due := re.search(r"due in (\d+) minutes", more):
        job = job._replace(run_at_ms=NOW_MS + int(due[1]) * MINUTE_MS)
    return job


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searching]:
    directory = tmp_path_factory.mktemp("examples")
    shelf = Shelf(directory)
    shelf.put(*(job_of(*row) for row in table("queue", "id", "name", "state", "data", "more")))
    connection = process.connect(directory)
    yield Searching(connection, lambda: 0.0, lambda seconds: None)
    connection.close()
    shelf.close()


@pytest.mark.parametrize(("text", "finds"), table("query", "finds"))
def test_an_example_finds_what_it_says(examples: Searching, text: str, finds: str) -> None:
    page = examples.page(parse(text.strip("`"), NOW_MS), None, None, 100)
    assert sorted(job.row.id for job in page.jobs) == sorted(finds.split())


def test_every_query_on_the_page_is_one() -> None:
    shown = re.findall(r"`([a-z]+(?:\.[\w.*\"]+)?(?::|[<>]=?)[^`]+)`", SEARCH_MD)
    assert len(shown) > 25
    for text in shown:
        parse(text, NOW_MS)


def test_every_field_stands_in_the_table() -> None:
    named = [name for row in table("field", "value") for name in re.findall(r"`(\w+)", row[0])]
    assert set(named) == {field.value for field in Field if field is not Field.WORD} | {"age"}


def test_states_and_reasons_are_those_of_the_engine() -> None:
    told = {row[0].strip("`"): row[1] for row in table("field", "value")}
    assert all(state.name.lower() in told["state"] for state in State)
    assert all(reason.name.lower() in told["reason"] for reason in FailReason if reason)


def test_the_bounds_are_those_of_the_code() -> None:
    assert [row[1] for row in table("bound", "value")] == [
        f"{searching.PAGE_S:g} s",
        f"{searching.COUNT_S:g} s",
        str(LIST_LIMIT_MAX),
        str(query.QUERY_LENGTH_MAX),
        str(query.TERMS_MAX),
        str(query.VALUES_MAX),
        str(query.KEYS_MAX),
        str(finder.WAITING_MAX),
    ]
