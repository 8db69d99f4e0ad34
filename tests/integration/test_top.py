"""`holdfast top` in a real pseudo-terminal, beside a real daemon."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast import Queue
from support.daemon import DaemonProcess
from support.terminal import ENTER, Terminal


def command(daemon: DaemonProcess, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "holdfast", "--url", daemon.url, "top", *arguments]


@pytest.fixture
def terminal(daemon: DaemonProcess) -> Iterator[Terminal]:
    with Queue("mail", url=daemon.url) as queue:
        queue.add("n")
    opened = Terminal(command(daemon, "--interval", "200ms"), 130, 20, COLUMNS="80", LINES="24")
    yield opened
    opened.close()


def row(screen: list[str], name: str = "mail") -> list[str]:
    """The cells of a queue; [] if it is not there."""
    found = [line.split() for line in screen if line.startswith(f"{name} ")]
    return found[0] if found else []


def test_top_shows_the_queues_and_what_happens_in_them(
    daemon: DaemonProcess, terminal: Terminal
) -> None:
    terminal.wait_until(lambda screen: row(screen)[1:2] == ["1"])
    assert ENTER in terminal.said
    terminal.wait_until(lambda screen: row(screen)[8:9] == ["0.0"])
    with Queue("mail", url=daemon.url) as queue, Queue("other", url=daemon.url) as other:
        queue.add_many([("n", None)] * 300)
        terminal.wait_until(lambda screen: row(screen)[8:9] not in ([], ["-"], ["0.0"]))
        other.add("n")
        seen = terminal.wait_until(lambda screen: bool(row(screen, "other")))
    assert row(seen)[1] == "301"
    assert row(seen, "all")[1] == "302"
    terminal.press("q")
    assert terminal.end() == 0
    assert terminal.is_given_back()


def test_top_fits_itself_to_a_terminal_that_is_resized(terminal: Terminal) -> None:
    wide = terminal.wait_until(lambda screen: bool(row(screen)))
    assert "lost/s" in wide[2]
    terminal.resize(50, 10)
    narrow = terminal.wait_until(lambda screen: max(map(len, screen)) <= 50)
    assert len(narrow) <= 10
    assert row(narrow)
    terminal.press("s")
    terminal.wait_until(lambda screen: "by active" in screen[0])


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (lambda terminal: terminal.press("\x03"), 0),
        (lambda terminal: terminal.process.send_signal(signal.SIGTERM), 128 + signal.SIGTERM),
    ],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_top_gives_the_terminal_back_however_it_ends(
    terminal: Terminal, end: Callable[[Terminal], None], code: int
) -> None:
    terminal.wait_until(lambda screen: bool(row(screen)))
    assert not terminal.is_given_back()
    end(terminal)
    assert terminal.end() == code
    assert terminal.is_given_back()
    assert "Traceback" not in terminal.said


def test_top_gives_the_terminal_back_while_it_is_suspended(terminal: Terminal) -> None:
    terminal.wait_until(lambda screen: bool(row(screen)))
    terminal.process.send_signal(signal.SIGTSTP)
    os.waitid(os.P_PID, terminal.process.pid, os.WSTOPPED | os.WNOWAIT)
    terminal.read_until_quiet()
    assert terminal.is_given_back()
    terminal.said = ""
    terminal.process.send_signal(signal.SIGCONT)
    terminal.wait_until(lambda screen: bool(row(screen)))
    assert terminal.said.startswith(ENTER)
    terminal.press("q")
    assert terminal.end() == 0


def test_top_says_that_the_daemon_is_away_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    with DaemonProcess(tmp_path / "data") as daemon:
        with Queue("mail", url=daemon.url) as queue:
            queue.add("n")
        program = command(daemon, "--interval", "100ms")
        program[3:3] = ["--timeout", "500ms"]
        terminal = Terminal(program, 130, 20)
        try:
            terminal.wait_until(lambda screen: bool(row(screen)))
            daemon.stop()
            away = terminal.wait_until(lambda screen: "trying again" in screen[1])
            assert row(away)[1] == "1"
            daemon.start()
            terminal.wait_until(lambda screen: screen[1].startswith("each 0.1 s"))
            terminal.press("q")
            assert terminal.end() == 0
        finally:
            terminal.close()


def test_top_prints_once_where_there_is_no_terminal(daemon: DaemonProcess) -> None:
    with Queue("mail", url=daemon.url) as queue:
        queue.add("n")
    done = run(command(daemon, "--interval", "100ms"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    cells = row(done.stdout.splitlines())
    assert cells == ["mail", "1", "0", "0", "0", "0", "0", "0", *["0.0"] * 5]
    found = json.loads(run(command(daemon, "--interval", "100ms", "--json")).stdout)
    assert found["queues"]["mail"]["waiting"] == 1
    assert found["queues"]["mail"]["per_second"]["added"] == 0
    assert found["seconds"] >= 0.1


def test_top_refuses_what_it_cannot_do(daemon: DaemonProcess) -> None:
    done = run(command(daemon, "--interval", "1ms"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "holdfast: --interval must be at least 0.1 s, not 0.001\n"
    nobody = [sys.executable, "-m", "holdfast", "--url", "holdfast://127.0.0.1:1"]
    assert run([*nobody, "--timeout", "500ms", "top"]).returncode == 3


def run(program: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(program, capture_output=True, text=True, timeout=30, check=False)
