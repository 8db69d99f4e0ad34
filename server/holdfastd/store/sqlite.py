"""The embedded store: one SQLite file, one connection that writes and checkpoints, one that reads.

The writing connection belongs to one thread; the pipeline calls it for one thing at a time. The
reading one is read-only and serves people. Two connections, of which only one ever checkpoints,
stay clear of the WAL-reset bug of SQLite before 3.51.3 (sqlite.org/wal.html#walresetbug).

A commit that raises is *unknown*, not *failed*: but for a full disk, every error here ends the
process, and the next start reads the truth from the disk.
"""

import json
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from holdfastd.engine.changes import (
    AttemptRow,
    Batch,
    DelayedPage,
    FinishedPage,
    JobRow,
    JobsById,
    JobsBySeq,
    LogRow,
    Page,
    QueuePage,
    QueueRow,
    Read,
    SessionRow,
    WaitingPage,
)
from holdfastd.engine.model import (
    AttemptOutcome,
    FailReason,
    QueueKey,
    Seq,
    SessionKey,
    State,
    Token,
)
from holdfastd.store.base import (
    JobCursor,
    JobDetail,
    Recovered,
    StoreBroken,
    StoreDeposed,
    StoreFull,
    StoreRefused,
    StoreStats,
    cursor_of,
    cut_by_bytes,
    detail_of,
)
from holdfastd.store.codec import (
    checksum,
    unpack_clearing,
    unpack_counts,
    unpack_options,
    unpack_settings,
)
from holdfastd.store.connection import Connection, connect
from holdfastd.store.lock import DirectoryLock, evict_page_cache
from holdfastd.store.reserve import Reserve
from holdfastd.store.schema import migrate
from holdfastd.store.statements import write_batch
from holdfastd.store.walcheck import is_damaged, used_frames

T = TypeVar("T")

DATABASE_NAME: Final = "holdfast.db"
CHECKPOINT_BYTES: Final = 32 * 1024 * 1024
"""Written since the last checkpoint, roughly, before the next one."""
ROW_BYTES: Final = 600
"""What a changed row costs in the log, beside its payload: its page and those of its indexes,
shared with its neighbours. An estimate; it only sets how often a checkpoint is made."""
RESERVE_BYTES: Final = 2 * CHECKPOINT_BYTES
"""At least 4 MB let all acks through where a full disk met 8,000 of them; twice the log is safe."""
WRITER_CACHE_KIB: Final = 32 * 1024
READER_CACHE_KIB: Final = 8 * 1024

PRAGMAS: Final = (
    # (name, value set, value that must be read back)
    ("journal_mode", "WAL", "wal"),
    ("synchronous", "FULL", 2),
    ("wal_autocheckpoint", 0, 0),  # an automatic one hides its errors from us
    ("journal_size_limit", 2 * CHECKPOINT_BYTES, 2 * CHECKPOINT_BYTES),
    ("mmap_size", 0, None),  # with mmap an I/O error is a signal, not an error
    ("temp_store", "MEMORY", 2),
    ("cell_size_check", "ON", 1),
    ("trusted_schema", "OFF", 0),
    ("cache_size", -WRITER_CACHE_KIB, -WRITER_CACHE_KIB),
)


