"""What a peer is, and the servers that peers run on."""

import os
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final

import psutil

from bench.processes import ROOT

START_S: Final = 180.0
"""RabbitMQ takes ten on a quiet machine, and sixty on a busy one."""


@dataclass(frozen=True)
class Command:
    """A program with what it needs in its environment beyond ours."""

    arguments: list[str]
    environment: dict[str, str] = field(default_factory=dict)


class Peer(ABC):
    """One product in one configuration. Its docstring says what was chosen and why.

    Attributes:
        title, promise: for the table. bulk: its fastest form of adding, in words; None: it has but
            one by one.
    """

    title: ClassVar[str]
    promise: ClassVar[str]
    bulk: ClassVar[str | None]
    drain: ClassVar[str]
    """Its worker, in words."""

    def __init__(self) -> None:
        self.server: Server | None = None

    @abstractmethod
    def install(self) -> None:
        """Raises CannotInstall."""

    @abstractmethod
    def version(self) -> str: ...

    @abstractmethod
    def start(self, directory: Path) -> None:
        """Its server on a spare port, with its data in this empty directory."""

    @abstractmethod
    def producer(self, spec: dict[str, Any], queue: str) -> Command:
        """spec: as `clients.producing` understands it."""

    @abstractmethod
    def worker(self, queue: str) -> Command:
        """One process (a process of its own may have children), counting in $BENCH_TALLY."""

    def stop(self) -> None:
        if self.server is not None:
            self.server.stop()
            self.server = None

    def memory_mb(self) -> float | None:
        """Of the server, shared pages counted once. None: there is no server."""
        return None if self.server is None else self.server.memory_mb()


class Server:
    """A peer's server process, found by its port, ended by its pid."""

    def __init__(
        self,
        command: list[str],
        port: int,
        log: Path,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
    ):
        """Raises RuntimeError with its log if it does not start."""
        self.port = port
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                command, stdout=file, stderr=file, env=environment, cwd=log.parent, user=user
            )
        deadline = time.monotonic() + START_S
        while not _answers(port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"{command[0]} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.02)  # it is another process: there is nothing to wait on but its port

    def memory_mb(self) -> float:
        """MiB, shared pages divided among those that share them."""
        return sum(_proportional_bytes(process.pid) for process in self._tree()) / 1024**2

    def _tree(self) -> list[psutil.Process]:
        try:
            process = psutil.Process(self._process.pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def stop(self) -> None:
        end(self._process, self._tree())


def end(process: "subprocess.Popen[Any]", tree: list[psutil.Process]) -> None:
    """SIGTERM to the parent; SIGKILL to those of its tree that are there 10 s later."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
    for one in tree:
        with suppress(psutil.NoSuchProcess):
            one.kill()  # psutil knows when the number is another process's by now
    process.wait()


def spare_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def python_command(
    interpreter: str | Path, program: str, *arguments: str, **environment: str
) -> Command:
    """A program of `bench.clients`, which may import our own standard-library modules."""
    path = str(ROOT)
    command = [str(interpreter), "-m", f"bench.clients.{program}", *arguments]
    return Command(command, {"PYTHONPATH": path, **environment})


def full_environment(command: Command, **more: str) -> dict[str, str]:
    return {**os.environ, **command.environment, **more}


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _proportional_bytes(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (OSError, ProcessLookupError):
        return 0
    (line,) = [line for line in text.splitlines() if line.startswith("Pss:")]
    return int(line.split()[1]) * 1024
