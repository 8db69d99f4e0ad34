"""What the SQLite store does alone: lives of jobs, pages read, and the time to open.

A life is insert waiting, lease, complete, remove: four batches of `--rows` each, one fsync per
batch. It is measured with the event loop idle and beside one that is busy, as in the daemon, where
the loop works on the next batch while the thread writes this one. Prints one line of JSON.
"""

import argparse
import asyncio
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from holdfastd.engine.changes import (
    AddedRow,
    Batch,
    CompletedRow,
    JobsById,
    JobsBySeq,
    LeasedRow,
    QueuePage,
    QueueRow,
    Read,
    SessionRow,
    WaitingPage,
)
from holdfastd.engine.model import (
    DEFAULT_OPTIONS,
    QueueKey,
    QueueSettings,
    Seq,
    SessionKey,
    State,
    Token,
)
from holdfastd.store.files import DATABASE_NAME
from holdfastd.store.sqlite import SqliteStore

QUEUE = QueueKey(1)
NOW_MS = 1_800_000_000_000


class Bench:
    def __init__(self, directory: Path, rows: int, payload_bytes: int):
        self.directory = directory
        self.rows = rows
        self.payload = b"p" * payload_bytes
        self.number = 0
        self.next_seq = 1
        self.applied_ms: list[float] = []
        self.checkpoint_ms: list[float] = []
        self.wal_bytes_max = 0
        self.store = SqliteStore(directory)

    async def open(self) -> float:
        """Returns seconds."""
        started = time.perf_counter()
        recovered = await self.store.open()
        self.number, self.next_seq = recovered.batch, recovered.next_seq
        return time.perf_counter() - started

    async def apply(self, batch: Batch) -> None:
        self.number += 1
        batch.number = self.number
        batch.next_seq = Seq(self.next_seq)
        queue = QueueRow(QUEUE, "mail", False, QueueSettings(), 0, (0, self.next_seq, *[0] * 6))
        batch.queues.append(queue)
        batch.sessions.append(SessionRow(SessionKey(1), "s", "w", self.number, 0, NOW_MS))
        started = time.perf_counter()
        await self.store.apply(batch)
        self.applied_ms.append((time.perf_counter() - started) * 1000)
        if self.store.needs_checkpoint():
            self.wal_bytes_max = max(self.wal_bytes_max, (await self.store.stats()).wal_bytes)
            started = time.perf_counter()
            await self.store.checkpoint()
            self.checkpoint_ms.append((time.perf_counter() - started) * 1000)

    def new_rows(self, rows: int) -> list[AddedRow]:
        first, self.next_seq = self.next_seq, self.next_seq + rows
        return [
            AddedRow(
                Seq(seq),
                QUEUE,
                f"0193a4b2-7c1f-7000-8000-{seq:012x}",
                "resize",
                State.WAITING,
                0,
                seq,
                0,
                NOW_MS,
                DEFAULT_OPTIONS,
                self.payload,
                Token(0),
                SessionKey(0),
                0,
            )
            for seq in range(first, first + rows)
        ]

    async def life(self) -> None:
        added = self.new_rows(self.rows)
        await self.apply(Batch(added=added))
        seqs = [row.seq for row in added]
        leased = [LeasedRow(seq, Token(2**40 + seq), SessionKey(1), NOW_MS) for seq in seqs]
        await self.apply(Batch(leased=leased))
        await self.apply(Batch(completed=[CompletedRow(seq, NOW_MS, None) for seq in seqs]))
        await self.apply(Batch(removed=seqs))

    async def fill(self, count: int) -> None:
        while self.next_seq <= count:
            await self.apply(Batch(added=self.new_rows(min(5000, count))))


async def busy(seconds_per_turn: float = 0.001) -> None:
    """An event loop that always has something to do, as one full of commands."""
    while True:
        end = time.perf_counter() + seconds_per_turn
        while time.perf_counter() < end:
            pass
        await asyncio.sleep(0)


async def beside_busy_loop(measured: Callable[[], Awaitable[float]]) -> float:
    task = asyncio.create_task(busy())
    try:
        return await measured()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def lives_per_s(bench: Bench, lives: int) -> float:
    started = time.perf_counter()
    for _ in range(lives):
        await bench.life()
    return lives * bench.rows / (time.perf_counter() - started)


async def read_ms(bench: Bench, read: Read, times: int = 20) -> float:
    """Median."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        await bench.store.read([read])
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken)


async def run(options: argparse.Namespace, directory: Path) -> dict[str, object]:
    bench = Bench(directory, options.rows, options.payload_bytes)
    await bench.open()
    await bench.fill(options.backlog)
    figures: dict[str, object] = {"rows": options.rows, "backlog": options.backlog}
    bench.applied_ms.clear()
    bench.checkpoint_ms.clear()
    figures["lives_per_s"] = round(await lives_per_s(bench, options.lives))
    figures["apply_ms_p50"] = round(statistics.median(bench.applied_ms), 2)
    figures["apply_ms_max"] = round(max(bench.applied_ms), 1)
    figures["checkpoint_ms_max"] = round(max(bench.checkpoint_ms, default=0), 1)
    figures["checkpoints"] = len(bench.checkpoint_ms)
    figures["wal_mb_max"] = round(bench.wal_bytes_max / 1e6, 1)
    figures["lives_per_s_beside_busy_loop"] = round(
        await beside_busy_loop(lambda: lives_per_s(bench, options.lives // 3))
    )
    last = bench.next_seq
    await bench.apply(Batch(added=bench.new_rows(2000)))
    reads: dict[str, Read] = {
        "waiting_500": WaitingPage(QUEUE, (0, options.backlog // 2), 500, 10**7),
        "by_id_1000": JobsById(
            QUEUE,
            tuple(f"0193a4b2-7c1f-7000-8000-{seq:012x}" for seq in range(last, last + 1000)),
        ),
        "by_seq_500": JobsBySeq(tuple(Seq(seq) for seq in range(last, last + 500)), 10**7),
        "queue_1000": QueuePage(QUEUE, State.WAITING, (0, options.backlog // 2), 1000),
    }
    for name, read in reads.items():
        figures[f"{name}_ms"] = round(await read_ms(bench, read), 2)

        async def measured(read: Read = read) -> float:
            return await read_ms(bench, read, 5)

        figures[f"{name}_ms_beside_busy_loop"] = round(await beside_busy_loop(measured), 2)
    await bench.store.close()
    figures["open_s"] = round(await bench.open(), 3)
    await bench.store.close()
    figures["db_mb"] = round((directory / DATABASE_NAME).stat().st_size / 1e6)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500, help="jobs per batch")
    parser.add_argument("--lives", type=int, default=100, help="batches of lives")
    parser.add_argument("--backlog", type=int, default=100_000, help="waiting jobs stored before")
    parser.add_argument("--payload-bytes", type=int, default=200)
    parser.add_argument("--directory", type=Path, help="default: a temporary one")
    options = parser.parse_args()
    sys.setswitchinterval(0.0002)  # as the daemon does
    directory = Path(tempfile.mkdtemp(prefix="holdfast-bench-", dir=options.directory))
    try:
        print(json.dumps(asyncio.run(run(options, directory))))
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
