"""aiosqlite's connection with two things added: run a whole function in its thread, or here.

One hop per batch instead of one per statement, which costs 4 to 6 times as much (DESIGN.md, 4).
What is over sooner than two threads are woken is better run without a hop.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

import aiosqlite

T = TypeVar("T")

STATEMENTS_CACHED: Final = 256
"""More than there are statement texts (`store.statements` makes a few sizes of each)."""


class Connection(aiosqlite.Connection):
    def __init__(self, connector: Callable[[], sqlite3.Connection]):
        super().__init__(connector, iter_chunk_size=64)
        # A thread that hangs in the disk must not keep the process from ending.
        self._thread.daemon = True
        self._runs = 0
        """Functions that its thread has been given and has not done."""

    @property
    def is_idle(self) -> bool:
        """Its thread has nothing to do, so that a function may be run here."""
        return not self._runs

    def run_here(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call function(connection, *arguments) in the caller's thread, which waits for it."""
        assert self.is_idle, "another function is being run"
        return function(self._conn, *arguments)

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call function(connection, *arguments) in this connection's thread.

        Returns what it returns, raises what it raises.
        """
        self._runs += 1
        try:
            # aiosqlite leaves it untyped.
            result: T = await self._execute(  # type: ignore[no-untyped-call]
                function, self._conn, *arguments
            )
        except Exception:
            self._runs -= 1
            raise
        # Not when it is cancelled: its thread may still be at it, so nothing is run here any more.
        self._runs -= 1
        return result


async def connect(path: Path, *, is_reader: bool) -> Connection:
    """Open the database; a reader can neither write nor checkpoint."""
    uri = f"file:{quote(str(path))}?mode={'ro' if is_reader else 'rwc'}"

    def connector() -> sqlite3.Connection:
        return sqlite3.connect(
            uri,
            uri=True,
            isolation_level=None,
            cached_statements=STATEMENTS_CACHED,
            check_same_thread=False,  # one at a time uses it: `run_here` sees to that
        )

    connection = Connection(connector)
    await connection
    return connection
