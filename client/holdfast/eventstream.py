"""The events of a queue, over reconnects."""

import asyncio
from typing import Any, Final

from holdfast.decoding import event_of
from holdfast.errors import AccessDenied, HoldfastError
from holdfast.link import Link
from holdfast.models import Event
from holdfast.wire import messages as wire

EVENTS_WAITING_MAX: Final = 100_000
"""Events that a slow reader has not taken yet; beyond that the oldest are dropped."""


class EventStream:
    """A LISTEN that goes on over reconnects, on a connection of its own."""

    def __init__(self, link: Link, queue: str, after: int | None):
        self._link = link
        self._queue = queue
        self._last = after
        self._events: asyncio.Queue[Event | HoldfastError] = asyncio.Queue(EVENTS_WAITING_MAX)
        link.on_open = self._listen
        link.on_refused = self._put
        link.on_events = self._received
        link.start()

    def _listen(self, lost: list[int]) -> None:
        future = self._link.send(wire.Listen(0, self._queue, self._last))
        future.add_done_callback(self._listening)

    def _listening(self, future: "asyncio.Future[Any]") -> None:
        if future.cancelled():
            return
        error = future.exception()
        if isinstance(error, AccessDenied):
            self._put(error)
        if error is not None or not future.result():
            return
        if future.result()["missed"]:
            self._put(Event(0, "missed", None, self._queue, None, None, {}))
        if self._last is None:
            self._last = future.result()["last"]

    def _received(self, queue: str, events: list[Any]) -> None:
        for wire_event in events:
            self._last = wire_event[0]
            self._put(event_of(queue, wire_event))

    def _put(self, event: Event | HoldfastError) -> None:
        if self._events.full():
            self._events.get_nowait()
        self._events.put_nowait(event)

    async def next(self) -> Event:
        """Raises what the server refused it with, when all before it was taken."""
        event = await self._events.get()
        if isinstance(event, HoldfastError):
            raise event
        return event

    async def close(self) -> None:
        await self._link.close()
