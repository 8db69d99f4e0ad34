"""Procrastinate's worker and producer."""

import asyncio

from procrastinate import App, PsycopgConnector

from bench.clients.producing import produce_async
from bench.clients.settings import QUEUE, ROLE, URL
from bench.clients.tally import tally

BULK = 100

app = App(connector=PsycopgConnector(conninfo=URL))


async def handle(payload: str) -> None:
    tally.handled(payload)


task = app.task(name="handle", queue=QUEUE)(handle)


async def schema() -> None:
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


async def produce() -> None:
    async def single(payload: str) -> int:
        await task.defer_async(payload=payload)
        return 1

    async def bulk(payload: str) -> int:
        await task.batch_defer_async(*[{"payload": payload}] * BULK)
        return BULK

    async with app.open_async():
        await produce_async(single=single, bulk=bulk)


async def work() -> None:
    async with app.open_async():
        await app.run_worker_async(
            queues=[QUEUE], concurrency=20, install_signal_handlers=False, delete_jobs="always"
        )


asyncio.run({"schema": schema, "produce": produce, "work": work}[ROLE]())
