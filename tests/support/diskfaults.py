"""Disk faults under the real store: power loss, I/O errors, fsyncs that fail.

A seeded workload of the real engine runs on the real store, over files whose operations are
recorded and may be made to fail. Then disks that a crash could have left are opened by the real
store. What must hold of each is exact. Let N be the last batch that the store finds. Then N is at
least the last batch that was confirmed, every row is as batch N left it (the in-memory model store
says how), and the queues' counts are those of the rows.
"""

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from holdfastd.engine import commands
from holdfastd.engine.changes import Batch, JobRow, JobsBySeq, QueuePage
from holdfastd.engine.model import QueueKey, State
from holdfastd.store import sqlite
from holdfastd.store.base import Recovered, StoreBroken, StoreError, StoreFull, StoreRefused
from holdfastd.store.memory import MemoryStore
from holdfastd.store.sqlite import SqliteStore
from support.crashdisk import (
    CrashDisk,
    Entry,
    FailedSync,
    Kind,
    Mark,
    Plan,
    Recorder,
    write_image,
)
from support.engine import P, W, new_job
from support.sqlite_driver import SqliteDriver
from support.vfs import Fault, installed

ROWS_MAX: Final = 100_000
IMAGES_STEPS: Final = 150
FULL_TRIES: Final = 3
"""How often a batch that finds no space is tried again, where it never will."""

Rows = list[JobRow]


@dataclass
class Report:
    """What came of a campaign. Attribute images: how many of each kind were tried."""

    images: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    """Disks whose last batch is older than one that was confirmed."""
    wrong: int = 0
    """Disks that could not be opened, or whose rows are not those of their last batch."""
    in_doubt: int = 0
    """Disks with a batch that was never confirmed: allowed."""
    examples: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.images.total()

    def add(self, other: "Report") -> None:
        self.images += other.images
        self.lost += other.lost
        self.wrong += other.wrong
        self.in_doubt += other.in_doubt
        self.examples += other.examples

    def note(self, what: str) -> None:
        if len(self.examples) < 5:
            self.examples.append(what)


class StaysFull(StoreError):
    """A batch found no space in FULL_TRIES tries."""


class FaultyDriver(SqliteDriver):
    """An engine on a store whose disk is recorded.

    Attributes:
        confirmed: number of the last batch of which something was said.
        states: by batch, the rows that it leaves, as the model store has them.
    """

    def __init__(
        self, directory: Path, recorder: Recorder, states: dict[int, Rows], *, says_first: bool
    ):
        self.recorder = recorder
        self.states = states
        self.confirmed = 0
        self._says_first = says_first
        self._directory = directory
        self.sqlite = None

    def begin(self) -> None:
        super().__init__(self._directory)

    def open_store(self) -> Recovered:
        """The model goes on from what the store found."""
        recovered = super().open_store()
        self.model = MemoryStore(self.disk)
        self.model.opened()
        rows = self.states.setdefault(recovered.batch, [])
        self.disk.jobs = {row.seq: row for row in rows}
        self.disk.batch = recovered.batch
        return recovered

    def write_batch(self, batch: Batch) -> None:
        if self.disk.batch < batch.number:  # not tried before
            self.model.write(batch)
            rows = sorted(self.disk.jobs.values(), key=lambda row: (row.queue, row.seq))
            self.states[batch.number] = rows
        if self._says_first:
            self._confirm(batch.number)
        self._write(batch)
        self._confirm(batch.number)

    def _write(self, batch: Batch) -> None:
        """The same batch again while there is no space, as the pipeline does."""
        for _ in range(FULL_TRIES):
            with suppress(StoreFull):
                super().write_batch(batch)
                return
        raise StaysFull

    def _confirm(self, number: int) -> None:
        self.confirmed = number
        self.recorder.mark(number)

    def checkpoint(self) -> None:
        assert self.sqlite is not None
        self.loop.run_until_complete(self.sqlite.checkpoint())


