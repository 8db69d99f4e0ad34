"""SEARCH over TCP: read as text, asked of the Finder, answered when it answers.

One after the other, in order of arrival, beside the other reads: a search may take 2 s.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple, NoReturn

from holdfast.wire import messages as wire
from holdfast.wire.checks import Refusal, check_integer
from holdfast.wire.constants import LIST_LIMIT_MAX, ErrorCode
from holdfastd.net.answers import job_map
from holdfastd.search.finder import Finder
from holdfastd.search.found import Found, FoundJob, SearchError
from holdfastd.search.query import Query, QueryError, parse
from holdfastd.translation import refusal_of_search

SEARCHES_WAITING_MAX: Final = 100
"""Of all connections together; more are refused as BUSY. The last waits for minutes at worst; what
they hold is little."""


class _Asked(NamedTuple):
    connection: int
    message: wire.Search
    query: Query
    allows: tuple[str, ...] | None


class Searcher:
    """Attributes: is_able, to search at all: the store is one that a Finder can read."""

    def __init__(
        self,
        finder: Finder | None,
        now_ms: Callable[[], int],
        say: Callable[[int, wire.Message], None],
        is_there: Callable[[int], bool],
    ):
        """say: sends a message to a connection, which may have gone."""
        self._finder = finder
        self.is_able = finder is not None
        self._now_ms = now_ms
        self._say = say
        self._is_there = is_there
        self._asked: asyncio.Queue[_Asked] = asyncio.Queue()

    def ask(self, connection: int, message: wire.Search, allows: tuple[str, ...] | None) -> None:
        """allows: patterns of the queues that may be seen; None = all."""
        try:
            self._put(_Asked(connection, message, self._query(message), allows))
        except Refusal as refusal:
            self._refuse(connection, message, refusal)

    def _put(self, asked: _Asked) -> None:
        if self._asked.qsize() >= SEARCHES_WAITING_MAX:
            text = f"{SEARCHES_WAITING_MAX} searches wait already: send it again later"
            raise Refusal(ErrorCode.BUSY, text)
        self._asked.put_nowait(asked)

    def _query(self, message: wire.Search) -> Query:
        if not self.is_able:
            raise Refusal(ErrorCode.UNKNOWN_COMMAND, "this server cannot search")
        check_integer("limit", message.limit, 1, LIST_LIMIT_MAX)
        try:
            return parse(message.query, self._now_ms())
        except QueryError as error:
            _refuse(error)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            asked = await self._asked.get()
            if not self._is_there(asked.connection):
                continue
            try:
                found = await self._found(asked)
            except Refusal as refusal:
                self._refuse(asked.connection, asked.message, refusal)
            else:
                self._say(asked.connection, wire.Reply(asked.message.request, _page(found)))

    async def _found(self, asked: _Asked) -> Found:
        assert self._finder is not None, "without it nothing is put"
        message = asked.message
        try:
            return await self._finder.page(asked.query, asked.allows, message.after, message.limit)
        except SearchError as error:
            raise refusal_of_search(error) from error

    def _refuse(self, connection: int, message: wire.Search, refusal: Refusal) -> None:
        code = int(refusal.code)
        self._say(connection, wire.Error(message.request, code, refusal.message, refusal.details))


def _refuse(error: QueryError) -> NoReturn:
    details = {"at": error.at, "text": error.text, "advice": error.advice}
    raise Refusal(ErrorCode.BAD_REQUEST, str(error), details) from error


def _page(found: Found) -> dict[str, Any]:
    return {
        "jobs": [_found_map(job) for job in found.jobs],
        "next": found.next,
        "was_cut": found.was_cut,
        "looked_at": found.looked_at,
    }


def _found_map(job: FoundJob) -> dict[str, Any]:
    return {**job_map(job.queue, job.row, job.worker), "error": job.error}
