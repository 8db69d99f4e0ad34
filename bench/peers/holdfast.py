"""Holdfast itself, asked like all others: by the raw wire, and by its Python client."""

import json
import sys
from pathlib import Path
from typing import Any, ClassVar

from bench.daemon import DaemonProcess
from bench.peers.peer import Command, Peer, Server, python_command, spare_port
from holdfastd import VERSION


class HoldfastRaw(Peer):
    title = "Holdfast (raw wire)"
    promise = "fsync"
    bulk = "100 per call, 2,000 jobs unanswered"
    drain = "credit 500"
    program: ClassVar[str] = "holdfast_raw"

    def install(self) -> None:
        """It is here."""

    def version(self) -> str:
        return VERSION

    def start(self, directory: Path) -> None:
        port = spare_port()
        daemon = DaemonProcess(directory / "data")
        daemon.address = f"127.0.0.1:{port}"
        self.server = Server(daemon.command(), port, directory / "holdfastd.log")

    def producer(self, spec: dict[str, Any], queue: str) -> Command:
        return self._program("produce", queue, json.dumps(spec))

    def worker(self, queue: str) -> Command:
        return self._program("work", queue, "{}")

    def _program(self, role: str, queue: str, spec: str) -> Command:
        assert self.server is not None
        return python_command(
            sys.executable,
            self.program,
            spec,
            BENCH_ROLE=role,
            BENCH_QUEUE=queue,
            BENCH_URL=f"holdfast://127.0.0.1:{self.server.port}",
        )


class HoldfastPython(HoldfastRaw):
    title = "Holdfast (Python client)"
    bulk = "add_many, 125 per call, 500 jobs unanswered"
    drain = "Worker, concurrency 100, prefetch 400"
    program = "holdfast_python"
