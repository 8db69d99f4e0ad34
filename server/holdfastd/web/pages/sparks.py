"""Each queue's last half hour as a small line beside it.

Every line is a read of its own, so a page reads a few at most, and shows those that it knows of the
others; while it is watched, the rest comes within seconds.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from holdfast.wire.checks import Refusal
from holdfastd.access.rights import Identity

if TYPE_CHECKING:
    from holdfastd.web.board import Board

MINUTE_MS: Final = 60_000
MINUTES: Final = 30
GOOD_S: Final = 60.0
"""There is a new point each minute."""
READ_AT_ONCE: Final = 8
"""Some milliseconds."""
KEPT_MAX: Final = 1_000


class Sparks:
    def __init__(self, board: "Board", now_ms: Callable[[], int], monotonic: Callable[[], float]):
        self._board = board
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._kept: dict[str, tuple[float, list[int]]] = {}
        """Until when it is good, and jobs completed in each minute, by queue."""

    async def of(self, identity: Identity, queues: Sequence[str]) -> dict[str, list[int]]:
        """Jobs completed in each of the last MINUTES, the newest last; empty = not known yet.
        queues: that he may see."""
        now = self._monotonic()
        stale = [queue for queue in queues if self._kept.get(queue, (0.0, []))[0] <= now]
        for queue in stale[:READ_AT_ONCE]:
            self._kept.pop(queue, None)
            self._kept[queue] = (now + GOOD_S, await self._read(identity, queue))
        while len(self._kept) > KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        return {queue: self._kept.get(queue, (0.0, []))[1] for queue in queues}

    async def _read(self, identity: Identity, queue: str) -> list[int]:
        to_ms = self._now_ms() // MINUTE_MS * MINUTE_MS
        from_ms = to_ms - MINUTES * MINUTE_MS
        try:
            points = await self._board.history(identity, queue, None, from_ms, to_ms, MINUTE_MS)
        except Refusal:
            return []
        completed = {point["at_ms"]: point["completed"] for point in points}
        return [completed.get(at_ms, 0) for at_ms in range(from_ms, to_ms, MINUTE_MS)]
