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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from holdfast.wire import messages as wire
from holdfast.wire.connection import ClientConnection, ServerConnection
from holdfast.wire.ids import new_id
from holdfastd.engine.broker import Engine
from holdfastd.engine.changes import WaitingPage
from holdfastd.engine.commands import Attach
from holdfastd.engine.model import QueueKey, QueueSettings, Seq, SessionKey
from holdfastd.engine.outputs import Deliver, Output
from holdfastd.engine.partition import EngineSettings, Moment
from holdfastd.net.answers import messages_of
from holdfastd.net.requests import Requests
from holdfastd.store.sqlite import SqliteStore

PRODUCER: Final = 1
WORKER: Final = 2
MOMENT: Final = Moment(1_800_000_000_000, 1000.0)
WARM_UP_ROUNDS: Final = 12
"""Until as many finished jobs are kept as ever will be, and each round removes as many as it
adds."""


class Stages:
    def __init__(self, directory: Path, per_frame: int, rows: int, payload_bytes: int):
        self.per_frame = per_frame
        self.payload = bytes(payload_bytes)
        self.rows = rows
        self.us: dict[str, list[float]] = {}
        """By stage: microseconds per job, of each round."""
        self._engine = Engine(EngineSettings(), random.Random(1))
        self._store = SqliteStore(directory)
        self._batch = 0
        self._request = 0
        self._requests = Requests(2**20, lambda name: QueueSettings())

    async def open(self) -> None:
        recovered = await self._store.open()
        numbers = (Seq(recovered.next_seq), QueueKey(1), SessionKey(1))
        self._engine.recover(recovered.epoch, numbers, [], [], [], [], MOMENT)
        for connection, worker in ((PRODUCER, ""), (WORKER, "w")):
            command = Attach(f"session {connection}", worker, (), {})
            self._engine.attach(connection, command, MOMENT)
        await self._commit("attach")

    async def close(self) -> None:
        await self._store.close()

    async def round(self) -> None:
        """`rows` jobs are added, leased to a worker and acknowledged."""
        await self._do("add", PRODUCER, self._enqueues())
        subscribe = wire.Subscribe(self._number(), ["q"], self.rows)
        outputs = await self._do("lease", WORKER, [subscribe])
        items = [item for output in outputs if isinstance(output, Deliver) for item in output.items]
        if len(items) != self.rows:
            raise RuntimeError(f"{len(items)} of {self.rows} jobs were leased")
        await self._do("ack", WORKER, self._acks(items))

    def _enqueues(self) -> list[wire.Message]:
        return [
            wire.Enqueue(
                self._number(),
                "q",
                [[new_id(), "n", self.payload, None] for _ in range(self.per_frame)],
            )
            for _ in range(self.rows // self.per_frame)
        ]

    def _acks(self, items: list[Any]) -> list[wire.Message]:
        fields = [(item[0], item[1], item[2], None) for item in items]
        return [wire.Ack(self._number(), fields[at : at + 100]) for at in range(0, len(items), 100)]

    def _number(self) -> int:
        self._request += 1
        return self._request

    # ---- the stages --------------------------------------------------------------------------

    async def _do(self, what: str, connection: int, messages: list[wire.Message]) -> list[Output]:
        data = ClientConnection().send_many(messages)
        server = _open_connection()
        with self._timed(f"{what}: decode"):
            received: list[Any] = server.receive(data)
        with self._timed(f"{what}: check"):
            commands = [self._requests.command(message, MOMENT.now_ms) for message in received]
        with self._timed(f"{what}: engine"):
            for message, command in zip(received, commands, strict=True):
                self._engine.apply(connection, message.request, command, MOMENT)
        with self._timed(f"{what}: read pages"):
            await self._read()
        outputs = await self._commit(what)
        with self._timed(f"{what}: encode"):
            _say(outputs)
        return outputs

    async def _read(self) -> None:
        """Until all are leased that can be. What is read to be pruned changes nothing before the
        next commit."""
        is_leasing = True
        while is_leasing:
            wanted = list(self._engine.take_reads().items())
            pages = await self._store.read([read for read, _ in wanted])
            for (read, then), page in zip(wanted, pages, strict=True):
                self._engine.answer(read, then, page, MOMENT)
            is_leasing = any(isinstance(read, WaitingPage) for read, _ in wanted)

    async def _commit(self, what: str) -> list[Output]:
        with self._timed(f"{what}: close batch"):
            batch, outputs = self._engine.close_batch()
        self._batch += 1
        batch.number = self._batch
        started = time.perf_counter()
        with self._timed(f"{what}: write"):
            await self._store.apply(batch)
        waited = time.perf_counter() - started - self.us[f"{what}: write"][-1] * self.rows / 1e6
        self._note(f"{what}: (wait for the disk, wall)", waited)
        with self._timed("checkpoints"):
            if self._store.needs_checkpoint():
                await self._store.checkpoint()
        return outputs

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.process_time()
        yield
        self._note(stage, time.process_time() - started)

    def _note(self, stage: str, seconds: float) -> None:
        self.us.setdefault(stage, []).append(seconds * 1e6 / self.rows)


def _say(outputs: list[Output]) -> None:
    said: dict[int, list[wire.Message]] = {}
    for output in outputs:
        said.setdefault(output.connection, []).extend(messages_of(output))
    for messages in said.values():
        _open_connection().send_many(messages)


def _open_connection() -> ServerConnection:
    """A connection on which anything may be said."""
    server = ServerConnection()
    server.receive(ClientConnection().send(wire.Identify({"protocol": 1, "session": "s"})))
    server.send(wire.Welcome({}))
    return server


async def measure(options: argparse.Namespace, directory: Path) -> dict[str, float]:
    """Microseconds per job by stage: medians, but for checkpoints, which are rare: the mean."""
    stages = Stages(directory, options.per_frame, options.rows, options.payload_bytes)
    await stages.open()
    for _ in range(WARM_UP_ROUNDS):
        await stages.round()
    stages.us.clear()
    for _ in range(options.rounds):
        await stages.round()
    await stages.close()
    checkpoints = sum(stages.us.pop("checkpoints")) / options.rounds
    found = {stage: statistics.median(values) for stage, values in stages.us.items()}
    return {**found, "checkpoints": checkpoints}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--per-frame", type=int, default=100, help="jobs in one ENQUEUE")
    parser.add_argument("--rows", type=int, default=1000, help="jobs in one commit")
    parser.add_argument("--payload-bytes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    sys.setswitchinterval(0.0002)  # as the daemon does
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-", dir=Path.cwd()) as folder:
        found = asyncio.run(measure(options, Path(folder)))
    for stage, us in found.items():
        print(f"{stage:<40}{us:>8.2f} us")
    total = sum(us for stage, us in found.items() if "wall" not in stage)
    print(f"{'a job, all stages, CPU':<40}{total:>8.2f} us")


if __name__ == "__main__":
    main()
