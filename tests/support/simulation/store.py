"""The daemon's stores on a simulated disk: slow, full, failing, cut off in the middle.

There are two. One is the model store, which costs nothing: most seeds run on it. The other is the
real SQLite store, whose file operations are recorded; when its process dies, the next life opens
what a disk could hold then (see `support.crashdisk`), and that must be what the model says.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final, Protocol

from holdfastd.engine.changes import Batch, JobRow, Page, QueuePage, Read
from holdfastd.engine.model import State
from holdfastd.store.base import (
    JobCursor,
    JobDetail,
    Recovered,
    Store,
    StoreBroken,
    StoreError,
    StoreFull,
)
from holdfastd.store.connection import STATEMENTS_CACHED
from holdfastd.store.memory import Disk, MemoryStore
from holdfastd.store.sqlite import SqliteStore
from support.crashdisk import CrashDisk, Kind, Recorder, write_image
from support.vfs import Fault

ROWS_MAX: Final = 100_000

Record = Callable[[Batch, Callable[[], None]], None]
"""Called with each batch and what puts it on the model's disk, when it has become durable."""


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


class SimulatedStore(Store, Protocol):
    """What the simulation asks of a store beside."""

    is_writing: bool
    is_in_doubt: bool
    """A batch is on the disk, and its writer does not know yet."""
    state: DiskState

    def died(self) -> None:
        """Its process was killed."""


class SimStore(MemoryStore):
    """The model store, taking its time. A process that is killed meanwhile has written nothing, or
    all without knowing it."""

    def __init__(self, disk: Disk, state: DiskState, rng: Random, record: Record):
        super().__init__(disk)
        self.is_in_doubt = False
        self.is_writing = False
        self.state = state
        self._rng = rng
        self._record = record
        self._room_left = state.reserve

    async def _take_time(self) -> None:
        await asyncio.sleep(self._rng.random() * self.state.commit_max_s)

    async def open(self) -> Recovered:
        await self._take_time()
        recovered = self.opened()  # a new epoch is durable from here on
        await asyncio.sleep(self._rng.random() * 0.2)
        return recovered

    async def apply(self, batch: Batch) -> None:
        self.is_writing = True
        hangs_s, self.state.hangs_s = self.state.hangs_s, 0.0
        await asyncio.sleep(hangs_s)
        await self._take_time()
        self._find_room()
        is_failing, self.state.fails_next = self.state.fails_next, False
        if not is_failing or self._rng.random() < 0.5:
            self._record(batch, lambda: self.write(batch))
        if is_failing:
            raise StoreBroken("the sync failed")
        self.is_in_doubt = True
        await self._take_time()
        self.is_in_doubt = self.is_writing = False

    def _find_room(self) -> None:
        if not self.state.is_full:
            self._room_left = self.state.reserve
            return
        if self._room_left == self.state.reserve or not self._room_left:
            self._room_left -= bool(self._room_left)
            raise StoreFull("the simulated disk is full")
        self._room_left -= 1

    async def has_room(self) -> bool:
        return not self.state.is_full

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

    def died(self) -> None:
        """What it has written is on the disk."""


class Files(Recorder):
    """The directory of the SQLite store, over the lives of the daemon. A `vfs.Watcher`.

    Attributes:
        state: decides which operations fail.
    """

    def __init__(self, folder: Path, state: DiskState, rng: Random):
        super().__init__()
        self.state = state
        self._folder = folder
        self._rng = rng
        self._lives = 0
        self._image: dict[str, bytes] = {}

    def write(self, path: str, offset: int, data: bytes) -> Fault | None:
        return Fault.ENOSPC if self.state.is_full else super().write(path, offset, data)

    def sync(self, path: str) -> Fault | None:
        if not self.state.fails_next:
            return super().sync(path)
        self.state.fails_next = False
        self.failed_sync(path)
        return Fault.EIO

    def next_directory(self) -> Path:
        """With what the disk holds now."""
        self._lives += 1
        directory = self._folder / f"life-{self._lives}"
        directory.mkdir()
        write_image(self._image, directory)
        if self._image:
            (directory / "holdfast.unclean").touch()
        self._image = {str(directory / Path(path).name): data for path, data in self._image.items()}
        self.log.clear()
        return directory

    def lose_power(self, earliest: int) -> None:
        """At any operation of the log from that on; of what was not synced any part is there."""
        end = self._rng.randint(min(earliest, len(self.log)), len(self.log))
        disk = CrashDisk(self.log[:end], self._image)
        for _ in disk.points():
            pass
        self._image = disk.image(self._rng.choice(list(Kind)), self._rng)


