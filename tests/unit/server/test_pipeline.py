"""The one data path: nothing is said before its batch is durable, and a full disk is survived."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest_asyncio

from holdfastd.engine import commands
from holdfastd.engine.changes import Batch
from holdfastd.engine.outputs import AnswerItems, Output, Refusal, Refuse, Welcome
from holdfastd.engine.partition import EngineSettings
from holdfastd.observed import Observed
from holdfastd.pipeline import Pipeline
from holdfastd.store.memory import MemoryStore
from support.engine import new_job


class StillClock:
    """Stands still: nothing here depends on time."""

    def now_ms(self) -> int:
        return 1_700_000_000_000

    def monotonic(self) -> float:
        return 1_000.0


class GatedStore(MemoryStore):
    """The model store with a door that can be shut: as a disk that takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.door = asyncio.Event()
        self.door.set()
        self.waiting = asyncio.Event()
        self.batches: list[Batch] = []

    async def apply(self, batch: Batch) -> None:
        self.waiting.set()
        await self.door.wait()
        await super().apply(batch)
        self.batches.append(batch)


class Ear:
    def __init__(self) -> None:
        self.heard: list[Output] = []

    def send(self, outputs: list[Output]) -> None:
        self.heard += outputs

    def answers(self) -> list[int]:
        return [output.request for output in self.heard if isinstance(output, AnswerItems)]


class Running:
    def __init__(self) -> None:
        self.store = GatedStore()
        settings = EngineSettings()
        self.observed = Observed()
        self.pipeline = Pipeline(
            self.store, StillClock(), settings, random.Random(1), self.observed
        )
        self.ear = Ear()
        self.pipeline.connect(self.ear)

    def add(self, request: int) -> None:
        items = [(0, new_job(f"job-{request}", is_generated=request % 2 == 0))]
        self.pipeline.submit(1, request, commands.Enqueue("q", items, []))


@pytest_asyncio.fixture
async def running() -> AsyncIterator[Running]:
    running = Running()
    await running.pipeline.open()
    task = asyncio.create_task(running.pipeline.run())
    running.pipeline.attach(1, commands.Attach("s", "", (), {}))
    await running.pipeline.flush()
    assert isinstance(running.ear.heard[0], Welcome)
    yield running
    running.store.door.set()
    running.store.disk.is_full = False
    await running.pipeline.close()
    await task


async def test_a_reply_waits_for_its_batch(running: Running) -> None:
    running.store.door.clear()
    running.store.waiting.clear()
    running.add(1)
    await running.store.waiting.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    assert running.ear.answers() == []
    running.store.door.set()
    await running.pipeline.flush()
    assert running.ear.answers() == [1]


async def test_commands_that_come_during_a_write_share_the_next_one(running: Running) -> None:
    running.store.door.clear()
    running.store.waiting.clear()
    running.add(1)
    await running.store.waiting.wait()
    for request in range(2, 60):
        running.add(request)
    running.store.door.set()
    await running.pipeline.flush()
    assert running.ear.answers() == list(range(1, 60))
    assert sum(len(batch.added) for batch in running.store.batches) == 59
    # The first; what came meanwhile, up to the first id that had to be looked up; all the rest.
    assert [batch.number for batch in running.store.batches] in ([1, 2], [1, 2, 3])


async def test_a_full_disk_refuses_jobs_keeps_its_batch_and_recovers(running: Running) -> None:
    running.store.disk.is_full = True
    running.add(1)
    while not running.observed.store_full:
        await asyncio.sleep(0)
    running.add(2)
    assert running.ear.answers() == []
    running.store.disk.is_full = False
    await running.pipeline.flush()
    refused = [output for output in running.ear.heard if isinstance(output, Refuse)]
    assert [(output.request, output.refusal) for output in refused] == [(2, Refusal.DISK_FULL)]
    assert running.ear.answers() == [1]
    running.add(3)
    await running.pipeline.flush()
    assert running.ear.answers() == [1, 3]
    assert len(running.store.disk.jobs) == 2
