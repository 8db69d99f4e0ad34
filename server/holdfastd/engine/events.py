"""The last events of one queue, numbered, so that a listener that was away can catch up.

A number is (boot epoch << 40) + counter, like a token: it rises over restarts without being
stored. After a restart the ring is empty, so whoever asks for what came after an older number
learns that it missed some.
"""

from collections import deque
from typing import Any, Final, NamedTuple

EVENTS_KEPT: Final = 10_000
"""Per queue that is, or was lately, listened to; what BullMQ keeps in a queue's stream."""


class EventNumber:
    """Kinds of events, as in the protocol; a test compares them."""

    ADDED = 1
    ACTIVE = 2
    PROGRESS = 3
    COMPLETED = 4
    FAILED = 5
    RETRYING = 6
    DELAYED = 7
    WAITING = 8
    LOST = 9
    REMOVED = 10
    DRAINED = 11
    PAUSED = 12
    RESUMED = 13
    CANCELLED = 14
    MOVED = 15


class QueueEvent(NamedTuple):
    number: int
    kind: int
    """EventKind's number in the protocol; a test compares the two."""
    at_ms: int
    id: str | None
    """None = of the whole queue."""
    name: str | None
    details: dict[str, Any]


class EventRing:
    """Events of one queue since somebody first listened."""

    def __init__(self, last: int):
        """last: the number before that of the first event."""
        self.last = last
        """Number of the last event; events follow each other by 1."""
        self._events: deque[QueueEvent] = deque(maxlen=EVENTS_KEPT)

    def add(
        self, kind: int, at_ms: int, id: str | None, name: str | None, details: dict[str, Any]
    ) -> QueueEvent:
        self.last += 1
        event = QueueEvent(self.last, kind, at_ms, id, name, details)
        self._events.append(event)
        return event

    def after(self, number: int) -> tuple[list[QueueEvent], bool]:
        """The events after that number that are kept, and whether some are missing before them."""
        kept = [event for event in self._events if event.number > number]
        first_kept = self._events[0].number if self._events else self.last + 1
        return kept, number + 1 < first_kept or number > self.last
