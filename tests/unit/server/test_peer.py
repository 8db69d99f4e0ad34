"""A connection of the daemon, without its socket: who has a turn when."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from holdfast.wire import messages as wire
from holdfastd import pipeline
from holdfastd.clock import SystemClock
from holdfastd.config import Config
from holdfastd.net.peer import TURN_ITEMS, Peer
from holdfastd.observed import Observed
from holdfastd.service import Service
from holdfastd.store.memory import MemoryStore
from support.wire import Wire


class Client:
    """A client that has said who it is."""

    def __init__(self, service: Service, name: str):
        self.wire = Wire()
        self.peer = Peer(service.listener)
        self.peer.connection_made(self.wire)
        self.send(wire.Identify({"protocol": 1, "session": name}))

    async def had_its_turns(self) -> None:
        while not self.wire.reads:
            await asyncio.sleep(0)

    def send(self, *messages: wire.Message) -> None:
        self.peer.data_received(self.wire.client.send_many(messages))


@pytest_asyncio.fixture
async def service() -> AsyncIterator[Service]:
    service = Service(Config(), MemoryStore(), SystemClock(), random.Random(1), Observed())
    await service.pipeline.open()
    running = asyncio.create_task(service.pipeline.run())
    yield service
    await service.pipeline.close()
    await running


async def test_a_flood_of_requests_leaves_turns_to_the_neighbours(service: Service) -> None:
    flood, other = Client(service, "flood"), Client(service, "other")
    await service.pipeline.flush()
    last = 3 * TURN_ITEMS
    flood.send(*(wire.Pause(number, f"q{number}") for number in range(1, last + 1)))
    other.send(wire.Pause(1, "other"))
    queues = list(service.pipeline.engine.queues)
    assert queues == [f"q{number}" for number in range(1, TURN_ITEMS + 1)] + ["other"]
    assert not flood.wire.reads, "what waits is bounded"
    await flood.had_its_turns()
    await service.pipeline.flush()
    assert flood.wire.requests_answered() == list(range(1, last + 1)), "in order, each once"
    assert other.wire.requests_answered() == [1]


async def test_a_turn_is_as_long_for_few_requests_with_many_items(service: Service) -> None:
    client = Client(service, "bulk")
    await service.pipeline.flush()
    items = [[number.to_bytes(16), "n", b"x", None] for number in range(TURN_ITEMS)]
    client.send(*(wire.Enqueue(number, f"q{number}", items) for number in (1, 2)))
    assert list(service.pipeline.engine.queues) == ["q1"]
    await client.had_its_turns()
    assert list(service.pipeline.engine.queues) == ["q1", "q2"]


async def test_jobs_wait_for_the_next_batch_when_one_is_full_and_answers_do_not(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "BATCH_JOBS", 10)
    flood, late, worker = (Client(service, name) for name in ("flood", "late", "worker"))
    await service.pipeline.flush()
    items = [[number.to_bytes(16), "n", b"x", None] for number in range(8)]
    flood.send(*(wire.Enqueue(number, "q", items) for number in range(1, 6)))
    late.send(wire.Enqueue(1, "q", items), wire.Pause(2, "behind-it"))
    worker.send(wire.Pause(1, "at-once"))
    engine = service.pipeline.engine
    assert engine.open_job_count == 16, "the one that made it full is still let in"
    assert list(engine.queues) == ["q", "at-once"]
    assert (flood.wire.reads, late.wire.reads, worker.wire.reads) == (False, False, True)
    await flood.had_its_turns()
    await late.had_its_turns()
    await service.pipeline.flush()
    assert flood.wire.requests_answered() == [1, 2, 3, 4, 5]
    assert late.wire.requests_answered() == [1, 2]


async def test_a_batch_takes_fewer_new_jobs_while_a_worker_waits_for_its_own(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "BATCH_JOBS_WITH_WORKERS", 3)
    producer, worker = Client(service, "producer"), Client(service, "worker")
    await service.pipeline.flush()
    items = [[number.to_bytes(16), "n", b"x", None] for number in range(8)]
    worker.send(wire.Subscribe(1, ["q"], 1))
    producer.send(wire.Enqueue(1, "q", items), wire.Enqueue(2, "other", items))
    assert list(service.pipeline.engine.queues) == ["q"]
    await producer.had_its_turns()
    assert list(service.pipeline.engine.queues) == ["q", "other"]


async def test_what_was_sent_before_the_connection_broke_is_still_done(service: Service) -> None:
    client = Client(service, "short")
    await service.pipeline.flush()
    last = 2 * TURN_ITEMS
    client.send(*(wire.Pause(number, f"q{number}") for number in range(1, last + 1)))
    client.peer.connection_lost(None)
    assert len(service.pipeline.engine.queues) == last
    await service.pipeline.flush()


@pytest.mark.parametrize("reason", ["the store is behind", "the client does not read"])
async def test_nobody_has_a_turn_while_nothing_is_read_from_him(
    service: Service, reason: str
) -> None:
    client = Client(service, "s")
    await service.pipeline.flush()
    client.send(*(wire.Pause(number, f"q{number}") for number in range(1, 2 * TURN_ITEMS + 1)))
    client.peer.stop_reading(reason)
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(service.pipeline.engine.queues) == TURN_ITEMS
    client.peer.go_on_reading(reason)
    await client.had_its_turns()
    assert len(service.pipeline.engine.queues) == 2 * TURN_ITEMS


# ---- what is counted -----------------------------------------------------------------------------


async def test_requests_are_counted_when_they_are_answered_by_whose_fault_it_was(
    service: Service,
) -> None:
    client = Client(service, "counted")
    await service.pipeline.flush()
    job = [(1).to_bytes(16), "n", b"x", None]
    client.send(
        wire.Enqueue(1, "q", [job]),
        wire.Enqueue(2, "not a name", [job]),  # refused before the engine sees it
        wire.Promote(3, "nowhere", ["j"]),  # refused by the engine
        wire.Credit(5),  # has no answer
    )
    observed = service.listener.observed
    assert observed.commands == {("enqueue", "client"): 1, ("credit", "ok"): 1}
    await service.pipeline.flush()
    service.pipeline.engine.drain()
    client.send(wire.Enqueue(4, "q", [job]))
    await service.pipeline.flush()
    assert observed.commands == {
        ("enqueue", "ok"): 1,
        ("enqueue", "client"): 1,
        ("enqueue", "unavailable"): 1,
        ("promote", "conflict"): 1,
        ("credit", "ok"): 1,
    }
    stats = service.pipeline.engine.queues["q"].stats
    assert (stats.accepted, stats.rejected) == (1, 1)
    assert service.pipeline.engine.ledger.other.rejected == 1, "of a queue that is none"


async def test_a_request_is_timed_from_its_turn_to_its_answer(service: Service) -> None:
    client = Client(service, "timed")
    await service.pipeline.flush()
    job = [(1).to_bytes(16), "n", b"x", None]
    client.send(wire.Enqueue(1, "q", [job]), wire.Wait(2, "q", (1).to_bytes(16).hex()))
    times = service.listener.observed.command_seconds
    assert not times, "nothing is answered yet"
    await service.pipeline.flush()
    assert list(times) == ["enqueue"], "a WAIT takes as long as its job"
    assert sum(times["enqueue"].counts) == 1
    assert 0 < times["enqueue"].total < 60


async def test_messages_that_are_none_are_counted_by_what_is_wrong(service: Service) -> None:
    client = Client(service, "wrong")
    await service.pipeline.flush()
    client.peer.data_received(bytes([0, 0, 0, 3, 0x92, 0x7F, 1]))  # [127, 1]: no such command
    client.peer.data_received(bytes([0, 0, 0, 4, 0x93, 32, 1, 2]))  # a queue that is a number
    client.peer.data_received(bytes([0, 0, 0, 1, 0xC1]))  # no msgpack
    errors = service.listener.observed.protocol_errors
    assert errors == Counter(unknown_command=1, schema=1, bad_frame=1)


async def test_a_client_of_another_version_is_counted_as_such(service: Service) -> None:
    peer, client = Peer(service.listener), Wire()
    peer.connection_made(client)
    identify = wire.Identify({"protocol": 99, "session": "s"})
    peer.data_received(client.client.send_many([identify]))
    assert service.listener.observed.connections_rejected == Counter(protocol_version=1)
