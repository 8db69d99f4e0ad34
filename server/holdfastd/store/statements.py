"""One statement step per kind of change: the SQL that writes a batch.

The GIL is handed over once per step, so a hundred rows in one INSERT beside a busy event loop are
many times faster than a hundred INSERTs (DESIGN.md, section 4, has the figures). Statements come in
a few sizes, so that their compiled forms are reused. Only what varies is bound.
"""

import json
import sqlite3
from collections.abc import Sequence
from functools import cache
from itertools import chain, groupby
from typing import Any, Final

from holdfastd.engine.changes import AddedRow, Batch, CompletedRow, EditedRow, MovedRow
from holdfastd.engine.model import DEFAULT_OPTIONS, State
from holdfastd.store import charts
from holdfastd.store.base import ATTEMPTS_KEPT
from holdfastd.store.codec import (
    checksum,
    pack_clearing,
    pack_counts,
    pack_options,
    pack_settings,
    pack_spec,
    spec_checksum,
)

ROWS_PER_STEP: Final = (500, 100, 20, 4, 1)
"""Sizes of multi-row statements: the largest stays below SQLite's 32,766 bound values; a batch
of any size needs few steps."""


@cache
def _values(prefix: str, row: str, count: int, suffix: str) -> str:
    return f"{prefix} VALUES {','.join([row] * count)}{suffix}"


