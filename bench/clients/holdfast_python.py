"""Holdfast by its Python client: `holdfast.aio`, as in FastAPI, and the Worker."""

import asyncio

import uvloop

from bench.clients.producing import produce_async
from bench.clients.settings import QUEUE, ROLE, URL
from bench.clients.tally import tally
from holdfast import Worker
from holdfast.active import ActiveJob
from holdfast.aio import Queue

BULK = 125
IN_FLIGHT = 4
CONCURRENCY = 100
PREFETCH = 400


async def handle(job: ActiveJob) -> None:
    tally.handled(job.data)


async def add() -> None:
    queue = Queue(QUEUE, url=URL)
    unanswered: set[asyncio.Task[object]] = set()

    async def single(payload: str) -> None:
        await queue.add("n", payload)

    async def bulk(payload: str) -> int:
        """Counts what is confirmed, not what is sent."""
        nonlocal unanswered
        while len(unanswered) < IN_FLIGHT:
            jobs = [("n", payload)] * BULK
            unanswered.add(asyncio.create_task(queue.add_many(jobs)))
        done, unanswered = await asyncio.wait(unanswered, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()  # raises what it did
        return len(done) * BULK

    await queue.counts()  # connects
    await produce_async(single=single, bulk=bulk)
    await asyncio.gather(*unanswered)
    await queue.close()


if ROLE == "produce":
    uvloop.run(add())
else:
    worker = Worker(QUEUE, handle, url=URL, concurrency=CONCURRENCY, prefetch=PREFETCH)
    uvloop.run(worker.run_async())
