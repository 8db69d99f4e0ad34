"""A terminal as a screen that is drawn over and over, with plain ANSI sequences.

Whatever ends the program, the terminal is given back as it was: see `Screen`, a context manager.
"""

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterable
from types import FrameType
from typing import Any, Final, Self

_ENTER: Final = "\x1b[?1049h\x1b[?25l"
"""The alternate screen, so that what was there comes back; no cursor."""
_LEAVE: Final = "\x1b[?25h\x1b[?1049l"
_HOME: Final = "\x1b[H"
_END_OF_LINE: Final = "\x1b[K\r\n"
_CLEAR_REST: Final = "\x1b[K\x1b[J"
TITLE: Final = "\x1b[1m"
HEADER: Final = "\x1b[7m"
PLAIN: Final = "\x1b[0m"


def is_usable() -> bool:
    """Standard output is a terminal that understands the sequences."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


class Screen:
    """In `with`: the alternate screen, and, from a terminal, keys as they are pressed.

    SIGTERM ends the program by SystemExit. A suspended program (Ctrl-Z) gives the terminal back
    meanwhile.
    """

    def __init__(self) -> None:
        self._modes: list[Any] | None = None
        self._handlers: dict[signal.Signals, Any] = {}
        self._ended_by: int | None = None
        """The signal that ends the program."""
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)

    def __enter__(self) -> Self:
        self._enter()
        for number, handler in (
            (signal.SIGWINCH, lambda number, frame: self.wake()),
            (signal.SIGINT, self._end),
            (signal.SIGTERM, self._end),
            (signal.SIGTSTP, self._suspend),
        ):
            self._handlers[number] = signal.signal(number, handler)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._leave()

    def _enter(self) -> None:
        if sys.stdin.isatty():
            self._modes = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin)
        _write(_ENTER)

    def _leave(self) -> None:
        _write(_LEAVE)
        if self._modes is not None:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._modes)

    def _suspend(self, number: int, frame: FrameType | None) -> None:
        self._leave()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._enter()
        self.wake()

    def _end(self, number: int, frame: FrameType | None) -> None:
        """At once, even out of a write that blocks. Where Python swallows exceptions (it may be
        collecting garbage), the next wait is the end."""
        self._ended_by = number
        self.wake()
        self._leave_if_ended()

    def _leave_if_ended(self) -> None:
        if self._ended_by == signal.SIGINT:
            raise KeyboardInterrupt
        if self._ended_by is not None:
            sys.exit(128 + self._ended_by)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines, now: of the terminal, since COLUMNS in the environment stays as it is.
        A serial line does not know its own, and has those of a VT100."""
        columns, lines = os.get_terminal_size(sys.stdout.fileno())
        return columns or 80, lines or 24

    def draw(self, lines: Iterable[str]) -> None:
        """From the top; all else is cleared. In one write, so that nothing flickers."""
        _write(_HOME + _END_OF_LINE.join(lines) + _CLEAR_REST)

    def wake(self) -> None:
        """End `wait_for_key`; from any thread."""
        try:
            os.write(self._wake, b"!")
        except BlockingIOError:
            return  # it is full: it will be woken

    def wait_for_key(self) -> str:
        """The next key; "" when it was woken or the size has changed."""
        self._leave_if_ended()
        files = [self._woken, *([sys.stdin.fileno()] if self._modes is not None else [])]
        ready, _, _ = select.select(files, [], [])
        if self._woken in ready:
            os.read(self._woken, 4096)
            self._leave_if_ended()
            return ""
        key = os.read(sys.stdin.fileno(), 1)
        if not key:
            raise EOFError("the terminal is gone")
        return key.decode(errors="replace")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
