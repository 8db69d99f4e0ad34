"""SAQ's worker and producer."""

import asyncio
from typing import Any

from saq import Queue, Worker

from bench.clients.producing import produce_async
from bench.clients.settings import QUEUE, ROLE, URL
from bench.clients.tally import tally

BULK = 100


async def handle(context: dict[str, Any], *, payload: str) -> None:
    tally.handled(payload)


async def produce() -> None:
    queue = Queue.from_url(URL, name=QUEUE)
    await queue.connect()

    async def single(payload: str) -> int:
        await queue.enqueue("handle", payload=payload, ttl=-1)
        return 1

    async def bulk(payload: str) -> int:
        await asyncio.gather(*(single(payload) for _ in range(BULK)))
        return BULK

    await produce_async(single=single, bulk=bulk)
    await queue.disconnect()


async def work() -> None:
    queue = Queue.from_url(URL, name=QUEUE)
    await queue.connect()
    await Worker(queue, functions=[("handle", handle)], concurrency=100).start()


asyncio.run(produce() if ROLE == "produce" else work())
