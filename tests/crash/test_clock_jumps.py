"""The clocks of a running daemon are set, by days and years, both ways, under load.

A wall clock that jumps takes no lease, runs nothing before its instant of the wall clock, starts
nothing above a rate, and drops nothing. HOLDFAST_OUTSIDE=long jumps 1,000 times.
"""

import asyncio
import contextlib
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast import aio
from holdfast.active import ActiveJob
from holdfast.worker import Worker
from support import sabotaged_daemon
from support.daemon import DaemonProcess
from support.fakeclock import DAY_S, YEAR_S, FakeClock, need_library, remove_leftovers

JUMPS = 1_000 if os.environ.get("HOLDFAST_OUTSIDE") == "long" else 100
HELD = 50
RATE, BURST = 10, 10
LATE_JOBS = 30
"""So many can come to their handlers at once that were started one after another, after 3 s in
which this process had no time (seen on a loaded machine: 1 s). A hundred jumps that are worth a
burst each are a thousand."""
LEASES = "[leases]\nlease_ms = 4_000\nheartbeat_ms = 250\ngrace_ms = 10_000\n"
"""The grace is the default: workers that hold leases try to come back every 2 s."""

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def library() -> Iterator[None]:
    need_library()
    yield
    remove_leftovers()


def daemon_on(clock: FakeClock, tmp_path: Path, *sabotage: str) -> DaemonProcess:
    config = tmp_path / "config.toml"
    config.write_text(LEASES)
    daemon = DaemonProcess(
        tmp_path / "data", "--config", str(config), environment=clock.environment
    )
    if sabotage:
        daemon.program = [sabotaged_daemon.__file__, *sabotage]
    return daemon


class Load:
    """Jobs of every kind, and the workers that run them.

    Attributes:
        runs: by job id, how often its handler was started.
        limited_at: monotonic seconds at which those of the limited queue were.
        may_end: lets the held jobs end.
    """

    def __init__(self, url: str):
        self._url = url
        self.runs: Counter[str] = Counter()
        self.limited_at: list[float] = []
        self.may_end = asyncio.Event()
        self.added: list[str] = []
        self.failed = 0

    async def hold(self, job: ActiveJob) -> None:
        self.runs[job.id] += 1
        await self.may_end.wait()

    async def run(self, job: ActiveJob) -> None:
        self.runs[job.id] += 1

    async def run_limited(self, job: ActiveJob) -> None:
        self.limited_at.append(time.monotonic())

    @contextlib.asynccontextmanager
    async def going_on(self) -> AsyncIterator[dict[str, aio.Queue]]:
        """Queues by name, while everything runs."""
        handlers: dict[str, Any] = {
            "held": self.hold,
            "flow": self.run,
            "due": self.run,
            "limited": self.run_limited,
        }
        workers = [
            Worker(name, handler, url=self._url, concurrency=HELD)
            for name, handler in handlers.items()
        ]
        working = [asyncio.create_task(worker.run_async()) for worker in workers]
        async with contextlib.AsyncExitStack() as stack:
            queues = {
                name: await stack.enter_async_context(aio.Queue(name, url=self._url))
                for name in handlers
            }
            await queues["limited"].configure(rate=(RATE, 1, BURST))
            await queues["limited"].add_many([("n",)] * 20_000)
            await queues["held"].add_many([("n",)] * HELD)
            while self.runs.total() < HELD:
                await asyncio.sleep(0.01)
            producing = asyncio.create_task(self._produce(queues["flow"]))
            yield queues
            producing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await producing
            for worker in workers:
                worker.stop()
            self.may_end.set()
            await asyncio.gather(*working)

    async def _produce(self, queue: aio.Queue) -> None:
        while True:
            self.added.append((await queue.add("n")).id)

    @property
    def excess(self) -> float:
        """Starts of the limited queue above its rate and one burst, in the worst of all spans."""
        most = before = 0.0
        for last, at in zip(self.limited_at, self.limited_at[1:], strict=False):
            before = max(0.0, before - RATE * (at - last)) + 1
            most = max(most, before)
        return most - BURST


async def jump_often(clock: FakeClock, queues: dict[str, aio.Queue], count: int) -> None:
    """Set the wall clock, and see that of the delayed jobs exactly those run that are due."""
    rng = random.Random(1)
    delays_s = [rng.uniform(DAY_S, 9 * YEAR_S) for _ in range(300)]
    await queues["due"].add_many([("n", None, {"delay": delay}) for delay in delays_s])
    furthest_s = 0.0
    for _ in range(count):
        size_s = rng.choice((90, DAY_S, 30 * DAY_S, YEAR_S, 8 * YEAR_S))
        clock.set(rng.uniform(-size_s, size_s))
        furthest_s = max(furthest_s, clock.offset_s)
        not_due = sum(1 for delay in delays_s if delay > furthest_s + 60)
        due = sum(1 for delay in delays_s if delay < furthest_s)
        async with asyncio.timeout(10):
            while (left := (await queues["due"].counts())["delayed"]) > len(delays_s) - due:
                await asyncio.sleep(0.01)
        assert left >= not_due, "a delayed job ran before its instant of the wall clock"
        await asyncio.sleep(rng.uniform(0, 0.15))  # for the load to meet the new time
    clock.set(0)


