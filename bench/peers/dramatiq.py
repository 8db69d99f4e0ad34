"""Dramatiq on Redis: one process with 8 threads, its default."""

from bench.peers.peer import Command
from bench.peers.python_peer import RedisPeer


class Dramatiq(RedisPeer):
    title = "Dramatiq on Redis, everysec"
    bulk = None
    drain = "8 threads"
    name = "dramatiq"
    requirements = ("dramatiq[redis]", "redis[hiredis]")

    def worker(self, queue: str) -> Command:
        return self._own_worker(
            queue,
            *("-m", "dramatiq", "bench.clients.dramatiq_client"),
            *("--processes", "1", "--threads", "8", "--queues", queue),
        )
