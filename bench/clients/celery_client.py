"""Celery's task, and the producer."""

from celery import Celery

from bench.clients.producing import produce
from bench.clients.settings import QUEUE, ROLE, URL
from bench.clients.tally import tally

app = Celery("bench", broker=URL)
app.conf.update(
    task_ignore_result=True,
    task_default_queue=QUEUE,
    worker_disable_rate_limits=True,
    broker_connection_retry_on_startup=True,
)


def handle(payload: str) -> None:
    tally.handled(payload)


task = app.task(handle, name="handle")


def single(payload: str) -> None:
    task.delay(payload)


if ROLE == "produce":
    produce(single=single)