def work(driver: FaultyDriver, rng: random.Random, steps: int) -> None:
    """Jobs of two queues through all of their lives, with checkpoints in between.

    Raises StoreBroken, StaysFull, and StoreFull if a checkpoint found no space.
    """
    driver.attach(P, f"producer {rng.random()}")
    driver.attach(W, f"worker {rng.random()}", worker="w")
    driver.subscribe(W, "a", "b", credit=20)
    serial = rng.randrange(10**6) * 10**4
    held: list[Any] = []
    first = serial
    for _ in range(steps):
        match rng.choices(("add", "ack", "fail", "remove", "checkpoint"), (8, 5, 2, 2, 1))[0]:
            case "add":
                jobs = []
                for _ in range(rng.randint(1, 6)):
                    serial += 1
                    job = new_job(f"j{serial}", attempts=2, priority=rng.randint(0, 2))
                    jobs.append(job._replace(payload=rng.randbytes(rng.choice((20, 200, 6000)))))
                driver.ask(P, commands.Enqueue(rng.choice("ab"), list(enumerate(jobs)), []))
            case "ack" if held:
                driver.ack(W, held.pop(rng.randrange(len(held))), credit=1)
            case "fail" if held:
                driver.fail(W, held.pop(rng.randrange(len(held))), rng.choice((None, -1)), 1)
            case "remove" if serial > first:
                ids = [f"j{rng.randint(first + 1, serial)}"]
                driver.ask(P, commands.Remove(rng.choice("ab"), ids, None))
            case "checkpoint":
                driver.checkpoint()
        held += driver.take(W)


@dataclass
class Run:
    """A workload that has ended, by itself or by a fault."""

    recorder: Recorder
    states: dict[int, Rows]
    confirmed: int
    error: StoreError | None

    @property
    def log(self) -> list[Entry]:
        return self.recorder.log


def run(
    seed: int,
    steps: int,
    folder: Path,
    *,
    plan: Plan | None = None,
    states: dict[int, Rows] | None = None,
    says_first: bool = False,
) -> Run:
    """Work on what is in the folder. states: what batches left there before."""
    recorder = Recorder(plan)
    known = {} if states is None else states
    with installed(recorder):
        driver = FaultyDriver(folder, recorder, known, says_first=says_first)
        error: StoreError | None = None
        try:
            driver.begin()
            work(driver, random.Random(seed), steps)
        except (StoreRefused, StoreBroken, StoreFull, StaysFull) as raised:
            error = raised
        length = len(recorder.log)
        if not driver.loop.is_closed():  # it did not end while it was opened
            driver.abandon()  # its closing of the files is not part of the story
        del recorder.log[length:]
    return Run(recorder, known, driver.confirmed, error)


# ---- power loss ----------------------------------------------------------------------------------


def lose_power(
    done: Run, seed: int, count: int, folder: Path, durable: dict[str, bytes] | None = None
) -> Report:
    """Try count disks at random points of a run. durable: what was on the disk before it.
    folder: to put them in; emptied."""
    rng = random.Random(seed)
    report = Report()
    chosen = Counter(rng.choices(range(len(done.log)), k=count))
    disk = CrashDisk(done.log, durable)

    async def try_all() -> None:
        for point in disk.points():
            for _ in range(chosen[point]):
                kind = rng.choice(list(Kind))
                report.images[kind.value] += 1
                write_image(disk.image(kind, rng), folder)
                where = f"seed {seed}, operation {point}, {kind.value}"
                confirmed = disk.said[-1] if disk.said else 0
                await inspect(report, where, folder, confirmed, done.states)

    asyncio.run(try_all())
    return report


async def inspect(
    report: Report, where: str, folder: Path, confirmed: int, states: dict[int, Rows]
) -> None:
    """Open a disk with the real store and compare."""
    store = SqliteStore(folder, reserve_bytes=0)
    try:
        recovered = await store.open()
    except StoreError as error:
        report.wrong += 1
        report.note(f"{where}: {error}")
        return
    try:
        found = await _rows(store, recovered)
    finally:
        await store._close_connections()
        store._lock.release()
    report.in_doubt += recovered.batch > confirmed
    if recovered.batch < confirmed:
        report.lost += 1
        report.note(f"{where}: batch {confirmed} was confirmed, {recovered.batch} is the last")
    elif found != states.get(recovered.batch, []):
        report.wrong += 1
        report.note(f"{where}: the rows are not those of batch {recovered.batch}")
    elif any(Counter(_states(found, queue.key)) != _counts(queue) for queue in recovered.queues):
        report.wrong += 1
        report.note(f"{where}: the counts of batch {recovered.batch} are not those of its rows")


