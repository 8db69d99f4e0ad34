"""One action on jobs: what is to be done, how far it is, what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

FAILED_KEPT_MAX: Final = 100
"""Of the jobs that were refused, with the reason; the others are only counted as passed over."""


class Progress(Enum):
    PENDING = "pending"
    """Nothing has happened: it can be undone by not beginning it."""
    RUNNING = "running"
    DONE = "done"
    UNDONE = "undone"
    STOPPED = "stopped"
    """In the middle: by a person, or by an error."""


@dataclass(slots=True)
class Action:
    """Attributes:
    query: of all that match; None = of a selection. found: jobs it will look at, at least.
    queues: pattern of their names, of an action on queues; None = on jobs.
    done, skipped: changed, and no longer in the state that was seen (or not in one for it).
    changed: names of the queues that it has changed.
    """

    id: str
    kind: str
    by: str
    params: Mapping[str, Any]
    starts_at_ms: int
    query: str | None = None
    queue: str | None = None
    queues: str | None = None
    found: int = 0
    done: int = 0
    skipped: int = 0
    failed: list[dict[str, str]] = field(default_factory=list)
    state: Progress = Progress.PENDING
    ended_at_ms: int | None = None
    why: str = ""
    """It stopped for this."""
    changed: list[str] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """As the board tells of it."""
        return {
            "id": self.id,
            "kind": self.kind,
            "by": self.by,
            "query": self.query,
            "queue": self.queue,
            "queues": self.queues,
            "found": self.found,
            "done": self.done,
            "skipped": self.skipped,
            "failed": list(self.failed),
            "state": self.state.value,
            "can_undo": self.can_undo,
            "why": self.why,
            "params": {name: value for name, value in self.params.items() if name != "payload"},
            "starts_at_ms": self.starts_at_ms,
            "ended_at_ms": self.ended_at_ms,
        }

    @property
    def is_over(self) -> bool:
        return self.state in (Progress.DONE, Progress.UNDONE, Progress.STOPPED)

    @property
    def can_undo(self) -> bool:
        """It has not begun, or it knows what it changed."""
        return self.state is Progress.PENDING or (self.is_over and bool(self.changed))


class Seen:
    """Numbers of the jobs that an action has met: what it changes may come again behind its place.
    A bit for each, in chunks, so that ten million take 1.2 MB."""

    CHUNK_BITS: Final = 1 << 16

    def __init__(self) -> None:
        self._chunks: dict[int, bytearray] = {}

    def is_new(self, seq: int) -> bool:
        """Whether it is met for the first time; from now on it is not."""
        at, bit = divmod(seq % self.CHUNK_BITS, 8)
        chunk = self._chunks.get(seq // self.CHUNK_BITS)
        if chunk is None:
            chunk = self._chunks[seq // self.CHUNK_BITS] = bytearray(self.CHUNK_BITS // 8)
        if chunk[at] >> bit & 1:
            return False
        chunk[at] |= 1 << bit
        return True
