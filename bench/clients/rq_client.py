"""RQ's worker and producer."""

from redis import Redis
from rq import Queue, SimpleWorker

from bench.clients.producing import produce
from bench.clients.settings import QUEUE, ROLE, URL
from bench.clients.tally import tally

BULK = 100


def work() -> None:
    SimpleWorker([QUEUE], connection=Redis.from_url(URL)).work(logging_level="WARNING")


def add() -> None:
    queue = Queue(QUEUE, connection=Redis.from_url(URL))

    def single(payload: str) -> None:
        queue.enqueue("bench.clients.rq_client.handle", payload, result_ttl=0)

    def bulk(payload: str) -> int:
        data = Queue.prepare_data("bench.clients.rq_client.handle", args=(payload,), result_ttl=0)
        queue.enqueue_many([data] * BULK)
        return BULK

    produce(single=single, bulk=bulk)


def handle(payload: str) -> None:
    tally.handled(payload)


if __name__ == "__main__":
    if ROLE == "produce":
        add()
    else:
        work()
