"""Where a job's microseconds go in the daemon: each stage alone, on the same jobs, in CPU time.

The stages are those of ARCHITECTURE.md, "One job's way", called one after the other as the daemon
calls them, without sockets: bytes -> messages -> commands -> engine -> batch -> rows on disk, and
outputs -> bytes. `--per-frame` is the number of jobs in one ENQUEUE, `--rows` in one commit. CPU
time of the whole process; of the store also the wall time of its waiting for the disk. Prints a
line per stage. Nothing here says what the daemon does at full speed, where loop and writer run side
by side: it says what to make cheaper.
"""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.raw import PAYLOAD
from holdfast.ids import new_id
from holdfast.wire import messages as wire
from holdfast.wire.connection import ClientConnection, ServerConnection
from holdfastd.engine.broker import Engine
from holdfastd.engine.commands import Attach
from holdfastd.engine.model import QueueKey, QueueSettings, Seq, SessionKey
from holdfastd.engine.outputs import Deliver, Output
from holdfastd.engine.partition import EngineSettings, Moment
from holdfastd.net.answers import messages_of
from holdfastd.net.requests import Requests
from holdfastd.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from holdfastd.engine.changes import Batch

PRODUCER: Final = 1
WORKER: Final = 2
MOMENT: Final = Moment(1_800_000_000_000, 1000.0)


class Stages:
    def __init__(self, directory: Path, per_frame: int, rows: int):
        self.per_frame = per_frame
        self.rows = rows
        self.cpu_us: dict[str, list[float]] = {}
        """By stage: microseconds of CPU time per job, of each round."""
        self.engine = Engine(EngineSettings(), random.Random(1))
        self.store = SqliteStore(directory)
        self.batch = 0
        self._request = 0
        self._requests = Requests(2**20, lambda name: QueueSettings())

    async def open(self) -> None:
        recovered = await self.store.open()
        numbers = (Seq(recovered.next_seq), QueueKey(1), SessionKey(1))
        self.engine.recover(recovered.epoch, numbers, [], [], [], MOMENT)
        for connection, name in ((PRODUCER, ""), (WORKER, "w")):
            self.engine.attach(connection, Attach(f"s{connection}", name, (), {}), MOMENT)
        await self._commit("")

    def _timed(self, stage: str, work: Callable[[], Any]) -> Any:
        started = time.process_time()
        found = work()
        if stage:
            cpu_us = (time.process_time() - started) * 1e6 / self.rows
            self.cpu_us.setdefault(stage, []).append(cpu_us)
        return found

    async def _commit(self, prefix: str) -> list[Output]:
        closed: tuple[Batch, list[Output]] = self._timed(
            prefix and f"{prefix}: close batch", self.engine.close_batch
        )
        batch, outputs = closed
        self.batch += 1
        batch.number = self.batch
        cpu, wall = time.process_time(), time.perf_counter()
        await self.store.apply(batch)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        if prefix:
            self.cpu_us.setdefault(f"{prefix}: store", []).append(cpu * 1e6 / self.rows)
            self.cpu_us.setdefault(f"{prefix}: (waiting for the disk, wall)", []).append(
                (wall - cpu) * 1e6 / self.rows
            )
        if self.store.needs_checkpoint():
            started = time.process_time()
            await self.store.checkpoint()
            if prefix:
                self.cpu_us.setdefault("checkpoint, each", []).append(
                    (time.process_time() - started) * 1e6
                )
        return outputs

    def _frames(self, messages: list[Any]) -> bytes:
        client = ClientConnection()
        return client.send_many(messages)

    def _receive(self, stage: str, connection: int, data: bytes) -> None:
        server = _open_connection()
        messages = self._timed(f"{stage}: decode", lambda: server.receive(data))
        command = self._requests.command

        def translate() -> list[Any]:
            return [command(message, MOMENT.now_ms) for message in messages]

        commands = self._timed(f"{stage}: check", translate)

        def apply() -> None:
            for message, command in zip(messages, commands, strict=True):
                self.engine.apply(connection, message.request, command, MOMENT)

        self._timed(f"{stage}: engine", apply)

    def _say(self, stage: str, outputs: list[Output]) -> None:
        def say() -> None:
            said: dict[int, list[wire.Message]] = {}
            for output in outputs:
                said.setdefault(output.connection, []).extend(messages_of(output))
            for messages in said.values():
                _open_connection().send_many(messages)

        self._timed(f"{stage}: encode", say)

    def _number(self) -> int:
        self._request += 1
        return self._request

    async def round(self, name: str) -> None:
        """`rows` jobs are added and, on their own, leased to a worker and acknowledged."""
        count = self.rows // self.per_frame
        messages = [
            wire.Enqueue(
                self._number(),
                "q",
                [[new_id(), "n", PAYLOAD, None] for _ in range(self.per_frame)],
            )
            for _ in range(count)
        ]
        self._receive(f"{name}add", PRODUCER, self._frames(messages))
        self._say(f"{name}add", await self._commit(f"{name}add"))
        subscribe = wire.Subscribe(self._number(), ["q"], self.rows)
        data = self._frames([subscribe])
        self._receive(f"{name}lease", WORKER, data)
        await self._reads()
        outputs = await self._commit(f"{name}lease")
        self._say(f"{name}lease", outputs)
        items = [item for output in outputs if isinstance(output, Deliver) for item in output.items]
        assert len(items) == self.rows, f"{len(items)} of {self.rows} were leased"
        acks = [
            wire.Ack(self._number(), [(i[0], i[1], i[2], None) for i in items[at : at + 100]], 0)
            for at in range(0, len(items), 100)
        ]
        self._receive(f"{name}ack", WORKER, self._frames(acks))
        await self._reads()
        self._say(f"{name}ack", await self._commit(f"{name}ack"))

    async def _reads(self) -> None:
        wanted = list(self.engine.take_reads().items())
        if wanted:
            pages = await self.store.read([read for read, _ in wanted])
            for (read, then), page in zip(wanted, pages, strict=True):
                self.engine.answer(read, then, page, MOMENT)


def _open_connection() -> ServerConnection:
    """A connection on which anything may be said."""
    server = ServerConnection()
    identify = wire.Identify({"protocol": 1, "session": "s"})
    server.receive(ClientConnection().send(identify))
    server.send(wire.Welcome({}))
    return server


async def measure(options: argparse.Namespace, directory: Path) -> None:
    stages = Stages(directory, options.per_frame, options.rows)
    await stages.open()
    for number in range(options.rounds + 2):
        if number == 2:  # the first two warm caches and statements
            stages.cpu_us.clear()
        await stages.round("")
    await stages.store.close()
    total = 0.0
    for stage, found in stages.cpu_us.items():
        value = statistics.median(found)
        print(f"{stage:<40}{value:>10.2f} us")
        if ":" in stage and "wall" not in stage:
            total += value
    print(f"{'a job, all stages, CPU':<40}{total:>10.2f} us")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--per-frame", type=int, default=100, help="jobs in one ENQUEUE")
    parser.add_argument("--rows", type=int, default=1000, help="jobs in one commit")
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    sys.setswitchinterval(0.0002)  # as the daemon does
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-", dir=Path.cwd()) as folder:
        asyncio.run(measure(options, Path(folder)))


if __name__ == "__main__":
    main()
