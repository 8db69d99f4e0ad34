"""The simulated daemon's process: the real service, life after life on one disk."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING

from holdfastd.config import from_tree
from holdfastd.engine.broker import Engine
from holdfastd.engine.queue import QueueState
from holdfastd.engine.session import Session
from holdfastd.observed import Observed
from holdfastd.service import DRAIN_S, Service
from holdfastd.store.base import StoreError
from support.simulation.loop import Process
from support.simulation.store import SimulatedStore, WrongDisk

if TYPE_CHECKING:
    from support.simulation.world import World


class Clock:
    """The daemon's clocks: a wall that may jump, a monotonic one of another origin each start."""

    def __init__(self, world: "World", origin_s: float):
        self._world = world
        self._origin_s = origin_s

    def now_ms(self) -> int:
        return int(self._world.wall_ms())

    def monotonic(self) -> float:
        return self._origin_s + self._world.loop.time()


class SimDaemon:
    """The real service, life after life on one disk."""

    def __init__(self, world: "World"):
        self.world = world
        self.lives = 0
        self.process = Process(world.loop, "daemon")
        self.process.is_alive = False
        self.service: Service
        self.store: SimulatedStore
        self.is_serving = False
        self.situations: dict[str, Callable[[], bool]] = {
            "in recovery": lambda: not self.is_serving,
            "while stopping": lambda: self._stop.is_set(),
            "with a batch open": lambda: self._engine.has_open_batch,
            "in a commit": lambda: self.store.is_writing and not self.store.is_in_doubt,
            "between commit and saying": lambda: self.store.is_in_doubt,
            "with the disk full": lambda: self.world.disk_state.is_full,
            "with a batch kept for want of room": lambda: (
                self.world.disk_state.is_full and self.store.is_writing
            ),
            "with parked commands": lambda: self._some_session(lambda it: bool(it.parked)),
            "while a queue is cleared": lambda: self._some_queue(lambda it: it.is_clearing),
            "with leases of absent workers": lambda: self._some_session(
                lambda it: bool(it.leases) and it.connection is None
            ),
            "while a page is read": lambda: self._some_queue(lambda it: it.is_reading_page),
            "while payloads are read": lambda: self._some_queue(lambda it: it.is_reading_payloads),
            "while it prunes": lambda: self._some_queue(lambda it: it.is_pruning),
            "with a client that does not read": lambda: self._some_session(lambda it: it.is_held),
            "with a client that was pushed enough": lambda: self._some_session(
                lambda it: it.is_sated
            ),
            "while connections are not read": lambda: self.service.pipeline.is_behind,
        }
        """What it may be in the midst of, by name, and whether it is."""
        self._stop = asyncio.Event()

    def start(self) -> None:
        world = self.world
        self.lives += 1
        self.process = Process(world.loop, f"daemon.{self.lives}")
        scale = world.scale
        settings = from_tree(
            {
                "leases": {
                    "heartbeat_ms": int(scale.heartbeat_s * 1000),
                    "lease_ms": int(scale.lease_s * 1000),
                    "grace_ms": int(scale.grace_s * 1000),
                }
            }
        )
        self.is_serving = False
        self._stop = asyncio.Event()
        self.store = world.new_store()
        self.process.on_death.append(self.store.died)
        clock = Clock(world, world.rng.uniform(0, 1e6))
        self.service = Service(settings, self.store, clock, Random(world.rng.random()), Observed())
        world.observer.watch(self.service)
        self.process.start(self._serve())

    async def _serve(self) -> None:
        """As `daemon.Daemon.run` does it."""
        pipeline, listener = self.service.pipeline, self.service.listener
        try:
            await pipeline.open()
        except WrongDisk as error:
            self.world.observer.fail(str(error))
        except StoreError:
            self.world.seen["starts refused for the store"] += 1
            self._end()
            await asyncio.sleep(0)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._or_end(pipeline.run))
            reading = tasks.create_task(self._or_end(listener.run))
            await listener.start()
            self.is_serving = True
            await self._stop.wait()
            await self.service.say_goodbye()
            try:
                async with asyncio.timeout(DRAIN_S):
                    await self.service.close()
            except TimeoutError:
                self.world.seen["drains given up"] += 1
                self._end()
                await asyncio.sleep(0)
            reading.cancel()
        self.world.seen["stops in good order"] += 1
        self._end()

    async def _or_end(self, run: Callable[[], Awaitable[None]]) -> None:
        try:
            await run()
        except StoreError:
            self.world.seen["ends of the daemon for its store"] += 1
            self._end()
            await asyncio.sleep(0)
        except Exception as error:
            self.world.observer.fail(f"the daemon broke: {error!r}")

    def stray_error(self, error: BaseException) -> None:
        """Of a callback of the daemon's loop."""
        self.world.observer.fail(f"an error in a callback: {error!r}")

    def _end(self) -> None:
        """Its process is gone; a supervisor starts it again."""
        self.process.kill()
        self.is_serving = False
        delay_s = self.world.rng.random() * self.world.scale.grace_s / 4
        self.world.loop.call_later(delay_s, self._start_again, context=self.world.network.context)

    def _start_again(self) -> None:
        if not self.process.is_alive:
            self.start()

    def kill(self) -> None:
        if self.process.is_alive:
            self._note_situation()
            self._end()

    def stop(self) -> None:
        """As by SIGTERM."""
        if self.is_serving:
            self._stop.set()

    def go_on(self) -> None:
        self.process.go_on()
        self._start_again()

    def _note_situation(self) -> None:
        """In the midst of what it is killed."""
        self.world.seen["kills"] += 1
        for name, is_so in self.situations.items():
            self.world.seen[f"killed {name}"] += is_so()

    @property
    def _engine(self) -> Engine:
        return self.service.pipeline.engine

    def _some_session(self, is_so: Callable[[Session], bool]) -> bool:
        return any(is_so(session) for session in self._engine.sessions.values())

    def _some_queue(self, is_so: Callable[[QueueState], bool]) -> bool:
        return any(is_so(queue) for queue in self._engine.queues.values())
