"""A real pseudo-terminal with a command in it."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable

ESCAPE = re.compile(r"\x1b\[[?\d;]*[A-Za-z]")
ENTER, LEAVE, HOME = "\x1b[?1049h", "\x1b[?1049l", "\x1b[H"
PATIENCE_S = 20.0


class Terminal:
    """A command with a terminal of its own."""

    def __init__(self, command: list[str], columns: int = 130, lines: int = 20, **environment: str):
        self._ours, theirs = pty.openpty()
        self.resize(columns, lines)
        self.modes = termios.tcgetattr(theirs)
        self._theirs = theirs
        self.said = ""
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm", **environment},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # Ctrl-C comes from it
        )

    def resize(self, columns: int, lines: int) -> None:
        size = struct.pack("4H", lines, columns, 0, 0)
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, size)

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def read_until(self, words: str) -> None:
        """Read until it has said them, whatever the escape sequences in between."""
        deadline = time.monotonic() + PATIENCE_S
        while words not in ESCAPE.sub("", self.said):
            assert time.monotonic() < deadline, f"it never said {words!r}: {self.said!r}"
            self._read_some()

    def _read_some(self) -> None:
        ready, _, _ = select.select([self._ours], [], [], 0.2)
        if ready:
            self.said += os.read(self._ours, 65536).decode()

    def wait_until(self, is_so: Callable[[list[str]], bool]) -> list[str]:
        """Read until it is so of the last screen that was drawn whole; its lines."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            screen = self.screen()
            if is_so(screen):
                return screen
            self._read_some()
        raise AssertionError(f"it never came: {self.screen()}")

    def screen(self) -> list[str]:
        whole = [each for each in self.said.split(HOME)[1:] if each.endswith("\x1b[J")]
        lines = whole[-1].split("\r\n") if whole else []
        return [ESCAPE.sub("", line).rstrip() for line in lines]

    def end(self) -> int:
        """Its exit code; the rest of what it said is read first."""
        code = self.process.wait(PATIENCE_S)
        self.read_until_quiet()
        return code

    def read_until_quiet(self) -> None:
        """What it has said; of one that has ended or is stopped, all."""
        while select.select([self._ours], [], [], 0)[0]:
            self.said += os.read(self._ours, 65536).decode()

    def is_given_back(self) -> bool:
        is_as_before: bool = termios.tcgetattr(self._theirs) == self.modes
        return is_as_before and self.said.rstrip().endswith(LEAVE)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)
