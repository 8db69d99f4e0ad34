"""The one data path: nothing is said before its batch is durable, and a full disk is survived."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from holdfastd import pipeline
from holdfastd.engine import commands
from holdfastd.engine.changes import Batch
from holdfastd.engine.outputs import AnswerItems, Deliver, Output, Refusal, Refuse, Welcome
from holdfastd.engine.partition import EngineSettings
from holdfastd.observed import Observed
from holdfastd.pipeline import Pipeline
from holdfastd.store.memory import MemoryStore
from support.engine import new_job


class StillClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.wall_ms = 1_700_000_000_000
        self.seconds = 1_000.0

    def now_ms(self) -> int:
        return self.wall_ms

    def monotonic(self) -> float:
        return self.seconds


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
        self.clock = StillClock()
        settings = EngineSettings()
        self.observed = Observed()
        self.pipeline = Pipeline(self.store, self.clock, settings, random.Random(1), self.observed)
        self.ear = Ear()
        self.pipeline.connect(self.ear)

    def add(self, request: int) -> None:
        items = [(0, new_job(f"job-{request}", is_generated=request % 2 == 0))]
        self.submit(1, request, commands.Enqueue("q", items, []))

    def submit(self, connection: int, request: int, command: commands.Command) -> None:
        self.pipeline.submit(connection, request, command, self.pipeline.moment())


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


async def test_no_lease_ends_for_heartbeats_that_were_not_read_while_the_store_was_behind(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "OPEN_JOBS_MAX", 2)
    running.pipeline.attach(2, commands.Attach("w", "w", (), {}))
    running.submit(2, 1, commands.Subscribe(["q"], 1))
    running.add(1)
    await running.pipeline.flush()
    assert running.pipeline.engine.lease_count == 1
    running.store.door.clear()
    running.store.waiting.clear()
    running.add(2)
    await running.store.waiting.wait()
    for request in range(4, 14, 2):
        running.add(request)
    behind = running.pipeline.is_behind
    for _ in range(80):  # 40 s, longer than a lease; the loop runs, so it is no stall
        running.clock.seconds += 0.5
        running.pipeline._look_at_clocks()
    running.store.door.set()
    await running.pipeline.flush()
    assert behind
    assert not running.pipeline.is_behind
    running.add(15)
    await running.pipeline.flush()
    assert running.pipeline.engine.lease_count == 1
    assert running.pipeline.engine.queues["q"].stats.attempts_lost == 0


async def test_a_jump_of_the_wall_clock_is_noticed_and_what_is_due_then_is_done(
    running: Running,
) -> None:
    jumps: list[float] = []
    running.pipeline.on_jump = jumps.append
    due = new_job("due", run_at_ms=running.clock.wall_ms + 86_400_000)
    running.submit(1, 1, commands.Subscribe(["q"], 1))
    running.submit(1, 2, commands.Enqueue("q", [(0, due)], []))
    await running.pipeline.flush()
    running.clock.wall_ms += 86_400_000
    async with asyncio.timeout(5):  # nothing else wakes the pipeline
        while not any(isinstance(output, Deliver) for output in running.ear.heard):
            await asyncio.sleep(0.01)
    assert jumps == [86_400]
    running.clock.wall_ms -= 30_000
    await running.pipeline.flush()
    assert jumps == [86_400], "steps of seconds are what NTP does"


@pytest.mark.parametrize("body", ["payload", "result"])
async def test_connections_are_not_read_while_much_is_to_be_written(
    running: Running, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    monkeypatch.setattr(pipeline, "OPEN_BYTES_MAX", 1_000_000)
    pressures: list[bool] = []
    running.pipeline.on_pressure = pressures.append
    running.submit(1, 1, commands.Subscribe(["q"], 1))
    running.add(2)
    await running.pipeline.flush()
    (leased,) = [out for out in running.ear.heard if isinstance(out, Deliver)]
    running.store.door.clear()
    large = b"x" * 600_000
    for request in range(3, 6):
        if body == "payload":
            new = new_job(f"job-{request}", is_generated=True)._replace(payload=large)
            running.submit(1, request, commands.Enqueue("q", [(0, new)], []))
    if body == "result":
        token, queue, id = leased.items[0][:3]
        running.submit(1, 6, commands.Ack([(commands.Held(token, queue, id), large * 2)], 0))
    assert pressures == [True]
    running.store.door.set()
    await running.pipeline.flush()
    assert pressures == [True, False]
