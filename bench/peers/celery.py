"""Celery on Redis: results ignored, no gossip, mingle, heartbeat, events; prefetch raised.

Its pool of threads or processes is what it is for; "solo" runs no-op tasks faster than either, and
is taken where it is (see `drain`)."""

from bench.peers import installing
from bench.peers.peer import Command, python_command
from bench.peers.python_peer import RedisPeer


class Celery(RedisPeer):
    title = "Celery on Redis, everysec"
    bulk = None
    drain = "pool solo, prefetch 1,000"
    name = "celery"
    requirements = ("celery[redis]", "redis[hiredis]")

    def worker(self, queue: str) -> Command:
        interpreter = installing.PEERS_DIR / "python-celery" / "bin" / "python"
        program = python_command(
            interpreter, "celery_client", BENCH_ROLE="work", BENCH_QUEUE=queue, BENCH_URL=self.url
        )
        arguments = [
            *(str(interpreter), "-m", "celery", "-A", "bench.clients.celery_client"),
            *("worker", "-Q", queue, "-P", "solo", "--prefetch-multiplier", "1000"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING"),
        ]
        return Command(arguments, program.environment)
