"""Dramatiq on Redis: one process with 8 threads, its default."""

from bench.peers import installing
from bench.peers.peer import Command, python_command
from bench.peers.python_peer import RedisPeer


class Dramatiq(RedisPeer):
    title = "Dramatiq on Redis, everysec"
    bulk = None
    drain = "8 threads"
    name = "dramatiq"
    requirements = ("dramatiq[redis]", "redis[hiredis]")

    def worker(self, queue: str) -> Command:
        interpreter = installing.PEERS_DIR / "python-dramatiq" / "bin" / "python"
        program = python_command(
            interpreter, "dramatiq_client", BENCH_ROLE="work", BENCH_QUEUE=queue, BENCH_URL=self.url
        )
        arguments = [
            *(str(interpreter), "-m", "dramatiq", "bench.clients.dramatiq_client"),
            *("--processes", "1", "--threads", "8", "--queues", queue),
        ]
        return Command(arguments, program.environment)
