"""Walking the paths of a query, window by window, until time is up.

Each window is one read transaction of about WINDOW_S: the log can be checkpointed between two, and
a row is read as it was when it was found to match.
"""

import sqlite3
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from holdfastd.search.filters import Filter
from holdfastd.search.paths import Path, Place, cursor_text

WINDOW_S: Final = 0.025
"""For one window, roughly: its size is fitted to that."""
PAUSE_S: Final = 0.005
"""After each window. A checkpoint that meets a window cannot move all of the log, and so the log
cannot begin anew: one of six meets none. And the disk is the daemon's first."""
ROWS_MAX: Final = 100_000
OVERTIME_S: Final = 0.3
"""A window that takes so much longer than there was time is given up."""


class Timer:
    """What is left of a search's time."""

    def __init__(
        self, monotonic: Callable[[], float], sleep: Callable[[float], None], seconds: float
    ):
        self._monotonic = monotonic
        self._sleep = sleep
        self._deadline = monotonic() + seconds

    def now(self) -> float:
        return self._monotonic()

    def pause(self) -> None:
        self._sleep(PAUSE_S)

    @property
    def is_up(self) -> bool:
        """There is none for another window."""
        return self._monotonic() + WINDOW_S > self._deadline

    @property
    def is_overdue(self) -> bool:
        return self._monotonic() > self._deadline + OVERTIME_S


class Window(NamedTuple):
    path: Path
    before: Place | None
    """The place behind which it begins; None = the beginning of its path."""
    rows: Filter
    """What stands behind FROM for its rows, and what it binds; `path.where` is not in it."""
    next: str | None
    """Cursor of what follows; None = there is no more."""


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """In which everything is read as of one instant."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


def windows(
    connection: sqlite3.Connection,
    paths: list[Path],
    place: Place | None,
    timer: Timer,
    rows: int,
) -> Generator[Window, None, None]:
    """Each is used inside the transaction in which it is given. At least one is; they end with the
    last path, or when time is up.

    Args:
        place: in the first path, behind which it goes on; None = its beginning.
        rows: of the first window.
    """
    is_first = True
    for at, path in enumerate(paths):
        behind = cursor_text(paths[at + 1], None) if at + 1 < len(paths) else None
        while is_first or not timer.is_up:
            if not is_first:
                timer.pause()
            is_first = False
            began = timer.now()
            with transaction(connection):
                end = path.end(connection, place, max(rows, path.rows_min))
                next = behind if end is None else cursor_text(path, end)
                yield Window(path, place, path.rows(place, end), next)
            rows = _fitted(rows, timer.now() - began)
            if end is None:
                break
            place = end
        else:
            return  # time is up
        place = None


def _fitted(rows: int, seconds: float) -> int:
    if seconds < WINDOW_S / 4:
        return min(rows * 4, ROWS_MAX)
    if seconds < WINDOW_S / 2:
        return min(rows * 2, ROWS_MAX)
    return max(1, rows // 2) if seconds > WINDOW_S * 2 else rows