class _InlineConnection:
    """Like `store.connection.Connection`, in this thread."""

    def __init__(self, path: Path, is_reader: bool):
        mode = "ro" if is_reader else "rwc"
        self._conn = sqlite3.connect(
            f"file:{path}?mode={mode}",
            uri=True,
            isolation_level=None,
            cached_statements=STATEMENTS_CACHED,
        )

    is_idle = True

    def run_here(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(self._conn, *arguments)

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self.run_here(function, *arguments)

    async def close(self) -> None:
        self._conn.close()


async def connect_inline(path: Path, *, is_reader: bool) -> Any:
    """In place of `store.sqlite.connect`."""
    return _InlineConnection(path, is_reader)


class SimSqliteStore(SqliteStore):
    """The real store. A batch counts as durable when it is confirmed, or when the next life finds
    it on the disk."""

    def __init__(self, files: Files, model: Disk, state: DiskState, rng: Random, record: Record):
        super().__init__(files.next_directory(), reserve_bytes=0)
        self.is_writing = self.is_in_doubt = False
        self.state = state
        self._files = files
        self._model = MemoryStore(model)
        self._rng = rng
        self._record = record
        self.compared: Callable[[], None] = lambda: None
        """Called when a disk was found to be what the model says."""
        self._batch_begins = 0
        """Length of the recorder's log before the last batch; of what was done before that, a part
        was confirmed."""

    async def _take_time(self) -> None:
        await asyncio.sleep(self._rng.random() * self.state.commit_max_s)

    async def open(self) -> Recovered:
        await self._take_time()
        recovered = await super().open()
        self._batch_begins = len(self._files.log)
        self._model.opened()
        await self._compare(recovered)
        self.compared()
        await asyncio.sleep(self._rng.random() * 0.2)
        return recovered

    async def _compare(self, recovered: Recovered) -> None:
        """Raises StoreError: the disk is not what the model says."""
        model = self._model.disk
        in_doubt: Batch | None = model.__dict__.pop("in_doubt", None)
        if in_doubt is not None and recovered.batch == in_doubt.number:
            batch = in_doubt
            self._record(batch, lambda: self._model.write(batch))
        if recovered.batch != model.batch:
            raise WrongDisk(f"batch {recovered.batch} is the last, not {model.batch}")
        queues = {row.key: row for row in recovered.queues}
        sessions = {row.key: row for row in recovered.sessions}
        rows: list[JobRow] = []
        for key in queues:
            for state in State:
                read = QueuePage(key, state, None, ROWS_MAX)
                rows += (await super().read([read]))[0].rows
        known = {seq: row._replace(payload=None, result=None) for seq, row in model.jobs.items()}
        if (queues, sessions) != (model.queues, model.sessions):
            raise WrongDisk("queues or sessions are not those of the last batch")
        if {row.place: row for row in recovered.schedules} != model.schedules:
            raise WrongDisk("schedules are not those of the last batch")
        if {row.seq: row for row in rows} != known:
            raise WrongDisk("jobs are not those of the last batch")

    async def apply(self, batch: Batch) -> None:
        self.is_writing = True
        hangs_s, self.state.hangs_s = self.state.hangs_s, 0.0
        await asyncio.sleep(hangs_s)
        await self._take_time()
        self._batch_begins = len(self._files.log)
        self._model.disk.__dict__["in_doubt"] = batch
        try:
            await super().apply(batch)
        except StoreFull:
            del self._model.disk.__dict__["in_doubt"]
            raise
        self.is_in_doubt = True
        await self._take_time()
        self.is_in_doubt = self.is_writing = False
        del self._model.disk.__dict__["in_doubt"]
        self._batch_begins = len(self._files.log)
        self._record(batch, lambda: self._model.write(batch))

    async def read(self, reads: list[Read]) -> list[Page]:
        await self._take_time()
        return await super().read(reads)

    async def job(self, queue: Any, id: str) -> JobDetail | None:
        await self._take_time()
        return await super().job(queue, id)

    async def jobs(self, *arguments: Any) -> Any:
        await self._take_time()
        return await super().jobs(*arguments)

    def died(self) -> None:
        self._files.lose_power(self._batch_begins)
        with suppress(sqlite3.Error):
            for connection in (self._reader, self._writer):
                if connection is not None:
                    connection._conn.close()
        self._lock.release()
        length = len(self._files.log)
        del self._files.log[:length]


class WrongDisk(StoreError):
    """What was confirmed is not on the disk as it was."""
