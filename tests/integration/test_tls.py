"""TLS between real clients and a real daemon, and what each side says when it is not to be had."""

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast import AccessDenied, MisuseError, PeerError, Unreachable, Worker, aio
from support.certificates import Authority
from support.daemon import DaemonProcess


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA that nobody trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"))


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Path]:
    """Writes a configuration with these lines in [tls]."""

    def write(**files: Path) -> Path:
        lines = "".join(f'{name} = "{file}"\n' for name, file in files.items())
        (tmp_path / "config.toml").write_text(f"[tls]\n{lines}[log]\nformat = 'json'\n")
        return tmp_path / "config.toml"

    return write


def started(tmp_path: Path, config: Path) -> DaemonProcess:
    return DaemonProcess(tmp_path / "data", "--config", str(config))


@pytest.fixture
def secure(
    tmp_path: Path, authority: Authority, config: Callable[..., Path]
) -> Iterator[DaemonProcess]:
    cert_file = tmp_path / "server.pem"
    cert_file.write_bytes(authority.issue("server.pem").read_bytes())
    cert_file.chmod(0o600)
    with started(tmp_path, config(cert_file=cert_file)) as daemon:
        yield daemon
        assert "Traceback" not in daemon.log()


def secure_url(daemon: DaemonProcess) -> str:
    return f"holdfasts://{daemon.address}"


async def why_refused(daemon: DaemonProcess, url: str, **given: Any) -> str:
    """What a client is told, at once."""
    async with aio.Queue("q", url=url, timeout=8, **given) as queue:
        with pytest.raises(PeerError) as refused:
            await queue.add("n")
    return str(refused.value)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.02)


async def test_jobs_go_through_tls_from_end_to_end(
    secure: DaemonProcess, authority: Authority
) -> None:
    url, ca_file = secure_url(secure), authority.ca_file
    worker = Worker("q", lambda job: len(job.data), url=url, ca_file=ca_file, concurrency=10)
    running = asyncio.create_task(worker.run_async())
    async with aio.Queue("q", url=url, ca_file=ca_file, timeout=20) as queue:
        jobs = await queue.add_many([("n", b"x" * 10_000)] * 200)  # more than one TLS record
        assert [await job.wait(20) for job in jobs] == [10_000] * 200
    worker.stop()
    await running
    with socket.create_connection(("127.0.0.1", secure.port)) as raw:
        context = ssl.create_default_context(cafile=ca_file)
        with context.wrap_socket(raw, server_hostname="127.0.0.1") as spoken:
            assert spoken.version() in ("TLSv1.2", "TLSv1.3")


def test_tls_older_than_1_2_is_not_spoken(secure: DaemonProcess) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", secure.port)) as raw,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(raw)


# ---- the wrong one of two protocols --------------------------------------------------------------


async def test_a_plain_client_on_a_tls_port_is_told_on_both_sides(secure: DaemonProcess) -> None:
    words = await why_refused(secure, secure.url)
    assert "this port speaks TLS: use holdfasts:// in place of holdfast://" in words
    await until(lambda: "does not speak TLS, and this port does" in secure.log())
    assert '"event": "tls_required"' in secure.log()


async def test_a_tls_client_on_a_plain_port_is_told_on_both_sides(daemon: DaemonProcess) -> None:
    words = await why_refused(daemon, secure_url(daemon))
    assert "it does not speak TLS: use holdfast://, or set tls.cert_file there" in words
    await until(lambda: "it does not speak TLS, use holdfast://" in daemon.log())


def test_whoever_speaks_something_else_is_told_at_once(secure: DaemonProcess) -> None:
    with socket.create_connection(("127.0.0.1", secure.port), timeout=10) as http:
        http.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert b"this port speaks TLS" in http.recv(4096)


async def test_what_a_stranger_costs_before_its_handshake_is_done_is_bounded(
    tmp_path: Path, authority: Authority, config: Callable[..., Path]
) -> None:
    file = config(cert_file=authority.issue("server.pem"))
    limits = "[tcp]\nconnections_max = 3\nhandshake_timeout_ms = 3_000\n"
    file.write_text(file.read_text() + limits)
    with started(tmp_path, file) as daemon:
        url, ca_file = secure_url(daemon), authority.ca_file
        strangers = [await asyncio.open_connection("127.0.0.1", daemon.port) for _ in range(3)]
        for _, writer in strangers:
            writer.write(b"\x16")  # of TLS, and nothing after it
        one_more, its_writer = await asyncio.open_connection("127.0.0.1", daemon.port)
        assert await one_more.read() == b"", "there is no room for it"
        async with asyncio.timeout(10):
            for reader, _ in strangers:
                assert await reader.read() == b"", "it had its time"
        its_writer.close()
        for _, writer in strangers:
            writer.close()
        async with aio.Queue("q", url=url, ca_file=ca_file, timeout=10) as queue:
            await queue.add("n")
        await until(lambda: '"event": "tls_failed"' in daemon.log())


# ---- certificates that are no good ---------------------------------------------------------------


