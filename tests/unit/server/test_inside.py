"""Commands from inside the process: the same path, the same golden rule."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from holdfastd.engine import commands
from holdfastd.engine.model import State
from holdfastd.engine.outputs import ItemExisting, Refusal
from holdfastd.engine.partition import EngineSettings
from holdfastd.inside import CommandRefused, Inside
from holdfastd.observed import Observed
from holdfastd.pipeline import Pipeline
from support.engine import new_job
from unit.server.test_pipeline import GatedStore, StillClock


class Daemon:
    def __init__(self) -> None:
        self.store = GatedStore()
        self.pipeline = Pipeline(
            self.store, StillClock(), EngineSettings(), random.Random(1), Observed()
        )
        self.inside = Inside(self.pipeline)


@pytest_asyncio.fixture
async def daemon() -> AsyncIterator[Daemon]:
    daemon = Daemon()
    await daemon.pipeline.open()
    running = asyncio.create_task(daemon.pipeline.run())
    yield daemon
    daemon.store.door.set()
    daemon.inside.close()
    await daemon.pipeline.close()
    await running


def add(id: str) -> commands.Enqueue:
    return commands.Enqueue("q", [(0, new_job(id))], [])


async def test_an_answer_comes_once_its_batch_is_durable(daemon: Daemon) -> None:
    daemon.store.door.clear()
    adding = asyncio.ensure_future(daemon.inside.call(add("a")))
    await daemon.store.waiting.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not adding.done()
    daemon.store.door.set()
    assert await adding == []


async def test_what_did_not_simply_succeed_is_told_item_by_item(daemon: Daemon) -> None:
    await daemon.inside.call(add("a"))
    assert await daemon.inside.call(add("a")) == [ItemExisting(0, State.WAITING)]


async def test_a_refusal_says_why(daemon: Daemon) -> None:
    with pytest.raises(CommandRefused, match="no queue") as caught:
        await daemon.inside.call(commands.Drain("nowhere", False))
    assert caught.value.refusal is Refusal.UNKNOWN_QUEUE


async def test_a_wait_ends_when_there_is_nothing_left_to_wait_for(daemon: Daemon) -> None:
    await daemon.inside.call(add("a"))
    async with daemon.inside.session() as session:
        waiting = asyncio.ensure_future(session.call(commands.Wait("q", "a")))
        await daemon.pipeline.flush()
        assert not waiting.done()
        await daemon.inside.call(commands.Remove("q", ["a"], None))
        assert await waiting is None


async def test_a_session_that_is_left_waits_for_nothing_any_more(daemon: Daemon) -> None:
    await daemon.inside.call(add("a"))
    async with daemon.inside.session() as session:
        waiting = asyncio.ensure_future(session.call(commands.Wait("q", "a")))
        await daemon.pipeline.flush()
    with pytest.raises(CommandRefused, match="going down"):
        await waiting
    await daemon.pipeline.flush()
    assert not daemon.pipeline.engine.queues["q"].waits
    with pytest.raises(CommandRefused):
        await session.call(commands.Wait("q", "a"))


async def test_events_reach_the_session_that_listens(daemon: Daemon) -> None:
    await daemon.inside.call(add("a"))
    async with daemon.inside.session() as session, daemon.inside.session() as deaf:
        await session.call(commands.Listen("q", None))
        await daemon.inside.call(add("b"))
        item = await session.events.get()
        assert item is not None
        queue, event = item
        assert (queue, event.id) == ("q", "b")
        assert deaf.events.empty()
    while item is not None:
        item = await session.events.get()


async def test_a_session_that_outlives_the_inside_ends_without_a_word(daemon: Daemon) -> None:
    async with daemon.inside.session():
        daemon.inside.close()


async def test_nothing_of_it_is_left_behind(daemon: Daemon) -> None:
    await daemon.inside.call(add("a"))
    async with daemon.inside.session() as session:
        await session.call(commands.Counts("q", None, 1))
    daemon.inside.close()
    await daemon.pipeline.flush()
    assert not daemon.store.disk.sessions
