"""The streams of open pages: one making for all who watch, and nothing for nobody."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request

from holdfast.wire.checks import Refusal
from holdfast.wire.constants import ErrorCode
from holdfastd.access.rights import ANYBODY, Identity, Rights, Role
from holdfastd.web import live
from holdfastd.web.live import Live, event
from holdfastd.web.remembered import rights_key

if TYPE_CHECKING:
    from starlette.responses import StreamingResponse


class Clock:
    """Stands still until told to move."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Pages:
    """What a topic shows, and how often it was made."""

    def __init__(self) -> None:
        self.parts = {"totals": "1 waiting", "queues": "mail"}
        self.made = 0

    async def __call__(self, identity: Identity, query: Mapping[str, str]) -> dict[str, str]:
        self.made += 1
        await asyncio.sleep(0)
        return dict(self.parts)


def request(topic: str = "overview", more: str = "") -> Request:
    query = f"topic={topic}{more}".encode()
    scope = {"type": "http", "method": "GET", "path": "/live", "headers": [], "query_string": query}
    return Request(scope)


async def anybody(request: HTTPConnection) -> Identity:
    return ANYBODY


Identify = Callable[[HTTPConnection], Awaitable[Identity]]


class Gate:
    """Lets in whom `identify` knows, each with so many streams."""

    def __init__(self, identify: Identify) -> None:
        self._identify = identify
        self.streams = 0

    async def identify(self, request: HTTPConnection) -> Identity:
        return await self._identify(request)

    @contextmanager
    def stream(self, request: HTTPConnection, identity: Identity) -> Iterator[None]:
        self.streams += 1
        yield
        self.streams -= 1


class Watching:
    """A Live on a clock of its own, and who watches it."""

    def __init__(self, identify: Identify = anybody) -> None:
        self.clock = Clock()
        self.pages = Pages()
        self.live = Live(Gate(identify), self.clock)
        self.live.topics["overview"] = self.pages

    async def watch(self, asked: Request | None = None) -> AsyncIterator[bytes]:
        (route,) = self.live.routes()
        serve = cast("Callable[[Request], Awaitable[StreamingResponse]]", route.endpoint)
        response = await serve(asked or request())
        return cast("AsyncIterator[bytes]", response.body_iterator)

    def tick(self) -> None:
        self.clock.now += live.TICK_S


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams wait in real time for what the clock of the test says: let that be soon."""
    wait = Live._wait
    monkeypatch.setattr(Live, "_wait", lambda self, seconds: wait(self, min(seconds, 0.001)))


async def test_a_hundred_who_watch_cost_one_making_and_get_the_same_bytes() -> None:
    watching = Watching()
    streams = [await watching.watch() for _ in range(100)]
    first = [await anext(stream) for stream in streams]
    assert len(set(first)) == 1
    assert b"1 waiting" in first[0]
    watching.pages.parts["totals"] = "2 waiting"
    watching.tick()
    second = await asyncio.gather(*(anext(stream) for stream in streams))
    assert watching.pages.made == 2
    assert all(message is second[0] for message in second)
    assert b"2 waiting" in second[0]
    assert b"mail" not in second[0], "what has not changed is sent again"


async def test_those_with_other_rights_or_another_query_have_a_making_of_their_own() -> None:
    async def identify(request: HTTPConnection) -> Identity:
        pattern = request.query_params.get("as", "*")
        return Identity(pattern, "", Rights(frozenset({Role.OPERATOR}), (pattern,)))

    watching = Watching(identify)
    for more in ("&as=mail", "&as=mail", "&as=web", "&range=1h"):
        await anext(await watching.watch(request(more=more)))
    assert watching.pages.made == 3


async def test_nothing_is_sent_while_only_the_clock_goes_on() -> None:
    watching = Watching()
    watching.pages.parts = {"totals": '<time data-at="5">3 s ago</time>'}
    stream = await watching.watch()
    await anext(stream)
    waiting = asyncio.ensure_future(anext(stream))
    for seconds in range(4, 8):
        watching.pages.parts = {"totals": f'<time data-at="5">{seconds} s ago</time>'}
        made = watching.pages.made
        watching.tick()
        while watching.pages.made == made:
            await asyncio.sleep(0.001)
    assert not waiting.done()
    watching.pages.parts = {"totals": '<time data-at="6">1 s ago</time>'}
    watching.tick()
    assert b'data-at="6"' in await waiting


async def test_one_who_reads_slowly_misses_what_was_in_between_and_nothing_else() -> None:
    watching = Watching()
    slow, quick = await watching.watch(), await watching.watch()
    await anext(slow)
    await anext(quick)
    for number in range(3):
        watching.pages.parts["totals"] = f"{number} waiting"
        if number == 1:
            watching.pages.parts["queues"] = "mail and web"
        watching.tick()
        await anext(quick)
    message = await anext(slow)
    assert b"2 waiting" in message
    assert b"mail and web" in message
    assert b"1 waiting" not in message


async def test_nothing_is_made_when_nobody_watches_any_more() -> None:
    watching = Watching()
    stream = await watching.watch()
    await anext(stream)
    assert watching.live.streams == 1
    await stream.aclose()  # type: ignore[attr-defined]  # it is a generator
    assert watching.live.streams == 0
    made = watching.pages.made
    watching.tick()
    await asyncio.sleep(0.02)
    assert watching.pages.made == made


async def test_streams_end_at_once_when_the_daemon_stops() -> None:
    watching = Watching()
    stream = await watching.watch()
    await anext(stream)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    watching.live.stop()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(waiting, 0.5)
    with pytest.raises(HTTPException) as refused:
        await watching.watch()
    assert refused.value.status_code == 503


async def test_a_stream_without_news_says_that_it_is_alive_and_ends_when_its_key_is_gone() -> None:
    is_gone = False

    async def identify(request: HTTPConnection) -> Identity:
        if is_gone:
            raise Refusal(ErrorCode.NOT_AUTHENTICATED, "no such key")
        return ANYBODY

    watching = Watching(identify)
    stream = await watching.watch()
    await anext(stream)
    watching.clock.now += live.QUIET_S
    assert await anext(stream) == b": \n\n"
    is_gone = True
    watching.clock.now += live.QUIET_S
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_topic_that_is_none_and_one_stream_too_many_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watching = Watching()
    with pytest.raises(HTTPException) as refused:
        await watching.watch(request("nothing"))
    assert refused.value.status_code == 404
    monkeypatch.setattr(live, "STREAMS_MAX", 1)
    stream = await watching.watch()
    await anext(stream)
    with pytest.raises(HTTPException) as refused:
        await watching.watch()
    assert refused.value.status_code == 503


def test_an_event_is_one_event_whatever_newlines_its_parts_have() -> None:
    told = event({"totals": "a\nb\r\nc\rd\n\n\ne"}).decode()
    assert told.endswith("\n\n")
    lines = told.removesuffix("\n\n").split("\n")
    assert all(line.startswith("data: ") for line in lines)
    assert [line[6:] for line in lines][1:-1] == ["b", "c", "d", "", ""]
    assert lines[0] == 'data: <hx-partial hx-target="#totals" hx-swap="innerMorph">a'


def test_rights_are_the_same_for_two_keys_that_may_the_same() -> None:
    def identity(name: str, *patterns: str) -> Identity:
        return Identity(name, name, Rights(frozenset({Role.OPERATOR}), patterns))

    assert rights_key(identity("a", "mail*")) == rights_key(identity("b", "mail*"))
    assert rights_key(identity("a", "mail*")) != rights_key(identity("a", "*"))
    assert rights_key(identity("a", "*")) != rights_key(ANYBODY)
