"""A request that has no answer yet, and what becomes of it when its answer was lost.

Which requests are sent again, and how, is told in `holdfast.link`.
"""

import asyncio
from typing import Any, Final

from holdfast.wire import messages as wire
from holdfast.wire.constants import ItemStatus

REPEATABLE: Final = (
    wire.Enqueue,
    wire.Ack,
    wire.Fail,
    wire.Release,
    wire.Extend,
    wire.Heartbeat,
    wire.Wait,
    wire.Get,
    wire.List,
    wire.Counts,
    wire.Search,
    wire.Explain,
    wire.Schedules,
    wire.Schedule,
    wire.RunSchedule,
)
"""Requests that may be sent again although they were applied: reads, and those whose job id, token
or whole content makes the second time harmless."""
OF_CONNECTION: Final = (wire.Subscribe, wire.Listen, wire.Unlisten)
"""Never sent again: `on_open` says what holds for a new connection."""


class Pending:
    __slots__ = ("future", "generated", "message", "was_sent")

    def __init__(self, message: Any, future: asyncio.Future[Any]):
        self.message = message
        self.future = future
        self.was_sent = False
        self.generated: frozenset[int] = frozenset()
        """Items of an ENQUEUE whose generated ids were sent again as text: if such an id exists,
        it was this request that created it."""

    def with_text_ids(self) -> None:
        if not isinstance(self.message, wire.Enqueue):
            return
        items = self.message.items
        raw = frozenset(at for at, item in enumerate(items) if isinstance(item[0], bytes))
        if raw:
            self.generated = raw
            texts = [
                [item[0].hex(), *item[1:]] if at in raw else item for at, item in enumerate(items)
            ]
            self.message = self.message._replace(items=texts)

    def done(self) -> list[list[int]]:
        """The result of an ENQUEUE that was applied and whose answer is lost. Of the caller's own
        ids it is not known whether they were there before: "existing" in state 0."""
        return [
            [at, ItemStatus.EXISTING, 0]
            for at, item in enumerate(self.message.items)
            if isinstance(item[0], str) and at not in self.generated
        ]

    def own_result(self, result: Any) -> Any:
        """The reply's result, as if it had come the first time. Whether a job with an id of the
        caller's own was created by the first sending cannot be known: it stays "existing"."""
        if not self.generated or not isinstance(result, list):
            return result
        return [
            item
            for item in result
            if item[1] != ItemStatus.EXISTING or item[0] not in self.generated
        ]
