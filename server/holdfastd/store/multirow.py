"""One statement step for many rows: each step hands the GIL over (DESIGN.md, section 4)."""

import sqlite3
from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Any, Final

ROWS_PER_STEP: Final = (500, 100, 20, 4, 1)
"""Sizes of multi-row statements: the largest stays below SQLite's 32,766 bound values; a batch
of any size needs few steps."""


@cache
def _values(prefix: str, row: str, count: int, suffix: str) -> str:
    return f"{prefix} VALUES {','.join([row] * count)}{suffix}"


def write_rows(
    connection: sqlite3.Connection,
    prefix: str,
    row: str,
    rows: Sequence[Sequence[Any]],
    suffix: str = "",
) -> None:
    """Run `prefix VALUES row, row, … suffix` over all rows."""
    start = 0
    for size in ROWS_PER_STEP:
        while len(rows) - start >= size:
            values = list(chain.from_iterable(rows[start : start + size]))
            connection.execute(_values(prefix, row, size, suffix), values)
            start += size
