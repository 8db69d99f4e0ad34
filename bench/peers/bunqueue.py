"""bunqueue under Bun, server and client.

Its rate limit (10,000 requests a minute and connection by default) is switched off; its worker has
long polls and the largest batches, or it would be slower.
"""

import json
from pathlib import Path
from typing import Any, ClassVar

from bench.peers import installing
from bench.peers.peer import Command, Peer, Server, spare_port

PROGRAM = Path(__file__).parents[1] / "clients" / "bunqueue.mjs"


class Bunqueue(Peer):
    title = "bunqueue, default (Bun)"
    promise = "loses up to 10 ms on kill -9"
    bulk = "addBulk, 1,000 per call, 4 calls at once"
    drain = "concurrency 1,000, batches of 1,000"
    is_durable: ClassVar[bool] = False

    def install(self) -> None:
        installing.npm("bunqueue", "bunqueue", "bun")

    def version(self) -> str:
        bun = installing.npm_version("bunqueue", "bun")
        return f"{installing.npm_version('bunqueue', 'bunqueue')}, Bun {bun}"

    def start(self, directory: Path) -> None:
        port = spare_port()
        program = self._modules / "bunqueue" / "dist" / "cli" / "index.js"
        self.server = Server(
            [
                self._bun,
                *(str(program), "start", "--host", "127.0.0.1", "--tcp-port", str(port)),
                *("--http-port", str(spare_port()), "--data-path", str(directory / "q.db")),
            ],
            port,
            directory / "bunqueue.log",
            installing.environment(RATE_LIMIT_MAX_REQUESTS="1000000000", NODE_ENV="production"),
        )

    def producer(self, spec: dict[str, Any], queue: str) -> Command:
        return self._command("produce", queue, json.dumps(spec))

    def worker(self, queue: str) -> Command:
        return self._command("work", queue)

    def _command(self, role: str, queue: str, *arguments: str) -> Command:
        assert self.server is not None
        return Command(
            [self._bun, str(PROGRAM), role, queue, *arguments],
            {
                "BENCH_PORT": str(self.server.port),
                "BENCH_MODULES": str(self._modules),
                "BENCH_DURABLE": "1" if self.is_durable else "",
            },
        )

    @property
    def _modules(self) -> Path:
        return installing.PEERS_DIR / "npm-bunqueue" / "node_modules"

    @property
    def _bun(self) -> str:
        """As the package for this machine has it; `bun` itself would link it by a script."""
        found = sorted((self._modules / "@oven").glob("*/bin/bun"))
        if not found:
            raise installing.CannotInstall("there is no Bun for this machine")
        return str(found[0])


class BunqueueDurable(Bunqueue):
    """Each job is in SQLite before it is confirmed, but with synchronous=NORMAL: no fsync."""

    title = "bunqueue, durable: true (Bun)"
    promise = "survives kill -9, no fsync"
    is_durable = True
