"""One function per question. Each gets a running daemon and gives one figure, or a few by name."""

import asyncio
import time
from typing import Final

import psutil

from bench.raw import PAYLOAD, RawClient, RawWorker, enqueue
from holdfast import aio
from holdfast.active import ActiveJob
from holdfast.wire import messages as wire
from holdfast.worker import Worker

Figures = dict[str, float]
WORKER_CREDIT: Final = 500


def _rate(count: int, started: float) -> float:
    return count / (time.perf_counter() - started)


async def enqueue_one_by_one(port: int, scale: float) -> Figures:
    client = await RawClient.connect(port)
    count = int(2_000 * scale)
    started = time.perf_counter()
    await enqueue(client, "one-by-one", count, 1, 1)
    return {"enqueues/s, one by one": _rate(count, started)}


async def enqueue_pipelined(port: int, scale: float) -> Figures:
    client = await RawClient.connect(port)
    count = int(60_000 * scale)
    started = time.perf_counter()
    await enqueue(client, "pipelined", count, 1, 500)
    return {"enqueues/s, pipelined, one job per frame": _rate(count, started)}


async def enqueue_bulk(port: int, scale: float) -> Figures:
    client = await RawClient.connect(port)
    count = int(200_000 * scale)
    started = time.perf_counter()
    await enqueue(client, "bulk", count // 100, 100, 20)
    return {"enqueues/s, 100 per call": _rate(count, started)}


async def enqueue_by_eight(port: int, scale: float) -> Figures:
    clients = [await RawClient.connect(port) for _ in range(8)]
    count = int(80_000 * scale) // 8
    started = time.perf_counter()
    await asyncio.gather(*(enqueue(client, "eight", count, 1, 100) for client in clients))
    return {"enqueues/s, 8 producers, one job per frame": _rate(count * 8, started)}


async def drain(port: int, scale: float) -> Figures:
    count = int(100_000 * scale)
    await enqueue(await RawClient.connect(port), "drain", count // 100, 100, 20)
    worker = RawWorker(await RawClient.connect(port, "bench"), count)
    started = time.perf_counter()
    await worker.take("drain", WORKER_CREDIT)
    await worker.done.wait()
    return {"drain jobs/s, one worker": _rate(count, started)}


async def end_to_end_bulk(port: int, scale: float) -> Figures:
    count = int(100_000 * scale)
    return {"end to end jobs/s, 100 per call": await _end_to_end(port, "e2e", count, 100, 10)}


async def end_to_end_single(port: int, scale: float) -> Figures:
    count = int(50_000 * scale)
    return {"end to end jobs/s, one job per frame": await _end_to_end(port, "e2e1", count, 1, 300)}


async def _end_to_end(port: int, queue: str, count: int, per_call: int, in_flight: int) -> float:
    worker = RawWorker(await RawClient.connect(port, "bench"), count)
    await worker.take(queue, WORKER_CREDIT)
    producer = await RawClient.connect(port)
    started = time.perf_counter()
    await enqueue(producer, queue, count // per_call, per_call, in_flight)
    await worker.done.wait()
    return _rate(count, started)


async def latency(port: int, scale: float) -> Figures:
    """100 jobs a second; the job's name carries the instant of its sending."""
    waits: list[float] = []
    worker = await RawClient.connect(port, "bench")

    def arrived(items: list[list[object]]) -> None:
        now = time.perf_counter()
        waits.extend(now - float(str(item[3])) for item in items)
        worker.call(wire.Ack(0, [(item[0], item[1], item[2], None) for item in items], len(items)))

    worker.on_jobs = arrived
    await worker.call(wire.Subscribe(0, ["latency"], 100))
    producer = await RawClient.connect(port)
    for number in range(int(500 * scale)):
        item = [number.to_bytes(16), repr(time.perf_counter()), PAYLOAD, None]
        producer.call(wire.Enqueue(0, "latency", [item]))
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    waits.sort()
    return {
        "enqueue to start p50 ms, at 100/s": waits[len(waits) // 2] * 1000,
        "enqueue to start p99 ms, at 100/s": waits[int(len(waits) * 0.99)] * 1000,
    }


async def python_client(port: int, scale: float) -> Figures:
    """The same through holdfast.aio.Queue and Worker, handlers that do nothing."""
    count = int(20_000 * scale)
    url = f"holdfast://127.0.0.1:{port}"
    done = asyncio.Event()
    seen = 0

    async def handler(job: ActiveJob) -> None:
        nonlocal seen
        seen += 1
        if seen == count:
            done.set()

    async with aio.Queue("python", url=url) as queue:
        started = time.perf_counter()
        for _ in range(count // 100):
            await queue.add_many([("n", PAYLOAD)] * 100)
        added = _rate(count, started)
        worker = Worker("python", handler, url=url, concurrency=100)
        started = time.perf_counter()
        running = asyncio.create_task(worker.run_async())
        await done.wait()
        handled = _rate(count, started)
        worker.stop()
        await running
    return {
        "Python client: enqueues/s, 100 per call": added,
        "Python worker: jobs/s, concurrency 100": handled,
    }


QUESTIONS: Final = (
    enqueue_one_by_one,
    enqueue_pipelined,
    enqueue_bulk,
    enqueue_by_eight,
    drain,
    end_to_end_bulk,
    end_to_end_single,
    latency,
    python_client,
)


async def fill(port: int, count: int) -> None:
    await enqueue(await RawClient.connect(port), "backlog", count // 100, 100, 20)


def resident_mb(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / 1024**2
