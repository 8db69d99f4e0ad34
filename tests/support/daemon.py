"""A real daemon in a process of its own."""

import re
import signal
import socket
import subprocess
import sys
import time
import weakref
from pathlib import Path
from typing import Final, Self

START_S: Final = 15.0
ACTIVATED: Final = Path(__file__).with_name("activated.py")
READY: Final = re.compile(r"READY .* listening on (\S+), http on (\S+), ([\d,]+) jobs recovered")


class ReservedPort:
    """A port of the loopback address that nobody else is given as long as this object is there.

    It is bound, and does not listen. The kernel gives it to no other test and to no outgoing
    connection, also while the daemon is down; the daemon may bind it as well since both reuse it.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.number: int = self._socket.getsockname()[1]
        self.address = f"127.0.0.1:{self.number}"
        weakref.finalize(self, self._socket.close)


class DaemonProcess:
    """`holdfastd serve` on a directory; after a restart on the same port.

    Attributes:
        address: HOST:PORT of the TCP port; http_address: of the HTTP port.
    """

    def __init__(self, directory: Path, *arguments: str, environment: dict[str, str] | None = None):
        self.directory = directory
        self.arguments = arguments
        self.environment = environment
        self.program = ["-m", "holdfastd"]
        """What Python runs; `support.faulty_daemon` has another one."""
        self.sockets: dict[str, socket.socket] = {}
        """Listening ones that each start is handed, by name, as systemd does it."""
        self._ports = ReservedPort(), ReservedPort()
        self.address, self.http_address = (port.address for port in self._ports)
        self.jobs_recovered = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._log = directory.parent / f"{directory.name}.log"

    @property
    def url(self) -> str:
        return f"holdfast://{self.address}"

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def command(self) -> list[str]:
        flags = [
            "--data",
            str(self.directory),
            "--listen",
            self.address,
            "--http",
            self.http_address,
        ]
        return [sys.executable, *self._activated, *self.program, "serve", *flags, *self.arguments]

    @property
    def _activated(self) -> list[str]:
        if not self.sockets:
            return []
        numbers = ",".join(str(found.fileno()) for found in self.sockets.values())
        return [str(ACTIVATED), ":".join(self.sockets), numbers]

    @property
    def enter(self) -> list[str]:
        """In front of a command, it runs where the directory can be seen."""
        return []

    def start(self) -> Self:
        """Start it and wait until it is READY. Raises RuntimeError with its log if it ends."""
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdout=log,
                stderr=log,
                env=self.environment,
                pass_fds=[found.fileno() for found in self.sockets.values()],
            )
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            ready = READY.search(self.log())
            if ready:
                self.address, self.http_address = ready[1], ready[2]
                self.jobs_recovered = int(ready[3].replace(",", ""))
                return self
            if self.process.poll() is not None:
                break
            time.sleep(0.01)  # it is another process: there is nothing to wait on but its words
        raise RuntimeError(f"the daemon did not start:\n{self.log()}")

    def log(self) -> str:
        return self._log.read_text()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def kill(self) -> None:
        """SIGKILL: as if the power of the process were cut."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(15)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
