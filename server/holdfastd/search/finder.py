"""Searches of the daemon: asked here, answered by a process of its own (`search.process`).

The process is started by the first search and ended after a minute without one. It answers one
search after the other; so many wait at most, and the others are refused. When it dies, who waited
for its answer gets an error, and the next search starts another one.
"""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from holdfastd.clock import SystemClock
from holdfastd.search.exchange import LENGTH, Request, frame, unpack, unpack_answer
from holdfastd.search.found import Facets, Found, SearchBroken, SearchBusy, SearchError
from holdfastd.search.query import Query

WAITING_MAX: Final = 32
"""Searches that wait for their turn; at worst the last of them waits for a minute. Arbitrary."""
ANSWER_S: Final = 10.0
"""For one answer, of a process that has to start and of which the longest search takes 2 s; then
it hangs, in the disk as a rule, and is ended."""
IDLE_S: Final = 60.0
"""Without a search, the process is ended: it has some 30 MB. Arbitrary."""
STOP_S: Final = 2.0
"""It ends when it is told nothing more, after what it is at."""


class Finder:
    """Attributes: pid, of the process; None = there is none."""

    def __init__(self, directory: Path, idle_s: float = IDLE_S):
        """directory: of the data. Nothing is started before the first search."""
        self._directory = directory
        self._clock = SystemClock()
        self._idle_s = idle_s
        self._process: Process | None = None
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._last_number = 0
        self._idle: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._is_closed = False

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def page(
        self,
        query: Query,
        allows: Iterable[str] | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Found:
        """At most `limit` (1 to 1,000) jobs that match, within 2 s of its turn.

        Args:
            allows: patterns of the names of queues that may be seen; None = all.
            after: `next` of the page before; None = the first page.

        Raises:
            SearchError: BadCursor, SearchBusy or SearchBroken.
        """
        found = await self._ask(query, allows, is_count=False, after=after, limit=limit)
        assert isinstance(found, Found), "a page is answered with one"
        return found

    async def count(self, query: Query, allows: Iterable[str] | None = None) -> Facets:
        """How many match, and what they are, within 2 s of its turn. Raises SearchError."""
        facets = await self._ask(query, allows, is_count=True, after=None, limit=0)
        assert isinstance(facets, Facets), "a count is answered with them"
        return facets

    async def close(self) -> None:
        """End the process, also one that is at work; no search is answered any more."""
        self._is_closed = True
        self._let_go()
        while self._ending:
            await asyncio.gather(*self._ending)

    # ---- one search ------------------------------------------------------------------------------

    async def _ask(
        self,
        query: Query,
        allows: Iterable[str] | None,
        *,
        is_count: bool,
        after: str | None,
        limit: int,
    ) -> Found | Facets:
        if self._waiting >= WAITING_MAX:
            raise SearchBusy(f"{self._waiting} searches wait already: try again in a moment")
        self._waiting += 1
        try:
            async with self._turn:
                self._last_number += 1
                patterns = None if allows is None else list(allows)
                number = self._last_number
                since_s = self._clock.monotonic()
                request = Request(number, is_count, str(query), patterns, after, limit, since_s)
                result = await self._answer(request)
        finally:
            self._waiting -= 1
        if isinstance(result, SearchError):
            raise result
        return result

    async def _answer(self, request: Request) -> Found | Facets | SearchError:
        if self._is_closed:
            raise SearchBroken("the server is going down: search again when it is back")
        self._be_used()
        try:
            async with asyncio.timeout(ANSWER_S):
                process = await self._running()
                assert process.stdin is not None
                process.stdin.write(frame(list(request)))
                await process.stdin.drain()
                return await self._read(process, request.number)
        except TimeoutError:
            self._let_go()
            raise SearchBroken(
                f"the search did not answer within {ANSWER_S:g} s and was ended: look at the disk"
            ) from None
        except (OSError, asyncio.IncompleteReadError) as error:
            self._let_go()
            raise SearchBroken(
                "the process that searches has ended: search again; the server's log may say why"
            ) from error
        except asyncio.CancelledError:
            self._let_go()  # it works for nobody, and half an answer may have been read
            raise
        finally:
            self._rest()

    async def _read(self, process: Process, number: int) -> Found | Facets | SearchError:
        """Past the answers to those who did not wait for them."""
        assert process.stdout is not None
        while True:
            head = await process.stdout.readexactly(LENGTH.size)
            (length,) = LENGTH.unpack(head)
            answer = unpack_answer(unpack(await process.stdout.readexactly(length)))
            if answer.number == number:
                return answer.result

    # ---- the process -----------------------------------------------------------------------------

    async def _running(self) -> Process:
        if self._process is not None and self._process.returncode is not None:
            self._process = None
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "holdfastd.search.process", str(self._directory)),
                stdin=PIPE,
                stdout=PIPE,
            )
        return self._process

    def _be_used(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _rest(self) -> None:
        """From now on it is without a search."""
        self._be_used()
        if self._process is not None:
            self._idle = asyncio.get_running_loop().call_later(self._idle_s, self._let_go)

    def _let_go(self) -> None:
        """Have this process end; the next search starts another one."""
        self._be_used()
        process, self._process = self._process, None
        if process is not None:
            task = asyncio.get_running_loop().create_task(_end(process))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)


async def _end(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()  # it only reads: nothing is lost
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
