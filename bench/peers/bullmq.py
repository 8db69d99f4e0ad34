"""BullMQ 6 on Redis, with its Node client: addBulk of 500, the fastest of its forms here."""

import json
from pathlib import Path
from typing import Any, ClassVar

from bench.peers import installing, servers
from bench.peers.peer import Command, Peer

PROGRAM = Path(__file__).parents[1] / "clients" / "bullmq.mjs"


class BullMQ(Peer):
    title = "BullMQ on Redis, everysec (Node)"
    promise = servers.PROMISES[servers.EVERYSEC]
    bulk = "addBulk, 500 per call"
    drain = "concurrency 100"
    appendfsync: ClassVar[str] = servers.EVERYSEC

    def install(self) -> None:
        installing.node()
        servers.install_redis()
        installing.npm("bullmq", "bullmq", "ioredis")

    def version(self) -> str:
        return f"{installing.npm_version('bullmq', 'bullmq')}, Redis {servers.redis_version()}"

    def start(self, directory: Path) -> None:
        self.server = servers.start_redis(directory, self.appendfsync)

    def producer(self, spec: dict[str, Any], queue: str) -> Command:
        return self._command("produce", queue, json.dumps(spec))

    def worker(self, queue: str) -> Command:
        return self._command("work", queue)

    def _command(self, role: str, queue: str, *arguments: str) -> Command:
        assert self.server is not None
        modules = installing.PEERS_DIR / "npm-bullmq" / "node_modules"
        port = str(self.server.port)
        return Command(
            [installing.node(), str(PROGRAM), role, queue, *arguments],
            {"BENCH_PORT": port, "BENCH_MODULES": str(modules), "NODE_ENV": "production"},
        )


class BullMQAlways(BullMQ):
    """Redis answers after its fsync."""

    title = "BullMQ on Redis, always (Node)"
    promise = servers.PROMISES[servers.ALWAYS]
    appendfsync = servers.ALWAYS
