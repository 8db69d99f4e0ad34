"""The SQL that reads: one statement step per page, whatever the number of its rows.

A row handed over by a step of its own costs the GIL each time: beside a busy event loop a page of
1,000 took 8 ms, and now and then 63. So SQLite packs a page into one row: a JSON array of what is
text and numbers, and the payloads one after the other, cut here by their lengths. That takes a
quarter longer when nobody is busy, and never more than 9 ms when somebody is (bench.store).
How much of a page fits the bytes that were asked for is looked up before it is read.

Each page finds its rows through an index, in the index's order; a test looks at the plans.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Any, Final

from holdfastd.engine.changes import (
    AttemptRow,
    DelayedPage,
    FinishedPage,
    HistoryPage,
    JobRow,
    JobsById,
    JobsBySeq,
    Key,
    LogRow,
    Page,
    QueuePage,
    QueueRow,
    Read,
    SessionRow,
    WaitingPage,
    key_of,
)
from holdfastd.engine.model import (
    FINISHED,
    AttemptOutcome,
    FailReason,
    QueueKey,
    Seq,
    SessionKey,
    State,
)
from holdfastd.engine.schedules import Schedule
from holdfastd.store.base import JobCursor, JobDetail, Recovered, count_that_fits, detail_of
from holdfastd.store.charts import read_minute
from holdfastd.store.codec import (
    checksum,
    spec_checksum,
    unpack_clearing,
    unpack_counts,
    unpack_options,
    unpack_settings,
    unpack_spec,
)

Values = tuple[Any, ...]

_MIN: Final = -(2**63)
_MAX: Final = 2**63 - 1


# ---- many rows in one ----------------------------------------------------------------------------


_COLUMNS: Final = (
    "seq, queue, id, name, state, priority, ord, run_at_ms, created_at_ms, options, failures, "
    "crashes, releases, token, session, started_at_ms, finished_at_ms, fail_reason, progress, "
    "log_lines"
)
"""In the order of JobRow; result, payload and what its checksum says follow."""
_IN_JSON: Final = _COLUMNS.replace("options", "hex(options)").replace("progress", "hex(progress)")
"""JSON has no bytes. These two are short, and most jobs have neither; NULL becomes ""."""
_STATE, _OPTIONS, _REASON, _PROGRESS, _RESULT, _PAYLOAD, _DAMAGED = map(
    JobRow._fields.index,
    ("state", "options", "fail_reason", "progress", "result", "payload", "is_damaged"),
)
_checked: Final = itemgetter(
    *map(JobRow._fields.index, ("queue", "id", "name", "created_at_ms", "payload"))
)
_STATES: Final = {int(state): state for state in State}
_REASONS: Final = {int(reason): reason for reason in FailReason}


def _packing(*blobs: str) -> str:
    """A SELECT of one row, to be completed by what follows FROM job. blobs: those of result and
    payload that are wanted; the others are None in the rows."""
    lengths = ", ".join(f"length({name})" if name in blobs else "0" for name in _BLOBS)
    # To SQLite they are texts when it joins them, and their bytes stay as they are.
    joined = ", ".join(
        f"CAST(group_concat({name}, '') AS BLOB)" if name in blobs else "NULL" for name in _BLOBS
    )
    return (
        f"SELECT json_group_array(json_array({_IN_JSON}, {lengths}, checksum)), {joined} "
        f"FROM (SELECT {', '.join((_COLUMNS, *blobs))}, checksum FROM job "
    )


_BLOBS: Final = ("result", "payload")
_BARE: Final = _packing()
_WITH_PAYLOAD: Final = _packing("payload")
_WHOLE: Final = _packing(*_BLOBS)


def _rows(connection: sqlite3.Connection, packing: str, tail: str, values: Values) -> list[JobRow]:
    """The rows of a statement, in its order. Fetched whole: a cursor left open would keep the log
    from being checkpointed."""
    packed, results, payloads = connection.execute(f"{packing}{tail})", values).fetchone()
    return list(_unpacked(json.loads(packed), results or b"", payloads or b""))


def _unpacked(rows: list[list[Any]], results: bytes, payloads: bytes) -> Iterator[JobRow]:
    """Thousands at a time, so what is as it should be is only passed on."""
    result_at = payload_at = 0
    for row in rows:
        result_bytes, payload_bytes, check = row[_RESULT:]
        row[_STATE] = _STATES[row[_STATE]]
        row[_OPTIONS] = unpack_options(_bytes_of(row[_OPTIONS]))
        row[_REASON] = _REASONS[row[_REASON]]
        row[_PROGRESS] = _bytes_of(row[_PROGRESS])
        row[_RESULT] = row[_PAYLOAD] = None
        row[_DAMAGED] = False
        if result_bytes:
            row[_RESULT] = results[result_at : result_at + result_bytes]
            result_at += result_bytes
        if payload_bytes:
            row[_PAYLOAD] = payloads[payload_at : payload_at + payload_bytes]
            payload_at += payload_bytes
            row[_DAMAGED] = check != checksum(*_checked(row))
        yield JobRow._make(row)


def _bytes_of(hexadecimal: str) -> bytes | None:
    return bytes.fromhex(hexadecimal) if hexadecimal else None


def _page(
    connection: sqlite3.Connection, packing: str, tail: str, values: Values, limit: int
) -> Page:
    """At most `limit` rows; one more tells if there is more."""
    rows = _rows(connection, packing, f"{tail} LIMIT ?", (*values, limit + 1))
    return Page(rows[:limit], len(rows) > limit)


def _page_in_bytes(
    connection: sqlite3.Connection,
    packing: str,
    tail: str,
    values: Values,
    limit: int,
    bytes_max: int,
) -> Page:
    """At most `limit` rows, and none behind the one whose payload and result pass bytes_max."""
    results = "coalesce(length(result), 0)" if packing is _WHOLE else "0"
    (packed,) = connection.execute(
        "SELECT json_group_array(bytes) FROM "
        f"(SELECT length(payload) + {results} AS bytes FROM job {tail} LIMIT ?)",
        (*values, limit + 1),
    ).fetchone()
    sizes = json.loads(packed)
    count = count_that_fits(sizes[:limit], bytes_max)
    rows = _rows(connection, packing, f"{tail} LIMIT ?", (*values, count))
    return Page(rows, count < len(sizes))


# ---- orders --------------------------------------------------------------------------------------


_FINISHED: Final = "likely(state >= 5)"
"""What the partial index says: SQLite does not conclude it from `state = ?`. Without `likely` it
takes this for the range to look at, and sorts all finished jobs for each page."""


def _after(state: State, sign: str) -> str:
    """WHERE and ORDER BY of a queue's jobs in a state after a key, or before it (sign "<", the last
    first); binds the queue and the key. The order is that of `changes.key_of`."""
    if state is State.ACTIVE:
        # The queue is only a filter: there are few active jobs. Without `+` all jobs of the queue
        # are read and sorted.
        where, first, second = "+queue = ? AND state = 3", "token", "seq"
    elif state is State.WAITING:
        where, first, second = "queue = ? AND state = 1", "priority", "ord"
    elif state is State.DELAYED:
        where, first, second = "queue = ? AND state = 2", "run_at_ms", "seq"
    else:
        where = f"queue = ? AND state = {int(state)} AND {_FINISHED}"
        first, second = "finished_at_ms", "seq"
    direction = "DESC" if sign == "<" else "ASC"
    return (
        f"WHERE {where} AND ({first}, {second}) {sign} (?, ?) "
        f"ORDER BY {first} {direction}, {second} {direction}"
    )


def _from(after: Key | None) -> Key:
    return after or (_MIN, _MIN)


# ---- what the engine reads -----------------------------------------------------------------------


def read_page(connection: sqlite3.Connection, read: Read) -> Page:
    """Answer one read of the engine."""
    return READERS[type(read)](connection, read)


def _read_waiting(connection: sqlite3.Connection, read: WaitingPage) -> Page:
    return _page_in_bytes(
        connection,
        _WITH_PAYLOAD,
        _after(State.WAITING, ">"),
        (read.queue, *_from(read.after)),
        read.limit,
        read.bytes_max,
    )


def _read_delayed(connection: sqlite3.Connection, read: DelayedPage) -> Page:
    tail = "WHERE state = 2 AND (run_at_ms, seq) > (?, ?) ORDER BY run_at_ms, seq"
    return _page(connection, _BARE, tail, _from(read.after), read.limit)


def _read_by_id(connection: sqlite3.Connection, read: JobsById) -> Page:
    tail = "WHERE queue = ? AND id IN (SELECT value FROM json_each(?))"
    rows = _rows(connection, _BARE, tail, (read.queue, json.dumps(read.ids)))
    return Page(sorted(rows), False)  # by seq, the first field


def _read_by_seq(connection: sqlite3.Connection, read: JobsBySeq) -> Page:
    tail = "WHERE seq IN (SELECT value FROM json_each(?))"
    (packed,) = connection.execute(
        "SELECT json_group_array(json_array(seq, bytes)) FROM "
        f"(SELECT seq, length(payload) AS bytes FROM job {tail})",
        (json.dumps(read.seqs),),
    ).fetchone()
    sizes = dict(json.loads(packed))
    found = [seq for seq in read.seqs if seq in sizes]
    # One that passes the limit is left for the next time, unless it is the first.
    count = count_that_fits([sizes[seq] for seq in found], read.bytes_max)
    if count > 1 and sum(sizes[seq] for seq in found[:count]) > read.bytes_max:
        count -= 1
    rows = _rows(connection, _WITH_PAYLOAD, tail, (json.dumps(found[:count]),))
    by_seq = {row.seq: row for row in rows}
    return Page([by_seq[seq] for seq in found[:count]], count < len(found))


def _read_finished(connection: sqlite3.Connection, read: FinishedPage) -> Page:
    before_ms = _MAX if read.before_ms is None else read.before_ms
    (packed,) = connection.execute(
        "SELECT json_group_array(seq) FROM (SELECT seq FROM job WHERE queue = ? AND state = ? AND "
        f"{_FINISHED} AND finished_at_ms < ? ORDER BY finished_at_ms, seq LIMIT ?)",
        (read.queue, read.state, before_ms, read.limit + 1),
    ).fetchone()
    seqs: list[Seq] = json.loads(packed)
    return Page([], len(seqs) > read.limit, tuple(seqs[: read.limit]))


def _read_queue(connection: sqlite3.Connection, read: QueuePage) -> Page:
    values = (read.queue, *_from(read.after))
    return _page(connection, _BARE, _after(read.state, ">"), values, read.limit)


def _read_history(connection: sqlite3.Connection, read: HistoryPage) -> Page:
    return Page([], False, history=read_minute(connection, read))


READERS: Final[dict[type[Any], Callable[[sqlite3.Connection, Any], Page]]] = {
    WaitingPage: _read_waiting,
    DelayedPage: _read_delayed,
    JobsById: _read_by_id,
    JobsBySeq: _read_by_seq,
    FinishedPage: _read_finished,
    QueuePage: _read_queue,
    HistoryPage: _read_history,
}


# ---- what people read ----------------------------------------------------------------------------


def read_detail(connection: sqlite3.Connection, queue: QueueKey, id: str) -> JobDetail | None:
    """As Store.job."""
    tail = "WHERE queue = ? AND id = ? ORDER BY seq DESC LIMIT 1"
    rows = _rows(connection, _WHOLE, tail, (queue, id))
    if not rows:
        return None
    seq = rows[0].seq
    attempts = (
        AttemptRow(*row)._replace(outcome=AttemptOutcome(row[5]))
        for row in connection.execute(
            "SELECT seq, token, attempt, started_at_ms, ended_at_ms, outcome, error_type, "
            "error_message, error_traceback, worker FROM attempt WHERE seq = ? ORDER BY token DESC",
            (seq,),
        )
    )
    logs = (
        LogRow(*row)
        for row in connection.execute(
            "SELECT seq, number, at_ms, line FROM log WHERE seq = ? ORDER BY number DESC", (seq,)
        )
    )
    return detail_of(rows[0], attempts, logs)


def read_jobs(
    connection: sqlite3.Connection,
    queue: QueueKey,
    state: State,
    after: JobCursor | None,
    limit: int,
    bytes_max: int,
) -> tuple[list[JobRow], JobCursor | None]:
    """As Store.jobs."""
    sign = "<" if state in FINISHED else ">"
    start = after or ((_MAX, _MAX) if sign == "<" else (_MIN, _MIN))
    values = (queue, *start)
    page = _page_in_bytes(connection, _WHOLE, _after(state, sign), values, limit, bytes_max)
    return page.rows, JobCursor(*key_of(state, page.rows[-1])) if page.has_more else None


# ---- at the start --------------------------------------------------------------------------------


def load(connection: sqlite3.Connection) -> Recovered:
    """What a start of the daemon needs."""
    epoch, batch, next_seq, next_queue, next_session = connection.execute(
        "SELECT epoch, batch, next_seq, next_queue, next_session FROM part"
    ).fetchone()
    queues = [
        QueueRow(
            QueueKey(key),
            name,
            bool(paused),
            unpack_settings(settings),
            full,
            unpack_counts(counts),
            unpack_clearing(clearing),
        )
        for key, name, paused, settings, full, counts, clearing in connection.execute(
            "SELECT key, name, is_paused, settings, rate_full_at_ms, counts, clearing FROM queue"
        )
    ]
    sessions = [
        SessionRow(SessionKey(key), id, name, request, refused, seen_at_ms, bool(is_quiet))
        for key, id, name, request, refused, seen_at_ms, is_quiet in connection.execute(
            "SELECT key, id, name, last_request, last_refused, seen_at_ms, is_quiet FROM session"
        )
    ]
    return Recovered(
        epoch,
        batch,
        Seq(next_seq),
        QueueKey(next_queue),
        SessionKey(next_session),
        queues,
        sessions,
        _rows(connection, _BARE, "WHERE state = 3 ORDER BY token", ()),
        _schedules(connection, {row.key: row.name for row in queues}),
    )


def _schedules(connection: sqlite3.Connection, names: dict[QueueKey, str]) -> list[Schedule]:
    """names: of the queues. Raises ValueError: one is damaged."""
    found: list[Schedule] = []
    for key, id, packed, check, is_paused, *rest in connection.execute(
        "SELECT queue, id, spec, checksum, is_paused, anchor_ms, next_at_ms, last_due_at_ms, "
        "last_job_id, fired, missed, skipped, created_at_ms, changed_at_ms FROM schedule"
    ):
        if check != spec_checksum(key, id, packed):
            raise ValueError(f"schedule {id} of queue {names.get(key, key)} is damaged")
        spec = unpack_spec(names[key], id, packed)
        found.append(Schedule(QueueKey(key), spec, bool(is_paused), *rest))
    return found


# ---- what a search reads -------------------------------------------------------------------------


UNREADABLE: Final = (ValueError, KeyError, TypeError)
"""What a damaged row raises: of text, a number without a meaning, options that are no msgpack."""


def read_rows(connection: sqlite3.Connection, seqs: list[Seq]) -> dict[Seq, JobRow]:
    """Jobs without payload and result, by seq. Those that are gone, and rows that are damaged
    beyond reading, are left out."""
    tail = "WHERE seq IN (SELECT value FROM json_each(?))"
    try:
        return {row.seq: row for row in _rows(connection, _BARE, tail, (json.dumps(seqs),))}
    except UNREADABLE:
        if len(seqs) < 2:
            return {}
        half = len(seqs) // 2
        return read_rows(connection, seqs[:half]) | read_rows(connection, seqs[half:])


def read_last_errors(connection: sqlite3.Connection, seqs: list[Seq]) -> dict[Seq, str]:
    """Of jobs that have attempts which did not complete: the message of the last one, or its type
    if it has none."""
    rows = connection.execute(
        # The other columns are those of the row that has the maximum (sqlite.org/lang_select).
        "SELECT seq, max(token), error_type, error_message FROM attempt "
        "WHERE seq IN (SELECT value FROM json_each(?)) GROUP BY seq",
        (json.dumps(seqs),),
    ).fetchall()
    return {Seq(seq): message or type for seq, _, type, message in rows}