def _write(
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


def write_batch(connection: sqlite3.Connection, batch: Batch) -> None:
    """Every change of a batch, in its order; inside a transaction of the caller."""
    _write_added(connection, batch.added)
    if batch.leased:
        _write(connection, _LEASE, "(?,?,?,?)", batch.leased, _WHERE_SEQ)
    _write_completed(connection, batch.completed)
    if batch.rewritten:
        _write(connection, _REWRITE, f"({','.join('?' * 16)})", batch.rewritten, _WHERE_SEQ)
    if batch.moved or batch.edited:
        _write_moved(connection, batch.moved)
        _write_edited(connection, batch.edited)
    if batch.attempts:
        _write(connection, _ATTEMPT, f"({','.join('?' * 10)})", batch.attempts)
        for row in batch.attempts:
            if row.attempt > ATTEMPTS_KEPT:  # rare: most jobs have ended before
                connection.execute(_OLD_ATTEMPTS, (row.seq, row.attempt - ATTEMPTS_KEPT))
    if batch.logs:
        _write(connection, "INSERT OR REPLACE INTO log", "(?,?,?,?)", batch.logs)
    if batch.removed:
        seqs = json.dumps(batch.removed)
        for table in ("job", "attempt", "log", "tag"):
            connection.execute(_remove_from(table, "seq"), (seqs,))
    _write_queues_and_sessions(connection, batch)
    _write_schedules(connection, batch)
    if batch.history:
        _write(connection, charts.WRITE, charts.ROW, charts.values_of(batch.history))
    charts.cut(connection, batch.history_cuts)


_WHERE_SEQ: Final = ") AS row WHERE job.seq = row.column1"
_LEASE: Final = (
    "UPDATE job SET state = 3, token = row.column2, session = row.column3, "
    "started_at_ms = row.column4 FROM ("
)
_REWRITE: Final = (
    "UPDATE job SET state = row.column2, priority = row.column3, ord = row.column4, "
    "run_at_ms = row.column5, failures = row.column6, crashes = row.column7, "
    "releases = row.column8, token = row.column9, session = row.column10, "
    "started_at_ms = row.column11, finished_at_ms = row.column12, fail_reason = row.column13, "
    "result = row.column14, progress = row.column15, log_lines = row.column16 FROM ("
)
_OLD_ATTEMPTS: Final = "DELETE FROM attempt WHERE seq = ? AND attempt <= ?"
_ATTEMPT: Final = "INSERT OR REPLACE INTO attempt"
_COLUMNS: Final = (
    "seq, queue, id, name, state, priority, ord, run_at_ms, created_at_ms, options, failures, "
    "crashes, releases, token, session, started_at_ms, finished_at_ms, fail_reason, log_lines, "
    "checksum, progress, result, payload"
)
_INSERT: Final = f"INSERT INTO job ({_COLUMNS})"
_PLAIN_WAITING: Final = "(?,?,?,?,1,?,?,0,?,NULL,0,0,0,0,0,0,0,0,0,?,NULL,NULL,?)"
_PLAIN_ACTIVE: Final = "(?,?,?,?,3,?,?,0,?,NULL,0,0,0,?,?,?,0,0,0,?,NULL,NULL,?)"
_ANY: Final = "(?,?,?,?,?,?,?,?,?,?,0,0,0,?,?,?,0,0,0,?,NULL,NULL,?)"


def _write_added(connection: sqlite3.Connection, rows: list[AddedRow]) -> None:
    """Most jobs are plain: default options, not delayed; those bind 9 or 12 values, not 15."""
    waiting: list[tuple[Any, ...]] = []
    active: list[tuple[Any, ...]] = []
    others: list[tuple[Any, ...]] = []
    tags: list[tuple[str, int]] = []
    for row in rows:
        (seq, queue, id, name, state, priority, order, run_at_ms, created_at_ms, options) = row[:10]
        payload, token, session, started_at_ms = row[10:]
        check = checksum(queue, id, name, created_at_ms, payload)
        is_plain = options is DEFAULT_OPTIONS and not run_at_ms
        if is_plain and state is State.WAITING and not token:
            waiting.append((seq, queue, id, name, priority, order, created_at_ms, check, payload))
        elif is_plain and state is State.ACTIVE:
            active.append(
                (
                    seq,
                    queue,
                    id,
                    name,
                    priority,
                    order,
                    created_at_ms,
                    token,
                    session,
                    started_at_ms,
                    check,
                    payload,
                )
            )
        else:
            others.append((*row[:9], pack_options(options), *row[11:], check, payload))
            tags += [(tag, seq) for tag in options.tags]
    if waiting:
        _write(connection, _INSERT, _PLAIN_WAITING, waiting)
    if active:
        _write(connection, _INSERT, _PLAIN_ACTIVE, active)
    if others:
        _write(connection, _INSERT, _ANY, others)
    if tags:
        _write(connection, "INSERT INTO tag", "(?,?)", tags)


_COMPLETE: Final = "UPDATE job SET state = 5, session = 0, "


def _write_completed(connection: sqlite3.Connection, rows: list[CompletedRow]) -> None:
    """Those without a result that ended in the same millisecond need nothing but their numbers."""
    bare = sorted((row[1], row[0]) for row in rows if row[2] is None)
    for finished_at_ms, group in groupby(bare, key=lambda pair: pair[0]):
        seqs = json.dumps([seq for _, seq in group])
        connection.execute(
            f"{_COMPLETE}finished_at_ms = ? WHERE seq IN (SELECT value FROM json_each(?))",
            (finished_at_ms, seqs),
        )
    with_result = [row for row in rows if row[2] is not None]
    if with_result:
        prefix = f"{_COMPLETE}finished_at_ms = row.column2, result = row.column3 FROM ("
        _write(connection, prefix, "(?,?,?)", with_result, _WHERE_SEQ)


_CHECKED: Final = "SELECT queue, id, name, created_at_ms, payload, checksum FROM job WHERE seq = ?"
"""What the checksum is made of, and the checksum: read row by row, for these commands are rare and
the payloads of a batch may be many and large."""
_MOVE: Final = "UPDATE job SET queue = row.column2, checksum = row.column3 FROM ("
_EDIT: Final = "UPDATE job SET payload = row.column2, checksum = row.column3 FROM ("


def _write_moved(connection: sqlite3.Connection, rows: list[MovedRow]) -> None:
    """The checksum is of the queue too. One that is wrong stays wrong: what is damaged is not made
    good by moving it."""
    moved: list[tuple[int, int, int]] = []
    for seq, queue in rows:
        before, *fields, check = connection.execute(_CHECKED, (seq,)).fetchone()
        damage = check ^ checksum(before, *fields)
        moved.append((seq, queue, checksum(queue, *fields) ^ damage))
    _write(connection, _MOVE, "(?,?,?)", moved, _WHERE_SEQ)


def _write_edited(connection: sqlite3.Connection, rows: list[EditedRow]) -> None:
    edited: list[tuple[int, bytes, int]] = []
    for seq, payload in rows:
        queue, id, name, created_at_ms, *_ = connection.execute(_CHECKED, (seq,)).fetchone()
        edited.append((seq, payload, checksum(queue, id, name, created_at_ms, payload)))
    _write(connection, _EDIT, "(?,?,?)", edited, _WHERE_SEQ)


def _remove_from(table: str, column: str) -> str:
    return f"DELETE FROM {table} WHERE {column} IN (SELECT value FROM json_each(?))"


# The name of a queue and the id of a session never change: their indexes are left alone, two pages
# less in the log of each commit.
_QUEUE_IS_THERE: Final = (
    " ON CONFLICT (key) DO UPDATE SET is_paused = excluded.is_paused, "
    "settings = excluded.settings, rate_full_at_ms = excluded.rate_full_at_ms, "
    "counts = excluded.counts, clearing = excluded.clearing"
)
_SESSION_IS_THERE: Final = (
    " ON CONFLICT (key) DO UPDATE SET name = excluded.name, "
    "last_request = excluded.last_request, last_refused = excluded.last_refused, "
    "seen_at_ms = excluded.seen_at_ms, is_quiet = excluded.is_quiet"
)


def _write_queues_and_sessions(connection: sqlite3.Connection, batch: Batch) -> None:
    """Those that go first: one may come back in the same batch by its name, under another key."""
    if batch.queues_removed:
        connection.execute(_remove_from("queue", "key"), (json.dumps(batch.queues_removed),))
    if batch.sessions_removed:
        connection.execute(_remove_from("session", "key"), (json.dumps(batch.sessions_removed),))
    if batch.queues:
        queues = [
            (
                row.key,
                row.name,
                int(row.is_paused),
                pack_settings(row.settings),
                row.rate_full_at_ms,
                pack_counts(row.counts),
                pack_clearing(row.clearing),
            )
            for row in batch.queues
        ]
        _write(connection, "INSERT INTO queue", "(?,?,?,?,?,?,?)", queues, _QUEUE_IS_THERE)
    if batch.sessions:
        _write(
            connection, "INSERT INTO session", "(?,?,?,?,?,?,?)", batch.sessions, _SESSION_IS_THERE
        )


_REMOVE_SCHEDULE: Final = "DELETE FROM schedule WHERE queue = ? AND id = ?"


def _write_schedules(connection: sqlite3.Connection, batch: Batch) -> None:
    """Rare, but where very many are due at once; they are removed one by one, by people."""
    for place in batch.schedules_removed:
        connection.execute(_REMOVE_SCHEDULE, place)
    if batch.schedules:
        rows = []
        for key, spec, is_paused, *rest in batch.schedules:
            packed = pack_spec(spec)
            check = spec_checksum(key, spec.id, packed)
            rows.append((key, spec.id, packed, check, int(is_paused), *rest))
        _write(connection, "INSERT OR REPLACE INTO schedule", f"({','.join('?' * 14)})", rows)
