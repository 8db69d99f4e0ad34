"""`holdfastd healthcheck` beside real daemons, and beside what is none."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Final

import pytest

from support.certificates import Authority
from support.daemon import DaemonProcess, ReservedPort
from support.keys import new_key

NOBODY: Final = "nothing answers on http.listen = "


def check(*arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code, and all it says."""
    done = subprocess.run(
        [sys.executable, "-m", "holdfastd", "healthcheck", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=30,
        check=False,
        env={**os.environ, **environment},
    )
    return done.returncode, done.stdout.decode().strip()


def test_a_daemon_that_serves_is_healthy_and_one_that_is_gone_is_not(tmp_path: Path) -> None:
    with DaemonProcess(tmp_path / "data") as daemon:
        assert check("--http", daemon.http_address) == (0, "ready")
        daemon.kill()
        code, said = check("--http", daemon.http_address)
    assert code == 1
    assert said.startswith(f"holdfastd: {NOBODY}{daemon.http_address} (")
    assert len(said.splitlines()) == 1


def test_a_daemon_that_hangs_is_not_healthy(daemon: DaemonProcess) -> None:
    os.kill(daemon.pid, signal.SIGSTOP)
    try:
        code, said = check("--http", daemon.http_address)
    finally:
        os.kill(daemon.pid, signal.SIGCONT)
    assert code == 1
    assert "(timed out)" in said


def test_it_reads_what_the_daemon_reads_tls_included(tmp_path: Path) -> None:
    """From the file that HOLDFAST_CONFIG names; on all addresses, which it asks on this one."""
    port = ReservedPort()
    file = tmp_path / "config.toml"
    certificate = Authority(tmp_path / "ca").issue("server.pem", "queue.example")
    file.write_text(
        f'[http]\nlisten = "0.0.0.0:{port.number}"\n[tls]\ncert_file = "{certificate}"\n'
    )
    new_key(tmp_path / "data", "boss")
    environment = {"HOLDFAST_CONFIG": str(file)}
    command = [sys.executable, "-m", "holdfastd", "serve", "--data", str(tmp_path / "data")]
    with _until_ready([*command, "--listen", "127.0.0.1:0"], {**os.environ, **environment}):
        assert check(**environment) == (0, "ready")
        in_the_clear = check(**environment, HOLDFAST_HTTP_TLS="off")
    assert in_the_clear[0] == 1
    assert NOBODY in in_the_clear[1]


@contextmanager
def _until_ready(command: list[str], environment: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        assert any(b"READY" in line for line in process.stderr)
        yield
    finally:
        process.kill()
        process.communicate()


def test_another_server_is_no_daemon() -> None:
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    code, said = check("--http", f"127.0.0.1:{server.server_port}")
    thread.join()
    server.server_close()
    assert code == 1
    assert said.endswith("answers 501 to /readyz: it is no holdfastd")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--http", "127.0.0.1:0"], "http.listen = 127.0.0.1:0 is any free port"),
        (["--http", "nowhere"], "http.listen must be HOST:PORT"),
        (["--config", "/no/such.toml"], "/no/such.toml: cannot be read: No such file"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_1(arguments: list[str], words: str) -> None:
    code, said = check(*arguments)
    assert code == 1
    assert words in said
    assert len(said.splitlines()) == 1


def test_a_flag_is_stronger_than_the_file_that_the_environment_names(tmp_path: Path) -> None:
    (tmp_path / "flag.toml").write_text('[http]\nlisten = "127.0.0.1:0"\n')
    code, said = check(
        "--config", str(tmp_path / "flag.toml"), HOLDFAST_CONFIG=str(tmp_path / "gone.toml")
    )
    assert (code, "any free port" in said) == (1, True)