async def test_a_wall_clock_that_jumps_takes_no_lease_and_breaks_no_limit(tmp_path: Path) -> None:
    clock = FakeClock(tmp_path / "clock")
    with daemon_on(clock, tmp_path) as daemon:
        load = Load(daemon.url)
        async with load.going_on() as queues:
            began = time.monotonic()
            await jump_often(clock, queues, JUMPS)
            lasted_s = time.monotonic() - began
            assert load.runs.total() > HELD
            held = await queues["held"].counts()
            assert (held["active"], held["failed"], held["waiting"]) == (HELD, 0, 0)
        assert len(load.limited_at) >= lasted_s * RATE * 0.7
        assert load.excess <= LATE_JOBS, "the rate was broken"
        assert set(load.runs.values()) == {1}, "a lease was lost, and its job ran again"
        assert daemon.log().count("the wall clock was set") > JUMPS * 0.9
        async with aio.Queue("flow", url=daemon.url) as queue:
            counts = await queue.counts()
            # The last one may wait, or have been added without its producer hearing of it.
            found = counts["completed"] + counts["waiting"]
            assert len(load.added) <= found <= len(load.added) + 1


async def test_a_daemon_that_times_leases_by_the_wall_clock_is_found_out(tmp_path: Path) -> None:
    clock = FakeClock(tmp_path / "clock")
    with daemon_on(clock, tmp_path, "wall_leases") as daemon:
        load = Load(daemon.url)
        async with load.going_on(), asyncio.timeout(20):
            while max(load.runs.values()) == 1:
                clock.set(0 if clock.offset_s else DAY_S)
                await asyncio.sleep(0.1)


async def test_a_daemon_that_times_rates_by_the_wall_clock_is_found_out(tmp_path: Path) -> None:
    clock = FakeClock(tmp_path / "clock")
    with daemon_on(clock, tmp_path, "wall_rates") as daemon:
        load = Load(daemon.url)
        async with load.going_on(), asyncio.timeout(20):
            while load.excess < 2 * LATE_JOBS:
                clock.set(0 if clock.offset_s else DAY_S)
                await asyncio.sleep(0.1)


@pytest.mark.parametrize(("sabotage", "kept"), [((), 100), (("believes",), 0)])
async def test_a_false_time_at_the_start_drops_nothing_that_was_done_yesterday(
    tmp_path: Path, sabotage: tuple[str, ...], kept: int
) -> None:
    """At its start a daemon looks at once for what is too old. The twin that believes drops all."""
    clock = FakeClock(tmp_path / "clock")
    with daemon_on(clock, tmp_path, *sabotage) as daemon:
        async with aio.Queue("q", url=daemon.url) as queue:
            load = Load(daemon.url)
            worker = Worker("q", load.run, url=daemon.url)
            working = asyncio.create_task(worker.run_async())
            await queue.add_many([("n",)] * 100)
            while (await queue.counts())["completed"] < 100:
                await asyncio.sleep(0.01)
            worker.stop()
            await working
            for offset_s in (YEAR_S, -YEAR_S, 0):
                daemon.kill()
                clock.set(offset_s)
                await asyncio.to_thread(daemon.start)
                for _ in range(5):  # batches in which the prune, if there is one, is written
                    await queue.add("n", delay=DAY_S)
            assert (await queue.counts())["completed"] == kept


@pytest.mark.parametrize(("sabotage", "is_kept"), [((), True), (("wall_leases",), False)])
async def test_a_machine_that_slept_takes_no_lease(
    tmp_path: Path, sabotage: tuple[str, ...], is_kept: bool
) -> None:
    """The monotonic clock of the running process goes on by minutes to weeks at once, as it does
    where it counts the sleep of a machine."""
    clock = FakeClock(tmp_path / "clock", is_monotonic_faked=True)
    with daemon_on(clock, tmp_path, *sabotage) as daemon:
        load = Load(daemon.url)
        async with load.going_on():
            for size_s in (90, 600, DAY_S, 10 * DAY_S, 1, 5, 90, 600, DAY_S, 10 * DAY_S):
                clock.set(clock.offset_s + size_s)
                await asyncio.sleep(0.15)
        assert (set(load.runs.values()) == {1}) is is_kept
        assert daemon.log().count("did not run for") >= 10


async def test_a_machine_that_starts_anew_gives_every_lease_a_full_grace(tmp_path: Path) -> None:
    """Its monotonic clock begins elsewhere: far behind, or far ahead."""
    clock = FakeClock(tmp_path / "clock", is_monotonic_faked=True)
    with daemon_on(clock, tmp_path) as daemon:
        load = Load(daemon.url)
        async with load.going_on() as queues:
            for offset_s in (-0.5 * YEAR_S, 0.5 * YEAR_S, -600, 600):
                daemon.kill()
                clock.set(offset_s)
                await asyncio.to_thread(daemon.start)
                async with asyncio.timeout(20):
                    assert (await queues["held"].counts())["active"] == HELD
                    before = load.runs.total()
                    while load.runs.total() < before + 20:
                        await asyncio.sleep(0.01)
        assert set(load.runs.values()) == {1}
