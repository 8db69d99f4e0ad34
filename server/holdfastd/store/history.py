"""The SQL of the history: rows of minutes and hours written, removed, and read for charts.

Read as everything else: one statement step per page, which SQLite packs into one row.
"""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from holdfastd.engine.changes import Batch, HistoryRow
from holdfastd.engine.history import HOUR_MS, MINUTE_MS
from holdfastd.store.codec import pack_buckets, unpack_buckets
from holdfastd.store.multirow import write_rows

PRUNED_STEPS: Final = 10
"""Minutes, or hours, that one batch removes at most: some thousand rows where there are very many
names. It comes once a minute, so it keeps up, and catches up after a long absence."""
ROWS_MAX: Final = 50_000
"""Of one read; the newest."""


def write_history(connection: sqlite3.Connection, batch: Batch) -> None:
    if batch.history:
        rows = [(*row[:10], pack_buckets(row.wait), pack_buckets(row.run)) for row in batch.history]
        write_rows(connection, "INSERT OR REPLACE INTO history", f"({','.join('?' * 12)})", rows)
    if batch.history_kept_from_ms is not None:
        steps = zip((MINUTE_MS, HOUR_MS), batch.history_kept_from_ms, strict=True)
        for step_ms, kept_from_ms in steps:
            connection.execute(OLD, (step_ms, kept_from_ms, PRUNED_STEPS))


OLD: Final = (
    "DELETE FROM history WHERE step_ms = ?1 AND at_ms < min(?2, (SELECT at_ms FROM history "
    "WHERE step_ms = ?1 ORDER BY at_ms LIMIT 1) + ?1 * ?3)"
)
_PACKED: Final = (
    "SELECT json_group_array(json_array(step_ms, queue, name, at_ms, part, added, completed, "
    "failed, retried, lost, hex(wait), hex(run))) FROM (SELECT * FROM history "
)
OF_ONE: Final = (
    f"{_PACKED} WHERE step_ms = ? AND queue = ? AND name = ? AND at_ms >= ? AND at_ms < ? "
    "ORDER BY at_ms DESC LIMIT ?)"
)
OF_NAMES: Final = (
    f"{_PACKED} WHERE step_ms = ? AND at_ms >= ? AND at_ms < ? AND name != '' "
    "ORDER BY at_ms DESC LIMIT ?)"
)


def read_history(
    connection: sqlite3.Connection, queue: str, name: str, step_ms: int, from_ms: int, to_ms: int
) -> list[HistoryRow]:
    """Of one queue and name ("" = of all), from (included) to (not included)."""
    return _rows(connection, OF_ONE, (step_ms, queue, name, from_ms, to_ms, ROWS_MAX))


def read_names(
    connection: sqlite3.Connection, step_ms: int, from_ms: int, to_ms: int
) -> list[HistoryRow]:
    """Of every queue and name by itself, without the sums."""
    return _rows(connection, OF_NAMES, (step_ms, from_ms, to_ms, ROWS_MAX))


def _rows(
    connection: sqlite3.Connection, statement: str, values: Sequence[Any]
) -> list[HistoryRow]:
    (packed,) = connection.execute(statement, values).fetchone()
    return [
        HistoryRow._make(
            (
                *row[:10],
                unpack_buckets(bytes.fromhex(row[10])),
                unpack_buckets(bytes.fromhex(row[11])),
            )
        )
        for row in json.loads(packed)
    ]
