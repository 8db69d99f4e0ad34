"""A simulated world: one daemon, its disk and clocks, its clients, and what befalls them.

Everything follows from the seed. Producers, workers, an administrator and a listener are the real
client library; the daemon is the real service on a simulated disk. A nemesis breaks things for a
while; then all is healed, and the queues must run dry within bounded time.
"""

import asyncio
import gc
import itertools
import sys
import tempfile
import time
import warnings
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final
from unittest.mock import patch

from holdfast.errors import HoldfastError
from holdfast.packing import unpack
from holdfastd.engine.model import State
from holdfastd.engine.schedules import Schedule, ScheduleKey
from holdfastd.store import sqlite
from holdfastd.store.memory import Disk
from support.history import History, Stored, judge
from support.simulation.clients import (
    BRIEF,
    DAY_S,
    JUDGED,
    PRODUCERS,
    WORKERS,
    SimAdmin,
    SimListener,
    SimProducer,
    SimWorker,
)
from support.simulation.daemon import SimDaemon
from support.simulation.loop import Deadlock, SimLoop
from support.simulation.nemesis import Nemesis
from support.simulation.network import Network
from support.simulation.observer import Observer
from support.simulation.sealed import sealed
from support.simulation.store import (
    DiskState,
    Files,
    SimSqliteStore,
    SimStore,
    SimulatedStore,
    connect_inline,
)
from support.vfs import installed

START_MS: Final = 1_750_000_000_000
"""Wall clock at the start: June 2025, arbitrary."""


@dataclass(frozen=True)
class Scale:
    """How long things take in one run."""

    heartbeat_s: float
    lease_s: float
    grace_s: float


SCALES: Final = (
    Scale(2, 15, 6),
    Scale(5, 30, 10),
    Scale(5, 30, 10),
    Scale(20, 120, 40),
    Scale(60, 300, 60),
)
"""The defaults twice, faster and slower. Not faster than the client's own times allow: 5 s for a
connection, 2 s between two of them."""
RAM: Final = Path("/dev/shm")
"""Syncs cost nothing there, where there is one; what they keep is the simulation's affair."""


@dataclass
class _IoThread:
    """What `holdfast.iothread` gives a worker: here its loop is everybody's."""

    loop: SimLoop


@dataclass
class Outcome:
    """Of one seed."""

    seed: int
    wrong: list[str]
    trace: str
    simulated_s: float
    steps: int
    cpu_s: float
    """Real seconds of one core."""
    seen: Counter[str] = field(default_factory=Counter)


