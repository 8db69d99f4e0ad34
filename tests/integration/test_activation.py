"""Listening sockets that somebody else keeps open while the daemon restarts."""

import http.client
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from holdfast import Queue
from holdfastd.activation import ActivationError, take
from support.certificates import Authority
from support.daemon import ACTIVATED, DaemonProcess
from support.needs import need

NO_ACTIVATOR = "systemd-socket-activate is not in the PATH: it cannot hand sockets over"

PAUSE_S: Final = 0.002
"""Between two connections: some hundreds a second, so that ports do not run out."""
RESTARTS: Final = 3


class Callers:
    """Clients that connect all the time, to both ports, and go when they were answered.

    Attributes: answered: how many were. refused: how many could not connect. cut: how many could
    connect to the port for clients, and were closed without a word. (The HTTP server closes who has
    not asked for anything yet.)
    """

    def __init__(self, daemon: DaemonProcess):
        self.answered = self.refused = self.cut = 0
        self._daemon = daemon
        self._is_over = threading.Event()
        callers = (self._call_tcp, self._call_http)
        self._threads = [threading.Thread(target=self._run, args=[call]) for call in callers]

    def _run(self, call: Callable[[], None]) -> None:
        while not self._is_over.wait(PAUSE_S):
            try:
                call()
            except ConnectionRefusedError:
                self.refused += 1
            except (ConnectionError, http.client.HTTPException):
                self.cut += call == self._call_tcp
            else:
                self.answered += 1

    def _call_tcp(self) -> None:
        with socket.create_connection(("127.0.0.1", self._daemon.port), 20) as client:
            if not client.recv(4096):
                raise ConnectionResetError

    def _call_http(self) -> None:
        assert http_status(self._daemon.http_address, "/livez") == 200

    def until_more_are_answered(self, count: int) -> None:
        goal = self.answered + count
        deadline = time.monotonic() + 20
        while self.answered < goal and time.monotonic() < deadline:
            time.sleep(PAUSE_S)
        assert self.answered >= goal

    @contextmanager
    def calling(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._is_over.set()
            for thread in self._threads:
                thread.join(30)


def http_status(address: str, path: str) -> int:
    connection = http.client.HTTPConnection(address, timeout=20)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=1024)


@pytest.fixture
def sockets() -> Iterator[dict[str, socket.socket]]:
    with listening() as tcp, listening() as http:
        yield {"tcp": tcp, "http": http}


def restart_under_calls(daemon: DaemonProcess) -> Callers:
    callers = Callers(daemon)
    with callers.calling():
        for _ in range(RESTARTS):
            callers.until_more_are_answered(100)
            assert daemon.stop() == 0
            daemon.start()
        callers.until_more_are_answered(100)
    return callers


@pytest.mark.slow
def test_no_connection_is_refused_over_restarts(
    tmp_path: Path, sockets: dict[str, socket.socket]
) -> None:
    daemon = DaemonProcess(tmp_path / "data")
    daemon.sockets = sockets
    with daemon:
        assert daemon.port == sockets["tcp"].getsockname()[1], "it listens where it was configured"
        callers = restart_under_calls(daemon)
        assert (callers.refused, callers.cut) == (0, 0)
        with Queue("q", url=daemon.url, timeout=10) as queue:
            assert queue.add("n").created


@pytest.mark.slow
def test_without_handed_over_sockets_some_are_refused(tmp_path: Path) -> None:
    with DaemonProcess(tmp_path / "data") as daemon:
        assert restart_under_calls(daemon).refused


def test_a_handed_over_socket_speaks_tls_too(
    tmp_path: Path, sockets: dict[str, socket.socket]
) -> None:
    authority = Authority(tmp_path)
    config = tmp_path / "config.toml"
    config.write_text(f'[tls]\ncert_file = "{authority.issue("server.pem")}"\n')
    daemon = DaemonProcess(tmp_path / "data", "--config", str(config))
    daemon.sockets = sockets
    with daemon:
        for _ in range(2):
            url = f"holdfasts://{daemon.address}"
            with Queue("q", url=url, ca_file=str(authority.ca_file), timeout=10) as queue:
                assert queue.add("n").created
            assert daemon.stop() == 0
            daemon.start()


def test_where_a_handed_over_socket_listens_is_judged_and_not_what_is_configured(
    tmp_path: Path,
) -> None:
    """The daemon is configured for a loopback address, where no key is asked for."""
    daemon = DaemonProcess(tmp_path / "data")
    with socket.create_server(("0.0.0.0", 0)) as reachable:
        daemon.sockets = {"tcp": reachable}
        with pytest.raises(RuntimeError, match=r"tcp.listen = 0\.0\.0\.0:\d+ can be reached"):
            daemon.start()


def refusal(names: str, *handed_over: socket.socket) -> str:
    """What a daemon that is handed these says instead of starting: one line."""
    numbers = [given.fileno() for given in handed_over]
    command = [sys.executable, str(ACTIVATED), names, ",".join(map(str, numbers))]
    done = subprocess.run(
        [*command, "-m", "holdfastd", "serve", "--data", "/nowhere"],
        pass_fds=numbers,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_sockets_that_cannot_be_used_are_refused_with_what_to_do(
    tmp_path: Path, sockets: dict[str, socket.socket]
) -> None:
    tcp, http = sockets.values()
    assert "FileDescriptorName=tcp" in refusal("holdfastd.socket", tcp)
    assert "two sockets named tcp" in refusal("tcp:tcp", tcp, http)
    with socket.socket() as deaf:
        assert "listens for TCP" in refusal("tcp", deaf)
    with socket.socket(socket.AF_UNIX) as local:
        local.bind(str(tmp_path / "socket"))
        local.listen()
        assert "listens for TCP" in refusal("tcp", local)


def test_sockets_for_another_process_are_left_alone() -> None:
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "tcp:http"}
    assert take(environment) == {}
    assert take({}) == {}
    with pytest.raises(ActivationError, match="'some' is not a number"):
        take({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "some"})


def test_systemd_s_own_tool_hands_over_what_we_take(tmp_path: Path) -> None:
    """It starts the program at the first connection."""
    need("systemd", shutil.which("systemd-socket-activate") is not None, NO_ACTIVATOR)
    with listening() as tcp, listening() as http:
        ports = [given.getsockname()[1] for given in (tcp, http)]
    listen = [f"--listen=127.0.0.1:{port}" for port in ports]
    command = ["systemd-socket-activate", *listen, "--fdname=tcp:http", sys.executable]
    serve = ["-m", "holdfastd", "serve", "--data", str(tmp_path / "data")]
    with subprocess.Popen([*command, *serve], stderr=subprocess.DEVNULL) as process:
        try:
            url = f"holdfast://127.0.0.1:{ports[0]}"
            with Queue("q", url=url, timeout=30) as queue:
                assert queue.add("n").created
            assert http_status(f"127.0.0.1:{ports[1]}", "/readyz") == 200
        finally:
            process.terminate()
            assert process.wait(15) == 0
