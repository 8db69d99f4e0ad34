"""Holdfast by its Python client, as its README shows it: the blocking Queue, the Worker."""

import uvloop

from bench.clients.producing import produce
from bench.clients.settings import QUEUE, ROLE, URL
from bench.clients.tally import tally
from holdfast import Queue, Worker
from holdfast.active import ActiveJob

BULK = 500


async def handle(job: ActiveJob) -> None:
    tally.handled(job.data)


if ROLE == "produce":
    with Queue(QUEUE, url=URL) as queue:

        def single(payload: str) -> None:
            queue.add("n", payload)

        def bulk(payload: str) -> int:
            queue.add_many([("n", payload)] * BULK)
            return BULK

        queue.counts()  # connects
        produce(single=single, bulk=bulk)
else:
    uvloop.run(Worker(QUEUE, handle, url=URL, concurrency=100).run_async())