class World:
    def __init__(self, seed: int, loop: SimLoop, folder: Path | None):
        """folder: for the SQLite store; None = on the model store."""
        self.loop = loop
        self.rng = Random(f"world {seed}")
        self.scale = self.rng.choice(SCALES)
        self.duration_s = self.scale.heartbeat_s * self.rng.uniform(100, 900)
        self.history = History()
        self.disk = Disk()
        self.disk_state = DiskState(self.rng.choice((0.001, 0.01, 0.1)))
        self.files = None if folder is None else Files(folder, self.disk_state, self.rng)
        self.observer = Observer(self.disk, loop.time, self._stop_now)
        self.observer.may_lose_lease = self._may_lose_lease
        self.seen = self.observer.seen
        delay_max_s = self.rng.choice((0.001, 0.01, 0.05))
        self.network = loop.network = Network(loop, Random(f"network {seed}"), delay_max_s)
        self.daemon = SimDaemon(self)
        self.workers = [SimWorker(self, number) for number in range(WORKERS)]
        self.producers = [SimProducer(self, number) for number in range(PRODUCERS)]
        self.admin = SimAdmin(self)
        self.listener = SimListener(self)
        self.is_over = False
        self._wall_shift_s = self._wall_highest_s = 0.0
        self._stopped = asyncio.Event()
        self.serials = itertools.count(1)

    def new_store(self) -> SimulatedStore:
        """For the next life of the daemon."""
        record = self.observer.record
        if self.files is None:
            return SimStore(self.disk, self.disk_state, self.rng, record)
        store = SimSqliteStore(self.files, self.disk, self.disk_state, self.rng, record)
        store.compared = lambda: self.seen.update(["disks compared with the model"])
        return store

    def wall_ms(self) -> float:
        return START_MS + (self.loop.time() + self._wall_shift_s) * 1000

    def _stop_now(self) -> None:
        self._stopped.set()

    # ---- a run -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Until it ends, or something is found wrong."""
        running = asyncio.create_task(self._run())
        stopped = asyncio.create_task(self._stopped.wait())
        await asyncio.wait([running, stopped], return_when=asyncio.FIRST_COMPLETED)
        for task in (running, stopped):
            task.cancel()
        if not self.observer.wrong and running.done():
            running.result()

    async def _run(self) -> None:
        self.daemon.start()
        self.admin.start(self.admin.set_up())
        await self.admin.task
        for client in (*self.workers, *self.producers, self.listener):
            client.go()
        self.admin.go()
        await Nemesis(self).rage(self.duration_s)
        await self._heal()
        await self._run_dry()
        self._judge()

    async def _heal(self) -> None:
        self.is_over = True
        self.loop.after_step = None
        self.disk_state.is_full = self.disk_state.fails_next = False
        self.disk_state.hangs_s = 0.0
        self.network.is_down_for.clear()
        for client in list(self.network.connections.values()):
            for end in (client, client.other):
                end.go_on()
        self.daemon.go_on()
        for worker in self.workers:
            worker.go_on()
            await worker.left()
            worker.revive()
        for producer in self.producers:
            producer.go_on()
            await asyncio.wait([producer.task])
        self.admin.start(self.admin.let_all_run())
        await self.admin.task
        before = dict(self.disk.schedules)
        self.shift_wall(self._wall_highest_s - self._wall_shift_s + 2 * DAY_S)  # all are due
        await self._see_schedules_fire(before)
        self.admin.start(self.admin.remove_schedules())
        await self.admin.task

    async def _see_schedules_fire(self, before: dict[ScheduleKey, Schedule]) -> None:
        """None may be silent: each of them was due within the last two days."""
        deadline = self.loop.time() + 20 * self.scale.lease_s
        while silent := [
            schedule
            for place, schedule in before.items()
            if not schedule.is_paused
            and dealt_with(self.disk.schedules[place]) == dealt_with(schedule)
        ]:
            if self.loop.time() > deadline:
                self.observer.fail(f"schedules that are due do nothing: {silent}")
                return
            await asyncio.sleep(self.scale.heartbeat_s)
        self.seen["schedules seen to fire at the end"] += len(before)

    async def _run_dry(self) -> None:
        """Every job must come to its end: slow handlers, lost leases and backoffs included."""
        deadline = self.loop.time() + 200 * self.scale.lease_s + 600
        while self._unfinished():
            if self.loop.time() > deadline:
                self.observer.fail(f"not drained after all was healed: {self._unfinished()}")
                return
            await asyncio.sleep(self.scale.heartbeat_s)
        await asyncio.sleep(2 * self.scale.heartbeat_s)  # the last confirmations

    def _unfinished(self) -> Counter[str]:
        states = (State.WAITING, State.DELAYED, State.ACTIVE)
        return Counter(row.state.name for row in self.disk.jobs.values() if row.state in states)

    def _judge(self) -> None:
        names = {row.key: row.name for row in self.disk.queues.values()}
        for row in self.disk.jobs.values():
            if names[row.queue] in JUDGED:
                serial = unpack(row.payload)["serial"]
                reruns = row.failures + row.crashes + row.releases
                self.history.stored.append(Stored(serial, row.state.name.lower(), reruns))
        self._believe_what_was_pruned()
        for name, serials in judge(self.history).wrong.items():
            self.observer.fail(f"{name}: {sorted(serials)[:5]}")

    def _believe_what_was_pruned(self) -> None:
        """The observer has seen that what left the brief queue had ended; with which end, is told
        by whether an ack was taken."""
        kept = {job.serial for job in self.history.stored}
        done = {done.serial for done in self.history.done}
        runs = Counter(run.serial for run in self.history.runs)
        for serial in set(self.history.confirmed) | set(runs):
            if serial.startswith(BRIEF) and serial not in kept:
                state = "completed" if serial in done else "failed"
                self.history.stored.append(Stored(serial, state, runs[serial] + 1))

    # ---- what may be, and what must not -----------------------------------------------------

    def _may_lose_lease(self, name: str) -> bool:
        """Not for what befalls the daemon, its disk or the clocks: only for what befell it."""
        for worker in self.workers:
            if worker.name == name:
                unwell_s = self.loop.time() - worker.disturbed_at
                return worker.is_disturbed or unwell_s < 2 * self.scale.lease_s
        return True  # of a process that is no more

    def shift_wall(self, seconds: float) -> None:
        self._wall_shift_s += seconds
        if seconds > 0:
            self.observer.clock_was_set_forward = True
        self._wall_highest_s = max(self._wall_highest_s, self._wall_shift_s)


def dealt_with(schedule: Schedule) -> int:
    """Due instants."""
    return schedule.fired + schedule.missed + schedule.skipped


def simulate(seed: int, *, on_sqlite: bool | None = None) -> Outcome:
    """One run from its seed, on SQLite if so asked, or else for each tenth seed.

    It collects its own garbage, so that nothing happens by chance.
    """
    if on_sqlite is None:
        on_sqlite = seed % 10 == 0
    was_enabled, hook = gc.isenabled(), sys.unraisablehook
    gc.disable()
    # Coroutines of killed processes are never resumed; what their clean-up says is of no interest.
    sys.unraisablehook = lambda _: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            loop = SimLoop()
            outcome = _on_sqlite(seed, loop) if on_sqlite else _simulate(seed, loop, None)
            for _ in range(2):  # what is collected may start a clean-up, which is cut short
                gc.collect()
                loop.end()
            gc.collect()
    finally:
        sys.unraisablehook = hook
        if was_enabled:
            gc.enable()
    return outcome


def _on_sqlite(seed: int, loop: SimLoop) -> Outcome:
    with (
        tempfile.TemporaryDirectory(dir=RAM if RAM.is_dir() else None) as folder,
        patch.object(sqlite, "connect", connect_inline),
    ):
        return _simulate(seed, loop, Path(folder))


def _simulate(seed: int, loop: SimLoop, folder: Path | None) -> Outcome:
    started_s = time.process_time()
    worlds: list[World] = []

    def now_ms() -> float:
        return worlds[0].wall_ms() if worlds else START_MS

    with sealed(Random(f"outside {seed}"), now_ms, _IoThread(loop)), ExitStack() as stack:
        world = World(seed, loop, folder)
        worlds.append(world)
        if world.files is not None:
            stack.enter_context(installed(world.files))
        loop.set_exception_handler(lambda _, context: _on_error(world, context))
        try:
            loop.run_until_complete(world.run())
        except Deadlock:
            world.observer.fail("nothing would ever happen again")
        finally:
            loop.set_exception_handler(lambda _, context: None)
            world.daemon.process.kill()
            loop.end()
    observer = world.observer
    cpu_s = time.process_time() - started_s
    return Outcome(seed, observer.wrong, loop.trace, loop.time(), loop.steps, cpu_s, observer.seen)


def _on_error(world: World, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if error is not None and not isinstance(error, HoldfastError):
        world.daemon.stray_error(error)
