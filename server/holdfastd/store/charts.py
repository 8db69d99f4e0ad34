"""The SQL that reads and writes history: one statement step per read, as in `store.reading`."""

import json
import sqlite3
from collections.abc import Iterable
from typing import Any, Final

from holdfastd.engine.changes import HistoryCut, HistoryPage, HistoryRow
from holdfastd.engine.history import HOUR_MS, MINUTE_MS
from holdfastd.store.base import HistoryOrder, HistorySum, Place
from holdfastd.store.codec import pack_buckets, unpack_buckets

_PACKED: Final = (
    "SELECT json_group_array(json_array(step_ms, at_ms, queue, name, added, completed, failed, "
    "retried, lost, run_ms, hex(waits), hex(runs))) FROM "
)
"""In the order of HistoryRow."""
_AT_PLACES: Final = (
    "json_each(?) AS place CROSS JOIN history ON step_ms = place.value ->> 0 "
    "AND at_ms = place.value ->> 1 "
)
WRITE: Final = "INSERT OR REPLACE INTO history"
ROW: Final = f"({','.join('?' * 12)})"
_CUT: Final = (
    "DELETE FROM history WHERE (step_ms, at_ms, queue, name) IN (SELECT step_ms, at_ms, queue, "
    "name FROM history WHERE step_ms = ? AND at_ms < ? ORDER BY at_ms, queue, name LIMIT ?)"
)
_RANKS: Final = {
    HistoryOrder.FAILED: "failed",
    HistoryOrder.ENDED: "completed + failed",
    HistoryOrder.MEAN_RUN: "1.0 * run_ms / max(1, completed + failed)",
}
"""What the pairs are ordered by, the highest first; those with 0 are left out."""


def values_of(rows: Iterable[HistoryRow]) -> list[tuple[Any, ...]]:
    """As they are bound."""
    return [(*row[:10], pack_buckets(row.waits), pack_buckets(row.runs)) for row in rows]


def cut(connection: sqlite3.Connection, cuts: Iterable[HistoryCut]) -> None:
    for step_ms, before_ms, limit in cuts:
        connection.execute(_CUT, (step_ms, before_ms, limit))


def read_minute(connection: sqlite3.Connection, read: HistoryPage) -> tuple[HistoryRow, ...]:
    """As changes.HistoryPage."""
    places = ((MINUTE_MS, read.minute_at_ms), (HOUR_MS, read.hour_at_ms))
    return tuple(_rows(connection, f"{_AT_PLACES} WHERE name <> ''", (json.dumps(places),)))


def read_history(
    connection: sqlite3.Connection, queue: str, name: str, places: list[Place]
) -> list[HistoryRow]:
    """As Store.history."""
    source = f"{_AT_PLACES} AND queue = ? AND name = ?"
    return _rows(connection, source, (json.dumps(places), queue, name))


def _rows(connection: sqlite3.Connection, source: str, values: tuple[Any, ...]) -> list[HistoryRow]:
    (packed,) = connection.execute(_PACKED + source, values).fetchone()
    return [
        HistoryRow._make((*fields, _buckets(waits), _buckets(runs)))
        for *fields, waits, runs in json.loads(packed)
    ]


def _buckets(hexadecimal: str) -> dict[int, int]:
    return unpack_buckets(bytes.fromhex(hexadecimal))


def read_history_top(
    connection: sqlite3.Connection,
    order: HistoryOrder,
    step_ms: int,
    from_ms: int,
    to_ms: int,
    limit: int,
) -> list[HistorySum]:
    """As Store.history_top: the best pairs by their sums, and then what the best ran."""
    (packed,) = connection.execute(
        "SELECT json_group_array(json_array(queue, name, completed, failed, (SELECT "
        "group_concat(hex(runs)) FROM json_each(?) AS place CROSS JOIN history AS part "
        "ON part.step_ms = ? AND part.at_ms = place.value AND part.queue = best.queue "
        "AND part.name = best.name))) FROM (SELECT queue, name, completed, failed FROM "
        "(SELECT queue, name, sum(completed) AS completed, sum(failed) AS failed, "
        "sum(run_ms) AS run_ms FROM history WHERE step_ms = ? AND at_ms >= ? AND at_ms < ? "
        f"AND name <> '' GROUP BY queue, name) WHERE {_RANKS[order]} > 0 "
        f"ORDER BY {_RANKS[order]} DESC, queue, name LIMIT ?) AS best",
        (
            json.dumps(list(range(from_ms, to_ms, step_ms))),
            step_ms,
            step_ms,
            from_ms,
            to_ms,
            limit,
        ),
    ).fetchone()
    return [
        HistorySum(queue, name, completed, failed, [_buckets(part) for part in parts.split(",")])
        for queue, name, completed, failed, parts in json.loads(packed)
    ]
