"""The engine's driver on real SQLite files, with crashes that leave them as they are."""

import asyncio
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

from holdfastd.engine.changes import Batch, JobsBySeq, Page, QueuePage, Read
from holdfastd.engine.model import QueueKey, State
from holdfastd.store.base import Recovered
from holdfastd.store.memory import Disk
from holdfastd.store.sqlite import SqliteStore
from support.engine import Driver


class SqliteDriver(Driver):
    def __init__(self, directory: Path, seed: int = 1):
        self.directory = directory
        self.loop = asyncio.new_event_loop()
        self.sqlite: SqliteStore | None = None
        try:
            super().__init__(Disk(), seed)
        except BaseException:
            self.abandon()
            raise

    def open_store(self) -> Recovered:
        """After a crash: the connections go without a checkpoint, the mark stays."""
        self._let_go()
        self.sqlite = SqliteStore(self.directory, reserve_bytes=0)
        return self.loop.run_until_complete(self.sqlite.open())

    def _let_go(self) -> None:
        if self.sqlite is not None:
            self.loop.run_until_complete(self.sqlite._close_connections())
            self.sqlite._lock.release()

    def abandon(self) -> None:
        """The process is gone: no checkpoint, no mark of a clean end."""
        with suppress(sqlite3.Error):  # closing tries a checkpoint of its own
            self._let_go()
        self.loop.close()

    def write_batch(self, batch: Batch) -> None:
        assert self.sqlite is not None
        self.loop.run_until_complete(self.sqlite.apply(batch))

    def pages(self, reads: list[Read]) -> list[Page]:
        assert self.sqlite is not None
        return self.loop.run_until_complete(self.sqlite.read(reads))

    def rows(self) -> list[Any]:
        everything: list[Any] = []
        queues = list(self.engine.queues.values())
        for queue in queues:
            reads = [QueuePage(QueueKey(queue.key), state, None, 100_000) for state in State]
            seqs = tuple(sorted(row.seq for page in self.pages(list(reads)) for row in page.rows))
            everything += self.pages([JobsBySeq(seqs, 10**9)])[0].rows
        return everything

    def close(self) -> None:
        assert self.sqlite is not None
        self.loop.run_until_complete(self.sqlite.close())
        self.loop.close()
