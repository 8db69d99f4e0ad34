"""beanstalkd, a server in C: by raw sockets with pipelining, which is its fastest. Its promise is
nothing (RAM) or, with a log and -f0, an fsync for each write."""

import json
import sys
from pathlib import Path
from typing import Any

from bench.peers import installing
from bench.peers.peer import Command, Peer, Server, python_command, spare_port


class Beanstalkd(Peer):
    title = "beanstalkd, RAM (raw, pipelined)"
    promise = "none"
    bulk = "100 puts per send, 2,000 unanswered"
    drain = "200 reserves unanswered"
    flags: tuple[str, ...] = ()

    def install(self) -> None:
        installing.debian("beanstalkd", "beanstalkd")

    def version(self) -> str:
        return installing.said_version("beanstalkd", "-v", r"beanstalkd ([\w.]+)")

    def start(self, directory: Path) -> None:
        port = spare_port()
        flags = [flag.replace("DIR", str(directory)) for flag in self.flags]
        self.server = Server(
            [installing.binary("beanstalkd"), "-l", "127.0.0.1", "-p", str(port), *flags],
            port,
            directory / "beanstalkd.log",
            installing.environment(),
        )

    def producer(self, spec: dict[str, Any], queue: str) -> Command:
        return self._program("produce", queue, json.dumps(spec))

    def worker(self, queue: str) -> Command:
        return self._program("work", queue, "{}")

    def _program(self, role: str, queue: str, spec: str) -> Command:
        assert self.server is not None
        return python_command(
            sys.executable,
            "beanstalkd_client",
            spec,
            BENCH_ROLE=role,
            BENCH_QUEUE=queue,
            BENCH_URL=str(self.server.port),
        )


class BeanstalkdFsync(Beanstalkd):
    title = "beanstalkd -b -f0 (raw, pipelined)"
    promise = "fsync"
    flags = ("-b", "DIR", "-f0")
