"""Celery on Redis: results ignored; no gossip, mingle, heartbeat; prefetch raised.

Its pool is solo: with no-op tasks threads and processes were slower here (drain, one run in a busy
hour: solo 244/s, 4 threads 195, 10 threads 151, 2 processes 110).
"""

from bench.peers.peer import Command
from bench.peers.python_peer import RedisPeer


class Celery(RedisPeer):
    title = "Celery on Redis, everysec"
    bulk = None
    drain = "pool solo, prefetch 1,000"
    name = "celery"
    requirements = ("celery[redis]", "redis[hiredis]")

    def worker(self, queue: str) -> Command:
        return self._own_worker(
            queue,
            *("-m", "celery", "-A", "bench.clients.celery_client", "worker", "-Q", queue),
            *("-P", "solo", "--prefetch-multiplier", "1000", "-l", "WARNING"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        )