class SqliteStore:
    """The Store of `store.base` in a directory of its own."""

    def __init__(self, directory: Path, reserve_bytes: int = RESERVE_BYTES):
        self._path = directory / DATABASE_NAME
        self._wal_path = directory / f"{DATABASE_NAME}-wal"
        self._shm_path = directory / f"{DATABASE_NAME}-shm"
        self._lock = DirectoryLock(directory)
        self._reserve = Reserve(directory, reserve_bytes)
        self._writer: Connection | None = None
        self._reader: Connection | None = None
        self._epoch = 0
        self._unsaved_bytes = 0

    # ---- opening and closing -------------------------------------------------------------------

    async def open(self) -> Recovered:
        self._lock.acquire()
        try:
            if self._lock.was_unclean:
                evict_page_cache(self._path, self._wal_path)
            if _size_of(self._wal_path):
                await self._check_log()
            self._writer = await connect(self._path, is_reader=False)
            recovered = await self._guarded(self._writer.run(self._prepare))
            self._reader = await connect(self._path, is_reader=True)
            await self._guarded(self._reader.run(_prepare_reader))
            self._lock.mark_unclean()
            self._reserve.take()
        except BaseException:
            await self._close_connections()
            self._lock.release()
            raise
        return recovered

    async def _check_log(self) -> None:
        """Raises StoreRefused: commits are missing from the log. Read-only, so that the damaged
        files stay as they are (a writer's closing would checkpoint)."""
        reader = await connect(self._path, is_reader=True)
        try:
            await self._guarded(reader.run(_recover_log))
            used = used_frames(self._shm_path)
        finally:
            await reader.close()
        if is_damaged(self._wal_path, used):
            raise StoreRefused(
                f"{self._wal_path} is damaged: confirmed changes stand behind the damage and would "
                "be lost: restore a backup; nothing was changed"
            )

    def _prepare(self, connection: sqlite3.Connection) -> Recovered:
        try:
            _set_pragmas(connection, self._path)
            if self._lock.was_broken:
                _check_structure(connection)
            migrate(connection, self._path)
        except sqlite3.DatabaseError as error:
            advice = (
                "if it is damaged, restore a backup; if it is another program's, choose another "
                "directory with --data"
            )
            if isinstance(error, sqlite3.OperationalError):  # not what is in it, but the disk
                advice = "check the disk, its free space and the rights, and start again"
            raise StoreRefused(
                f"{self._path} cannot be opened as a database ({error}): {advice}"
            ) from error
        connection.execute("UPDATE part SET epoch = epoch + 1")
        recovered = _load(connection)
        self._epoch = recovered.epoch
        return recovered

    async def close(self) -> None:
        is_clean = True
        if self._writer is not None:
            try:
                await self._guarded(self._writer.run(_truncate_log))
            except StoreFull:
                is_clean = False  # all is in the log, which the next start reads
        await self._close_connections()
        if is_clean:
            self._lock.mark_clean()
        self._lock.release()

    async def _close_connections(self) -> None:
        for connection in (self._reader, self._writer):
            if connection is not None:
                await connection.close()
        self._reader = self._writer = None

    # ---- writing -------------------------------------------------------------------------------

    async def apply(self, batch: Batch) -> None:
        await self._guarded(self._run_writer(_apply, self._epoch, batch))
        rows = len(batch.added) + len(batch.leased) + len(batch.completed) + len(batch.rewritten)
        payload_bytes = sum([len(row.payload) for row in batch.added])
        self._unsaved_bytes += (rows + len(batch.removed) + 4) * ROW_BYTES + payload_bytes

    def needs_checkpoint(self) -> bool:
        return self._unsaved_bytes >= CHECKPOINT_BYTES

    async def checkpoint(self) -> None:
        await self._guarded(self._run_writer(_checkpoint))
        self._unsaved_bytes = 0

    async def last_batch(self) -> int:
        def read(connection: sqlite3.Connection) -> int:
            number: int = connection.execute("SELECT batch FROM part").fetchone()[0]
            return number

        return await self._guarded(self._run_writer(read))

    # ---- reading -------------------------------------------------------------------------------

    async def read(self, reads: list[Read]) -> list[Page]:
        def read_all(connection: sqlite3.Connection) -> list[Page]:
            return [_READERS[type(read)](connection, read) for read in reads]

        return await self._guarded(self._run_writer(read_all))

    async def job(self, queue: QueueKey, id: str) -> JobDetail | None:
        return await self._guarded(self._run_reader(_read_detail, queue, id))

    async def jobs(
        self, queue: QueueKey, state: State, after: JobCursor | None, limit: int, bytes_max: int
    ) -> tuple[list[JobRow], JobCursor | None]:
        return await self._guarded(
            self._run_reader(_read_jobs, queue, state, after, limit, bytes_max)
        )

    async def has_room(self) -> bool:
        """The reserve could be taken again."""
        self._reserve.take()
        return self._reserve.is_held

    async def stats(self) -> StoreStats:
        return StoreStats(
            _size_of(self._path),
            _size_of(self._wal_path),
            shutil.disk_usage(self._path.parent).free,
        )

    # ---- hops and errors -----------------------------------------------------------------------

    def _run_writer(self, function: Callable[..., T], *arguments: Any) -> Awaitable[T]:
        assert self._writer is not None, "the store is not open"
        return self._writer.run(function, *arguments)

    def _run_reader(self, function: Callable[..., T], *arguments: Any) -> Awaitable[T]:
        assert self._reader is not None, "the store is not open"
        return self._reader.run(function, *arguments)

    async def _guarded(self, running: Awaitable[T]) -> T:
        """SQLite's errors as ours. After a full disk the reserve is given up."""
        try:
            return await running
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", type(error).__name__)
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                self._reserve.give_up()
                raise StoreFull(f"no space left for {self._path}: free some") from error
            self._lock.mark_broken()
            raise StoreBroken(
                f"{self._path}: {name}: {error}: check the disk; if it comes again, "
                "restore a backup"
            ) from error
        except (ValueError, TypeError) as error:
            self._lock.mark_broken()
            raise StoreBroken(
                f"{self._path}: a row cannot be read ({error}): restore a backup"
            ) from error


