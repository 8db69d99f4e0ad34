"""Who uses the daemon in a simulation: the real client library, in processes that can be killed."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from holdfast.active import ActiveJob, Release, Retry, Unrecoverable
from holdfast.aio import Queue
from holdfast.errors import HoldfastError
from holdfast.options import Backoff
from holdfast.worker import Worker
from support.history import Done, Run
from support.simulation.loop import Process
from support.simulation.network import Transport

if TYPE_CHECKING:
    from support.simulation.world import World

DAY_S: Final = 24 * 3600.0
RED, BLUE, GREEN, BRIEF = QUEUES = ("red", "blue", "green", "brief")
"""red: plain jobs, nothing is ever removed. blue: limits, put back by hand. green: everything is
done to it. brief: keeps few finished jobs."""
JUDGED: Final = (RED, BRIEF)
"""Their jobs are never put back by hand, so the judge of histories can follow them."""
WORKERS: Final = 3
PRODUCERS: Final = 2
SCHEDULES: Final = 4
"""In each of the queues that have any."""
SHARED_IDS: Final = 12
"""Ids that are used again and again."""


class Client:
    """A process that uses the client library."""

    def __init__(self, world: "World", name: str):
        self.world = world
        self.base_name = name
        self.lives = 0
        self.process = Process(world.loop, name)
        self.process.is_alive = False
        self.disturbed_at = 0.0
        self.is_held_up = False
        """Something is being done to it."""
        self.task: asyncio.Task[Any]

    @property
    def name(self) -> str:
        return f"{self.base_name}.{self.lives}"

    @property
    def url(self) -> str:
        """Each life has a host name of its own, so that no connection is shared."""
        return f"holdfast://{self.name}:4653"

    @property
    def is_disturbed(self) -> bool:
        return self.is_held_up or self.process.is_paused or not self.process.is_alive

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        if not self.process.is_alive:
            self.lives += 1
            self.process = Process(self.world.loop, self.name)
        self.task = self.process.start(coroutine)

    def go(self) -> None:
        self.start(self.live())

    async def live(self) -> None:
        raise NotImplementedError

    def disturb(self) -> None:
        self.disturbed_at = self.world.loop.time()

    def kill(self) -> None:
        self.process.kill()
        self.disturb()

    def go_on(self) -> None:
        """Whatever was done to it is over."""
        self.process.go_on()
        self.is_held_up = False
        self.disturb()
        if not self.process.is_alive:
            self.go()

    def connections(self) -> list[Transport]:
        return [
            end for end in self.world.network.connections.values() if end.process is self.process
        ]


class SimProducer(Client):
    """Adds jobs: alone, many at once, in bursts; again when it does not know what came of it."""

    def __init__(self, world: "World", number: int):
        super().__init__(world, f"producer-{number}")

    async def live(self) -> None:
        world, rng = self.world, self.world.rng
        queues = [Queue(name, url=self.url, timeout=4 * world.scale.lease_s) for name in QUEUES]
        async with asyncio.TaskGroup() as adding:
            while not world.is_over:
                for _ in range(rng.choice((1, 1, 1, 8))):
                    queue = rng.choice(queues)
                    jobs = [self._new_job(queue.name) for _ in range(rng.choice((1, 1, 2, 9)))]
                    adding.create_task(self._add(queue, jobs))
                await asyncio.sleep(rng.expovariate(40 / world.duration_s))

    async def _add(self, queue: Queue, jobs: list[Any]) -> None:
        world = self.world
        for _, data, _ in jobs:
            world.history.attempted[data["serial"]] = data["pad"]
        for _ in range(3):
            try:
                added = await queue.add_many(jobs)
            except HoldfastError:
                world.seen["adds refused or unanswered"] += 1
            else:
                self._confirmed(jobs, added)
                return
            if any("id" not in options for _, _, options in jobs):
                return  # with ids of the client's making it would be another job
            await asyncio.sleep(world.rng.random() * world.scale.lease_s)

    def _new_job(self, queue: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
        world, rng = self.world, self.world.rng
        number = next(world.serials)
        serial = f"{queue}-{number}"
        pad = rng.randbytes(rng.choice((8, 60, 60, 900, 3_000)))
        options: dict[str, Any] = {
            "attempts": rng.choice((1, 2, 5)),
            "max_crashes": rng.choice((1, 3, 100)),
            "priority": rng.randint(0, 2),
        }
        if rng.random() < 0.5:
            options["id"] = f"id-{number}"
        if queue not in JUDGED and rng.random() < 0.3:
            options["id"] = f"shared-{rng.randrange(SHARED_IDS)}"
        if rng.random() < 0.1:
            options["lifo"] = True
        if rng.random() < 0.2:
            options["delay"] = rng.choice((0.5, 5, 60, 600, DAY_S))
        if rng.random() < 0.3:
            options["backoff"] = Backoff.exponential(
                rng.choice((0.5, 10)), cap=300, jitter=rng.choice(("none", "equal", "full"))
            )
        return "work", {"serial": serial, "pad": pad}, options

    def _confirmed(self, jobs: list[Any], added: list[Any]) -> None:
        world = self.world
        for (_, data, _), job in zip(jobs, added, strict=True):
            world.seen["jobs confirmed"] += 1
            if (job.queue, job.id) not in world.observer.ever:
                world.observer.fail(f"{job.id} of {job.queue} was confirmed, and is not there")
            if job.queue in JUDGED:
                world.history.confirmed.add(data["serial"])


class SimWorker(Client):
    """The real Worker, with handlers of all tempers."""

    worker: Worker

    def __init__(self, world: "World", number: int):
        super().__init__(world, f"worker-{number}")
        self._serves_all = number == 0
        self._is_leaving = False

    async def live(self) -> None:
        rng = self.world.rng
        self._is_leaving = False
        queues = list(QUEUES) if self._serves_all or rng.random() < 0.5 else rng.sample(QUEUES, 2)
        self.worker = Worker(
            queues,
            self._handle,
            concurrency=rng.randint(1, 4),
            prefetch=rng.choice((0, 0, 2)),
            url=self.url,
            name=self.name,
            drain_timeout=self.world.scale.lease_s,
        )
        self.worker.on("completed", self._completed)
        await self.worker.run_async()

    async def _handle(self, job: ActiveJob) -> Any:
        world, rng, scale = self.world, self.world.rng, self.world.scale
        serial = job.data["serial"]
        if job.queue in JUDGED:
            world.history.runs.append(Run(serial, job.token, job.data["pad"], self.name))
        world.seen["handlers started"] += 1
        if rng.random() < 0.2:
            job.progress(rng.random())
            job.log("started")
        longest_s = 0.5 * scale.lease_s if world.is_over else 2.5 * scale.lease_s
        times = (0.0, 0.01, 0.5, 0.5, scale.heartbeat_s, 1.2 * scale.lease_s, longest_s)
        await asyncio.sleep(min(longest_s, rng.random() * rng.choice(times)))
        match rng.random():
            case chance if chance < 0.1:
                raise ValueError("the handler failed")
            case chance if chance < 0.13:
                raise Retry(rng.choice((0, 1, 30)), "later")
            case chance if chance < 0.15:
                raise Unrecoverable("never")
            case chance if chance < 0.2:
                raise Release(rng.choice((0, 2)))
        return serial if rng.random() < 0.8 else None

    def _completed(self, job: ActiveJob, result: Any) -> None:
        if job.queue in JUDGED:
            self.world.history.done.append(Done(job.data["serial"], job.token))

    def stop(self) -> None:
        """As by SIGTERM."""
        if hasattr(self, "worker") and not self.task.done():
            self._is_leaving = True
            self.worker.stop()

    @property
    def is_disturbed(self) -> bool:
        """One that leaves waits only so long for a daemon that is away."""
        return self._is_leaving or super().is_disturbed

    def revive(self) -> None:
        """Its process ended, in whatever way."""
        if self.process.is_alive and self.task.done():
            self.kill()
        if not self.process.is_alive:
            self._is_leaving = False
            self.go()

    def go_on(self) -> None:
        super().go_on()
        self.revive()

    async def left(self) -> None:
        """Wait for the end of one that was told to stop."""
        if self._is_leaving:
            await asyncio.wait([self.task])

    @property
    def run_count(self) -> int:
        """Handlers that run now."""
        return len(self.worker._runs) if hasattr(self, "worker") and not self.is_disturbed else 0

    @property
    def session(self) -> str:
        uplink = self.worker._uplink if hasattr(self, "worker") else None
        return "" if uplink is None else uplink._link.session


class SimAdmin(Client):
    """Does to queues and jobs what people and programs do."""

    def __init__(self, world: "World"):
        super().__init__(world, "admin")

    def _queue(self, name: str) -> Queue:
        return Queue(name, url=self.url, timeout=2 * self.world.scale.lease_s)

    async def set_up(self) -> None:
        for_ever = {"age_ms": None, "count": None}
        few = {"age_ms": 3_600_000, "count": 5}
        for name, keep in ((RED, for_ever), (BLUE, for_ever), (GREEN, for_ever), (BRIEF, few)):
            kept = {"completed": keep, "failed": keep, "cancelled": keep}
            await self._queue(name).configure(retention=kept)

    async def let_all_run(self) -> None:
        """Nothing holds a job back any more."""
        for name in QUEUES:
            queue = self._queue(name)
            while True:
                try:
                    await queue.resume()
                    await queue.configure(concurrency=None, rate=None)
                    break
                except HoldfastError:
                    await asyncio.sleep(self.world.scale.heartbeat_s)

    async def live(self) -> None:
        world, rng = self.world, self.world.rng
        acts = (
            self._limit, self._limit, self._pause, self._retry, self._remove, self._promote,
            self._change, self._cancel, self._move, self._move, self._edit, self._drain,
            self._obliterate, self._look, self._wait, self._schedule, self._schedule,
            self._schedule, self._unschedule, self._pause_schedule, self._run_schedule,
        )  # fmt: skip
        while not world.is_over:
            await asyncio.sleep(rng.expovariate(60 / world.duration_s))
            act = rng.choice(acts)
            try:
                await act()
                world.seen[f"admin: {act.__name__[1:]}"] += 1
            except (HoldfastError, TimeoutError):
                world.seen["admin acts refused or unanswered"] += 1

    def _some(self, *queues: str) -> tuple[Queue, list[str]]:
        """A queue, and ids of some jobs that it has, had or never had."""
        rng = self.world.rng
        name = rng.choice(queues)
        stored = self.world.observer.ever
        ids = [*sorted(id for queue, id in stored if queue == name)[-40:], "never-added"]
        return self._queue(name), sorted(rng.sample(ids, min(len(ids), rng.choice((1, 3)))))

    async def _limit(self) -> None:
        rng = self.world.rng
        queue = self._queue(rng.choice((BLUE, BLUE, GREEN)))
        rate = rng.choice((None, (1, 1.0), (5, 60.0, 3), (10, 1.0, 5), (2, 600.0, 2)))
        await queue.configure(concurrency=rng.choice((None, 1, 2, 5)), rate=rate)

    async def _pause(self) -> None:
        queue = self._queue(self.world.rng.choice(QUEUES))
        await queue.pause()
        await asyncio.sleep(self.world.rng.random() * self.world.scale.lease_s)
        await queue.resume()

    async def _retry(self) -> None:
        queue, ids = self._some(BLUE, GREEN)
        self.world.observer.redriven |= {(queue.name, id) for id in ids}
        await queue.retry(*ids)

    async def _remove(self) -> None:
        queue, ids = self._some(GREEN)
        self.world.observer.removable |= {(queue.name, id) for id in ids}
        await queue.remove(*ids, state=self.world.rng.choice((None, "active")))

    async def _promote(self) -> None:
        queue, ids = self._some(*QUEUES)
        self.world.observer.promotable |= {(queue.name, id) for id in ids}
        await queue.promote(*ids)

    async def _change(self) -> None:
        rng = self.world.rng
        queue, ids = self._some(*QUEUES)
        self.world.observer.promotable |= {(queue.name, id) for id in ids}
        change = rng.choice(({"priority": 1}, {"lifo": True}, {"delay": 30}, {"delay": 0.001}))
        await queue.change(*ids, **change)

    async def _cancel(self) -> None:
        queue, ids = self._some(BLUE, GREEN)
        await queue.cancel(*ids, state=self.world.rng.choice((None, "active")))

    async def _move(self) -> None:
        """What was allowed of a job in one queue is so in the other."""
        queue, ids = self._some(BLUE, GREEN)
        (target,) = {BLUE, GREEN} - {queue.name}
        observer = self.world.observer
        observer.moved |= {(queue.name, id) for id in ids}
        for allowed in (observer.redriven, observer.removable, observer.promotable):
            allowed |= {(target, id) for id in ids if (queue.name, id) in allowed}
        await queue.move(*ids, to=target)

    async def _edit(self) -> None:
        queue, ids = self._some(BLUE, GREEN)
        serial = f"{queue.name}-edited-{next(self.world.serials)}"
        await queue.edit(ids[0], {"serial": serial, "pad": b"edited"})

    def _a_schedule(self) -> tuple[Queue, str]:
        rng = self.world.rng
        return self._queue(rng.choice((BLUE, BLUE, GREEN))), f"s{rng.randrange(SCHEDULES)}"

    async def _schedule(self) -> None:
        """One that is due some ten times while the world lasts, whatever its scale."""
        rng = self.world.rng
        queue, id = self._a_schedule()
        data = {"serial": f"{queue.name}-scheduled", "pad": rng.randbytes(20)}
        every = max(1.0, round(self.world.duration_s / rng.choice((5, 10, 20)), 1))
        patterns = ("* * * * *", "*/5 * * * *", "7 * * * *", "30 2 * * *")
        when: dict[str, Any] = {"every": every}
        if rng.random() < 0.4:
            zone = rng.choice(("UTC", "Europe/Berlin", "America/New_York"))
            when = {"cron": rng.choice(patterns), "tz": zone}
        await queue.schedule(
            id,
            "work",
            data,
            **when,
            missed=rng.choice(("once", "once", "skip")),
            overlap=rng.choice(("allow", "skip")),
            attempts=2,
        )

    async def _unschedule(self) -> None:
        queue, id = self._a_schedule()
        await queue.unschedule(id)

    async def _pause_schedule(self) -> None:
        queue, id = self._a_schedule()
        await queue.pause_schedule(id)
        await asyncio.sleep(self.world.rng.random() * self.world.scale.lease_s)
        await queue.resume_schedule(id)

    async def _run_schedule(self) -> None:
        queue, id = self._a_schedule()
        job = await queue.run_schedule(id)
        if (job.queue, job.id) not in self.world.observer.ever:
            self.world.observer.fail(f"{job.id} of {job.queue} was run, and is not there")

    async def remove_schedules(self) -> None:
        """All of them: nothing is added any more."""
        queue = self._queue(BLUE)
        while True:
            try:
                found = [(each.queue, each.id) async for each in queue.all_schedules()]
                if not found:
                    return
                for name, id in found:
                    await self._queue(name).unschedule(id)
            except HoldfastError:
                await asyncio.sleep(self.world.scale.heartbeat_s)

    async def _drain(self) -> None:
        self.world.observer.clearable.add(GREEN)
        await self._queue(GREEN).drain(delayed=self.world.rng.random() < 0.5)

    async def _obliterate(self) -> None:
        self.world.observer.clearable.add(GREEN)
        await self._queue(GREEN).obliterate(force=self.world.rng.random() < 0.7)

    async def _look(self) -> None:
        queue, ids = self._some(*QUEUES)
        async for _ in queue.jobs(self.world.rng.choice(("waiting", "completed", "active"))):
            pass
        await queue.get(ids[0])
        await queue.explain(ids[0])

    async def _wait(self) -> None:
        queue, ids = self._some(*QUEUES)
        job = await queue.get(ids[0])
        with suppress(HoldfastError):
            await job.wait(timeout=self.world.scale.heartbeat_s)


class SimListener(Client):
    """Reads events; now and then it does not, for a while."""

    def __init__(self, world: "World"):
        super().__init__(world, "listener")

    async def live(self) -> None:
        async with asyncio.TaskGroup() as listening:
            for name in QUEUES:
                listening.create_task(self._listen(name))

    async def _listen(self, name: str) -> None:
        last = 0
        async for event in Queue(name, url=self.url).events():
            if event.kind == "missed":
                self.world.seen["events missed, and said so"] += 1
            elif event.number <= last:
                self.world.observer.fail(f"event {event.number} of {name} came after {last}")
            else:
                self.world.seen["events heard"] += 1
                last = event.number