def _states(rows: Rows, queue: QueueKey) -> Iterator[int]:
    return (int(row.state) for row in rows if row.queue == queue)


def _counts(queue: Any) -> Counter[int]:
    return Counter({state: count for state, count in enumerate(queue.counts) if count})


async def _rows(store: SqliteStore, recovered: Recovered) -> Rows:
    """Every job, whole, by queue and number."""
    rows: Rows = []
    for queue in sorted(recovered.queues, key=lambda queue: queue.key):
        pages = await store.read([QueuePage(queue.key, state, None, ROWS_MAX) for state in State])
        seqs = tuple(sorted(row.seq for page in pages for row in page.rows))
        rows += (await store.read([JobsBySeq(seqs, 2**40)]))[0].rows
    return rows


def lose_power_often(seed: int, count: int) -> Report:
    """A run and its images, all in folders of its own; for a process of its own."""
    with tempfile.TemporaryDirectory() as data, tempfile.TemporaryDirectory() as image:
        done = run(seed, IMAGES_STEPS, Path(data))
        return lose_power(done, seed, count, Path(image))


# ---- I/O errors ----------------------------------------------------------------------------------


def fail_operation(seed: int, steps: int, plan: Plan, report: Report) -> Run:
    """Run until the planned fault, end as the daemon does, and look at the files then, without and
    with a loss of power."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as copy:
        done = run(seed, steps, Path(folder), plan=plan)
        disk = CrashDisk(done.log)
        for _ in disk.points():
            pass
        rng = random.Random(plan.at)
        for kind in (Kind.ALL, Kind.TORN):
            report.images[kind.value] += 1
            write_image(disk.image(kind, rng), Path(copy))
            where = f"seed {seed}, {plan}, {kind.value}"
            asyncio.run(inspect(report, where, Path(copy), done.confirmed, done.states))
    return done


def count_operations(seed: int, steps: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        return run(seed, steps, Path(folder)).recorder.count


def fail_every_operation(seed: int, steps: int, fault: Fault, forever: bool) -> tuple[int, Report]:
    """One run for each operation of a run, which fails there; for a process of its own. Returns how
    many runs."""
    report = Report()
    count = count_operations(seed, steps)
    for at in range(count):
        done = fail_operation(seed, steps, Plan(at, fault, forever), report)
        if not done.recorder.has_failed:
            report.wrong += 1
            report.note(f"seed {seed}: operation {at} of {count} never came")
    return count, report


# ---- fsyncs that fail ----------------------------------------------------------------------------


def fail_sync(seed: int, steps: int, at: int, count: int, folder: Path, *, evicts: bool) -> Report:
    """A sync fails, the daemon ends and starts again, works on, and then the power goes.

    evicts: whether evicting the page cache does what it does on Linux: the pages whose sync failed
    are read from the disk again, where they are not. False is a store that does not evict.
    """
    for old in folder.iterdir():
        old.unlink()
    plan = Plan(at, Fault.EIO, operations=("sync",))
    first = run(seed, steps, folder, plan=plan)
    disk = CrashDisk(first.log)
    cached = CrashDisk([entry for entry in first.log if not isinstance(entry, FailedSync)])
    for whole in (disk, cached):
        for _ in whole.points():
            pass
    rng = random.Random(seed)
    durable = disk.image(Kind.ALL, rng)  # in time the kernel writes the rest
    write_image(cached.image(Kind.ALL, rng), folder)
    (folder / "holdfast.unclean").touch()
    with _eviction(durable if evicts else None):
        second = run(seed + 1, steps, folder, states=first.states)
    second.log.insert(0, Mark(first.confirmed))
    with tempfile.TemporaryDirectory() as images:
        return lose_power(second, seed, count, Path(images), durable)


@contextmanager
def _eviction(durable: dict[str, bytes] | None) -> Iterator[None]:
    """What the kernel does when the store evicts files; None = it does not evict."""

    def evict(*paths: Path) -> None:
        for path in paths:
            if durable is not None and path.exists():
                path.write_bytes(durable.get(str(path), b""))

    with patch.object(sqlite, "evict_page_cache", evict):
        yield
