"""BullMQ's Python client."""

import asyncio

from bullmq import Job, Queue, Worker

from bench.clients.producing import produce_async
from bench.clients.settings import QUEUE, ROLE, URL
from bench.clients.tally import tally

BULK = 500


async def produce() -> None:
    queue = Queue(QUEUE, {"connection": URL})
    options = {"removeOnComplete": True}

    async def single(payload: str) -> int:
        await queue.add("n", {"data": payload}, options)
        return 1

    async def bulk(payload: str) -> int:
        await queue.addBulk([{"name": "n", "data": {"data": payload}, "opts": options}] * BULK)
        return BULK

    await produce_async(single=single, bulk=bulk)
    await queue.close()


async def handle(job: Job, token: str) -> None:
    tally.handled(job.data["data"])


async def work() -> None:
    worker = Worker(QUEUE, handle, {"connection": URL, "concurrency": 100})
    await asyncio.Event().wait()
    await worker.close()


asyncio.run(produce() if ROLE == "produce" else work())
