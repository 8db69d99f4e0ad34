"""Files of jobs and of the past: whole, or with a last line that says what is missing."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from holdfast.wire.checks import Refusal
from holdfast.wire.constants import ErrorCode
from holdfastd.access.door import Door
from holdfastd.access.rights import ANYBODY, Identity, Rights, Role
from holdfastd.clock import SystemClock
from holdfastd.web import exporting
from holdfastd.web.exporting import PAGE, Exporting, points_as_csv
from holdfastd.web.guard import Guard
from holdfastd.web.safe.sessions import Sessions

SOME = 2 * PAGE + 1


class Shelf:
    """A board with so many jobs, of which one may refuse to be read further than a place."""

    def __init__(self, count: int, ends_at: int | None = None):
        self._count = count
        self._ends_at = ends_at

    async def jobs(
        self, identity: Identity, text: str, after: str | None, limit: int
    ) -> dict[str, Any]:
        start = int(after or 0)
        if self._ends_at is not None and start >= self._ends_at:
            raise Refusal(ErrorCode.DRAINING, "the server is being restarted")
        end = min(start + limit, self._count)
        jobs = [{"queue": "q", "id": str(n)} for n in range(start, end)]
        return {"jobs": jobs, "next": str(end) if end < self._count else None}

    async def job(self, identity: Identity, queue: str, id: str) -> dict[str, Any]:
        if id == "1":
            raise Refusal(ErrorCode.UNKNOWN_JOB, "it is gone")
        return {"queue": queue, "id": id, "data": int(id)}


async def lines(
    folder: Path, board: Any, identity: Identity = ANYBODY, *, is_whole: bool = False
) -> list[dict[str, Any]]:
    clock = SystemClock()
    guard = Guard(Door(folder / "keys.json", clock, is_http_key_required=False), Sessions(clock))
    file = await Exporting(board, guard).matching(identity, "", None, is_whole=is_whole)
    return [json.loads(line) for line in "".join([part async for part in file]).splitlines()]


async def test_every_job_is_a_line(tmp_path: Path) -> None:
    found = await lines(tmp_path, Shelf(SOME))
    assert [each["id"] for each in found] == [str(n) for n in range(SOME)]


async def test_more_than_a_file_has_says_where_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "JOBS_MAX", PAGE)
    *found, last = await lines(tmp_path, Shelf(SOME))
    assert len(found) == PAGE
    assert last == {"next": str(PAGE)}
    monkeypatch.setattr(exporting, "WHOLE_MAX", 1)
    *found, last = await lines(tmp_path, Shelf(SOME), is_whole=True)
    assert last == {"next": str(PAGE)}
    assert [each["data"] for each in found[:2]] == [0, 2], "what is gone is left out"


async def test_what_ends_in_the_middle_says_so(tmp_path: Path) -> None:
    *found, last = await lines(tmp_path, Shelf(SOME, ends_at=PAGE))
    assert len(found) == PAGE
    assert last["error"]["code"] == "DRAINING"
    with pytest.raises(Refusal):  # before it has begun, it is an answer of its own
        await lines(tmp_path, Shelf(SOME, ends_at=0))


async def test_a_key_that_is_revoked_meanwhile_gets_no_more(tmp_path: Path) -> None:
    revoked = Identity("eve", "0123abcd", Rights(frozenset({Role.VIEWER}), ("*",)))
    *found, last = await lines(tmp_path, Shelf(SOME), revoked)
    assert len(found) == PAGE
    assert last["error"]["code"] == "NOT_AUTHENTICATED"


def test_the_past_has_a_line_a_step_and_nothing_where_nothing_was_measured() -> None:
    counts = {"added": 1, "completed": 2, "failed": 3, "retried": 4, "lost": 5}
    lengths = {"p50": 1.5, "p95": 2.5, "p99": 3.5}
    text = points_as_csv([{"at_ms": 60_000, **counts, "wait_ms": lengths, "run_ms": None}])
    (row,) = csv.DictReader(text.splitlines())
    assert (row["at_ms"], row["lost"], row["wait_ms_p95"], row["run_ms_p95"]) == (
        "60000",
        "5",
        "2.5",
        "",
    )
