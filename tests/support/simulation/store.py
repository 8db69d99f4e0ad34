"""The daemon's store on a simulated disk: slow, full, failing, cut off in the middle."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from holdfastd.engine.changes import Batch, Page, Read
from holdfastd.store.base import JobCursor, JobDetail, Recovered, StoreBroken, StoreFull
from holdfastd.store.memory import Disk, MemoryStore


@dataclass
class DiskState:
    """How the disk behaves now; the nemesis sets it."""

    commit_max_s: float = 0.004
    """Of one commit, in quiet times."""
    is_full: bool = False
    reserve: int = 0
    """Batches that still find room when it is full: what the reserve file is for."""
    fails_next: bool = False
    """The next sync fails; what it was to write may be there or not."""
    hangs_s: float = 0.0
    """So much longer takes the next commit."""


class SimStore(MemoryStore):
    """The model store, taking its time. A process that is killed meanwhile has written nothing, or
    all without knowing it.

    Attributes:
        is_in_doubt: a batch is on the disk, and its writer does not know yet.
    """

    def __init__(
        self,
        disk: Disk,
        state: DiskState,
        rng: Random,
        record: Callable[[Batch, Callable[[], None]], None],
    ):
        """record: called with each batch and what writes it, at the instant of its commit."""
        super().__init__(disk)
        self.is_in_doubt = False
        self.is_writing = False
        self._state = state
        self._rng = rng
        self._record = record
        self._room_left = state.reserve

    async def _take_time(self) -> None:
        await asyncio.sleep(self._rng.random() * self._state.commit_max_s)

    async def open(self) -> Recovered:
        await self._take_time()
        recovered = self.opened()  # a new epoch is durable from here on
        await asyncio.sleep(self._rng.random() * 0.2)
        return recovered

    async def apply(self, batch: Batch) -> None:
        self.is_writing = True
        hangs_s, self._state.hangs_s = self._state.hangs_s, 0.0
        await asyncio.sleep(hangs_s)
        await self._take_time()
        self._find_room()
        is_failing, self._state.fails_next = self._state.fails_next, False
        if not is_failing or self._rng.random() < 0.5:
            self._record(batch, lambda: self.write(batch))
        if is_failing:
            raise StoreBroken("the sync failed")
        self.is_in_doubt = True
        await self._take_time()
        self.is_in_doubt = self.is_writing = False

    def _find_room(self) -> None:
        if not self._state.is_full:
            self._room_left = self._state.reserve
            return
        if self._room_left == self._state.reserve or not self._room_left:
            self._room_left -= bool(self._room_left)
            raise StoreFull("the simulated disk is full")
        self._room_left -= 1

    async def has_room(self) -> bool:
        return not self._state.is_full

    async def close(self) -> None:
        await self._take_time()

    async def read(self, reads: list[Read]) -> list[Page]:
        await self._take_time()
        return self.pages(reads)

    async def job(self, queue: Any, id: str) -> JobDetail | None:
        await self._take_time()
        return await super().job(queue, id)

    async def jobs(
        self, queue: Any, state: Any, after: JobCursor | None, limit: int, bytes_max: int
    ) -> Any:
        await self._take_time()
        return await super().jobs(queue, state, after, limit, bytes_max)
