"""Peers that are Python packages: an environment of their own, a program in `clients`."""

import json
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from bench.peers import installing, servers
from bench.peers.peer import Command, Peer, python_command


class PythonPeer(Peer):
    """Attributes:
    name: of its environment, its main package, and with _client of its program.
    requirements: what is installed.
    """

    name: ClassVar[str]
    requirements: ClassVar[tuple[str, ...]]

    def install(self) -> None:
        installing.python(self.name, *self.requirements)

    def version(self) -> str:
        return installing.python_version(self.name, self.name)

    def producer(self, spec: dict[str, Any], queue: str) -> Command:
        return self._program("produce", queue, json.dumps(spec))

    def worker(self, queue: str) -> Command:
        return self._program("work", queue)

    def _program(self, role: str, queue: str, spec: str = "{}") -> Command:
        return python_command(
            self._interpreter,
            f"{self.name}_client",
            spec,
            BENCH_ROLE=role,
            BENCH_QUEUE=queue,
            BENCH_URL=self.url,
        )

    def _own_worker(self, queue: str, *arguments: str) -> Command:
        """The worker that the package brings, as its Python's arguments; it imports the program."""
        environment = self._program("work", queue).environment
        return Command([str(self._interpreter), *arguments], environment)

    @property
    def _interpreter(self) -> Path:
        return installing.PEERS_DIR / f"python-{self.name}" / "bin" / "python"

    @property
    @abstractmethod
    def url(self) -> str:
        """What its program needs to find the server."""


class RedisPeer(PythonPeer):
    promise = servers.PROMISES[servers.EVERYSEC]
    appendfsync: ClassVar[str] = servers.EVERYSEC

    def install(self) -> None:
        servers.install_redis()
        super().install()

    def version(self) -> str:
        return f"{super().version()}, Redis {servers.redis_version()}"

    def start(self, directory: Path) -> None:
        self.server = servers.start_redis(directory, self.appendfsync)

    @property
    def url(self) -> str:
        assert self.server is not None
        return f"redis://127.0.0.1:{self.server.port}/0"
