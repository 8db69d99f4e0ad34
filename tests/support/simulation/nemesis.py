"""What befalls a simulated world."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from holdfast.wire import messages as wire
from holdfast.wire.connection import ClientConnection
from holdfast.wire.constants import PROTOCOL_VERSION
from support.simulation.clients import DAY_S, Client
from support.simulation.network import Transport

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from support.simulation.world import World


class Intruder(asyncio.Protocol):
    """A second connection of somebody's session."""

    def __init__(self, session: str):
        self._wire = ClientConnection()
        self._session = session
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        for message in self._wire.receive(data):
            if isinstance(message, wire.Hello):
                info = {"protocol": PROTOCOL_VERSION, "client": "x", "session": self._session}
                self.transport.write(self._wire.send(wire.Identify(info)))


class Nemesis:
    """Breaks things, one or two at a time; what it begins it ends by itself."""

    def __init__(self, world: "World"):
        self.world = world
        self.rng = world.rng
        self.faults: tuple[Callable[[], Coroutine[Any, Any, None]], ...] = (
            self.kill_daemon, self.kill_daemon, self.kill_daemon, self.kill_daemon_in_recovery,
            self.stop_daemon, self.interrupt_a_stop, self.pause_daemon, self.kill_worker,
            self.pause_worker, self.pause_worker, self.stop_worker, self.kill_producer, self.cut,
            self.cut_before_an_answer, self.cut_before_an_answer, self.cut_before_an_answer,
            self.cut_all,
            self.lose_replies, self.half_open, self.stall, self.vanish, self.intrude,
            self.fill_disk, self.fill_disk, self.hang_disk, self.fail_sync, self.jump_wall,
            self.jump_wall,
        )  # fmt: skip

    async def rage(self, seconds: float) -> None:
        """Return when the time is over and every fault has ended."""
        ends_at = self.world.loop.time() + seconds
        async with asyncio.TaskGroup() as tasks:
            while self.world.loop.time() < ends_at:
                await asyncio.sleep(self.rng.expovariate(25 / seconds))
                for _ in range(self.rng.choice((1, 1, 2, 3))):
                    fault = self.rng.choice(self.faults)
                    self.world.seen[f"fault: {fault.__name__}"] += 1
                    tasks.create_task(fault())

    async def _while(self, seconds_max: float) -> None:
        await asyncio.sleep(self.rng.random() * seconds_max)

    # ---- the daemon ------------------------------------------------------------------------

    def _when(self, is_so: Callable[[], bool], then: Callable[[], None]) -> None:
        """Do it at the first step, or one soon after, at which it is so; sometime in any case."""
        loop = self.world.loop
        steps_left = self.rng.choice((0, 0, 1, 2, 5, 20))
        until = loop.time() + 10 * self.world.scale.heartbeat_s
        is_armed = False

        def look() -> None:
            nonlocal is_armed, steps_left
            is_armed = is_armed or is_so() or loop.time() > until
            if is_armed:
                steps_left -= 1
            if steps_left < 0:
                loop.after_step = None
                then()

        if loop.after_step is None:
            loop.after_step = look

    async def kill_daemon(self) -> None:
        daemon = self.world.daemon
        self._when(self.rng.choice(list(daemon.situations.values())), daemon.kill)

    async def kill_daemon_in_recovery(self) -> None:
        for _ in range(3):
            self.world.daemon.kill()
            while not self.world.daemon.process.is_alive:
                await asyncio.sleep(0.01)
            await self._while(0.3)

    async def stop_daemon(self) -> None:
        self.world.daemon.stop()

    async def interrupt_a_stop(self) -> None:
        for _ in range(2):
            self.world.daemon.stop()
            await self._while(0.02)
            self.world.daemon.kill()
            await self._while(2 * self.world.scale.grace_s)

    async def pause_daemon(self) -> None:
        daemon = self.world.daemon
        process = daemon.process
        process.pause()
        await self._while(3 * self.world.scale.lease_s)
        process.go_on()
        self.world.seen["daemon paused"] += 1

    # ---- clients ---------------------------------------------------------------------------

    async def kill_worker(self) -> None:
        worker = self.rng.choice(self.world.workers)
        worker.kill()
        await self._while(self.world.scale.lease_s)
        worker.revive()

    async def pause_worker(self) -> None:
        """For longer than its leases hold, mostly; one that has some, if there is one."""
        workers = self.world.workers
        worker = self.rng.choice([it for it in workers if it.run_count] or workers)
        process = worker.process
        process.pause()
        await self._while(4 * self.world.scale.lease_s)
        worker.disturb()
        process.go_on()

    async def stop_worker(self) -> None:
        worker = self.rng.choice(self.world.workers)
        worker.is_held_up = True
        worker.stop()
        await self._while(2 * self.world.scale.lease_s)
        worker.is_held_up = False
        worker.disturb()
        worker.revive()

    async def kill_producer(self) -> None:
        producer = self.rng.choice(self.world.producers)
        producer.kill()
        await self._while(self.world.scale.lease_s)
        if not producer.process.is_alive:
            producer.go()

    # ---- the network -----------------------------------------------------------------------

    def _victim(self) -> tuple[Client, list[Transport]]:
        world = self.world
        clients = (*world.workers, *world.workers, *world.producers, world.admin, world.listener)
        client = self.rng.choice(clients)
        return client, client.connections()

    async def cut(self) -> None:
        client, connections = self._victim()
        client.disturb()
        for connection in connections:
            self.world.network.cut(connection, 0.5)

    async def cut_before_an_answer(self) -> None:
        """What was asked is on the disk, and who asked will not hear of it."""
        world = self.world
        client, _ = self._victim()

        def cut() -> None:
            client.disturb()
            for connection in client.connections():
                world.network.cut(connection, 0.1)

        self._when(lambda: world.daemon.store.is_in_doubt, cut)

    async def cut_all(self) -> None:
        for connection in list(self.world.network.connections.values()):
            self.world.network.cut(connection, 2.0)

    async def lose_replies(self) -> None:
        client, connections = self._victim()
        client.is_held_up = True
        for connection in connections:
            connection.other.stall()
        await self._while(self.world.scale.heartbeat_s)
        for connection in connections:
            self.world.network.cut(connection, 0.1)
        client.is_held_up = False
        client.disturb()

    async def half_open(self) -> None:
        """Nothing passes for a while, then all of it, or nothing ever."""
        client, connections = self._victim()
        client.is_held_up = True
        for connection in connections:
            connection.stall()
            connection.other.stall()
        await self._while(2 * self.world.scale.lease_s)
        survives = self.rng.random() < 0.5
        for connection in connections:
            if survives:
                connection.go_on()
                connection.other.go_on()
            else:
                self.world.network.cut(connection, 1.0)
        client.is_held_up = False
        client.disturb()

    async def stall(self) -> None:
        """Nothing reaches the client for a while, nor that its connection broke meanwhile."""
        client, connections = self._victim()
        client.is_held_up = True
        for connection in connections:
            connection.other.stall()
        await self._while(self.world.scale.lease_s)
        for connection in connections:
            connection.other.go_on()
        client.is_held_up = False
        client.disturb()

    async def vanish(self) -> None:
        client, connections = self._victim()
        client.is_held_up = True
        self.world.network.is_down_for.add(client.name)
        name = client.name
        for connection in connections:
            self.world.network.vanish(connection, 3 * self.world.scale.lease_s)
        await self._while(3 * self.world.scale.lease_s)
        self.world.network.is_down_for.discard(name)
        client.is_held_up = False
        client.disturb()

    async def intrude(self) -> None:
        worker = self.rng.choice(self.world.workers)
        if not worker.session:
            return
        worker.is_held_up = True
        with suppress(OSError):
            transport, _ = await self.world.network.connect(
                lambda: Intruder(worker.session), "intruder"
            )
            await self._while(2 * self.world.scale.heartbeat_s)
            transport.close()
        worker.is_held_up = False
        worker.disturb()

    # ---- the disk and the clock ------------------------------------------------------------

    async def fill_disk(self) -> None:
        state = self.world.disk_state
        state.is_full = True
        state.reserve = self.rng.choice((0, 3, 100_000))
        await self._while(self.rng.choice((1.0, self.world.scale.lease_s * 2)))
        state.is_full = False

    async def hang_disk(self) -> None:
        self.world.disk_state.hangs_s = self.rng.random() * self.world.scale.lease_s * 2

    async def fail_sync(self) -> None:
        self.world.disk_state.fails_next = True

    async def jump_wall(self) -> None:
        days = self.rng.choice((0.0001, 0.01, 1, 3, 400))
        self.world.shift_wall(self.rng.choice((-1, 1)) * days * DAY_S)