async def test_a_certificate_of_a_stranger_is_refused(
    secure: DaemonProcess, stranger: Authority
) -> None:
    words = await why_refused(secure, secure_url(secure), ca_file=stranger.ca_file)
    assert "its certificate is refused" in words
    assert "give the certificate of who signed it as ca_file= or HOLDFAST_CA_FILE" in words
    by_default = await why_refused(secure, secure_url(secure))
    assert "its certificate is refused" in by_default


async def test_a_certificate_for_another_host_is_refused(
    tmp_path: Path, authority: Authority, config: Callable[..., Path]
) -> None:
    other = authority.issue("other.pem", "queue.example")
    with started(tmp_path, config(cert_file=other)) as daemon:
        words = await why_refused(daemon, secure_url(daemon), ca_file=authority.ca_file)
    assert "it is for another name than 127.0.0.1" in words


def refused_start(config: Path, tmp_path: Path) -> str:
    flags = ["--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]
    command = [sys.executable, "-m", "holdfastd", "serve", "--config", str(config), *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    return done.stderr


def test_a_start_with_a_certificate_that_has_expired_is_one_line(
    tmp_path: Path, authority: Authority, config: Callable[..., Path]
) -> None:
    """What else can be wrong with one is in tests/unit/server/test_tls.py."""
    expired = authority.issue("expired.pem", days=-1)
    words = refused_start(config(cert_file=expired), tmp_path)
    assert f"tls.cert_file = {expired} has expired, and no client would take it: renew it" in words


# ---- certificates of clients ---------------------------------------------------------------------


async def test_a_client_needs_a_certificate_where_that_is_asked_for(
    tmp_path: Path, authority: Authority, stranger: Authority, config: Callable[..., Path]
) -> None:
    files = config(cert_file=authority.issue("server.pem"), client_ca_file=authority.ca_file)
    mine, theirs = authority.issue("client.pem", "me"), stranger.issue("client.pem", "me")
    with started(tmp_path, files) as daemon:
        url, ca_file = secure_url(daemon), authority.ca_file
        async with aio.Queue("q", url=url, ca_file=ca_file, cert_file=mine, timeout=10) as queue:
            await queue.add("n")
        async with aio.Queue("q", url=url, ca_file=ca_file, timeout=10) as queue:
            with pytest.raises(AccessDenied, match="a client certificate is needed here: give one"):
                await queue.add("n")
        async with aio.Queue("q", url=url, ca_file=ca_file, cert_file=theirs, timeout=3) as queue:
            with pytest.raises(Unreachable, match="is our certificate signed by its CA"):
                await queue.add("n")
        await until(lambda: '"event": "tls_failed"' in daemon.log())
        assert '"event": "not_let_in"' in daemon.log()


def test_a_client_names_the_file_that_it_cannot_use(tmp_path: Path, authority: Authority) -> None:
    for given, words in [
        ({"ca_file": tmp_path / "none"}, "none: No such file or directory"),
        ({"cert_file": authority.ca_file}, "the certificate and its private key"),
    ]:
        with pytest.raises(MisuseError) as refused:
            aio.Queue("q", url="holdfasts://h", **given)  # type: ignore[arg-type]  # files
        assert words in str(refused.value)


# ---- reloading -----------------------------------------------------------------------------------


def serial_at(daemon: DaemonProcess) -> bytes:
    """What a new handshake gets."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", daemon.port)) as raw,
        context.wrap_socket(raw) as spoken,
    ):
        return spoken.getpeercert(binary_form=True) or b""


async def test_a_reload_takes_a_new_certificate_and_keeps_the_old_one_if_it_is_broken(
    secure: DaemonProcess, authority: Authority, tmp_path: Path
) -> None:
    file = tmp_path / "server.pem"
    first = serial_at(secure)
    async with aio.Queue("q", url=secure_url(secure), ca_file=authority.ca_file) as queue:
        await queue.add("before")
        file.write_bytes(authority.issue("second.pem").read_bytes())
        assert serial_at(secure) == first, "not before it is told"
        os.kill(secure.pid, signal.SIGHUP)
        await until(lambda: '"event": "reloaded"' in secure.log())
        second = serial_at(secure)
        assert second != first
        file.write_text("no certificate")
        os.kill(secure.pid, signal.SIGHUP)
        await until(lambda: '"event": "reload_refused"' in secure.log())
        assert "reload refused, nothing was changed: tls.cert_file = " in secure.log()
        assert serial_at(secure) == second
        await queue.add("on the connection of the first certificate")


# ---- HTTP ----------------------------------------------------------------------------------------


def test_the_http_port_speaks_tls_where_it_is_told_to(
    tmp_path: Path, authority: Authority, config: Callable[..., Path]
) -> None:
    file = config(cert_file=authority.issue("server.pem"))
    file.write_text(file.read_text() + '[http]\ntls = "on"\n')
    context = ssl.create_default_context(cafile=authority.ca_file)
    with started(tmp_path, file) as daemon:
        url = f"https://{daemon.http_address}/readyz"
        with urllib.request.urlopen(url, timeout=5, context=context) as answer:
            assert answer.read() == b"ready\n"


def test_the_http_port_of_a_loopback_address_does_not_by_itself(secure: DaemonProcess) -> None:
    url = f"http://{secure.http_address}/readyz"
    with urllib.request.urlopen(url, timeout=5) as answer:
        assert answer.read() == b"ready\n"
