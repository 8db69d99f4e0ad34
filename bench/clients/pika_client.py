"""RabbitMQ by pika: a quorum queue, persistent messages, publisher confirms."""

import json
import sys
from contextlib import suppress
from typing import Any

import pika
import pika.exceptions

from bench.clients.producing import Clock, produce
from bench.clients.settings import QUEUE, ROLE, URL
from bench.clients.tally import tally

IN_FLIGHT = 1_000
PREFETCH = 1_000
RECONNECTS_MAX = 20
PERSISTENT = pika.BasicProperties(delivery_mode=2)


def opened() -> Any:
    channel = pika.BlockingConnection(pika.URLParameters(URL)).channel()
    channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
    return channel


def add() -> None:
    spec = json.loads(sys.argv[1])
    if spec["form"] == "bulk":
        opened().connection.close()
        Pipelined(spec).run()
        return
    channel = opened()
    channel.confirm_delivery()

    def single(payload: str) -> None:
        """A quorum queue that has no leader yet refuses what it gets: published again."""
        while True:
            try:
                channel.basic_publish("", QUEUE, payload.encode(), PERSISTENT, mandatory=True)
            except pika.exceptions.NackError:
                continue
            return

    produce(single=single)


class Pipelined:
    """Publishes while fewer than IN_FLIGHT are unconfirmed; counts what is confirmed."""

    def __init__(self, spec: dict[str, Any]):
        self._clock = Clock(spec)
        self._sent = 0
        self._channel: Any = None
        self._connection = pika.SelectConnection(
            pika.URLParameters(URL), on_open_callback=self._open
        )

    def run(self) -> None:
        self._connection.ioloop.start()

    def _open(self, connection: Any) -> None:
        connection.channel(on_open_callback=self._begin)

    def _begin(self, channel: Any) -> None:
        self._channel = channel
        channel.confirm_delivery(ack_nack_callback=self._confirmed, callback=self._ready)

    def _ready(self, frame: Any) -> None:
        iter(self._clock)
        self._publish()

    def _publish(self) -> None:
        try:
            while self._sent - self._clock.added < IN_FLIGHT:
                body = next(self._clock).encode()
                self._channel.basic_publish("", QUEUE, body, PERSISTENT)
                self._sent += 1
        except StopIteration:
            self._clock.tell()
            self._connection.ioloop.stop()

    def _confirmed(self, frame: Any) -> None:
        """A confirm with `multiple` is for all up to its tag."""
        if frame.method.NAME != "Basic.Ack":
            raise RuntimeError(frame.method)
        tag, is_many = frame.method.delivery_tag, frame.method.multiple
        self._clock.added = max(tag, self._clock.added) if is_many else self._clock.added + 1
        self._publish()


def work() -> None:
    """RabbitMQ closes the connection on who consumes while a new queue still gets its leader."""
    for _ in range(RECONNECTS_MAX):
        with suppress(pika.exceptions.ConnectionClosedByBroker):
            consume()


def consume() -> None:
    channel = opened()
    channel.basic_qos(prefetch_count=PREFETCH)
    unacked = 0

    def handle(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        nonlocal unacked
        tally.handled(body.decode())
        unacked += 1
        if unacked == PREFETCH // 4:
            unacked = 0
            channel.basic_ack(method.delivery_tag, multiple=True)

    channel.basic_consume(QUEUE, handle)
    channel.start_consuming()


if ROLE == "produce":
    add()
else:
    work()
