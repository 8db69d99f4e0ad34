"""Dramatiq's actor, and the producer."""

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench.clients.producing import produce
from bench.clients.settings import QUEUE, ROLE, URL
from bench.clients.tally import tally

broker = RedisBroker(url=URL)
dramatiq.set_broker(broker)


def handle(payload: str) -> None:
    tally.handled(payload)


actor = dramatiq.actor(handle, queue_name=QUEUE)


def single(payload: str) -> None:
    actor.send(payload)


if ROLE == "produce":
    produce(single=single)
