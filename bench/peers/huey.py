"""Huey on SQLite with fsync: no server, so its memory is that of its processes. 4 threads."""

from pathlib import Path

from bench.peers.peer import Command
from bench.peers.python_peer import PythonPeer


class Huey(PythonPeer):
    title = "Huey on SQLite, fsync"
    promise = "fsync"
    bulk = None
    drain = "4 threads"
    name = "huey"
    requirements = ("huey",)

    def start(self, directory: Path) -> None:
        self._directory = directory

    @property
    def url(self) -> str:
        return str(self._directory / "huey.db")

    def worker(self, queue: str) -> Command:
        return self._own_worker(
            queue,
            *(str(self._interpreter.with_name("huey_consumer")), "bench.clients.huey_client.huey"),
            *("-w", "4", "-k", "thread", "--no-periodic", "--quiet"),
            *("--delay", "0.001", "--max-delay", "0.005"),
        )
