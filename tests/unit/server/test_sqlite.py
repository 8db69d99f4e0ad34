"""In which thread a batch is written: the loop waits for what is quick, and for nothing else."""

import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from holdfastd.engine.changes import AddedRow, Batch
from holdfastd.engine.model import (
    DEFAULT_OPTIONS,
    NO_SESSION,
    NO_TOKEN,
    QueueKey,
    Seq,
    State,
)
from holdfastd.store import sqlite
from holdfastd.store.sqlite import HERE_ROWS_MAX, SqliteStore

LOOP = threading.main_thread().name


class Writing:
    """A store, and the names of the threads that wrote its batches."""

    def __init__(self, directory: Path):
        self.store = SqliteStore(directory, reserve_bytes=0)
        self.threads: list[str] = []
        self.takes_s = 0.0
        self._number = 0

    async def write(self, rows: int = 1) -> str:
        """Write a batch of new jobs. Returns the name of the thread that did it."""
        self._number += 1
        first = self._number * 1_000
        jobs = [_job(Seq(seq)) for seq in range(first, first + rows)]
        await self.store.apply(Batch(self._number, added=jobs))
        return self.threads[-1]


def _job(seq: Seq) -> AddedRow:
    place = (State.WAITING, 0, seq, 0, 0)
    lease = (NO_TOKEN, NO_SESSION, 0)
    return AddedRow(seq, QueueKey(1), f"{seq}", "n", *place, DEFAULT_OPTIONS, b"x", *lease)


@pytest_asyncio.fixture
async def writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Writing]:
    writing = Writing(tmp_path)
    apply = sqlite._apply

    def noted(*arguments: Any) -> None:
        writing.threads.append(threading.current_thread().name)
        time.sleep(writing.takes_s)  # the disk
        apply(*arguments)

    monkeypatch.setattr(sqlite, "_apply", noted)
    monkeypatch.setattr(sqlite, "HERE_S_MAX", 0.25)  # whatever this machine's disk does
    await writing.store.open()
    yield writing
    await writing.store.close()


async def test_a_small_batch_is_written_here_once_the_disk_has_shown_that_it_is_quick(
    writing: Writing,
) -> None:
    assert [await writing.write() == LOOP for _ in range(3)] == [False, True, True]


async def test_a_large_batch_has_the_writers_thread(writing: Writing) -> None:
    await writing.write()
    assert await writing.write(HERE_ROWS_MAX) == LOOP
    assert await writing.write(HERE_ROWS_MAX + 1) != LOOP


async def test_the_loop_waits_once_for_a_disk_that_has_become_slow(writing: Writing) -> None:
    await writing.write()
    writing.takes_s = 0.3
    assert [await writing.write() == LOOP for _ in range(3)] == [True, False, False]
    writing.takes_s = 0.0
    assert [await writing.write() == LOOP for _ in range(2)] == [False, True]