# ---- functions that run in the connection's thread -----------------------------------------------


def _set_pragmas(connection: sqlite3.Connection, path: Path) -> None:
    for name, value, expected in PRAGMAS:
        connection.execute(f"PRAGMA {name} = {value}")
        found = connection.execute(f"PRAGMA {name}").fetchone()
        if expected is not None and (found is None or found[0] != expected):
            raise StoreRefused(
                f"{path}: PRAGMA {name} is {found and found[0]!r} and should be {expected!r}: this "
                "SQLite or this file system cannot keep the promise"
            )


def _check_structure(connection: sqlite3.Connection) -> None:
    """After a daemon that found the database broken: 0.3 s per million jobs (measured)."""
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(found.replace("\n", " "))


def _recover_log(connection: sqlite3.Connection) -> None:
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()


def _prepare_reader(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA query_only = ON")
    connection.execute(f"PRAGMA cache_size = {-READER_CACHE_KIB}")


def _apply(connection: sqlite3.Connection, epoch: int, batch: Batch) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        changed = connection.execute(
            "UPDATE part SET batch = ?, next_seq = ?, next_queue = ?, next_session = ? "
            "WHERE epoch = ? AND batch = ?",
            (
                batch.number,
                batch.next_seq,
                batch.next_queue,
                batch.next_session,
                epoch,
                batch.number - 1,
            ),
        ).rowcount
        if changed != 1:
            raise StoreDeposed(
                f"batch {batch.number} of epoch {epoch} does not follow what is stored: another "
                "holdfastd has this database"
            )
        write_batch(connection, batch)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _checkpoint(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _truncate_log(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _load(connection: sqlite3.Connection) -> Recovered:
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
        SessionRow(SessionKey(row[0]), *row[1:])
        for row in connection.execute("SELECT key, id, name, last_request, seen_at_ms FROM session")
    ]
    active = _rows(connection, _SELECT_BARE + " WHERE state = 3 ORDER BY token", ())
    return Recovered(
        epoch,
        batch,
        Seq(next_seq),
        QueueKey(next_queue),
        SessionKey(next_session),
        queues,
        sessions,
        active,
    )


_FIELDS: Final = (
    "seq, queue, id, name, state, priority, ord, run_at_ms, created_at_ms, options, failures, "
    "crashes, releases, token, session, started_at_ms, finished_at_ms, fail_reason, progress, "
    "log_lines, checksum"
)
_SELECT_BARE: Final = f"SELECT {_FIELDS}, NULL, NULL FROM job"
_SELECT_WITH_PAYLOAD: Final = f"SELECT {_FIELDS}, NULL, payload FROM job"
_SELECT_WHOLE: Final = f"SELECT {_FIELDS}, result, payload FROM job"


def _rows(connection: sqlite3.Connection, sql: str, values: tuple[Any, ...]) -> list[JobRow]:
    """Fetched whole: a cursor left open would keep the log from being checkpointed."""
    return [_job_row(row) for row in connection.execute(sql, values).fetchall()]


def _job_row(row: tuple[Any, ...]) -> JobRow:
    (seq, queue, id, name, state, priority, order, run_at_ms, created_at_ms, options) = row[:10]
    (failures, crashes, releases, token, session, started_at_ms, finished_at_ms) = row[10:17]
    (reason, progress, log_lines, check, result, payload) = row[17:]
    is_damaged = payload is not None and check != checksum(queue, id, name, created_at_ms, payload)
    return JobRow(
        Seq(seq),
        QueueKey(queue),
        id,
        name,
        State(state),
        priority,
        order,
        run_at_ms,
        created_at_ms,
        unpack_options(options),
        failures,
        crashes,
        releases,
        Token(token),
        SessionKey(session),
        started_at_ms,
        finished_at_ms,
        FailReason(reason),
        progress,
        log_lines,
        result,
        payload,
        is_damaged,
    )


def _page(connection: sqlite3.Connection, sql: str, values: tuple[Any, ...], limit: int) -> Page:
    """At most `limit` rows of a statement that ends in LIMIT ?; one more tells if there is more."""
    rows = _rows(connection, f"{sql} LIMIT ?", (*values, limit + 1))
    return Page(rows[:limit], len(rows) > limit)


_MIN: Final = -(2**63)


def _read_waiting(connection: sqlite3.Connection, read: WaitingPage) -> Page:
    first, second = read.after or (_MIN, _MIN)
    page = _page(
        connection,
        f"{_SELECT_WITH_PAYLOAD} WHERE state = 1 AND queue = ? AND (priority, ord) > (?, ?) "
        "ORDER BY priority, ord",
        (read.queue, first, second),
        read.limit,
    )
    return cut_by_bytes(page, read.bytes_max)


def _read_delayed(connection: sqlite3.Connection, read: DelayedPage) -> Page:
    first, second = read.after or (_MIN, _MIN)
    return _page(
        connection,
        f"{_SELECT_BARE} WHERE state = 2 AND (run_at_ms, seq) > (?, ?) ORDER BY run_at_ms, seq",
        (first, second),
        read.limit,
    )


def _read_by_id(connection: sqlite3.Connection, read: JobsById) -> Page:
    rows = _rows(
        connection,
        f"{_SELECT_BARE} WHERE queue = ? AND id IN (SELECT value FROM json_each(?)) ORDER BY seq",
        (read.queue, json.dumps(read.ids)),
    )
    return Page(rows, False)


def _read_by_seq(connection: sqlite3.Connection, read: JobsBySeq) -> Page:
    sizes = dict(
        connection.execute(
            "SELECT seq, length(payload) FROM job WHERE seq IN (SELECT value FROM json_each(?))",
            (json.dumps(read.seqs),),
        ).fetchall()
    )
    chosen: list[Seq] = []
    total = 0
    for seq in read.seqs:
        if seq in sizes:
            total += sizes[seq]
            if chosen and total > read.bytes_max:
                break
            chosen.append(seq)
    rows = _rows(
        connection,
        f"{_SELECT_WITH_PAYLOAD} WHERE seq IN (SELECT value FROM json_each(?))",
        (json.dumps(chosen),),
    )
    by_seq = {row.seq: row for row in rows}
    return Page([by_seq[seq] for seq in chosen], len(chosen) < len(sizes))


def _read_finished(connection: sqlite3.Connection, read: FinishedPage) -> Page:
    before_ms = 2**63 - 1 if read.before_ms is None else read.before_ms
    # `state >= 5` is what the partial index says; SQLite does not conclude it from `state = ?`.
    found = connection.execute(
        "SELECT seq FROM job WHERE queue = ? AND state = ? AND state >= 5 AND finished_at_ms < ? "
        "ORDER BY finished_at_ms, seq LIMIT ?",
        (read.queue, read.state, before_ms, read.limit + 1),
    ).fetchall()
    return Page([], len(found) > read.limit, tuple(Seq(row[0]) for row in found[: read.limit]))


def _read_queue(connection: sqlite3.Connection, read: QueuePage) -> Page:
    states = ",".join(str(int(state)) for state in read.states)
    return _page(
        connection,
        f"{_SELECT_BARE} WHERE queue = ? AND +state IN ({states}) AND seq > ? ORDER BY seq",
        (read.queue, read.after),
        read.limit,
    )


_READERS: Final[dict[type[Any], Callable[[sqlite3.Connection, Any], Page]]] = {
    WaitingPage: _read_waiting,
    DelayedPage: _read_delayed,
    JobsById: _read_by_id,
    JobsBySeq: _read_by_seq,
    FinishedPage: _read_finished,
    QueuePage: _read_queue,
}


def _read_detail(connection: sqlite3.Connection, queue: QueueKey, id: str) -> JobDetail | None:
    rows = _rows(
        connection,
        f"{_SELECT_WHOLE} WHERE queue = ? AND id = ? ORDER BY seq DESC LIMIT 1",
        (queue, id),
    )
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


_ORDERS: Final = {
    State.WAITING: ("state = 1", "priority", "ord", ">"),
    State.DELAYED: ("state = 2", "run_at_ms", "seq", ">"),
    State.ACTIVE: ("state = 3", "token", "seq", ">"),
}


def _read_jobs(
    connection: sqlite3.Connection,
    queue: QueueKey,
    state: State,
    after: JobCursor | None,
    limit: int,
    bytes_max: int,
) -> tuple[list[JobRow], JobCursor | None]:
    newest_first = (f"state = {int(state)} AND state >= 5", "finished_at_ms", "seq", "<")
    where, first, second, sign = _ORDERS.get(state, newest_first)
    direction = "DESC" if sign == "<" else "ASC"
    start = after or JobCursor(*((2**63 - 1,) * 2 if sign == "<" else (_MIN, _MIN)))
    page = cut_by_bytes(
        _page(
            connection,
            f"{_SELECT_WHOLE} WHERE {where} AND queue = ? AND ({first}, {second}) {sign} (?, ?) "
            f"ORDER BY {first} {direction}, {second} {direction}",
            (queue, start.first, start.second),
            limit,
        ),
        bytes_max,
    )
    return page.rows, cursor_of(state, page.rows[-1]) if page.has_more else None


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
