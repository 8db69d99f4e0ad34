"""SEARCH at the port: what is asked of the finder, and what is said of its answers."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any, cast

import pytest

from holdfast.wire import messages as wire
from holdfast.wire.constants import ErrorCode
from holdfastd.net.searcher import SEARCHES_WAITING_MAX, Searcher
from holdfastd.search.found import BadCursor, Found, SearchBroken, SearchBusy, SearchError
from holdfastd.search.query import Query

if TYPE_CHECKING:
    from holdfastd.search.finder import Finder

NOW_MS = 1_795_610_096_789
EMPTY = Found([], "seq.7", True, 5)


class RecordingFinder:
    """Gives what it was told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any, str | None, int]] = []
        self.result: Found | SearchError = EMPTY

    async def page(
        self, query: Query, allows: Iterable[str] | None, after: str | None, limit: int
    ) -> Found:
        self.asked.append((str(query), allows, after, limit))
        if isinstance(self.result, SearchError):
            raise self.result
        return self.result


class Port:
    def __init__(self) -> None:
        self.finder = RecordingFinder()
        self.said: asyncio.Queue[tuple[int, wire.Message]] = asyncio.Queue()
        self.here = {1, 2}
        self.searcher = Searcher(
            cast("Finder", self.finder),  # of its methods it has the one that is used
            lambda: NOW_MS,
            lambda connection, message: self.said.put_nowait((connection, message)),
            lambda connection: connection in self.here,
        )

    async def error(self) -> wire.Error:
        _, message = await self.said.get()
        assert isinstance(message, wire.Error)
        return message


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    port = Port()
    running = asyncio.create_task(port.searcher.run())
    yield port
    running.cancel()


async def test_a_query_is_asked_with_its_times_as_instants(port: Port) -> None:
    port.searcher.ask(1, wire.Search(8, "age>=1h", "seq.9", 20), ("mail*",))
    reply = {"jobs": [], "next": "seq.7", "was_cut": True, "looked_at": 5}
    assert await port.said.get() == (1, wire.Reply(8, reply))
    assert port.finder.asked == [("created<=2026-11-25T11:34:56.789Z", ("mail*",), "seq.9", 20)]


async def test_what_is_no_query_is_refused_without_a_search(port: Port) -> None:
    port.searcher.ask(1, wire.Search(8, "state:deed"), None)
    error = await port.error()
    assert (error.request, error.code, error.details["at"]) == (8, ErrorCode.BAD_REQUEST, 6)
    assert error.message == f"{error.details['text']}: {error.details['advice']}"
    for limit in (0, 1001, -1):
        port.searcher.ask(1, wire.Search(9, "", None, limit), None)
        assert "limit must be" in (await port.error()).message
    assert port.finder.asked == []


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (BadCursor("x"), ErrorCode.BAD_REQUEST),
        (SearchBusy("x"), ErrorCode.BUSY),
        (SearchBroken("x"), ErrorCode.INTERNAL),
    ],
)
async def test_what_the_finder_raises_has_a_code(
    port: Port, raised: SearchError, code: ErrorCode
) -> None:
    port.finder.result = raised
    port.searcher.ask(1, wire.Search(8, ""), None)
    assert await port.error() == wire.Error(8, int(code), "x", {})


async def test_nobody_searches_for_who_has_gone(port: Port) -> None:
    port.searcher.ask(1, wire.Search(1, "gone"), None)
    port.here.remove(1)
    port.searcher.ask(2, wire.Search(2, "here"), None)
    assert (await port.said.get())[0] == 2
    assert [query for query, *_ in port.finder.asked] == ["here"]


async def test_more_searches_than_can_wait_are_refused_as_busy() -> None:
    port = Port()  # it does not run
    for request in range(SEARCHES_WAITING_MAX + 1):
        port.searcher.ask(1, wire.Search(request, ""), None)
    error = await port.error()
    assert (error.request, error.code) == (SEARCHES_WAITING_MAX, ErrorCode.BUSY)
    assert port.said.empty()


async def test_without_a_finder_the_command_is_unknown() -> None:
    said: list[wire.Message] = []
    searcher = Searcher(None, lambda: 0, lambda at, message: said.append(message), lambda at: True)
    searcher.ask(1, wire.Search(3, ""), None)
    assert not searcher.is_able
    assert isinstance(said[0], wire.Error)
    assert said[0].code == ErrorCode.UNKNOWN_COMMAND
