"""What a service manager is told by a real daemon, over a real notify socket."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from holdfast import Queue
from holdfastd.clock import SystemClock
from holdfastd.supervisor import EXTEND_BY_S, Supervisor
from support import hanging_daemon
from support.daemon import DaemonProcess
from support.manager import Manager, manager

TESTS: Final = Path(hanging_daemon.__file__).parents[1]
WATCHDOG_S: Final = 0.8


def daemon_of(manager: Manager, directory: Path, *arguments: str) -> DaemonProcess:
    return DaemonProcess(directory, *arguments, environment=manager.environment)


def hanging(manager: Manager, directory: Path, file: Path, rule: str) -> DaemonProcess:
    """A daemon whose disk hangs while the file is there."""
    daemon = daemon_of(manager, directory)
    daemon.environment = {**manager.environment, "PYTHONPATH": str(TESTS)}
    daemon.program = [hanging_daemon.__file__, str(file), rule]
    return daemon


@pytest.fixture(params=["path", "abstract"])
def listening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    name = f"{tmp_path}/notify" if request.param == "path" else f"@holdfast-{os.getpid()}"
    with manager(name) as made:
        yield made


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Manager]:
    with manager(f"{tmp_path}/notify", WATCHDOG_S) as made:
        yield made


def test_it_is_ready_when_it_can_be_used_and_says_when_it_stops(
    listening: Manager, tmp_path: Path
) -> None:
    with daemon_of(listening, tmp_path / "data") as daemon:
        ready = listening.hears("READY")
        assert ready is not None
        assert daemon.address in ready["STATUS"]
        socket.create_connection(("127.0.0.1", daemon.port), 5).close()
        assert daemon.stop() == 0
        assert listening.hears("STOPPING")


def test_a_reload_is_announced_and_its_end_told(watching: Manager, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("")
    with daemon_of(watching, tmp_path / "data", "--config", str(config)) as daemon:
        assert watching.hears("READY")
        before_us = time.monotonic_ns() // 1000
        os.kill(daemon.pid, signal.SIGHUP)
        reloading = watching.hears("RELOADING")
        assert reloading is not None
        assert before_us <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
        done = watching.hears("READY")
        assert done is not None
        assert "refused" not in done["STATUS"]

        config.write_text("[nonsense]")
        os.kill(daemon.pid, signal.SIGHUP)
        assert watching.hears("RELOADING")
        refused = watching.hears("READY")
        assert refused is not None, "systemd would wait for the end of the reload"
        assert "the last reload was refused" in refused["STATUS"]


def fed_while_the_disk_hangs(watching: Manager, tmp_path: Path, rule: str) -> bool:
    """Whether a daemon that has been fed is fed on while its writer cannot write."""
    hang = tmp_path / "hang"
    with hanging(watching, tmp_path / "data", hang, rule) as daemon:
        for _ in range(5):
            assert watching.hears("WATCHDOG"), "an idle daemon lives"
        with Queue("q", url=daemon.url, timeout=30) as queue:
            queue.add("n")
            hang.touch()
            adding = threading.Thread(target=queue.add, args=("n",))
            adding.start()
            watching.hears("WATCHDOG", WATCHDOG_S)  # a hop that was before the write
            watching.forget()
            was_fed = watching.hears("WATCHDOG", 2 * WATCHDOG_S) is not None
            hang.unlink()
            adding.join(30)
            assert watching.hears("WATCHDOG"), "the disk is there again"
            assert queue.counts()["waiting"] == 2
    return was_fed


@pytest.mark.slow
def test_a_disk_that_hangs_stops_the_feeding_of_the_watchdog(
    watching: Manager, tmp_path: Path
) -> None:
    assert not fed_while_the_disk_hangs(watching, tmp_path, "keeps_all")


@pytest.mark.slow
def test_a_watchdog_that_is_fed_blindly_is_found_out(watching: Manager, tmp_path: Path) -> None:
    assert fed_while_the_disk_hangs(watching, tmp_path, "feeds_blindly")


def test_a_long_recovery_asks_for_more_time_until_it_is_done(
    watching: Manager, tmp_path: Path
) -> None:
    hang = tmp_path / "hang"
    hang.touch()
    daemon = hanging(watching, tmp_path / "data", hang, "keeps_all")
    starting = threading.Thread(target=daemon.start)
    starting.start()
    try:
        for _ in range(2):
            message = watching.hears("EXTEND_TIMEOUT_USEC")
            assert message is not None
            assert message["EXTEND_TIMEOUT_USEC"] == str(int(EXTEND_BY_S * 1_000_000))
            assert message["STATUS"].startswith("recovering")
            assert "READY" not in message
        hang.unlink()
        assert watching.hears("READY")
    finally:
        starting.join(30)
        daemon.__exit__()


def test_a_manager_that_does_not_read_or_has_gone_holds_nobody_up(tmp_path: Path) -> None:
    name = f"{tmp_path}/notify"
    with manager(name) as deaf:
        supervisor = Supervisor(deaf.environment, SystemClock())
        for _ in range(10_000):  # more than any socket holds
            supervisor.ready("still here")
    Path(name).unlink()
    supervisor.stopping("nobody hears it")


def test_a_watchdog_that_is_meant_for_another_process_is_none_of_ours() -> None:
    def period_s(**environment: str) -> float | None:
        return Supervisor(environment, SystemClock()).watchdog_s

    assert period_s() is None
    assert period_s(WATCHDOG_USEC="30000000") == 30.0
    assert period_s(WATCHDOG_USEC="30000000", WATCHDOG_PID=str(os.getpid())) == 30.0
    assert period_s(WATCHDOG_USEC="30000000", WATCHDOG_PID="1") is None
    assert period_s(WATCHDOG_USEC="soon") is None
    assert period_s(WATCHDOG_USEC="0") is None
