"""What is taken away as a file: jobs as NDJSON, a job a line, and the past as CSV.

Jobs come page by page as they are read: nothing is held, and who reads slowly is waited for. Each
is redacted as everywhere, and the key is looked at again with each page. A file that does not have
all of them says so in its last line: `{"next": …}` where to go on, `{"error": …}` why it ended.
"""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, Final

from holdfast.wire.checks import Refusal
from holdfastd.access.rights import Identity, Need
from holdfastd.web.board import Board
from holdfastd.web.guard import Guard

NDJSON: Final = "application/x-ndjson"
CSV: Final = "text/csv"
PAGE: Final = 200
"""Read and told of at once: a millisecond of the loop."""
JOBS_MAX: Final = 100_000
"""Of one file, as lists show them: some 50 MB."""
WHOLE_MAX: Final = 10_000
"""With all there is of each, which is read one by one."""
COUNTS: Final = ("added", "completed", "failed", "retried", "lost")
LENGTHS: Final = ("wait_ms", "run_ms")
PERCENTILES: Final = ("p50", "p95", "p99")


class Exporting:
    def __init__(self, board: Board, guard: Guard):
        self._board = board
        self._guard = guard

    async def matching(
        self, identity: Identity, text: str, after: str | None, *, is_whole: bool = False
    ) -> AsyncIterator[str]:
        """Of the jobs that a query finds. is_whole: with data, result, errors and logs.

        Raises:
            QueryError, Refusal: here, and not in the middle of a file.
        """
        first = await self._board.jobs(identity, text, after, PAGE)
        return self._pages(identity, text, first, is_whole=is_whole)

    async def _pages(
        self, identity: Identity, text: str, page: Mapping[str, Any], *, is_whole: bool
    ) -> AsyncIterator[str]:
        left = WHOLE_MAX if is_whole else JOBS_MAX
        try:
            while True:
                if is_whole:
                    async for line in self.named(identity, _places(page["jobs"])):
                        yield line
                else:
                    yield await asyncio.to_thread(_lines, page["jobs"])
                left -= len(page["jobs"])
                after = page["next"]
                if after is None:
                    return
                if left <= 0:
                    yield _line({"next": after})
                    return
                self._guard.check_still(identity, Need.SEE_JOBS)
                page = await self._board.jobs(identity, text, after, PAGE)
        except Refusal as refusal:
            yield _line({"error": {"code": refusal.code.name, "message": refusal.message}})

    async def named(
        self, identity: Identity, places: Iterable[tuple[str, str]]
    ) -> AsyncIterator[str]:
        """All there is of each of these (queue, id); those that are gone are left out."""
        for queue, id in places:
            try:
                yield _line(await self._board.job(identity, queue, id))
            except Refusal:
                continue


def _places(jobs: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return [(job["queue"], job["id"]) for job in jobs]


def _lines(jobs: Iterable[Mapping[str, Any]]) -> str:
    return "".join(map(_line, jobs))


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def points_as_csv(points: Iterable[Mapping[str, Any]]) -> str:
    """Of the history, as `Board.history` gives it; there are some thousand at most."""
    file = io.StringIO()
    write: Callable[[list[Any]], Any] = csv.writer(file).writerow
    measured = [(kind, each) for kind in LENGTHS for each in PERCENTILES]
    write(["at_ms", *COUNTS, *(f"{kind}_{each}" for kind, each in measured)])
    for point in points:
        counts = (point[name] for name in COUNTS)
        lengths = ((point[kind] or {}).get(each) for kind, each in measured)
        write([point["at_ms"], *counts, *lengths])
    return file.getvalue()
