"""Huey's task, and the producer. A database per queue: a Huey is one queue."""

from pathlib import Path

from huey import SqliteHuey

from bench.clients.producing import produce
from bench.clients.settings import QUEUE, ROLE, URL
from bench.clients.tally import tally

huey = SqliteHuey(
    QUEUE, filename=str(Path(URL).with_name(f"{QUEUE}.db")), fsync=True, results=False
)


def handle(payload: str) -> None:
    tally.handled(payload)


handle.__module__ = "bench.clients.huey_client"  # as the consumer imports it: Huey names tasks so
task = huey.task(name="handle")(handle)


def single(payload: str) -> None:
    task(payload)


if ROLE == "produce":
    produce(single=single)
