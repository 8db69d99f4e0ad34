"""The process that searches: `python -m holdfastd.search.process DIRECTORY`, started by `finder`.

It has a process of its own, so that it takes neither the daemon's GIL nor its writer thread, and is
nice to both. Its connection can neither write nor checkpoint. It reads requests from its standard
input, one after the other, until the daemon closes it or dies.
"""

import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, Final

from holdfastd.clock import SystemClock
from holdfastd.search.exchange import Answer, Request, pack_answer, read_frame
from holdfastd.search.found import Facets, Found, SearchBroken, SearchError
from holdfastd.search.query import parse
from holdfastd.search.searching import COUNT_S, PAGE_S, Searching
from holdfastd.search.terms import Pattern
from holdfastd.store.backup import open_file
from holdfastd.store.base import RESTORE_ADVICE
from holdfastd.store.files import DATABASE_NAME

NICE: Final = 10
"""Beside a busy daemon it gets about a tenth of a core; alone all of it."""
CACHE_KIB: Final = 16 * 1024
"""What it reads again is in the system's page cache."""


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the daemon, which ends us
    os.nice(NICE)
    serve(connect(Path(sys.argv[1])), sys.stdin.buffer, sys.stdout.buffer)


def connect(directory: Path) -> sqlite3.Connection:
    connection = open_file(directory / DATABASE_NAME, "mode=ro")
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute(f"PRAGMA cache_size = {-CACHE_KIB}")
    # What is no UTF-8 any more is a damaged job; the others are found.
    connection.text_factory = lambda raw: raw.decode(errors="replace")
    return connection


def serve(connection: sqlite3.Connection, requests: BinaryIO, answers: BinaryIO) -> None:
    """Until the requests end."""
    clock = SystemClock()
    searching = Searching(connection, clock.monotonic, time.sleep)
    while (message := read_frame(requests)) is not None:
        request = Request(*message)
        spent_s = clock.monotonic() - request.since_s
        answers.write(pack_answer(Answer(request.number, _result(searching, request, spent_s))))
        answers.flush()


def _result(searching: Searching, request: Request, spent_s: float) -> Found | Facets | SearchError:
    """spent_s: of its time, before it came here."""
    query = parse(request.query, 0)
    allows = _allows(request.allows)
    try:
        if request.is_count:
            return searching.count(query, allows, _left(COUNT_S, spent_s))
        return searching.page(query, allows, request.after, request.limit, _left(PAGE_S, spent_s))
    except SearchError as error:
        return error
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        return SearchBroken(
            f"the database cannot be searched ({name}: {error}): if it comes again, look at the "
            f"disk, and {RESTORE_ADVICE}"
        )


def _left(seconds: float, spent_s: float) -> float:
    """A start that took very long leaves a quarter: enough to come on by."""
    return max(seconds - spent_s, seconds / 4)


def _allows(patterns: Iterable[str] | None) -> Callable[[str], bool] | None:
    if patterns is None:
        return None
    made = [Pattern(tuple(pattern.split("*"))) for pattern in patterns]
    return lambda name: any(pattern.fits(name) for pattern in made)


if __name__ == "__main__":
    main()
