"""Requests that are held open: streams of events, and waits for a job.

They are bounded together, since each keeps a connection of the port, and end at once when the
daemon stops or the client goes away.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request

from holdfast.wire.checks import Refusal
from holdfast.wire.constants import ErrorCode

HELD_MAX: Final = 200
"""The port has 512 connections, of which the dashboard's streams take 200."""


class Held:
    def __init__(self) -> None:
        self._count = 0
        self.stopping = asyncio.Event()

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """For as long as it is open. Raises Refusal: no more, or the daemon stops."""
        if self.stopping.is_set():
            raise Refusal(ErrorCode.DRAINING, "the server is being restarted: try again")
        if self._count >= HELD_MAX:
            text = f"{HELD_MAX} streams and waits are open already: try again later"
            raise Refusal(ErrorCode.TOO_MANY, text)
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1

    async def until(self, doing: asyncio.Future[Any], request: Request, seconds: float) -> None:
        """Until it is done or the time is over.

        Raises:
            ClientDisconnect. Refusal: the daemon stops. Whatever it raised by itself.
        """
        gone = asyncio.ensure_future(_gone(request))
        stopping = asyncio.ensure_future(self.stopping.wait())
        all_of_them = {doing, gone, stopping}
        try:
            await asyncio.wait(all_of_them, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                raise ClientDisconnect
            if stopping.done():
                raise Refusal(ErrorCode.DRAINING, "the server is being restarted: ask again")
            if doing.done():
                doing.result()
        finally:
            for each in all_of_them:
                each.cancel()
            await asyncio.gather(*all_of_them, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
