"""Holdfast by the raw wire: what the daemon does, whatever the client."""

from typing import Any

from bench.clients.producing import produce
from bench.clients.settings import QUEUE, ROLE, URL
from bench.clients.tally import tally
from bench.raw import RawClient, RawWorker
from holdfast.wire import messages as wire
from holdfast.wire.ids import new_id

BULK = 100
IN_FLIGHT = 20
PORT = int(URL.rpartition(":")[2])


def enqueue(client: RawClient, payload: bytes, jobs: int) -> bytes:
    return client.frame(
        wire.Enqueue(0, QUEUE, [[new_id(), "n", payload, None] for _ in range(jobs)])
    )


def add() -> None:
    client = RawClient(PORT)
    unanswered = 0

    def single(payload: str) -> None:
        client.socket.sendall(enqueue(client, payload.encode(), 1))
        answered()

    def bulk(payload: str) -> int:
        """Counts what is confirmed, not what is sent."""
        nonlocal unanswered
        frames = []
        while unanswered < IN_FLIGHT:
            frames.append(enqueue(client, payload.encode(), BULK))
            unanswered += 1
        client.socket.sendall(b"".join(frames))
        confirmed = answered()
        unanswered -= confirmed
        return confirmed * BULK

    def answered() -> int:
        arrays = client.receive()
        while not arrays:
            arrays = client.receive()
        refused = [array for array in arrays if array[2]]
        if refused:
            raise RuntimeError(f"not created: {refused}")
        return len(arrays)

    produce(single=single, bulk=bulk)


class CountingWorker(RawWorker):
    def _answers(self, jobs: list[Any]) -> list[bytes]:
        for job in jobs:
            tally.handled(job[4].decode())
        return super()._answers(jobs)


def work() -> None:
    worker = CountingWorker(RawClient(PORT, "bench"))
    worker.take([QUEUE], 500)
    worker.work(1 << 60)


if ROLE == "produce":
    add()
else:
    work()
