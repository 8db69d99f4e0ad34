"""A client with nothing but the wire: it measures the daemon, not the Python client."""

import asyncio
import os
from typing import TYPE_CHECKING, Any, cast

from holdfast.wire import messages as wire
from holdfast.wire.connection import ClientConnection

if TYPE_CHECKING:
    from collections.abc import Callable

PAYLOAD = b"x" * 200


class RawClient(asyncio.Protocol):
    """One connection; calls are pipelined, messages of one loop tick leave in one write."""

    def __init__(self, worker: str = ""):
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.on_jobs: Callable[[list[Any]], None] = lambda items: None
        self._wire = ClientConnection()
        self._worker = worker
        self._transport: asyncio.Transport | None = None
        self._futures: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._outbox: list[wire.Message] = []

    @classmethod
    async def connect(cls, port: int, worker: str = "") -> "RawClient":
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(lambda: cls(worker), "127.0.0.1", port)
        await client.ready
        return client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        for message in self._wire.receive(data):
            if isinstance(message, wire.Reply):
                self._futures.pop(message.request).set_result(message.result)
            elif isinstance(message, wire.Jobs):
                self.on_jobs(message.items)
            elif isinstance(message, wire.Hello):
                info = {"protocol": 1, "session": os.urandom(16).hex()}
                worker = {"worker": {"name": self._worker}} if self._worker else {}
                self._write([wire.Identify({**info, **worker})])
            elif isinstance(message, wire.Welcome):
                self.ready.set_result(None)
            else:
                raise RuntimeError(f"unexpected: {message}")

    def call(self, message: Any) -> "asyncio.Future[Any]":
        self._number += 1
        future = asyncio.get_running_loop().create_future()
        self._futures[self._number] = future
        if not self._outbox:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outbox.append(message._replace(request=self._number))
        return future

    def _flush(self) -> None:
        outbox, self._outbox = self._outbox, []
        self._write(outbox)

    def _write(self, messages: list[wire.Message]) -> None:
        assert self._transport is not None
        self._transport.write(self._wire.send_many(messages))

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()


def jobs(count: int, name: str = "n") -> list[Any]:
    """Items of an ENQUEUE with generated ids."""
    return [[os.urandom(16), name, PAYLOAD, None] for _ in range(count)]


async def enqueue(client: RawClient, queue: str, calls: int, per_call: int, in_flight: int) -> None:
    """Send so many calls with so many jobs each, never more than in_flight unanswered."""
    slots = asyncio.Semaphore(in_flight)
    futures = []
    for _ in range(calls):
        await slots.acquire()
        future = client.call(wire.Enqueue(0, queue, jobs(per_call)))
        future.add_done_callback(lambda _: slots.release())
        futures.append(future)
    await asyncio.gather(*futures)


class RawWorker:
    """Takes jobs and acknowledges them at once."""

    def __init__(self, client: RawClient, target: int):
        self._client = client
        self._left = target
        self.done = asyncio.Event()
        client.on_jobs = self._ack

    def _ack(self, items: list[Any]) -> None:
        fields = [(item[0], item[1], item[2], None) for item in items]
        self._client.call(wire.Ack(0, fields, len(items)))
        self._left -= len(items)
        if self._left <= 0:
            self.done.set()

    async def take(self, queue: str, credit: int) -> None:
        await self._client.call(wire.Subscribe(0, [queue], credit))
