"""arq's worker and producer."""

import asyncio
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker, func

from bench.clients.producing import produce_async
from bench.clients.settings import QUEUE, ROLE, URL
from bench.clients.tally import tally

BULK = 100


async def handle(context: dict[Any, Any], payload: str) -> None:
    tally.handled(payload)


async def produce() -> None:
    pool = await create_pool(RedisSettings.from_dsn(URL), default_queue_name=QUEUE)

    async def single(payload: str) -> int:
        await pool.enqueue_job("handle", payload)
        return 1

    async def bulk(payload: str) -> int:
        await asyncio.gather(*(single(payload) for _ in range(BULK)))
        return BULK

    await produce_async(single=single, bulk=bulk)
    await pool.aclose()


async def work() -> None:
    worker = Worker(
        [func(handle, name="handle")],
        queue_name=QUEUE,
        redis_settings=RedisSettings.from_dsn(URL),
        max_jobs=100,
        poll_delay=0.01,
        keep_result=0,
        handle_signals=False,
    )
    await worker.main()


asyncio.run(produce() if ROLE == "produce" else work())
