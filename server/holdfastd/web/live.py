"""What changes on open pages, sent to them: one stream per tab, `GET /live?topic=…`.

A topic is what one kind of page shows. As long as somebody watches it, it is made at most once a
second, for all who watch it with the same rights, and who has it already is sent only those of its
parts that are others since then: the same bytes for all of them. So nothing is made while nobody
watches, nothing is sent while nothing changes, and nothing is kept for a client: one that reads
slowly misses what was in between.

There is no task beside the streams: whoever wakes first after a second makes the parts, the others
find them. hx-sse puts each part into the element of its id, by morphing.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Final, NamedTuple, Protocol, TypeAlias

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from holdfast.wire.checks import Refusal
from holdfastd.access.rights import Identity
from holdfastd.web.remembered import rights_key

Make: TypeAlias = Callable[[Identity, Mapping[str, str]], Awaitable[dict[str, str]]]
"""Who looks and the query of /live -> HTML by the id of the element that it fills."""

TICK_S: Final = 1.0
QUIET_S: Final = 20.0
"""After so long without news a stream says that it is alive, and whether it still may be: proxies
end what is silent for 30 to 60 s."""
STREAMS_MAX: Final = 200
"""At once. The HTTP port has 256 connections, some of which are for those who do not watch."""
_TIME_TEXT: Final = re.compile(r"(<time [^>]*>)[^<]*")
"""The words of an instant change with the clock; the page keeps them true itself (times.js)."""
_NEWLINE: Final = re.compile(r"\r\n|\r|\n")
_ALIVE: Final = b": \n\n"
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""The second is for nginx, which holds answers back else."""


class _Part(NamedTuple):
    html: str
    compared: str
    version: int
    """Of the topic, when it became what it is."""


class _Watched:
    """One topic as those with the same rights see it.

    Attributes:
        watchers: how many streams. version: rises when something changed; 0 = not yet made.
    """

    def __init__(self, make: Callable[[], Awaitable[dict[str, str]]]):
        self.watchers = 0
        self.version = 0
        self.fresh_until = float("-inf")
        self._make = make
        self._making = asyncio.Lock()
        self._parts: dict[str, _Part] = {}
        self._messages: dict[int, bytes] = {}
        """By the version that a client has, what brings it to this one."""

    @contextmanager
    def watched(self) -> Iterator[None]:
        """By one more, for as long as this lasts."""
        self.watchers += 1
        try:
            yield
        finally:
            self.watchers -= 1

    async def refresh(self, monotonic: Callable[[], float]) -> None:
        """Make it again if that was a second ago; together with all who ask meanwhile."""
        async with self._making:
            if monotonic() < self.fresh_until:
                return
            began = monotonic()
            self._take(await self._make())
            self.fresh_until = began + TICK_S

    def _take(self, made: dict[str, str]) -> None:
        compared = {name: _TIME_TEXT.sub(r"\1", html) for name, html in made.items()}
        changed = {
            name
            for name, text in compared.items()
            if name not in self._parts or self._parts[name].compared != text
        }
        if not changed:
            return
        self.version += 1
        self._messages.clear()
        for name in changed:
            self._parts[name] = _Part(made[name], compared[name], self.version)

    def since(self, version: int) -> bytes:
        """For one that has this version: an event with what is new; b"" = nothing."""
        if version == self.version:
            return b""
        if version not in self._messages:
            new = {name: each.html for name, each in self._parts.items() if each.version > version}
            self._messages[version] = event(new)
        return self._messages[version]


def event(parts: Mapping[str, str]) -> bytes:
    """One server-sent event that fills each element of these ids."""
    html = "".join(
        f'<hx-partial hx-target="#{name}" hx-swap="innerMorph">{part}</hx-partial>'
        for name, part in parts.items()
    )
    lines = (f"data: {line}\n" for line in _NEWLINE.split(html))
    return ("".join(lines) + "\n").encode()


class Gate(Protocol):
    """Of `web.guard`, what a stream asks."""

    async def identify(self, request: HTTPConnection) -> Identity:
        """Raises Refusal."""

    def stream(self, request: HTTPConnection, identity: Identity) -> AbstractContextManager[None]:
        """For as long as it is open. Raises Refusal: this client has too many."""


class Live:
    """Attributes:
    topics: by name; pages add theirs.
    """

    def __init__(self, guard: Gate, monotonic: Callable[[], float]):
        self.topics: dict[str, Make] = {}
        self._guard = guard
        self._monotonic = monotonic
        self._watched: dict[object, _Watched] = {}
        self._stopping = asyncio.Event()

    @property
    def streams(self) -> int:
        """Open ones."""
        return sum(watched.watchers for watched in self._watched.values())

    def stop(self) -> None:
        """End every stream at once, and begin none."""
        self._stopping.set()

    def routes(self) -> list[Route]:
        return [Route("/live", self._serve)]

    async def _serve(self, request: Request) -> Response:
        """Raises Refusal: who asks may not see it."""
        identity = await self._guard.identify(request)
        query = dict(request.query_params)
        make = self.topics.get(query.get("topic", ""))
        if make is None:
            raise HTTPException(404, f"there is no topic {query.get('topic', '')!r}")
        if self._stopping.is_set() or self.streams >= STREAMS_MAX:
            raise HTTPException(503, "no more streams: load the page to see what is new")
        watched = self._watched_by(identity, query, make)
        await watched.refresh(self._monotonic)
        return StreamingResponse(
            self._stream(request, identity, watched),
            headers=_HEADERS,
            media_type="text/event-stream",
        )

    def _watched_by(self, identity: Identity, query: dict[str, str], make: Make) -> _Watched:
        """That of others with the same rights, if there is one."""
        key = rights_key(identity), tuple(sorted(query.items()))
        found = self._watched.get(key)
        if found is None:
            self._forget_unwatched()
            found = self._watched[key] = _Watched(lambda: make(identity, query))
        return found

    def _forget_unwatched(self) -> None:
        self._watched = {key: each for key, each in self._watched.items() if each.watchers}

    async def _stream(
        self, request: Request, identity: Identity, watched: _Watched
    ) -> AsyncIterator[bytes]:
        try:
            with watched.watched(), self._guard.stream(request, identity):
                async for message in self._messages(request, identity, watched):
                    yield message
        except Refusal:
            return  # the key is gone, or has too many: asking again tells which

    async def _messages(
        self, request: Request, identity: Identity, watched: _Watched
    ) -> AsyncIterator[bytes]:
        """Until they are to end, or who asked has other rights by now. Raises Refusal."""
        version, said_at = 0, self._monotonic()
        while not self._stopping.is_set():
            if rights_key(await self._guard.identify(request)) != rights_key(identity):
                return
            await watched.refresh(self._monotonic)
            message = watched.since(version)
            version = watched.version
            if not message and self._monotonic() - said_at >= QUIET_S:
                message = _ALIVE
            if message:
                said_at = self._monotonic()
                yield message
            await self._wait(watched.fresh_until - self._monotonic())

    async def _wait(self, seconds: float) -> None:
        """Or less: until the streams are to end."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass
