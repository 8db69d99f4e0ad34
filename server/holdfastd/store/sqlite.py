"""The embedded store: one SQLite file, one connection that writes and checkpoints, one that reads.

The writing connection is used for one thing at a time, in a thread of its own; small batches are
written on the event loop's thread where the disk is quick. The reading ones are read-only and serve
people, one of them with charts. Since only one connection ever checkpoints, they stay clear of the
WAL-reset bug of SQLite before 3.51.3 (sqlite.org/wal.html#walresetbug).

A commit that raises is *unknown*, not *failed*: but for a full disk, every error here ends the
process, and the next start reads the truth from the disk.
"""

import asyncio
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from time import perf_counter
from typing import Any, Final, TypeVar

from holdfastd.engine.changes import Batch, HistoryRow, JobRow, Page, Read
from holdfastd.engine.model import QueueKey, State
from holdfastd.store.base import (
    RESTORE_ADVICE,
    HistoryOrder,
    HistorySum,
    JobCursor,
    JobDetail,
    Place,
    Recovered,
    StoreBroken,
    StoreDeposed,
    StoreFull,
    StoreRefused,
    StoreStats,
)
from holdfastd.store.charts import read_history, read_history_top
from holdfastd.store.connection import Connection, connect
from holdfastd.store.files import CHECKPOINT_BYTES, DATABASE_NAME, RESTORING_NAME, log_of, size_of
from holdfastd.store.lock import DirectoryLock, evict_page_cache
from holdfastd.store.reading import load, read_detail, read_jobs, read_page
from holdfastd.store.reserve import Reserve
from holdfastd.store.schema import migrate, pragma
from holdfastd.store.statements import write_batch
from holdfastd.store.upgrade import (
    Stand,
    Upgrading,
    is_needed,
    make_backup,
    plan,
    stand_of,
)
from holdfastd.store.walcheck import is_damaged, used_frames

T = TypeVar("T")

ROW_BYTES: Final = 600
"""What a changed row costs in the log, beside its payload: its page and those of its indexes,
shared with its neighbours. An estimate; it only sets how often a checkpoint is made."""
COMMIT_BYTES: Final = 7 * 4120
"""What a commit costs in the log, whatever is in it: that of one job writes eight pages (measured).
Without it 10,000 commits of one job made a log of 290 MB, which grew all the time; a log that is
written over is synced in 0.10 ms, one that grows in 0.15."""
RESERVE_BYTES: Final = 2 * CHECKPOINT_BYTES
"""At least 4 MB let all acks through where a full disk met 8,000 of them; twice the log is safe."""
HERE_ROWS_MAX: Final = 64
HERE_BYTES_MAX: Final = 256 * 1024
"""A batch of so many rows, and what it adds to the log, is written without a hop. Two wake-ups less
make one producer a fifth faster and eight a third; with thousands at a time the loop's work beside
the writer's is worth more (docs/explanation/performance.md)."""
HERE_S_MAX: Final = 0.001
"""While the last commit took longer the disk is a slow one, and the loop does not wait for it:
0.2 ms is usual."""
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

    def __init__(
        self,
        directory: Path,
        reserve_bytes: int = RESERVE_BYTES,
        upgrading: Upgrading | None = None,
    ):
        """upgrading: None = an older database is refused."""
        self._directory = directory
        self._upgrading = upgrading
        self._path = directory / DATABASE_NAME
        self._wal_path = log_of(self._path)
        self._shm_path = directory / f"{DATABASE_NAME}-shm"
        self._journal_path = directory / f"{DATABASE_NAME}-journal"
        self._lock = DirectoryLock(directory)
        self._reserve = Reserve(directory, reserve_bytes)
        self._writer: Connection | None = None
        self._reader: Connection | None = None
        self._charter: Connection | None = None
        """Another reader, so that no answer waits for a chart."""
        self._epoch = 0
        self._unsaved_bytes = 0
        self._free_bytes = 0
        self._commit_s = inf
        """How long the last one took."""
        self._pinned_bytes = 0
        """Of the log, what the last checkpoint could not move: somebody reads what was before."""

    # ---- opening and closing -------------------------------------------------------------------

    async def open(self) -> Recovered:
        self._lock.acquire()
        try:
            self._refuse_unfinished_restore()
            if self._lock.was_unclean:
                evict_page_cache(self._path, self._wal_path)
            if size_of(self._wal_path):
                await self._check_log()
            if size_of(self._path):
                await self._look_before_writing()
            self._writer = await connect(self._path, is_reader=False)
            recovered = await self._guarded(self._writer.run(self._prepare))
            self._reader = await connect(self._path, is_reader=True)
            await self._guarded(self._reader.run(_prepare_reader))
            self._charter = await connect(self._path, is_reader=True)
            await self._guarded(self._charter.run(_prepare_reader))
            self._lock.mark_unclean()
            self._reserve.take()
        except BaseException as error:
            await self._close_connections()
            self._lock.release()
            if isinstance(error, StoreFull):
                raise StoreRefused(f"{error}, and start again") from error
            raise
        return recovered

    def _refuse_unfinished_restore(self) -> None:
        restoring = self._path.with_name(RESTORING_NAME)
        if restoring.exists():
            raise StoreRefused(
                f"a restore was cut short and left {restoring}: run holdfastd restore again"
            )

    async def _check_log(self) -> None:
        """Raises StoreRefused: commits are missing from the log. Read-only, so that the damaged
        files stay as they are (a writer's closing would checkpoint)."""
        reader = await connect(self._path, is_reader=True)
        try:
            await self._guarded(reader.run(_recover_log))
            used = used_frames(self._shm_path)
        finally:
            await reader.close()
        if is_damaged(self._wal_path, used, self._path):
            raise StoreRefused(
                f"{self._wal_path} is damaged: confirmed changes stand behind the damage and would "
                f"be lost: {RESTORE_ADVICE}; nothing was changed"
            )

    async def _look_before_writing(self) -> None:
        """Refuse what must not be opened; back up what has to be migrated."""
        # A change that was cut short has to be undone before anything can be read: while a file is
        # new (or restored), and is not in WAL mode yet. Only a writing connection can do that.
        is_whole = not size_of(self._journal_path)
        reader = await connect(self._path, is_reader=is_whole)
        try:
            stand = await self._guarded(reader.run(_stand_of, self._path))
        finally:
            await reader.close()
        if stand is not None and is_needed(stand):
            await self._back_up(stand)

    async def _back_up(self, stand: Stand) -> None:
        if self._upgrading is None:
            raise StoreRefused(
                f"{self._path} has schema {stand.schema}, and may not be migrated from here: "
                "start holdfastd on it"
            )
        upgrade = await asyncio.to_thread(plan, self._directory, stand, self._upgrading)
        self._upgrading.on_begin(upgrade)
        if not upgrade.is_made:
            now_ms = self._upgrading.now_ms()
            await asyncio.to_thread(make_backup, self._directory, upgrade, now_ms)

    def _prepare(self, connection: sqlite3.Connection) -> Recovered:
        with _refusing(self._path):
            _set_pragmas(connection, self._path)
            if self._lock.was_broken:
                _check_structure(connection)
            migrate(connection, self._path)
        connection.execute("UPDATE part SET epoch = epoch + 1")
        recovered = load(connection)
        self._epoch = recovered.epoch
        self._free_bytes = _free_bytes(connection)
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
        for connection in (self._charter, self._reader, self._writer):
            if connection is not None:
                await connection.close()
        self._charter = self._reader = self._writer = None

    # ---- writing -------------------------------------------------------------------------------

    async def apply(self, batch: Batch) -> None:
        rows = len(batch.added) + len(batch.leased) + len(batch.completed) + len(batch.rewritten)
        rows += len(batch.removed) + len(batch.history) + len(batch.schedules)
        log_bytes = COMMIT_BYTES + rows * ROW_BYTES + sum([len(row.payload) for row in batch.added])
        log_bytes += sum([len(row.payload) for row in batch.edited])
        log_bytes += sum([len(row.spec.payload) for row in batch.schedules])
        began = perf_counter()
        if self._is_worth_no_hop(batch, rows, log_bytes):
            with self._guarding():
                self._writing.run_here(_apply, self._epoch, batch)
        else:
            await self._guarded(self._run_writer(_apply, self._epoch, batch))
        self._commit_s = perf_counter() - began
        self._unsaved_bytes += log_bytes

    def _is_worth_no_hop(self, batch: Batch, rows: int, log_bytes: int) -> bool:
        """It will be written sooner than two sleeping threads are woken for it. To move or edit a
        job the payload that it has is read, of whatever size."""
        is_small = rows <= HERE_ROWS_MAX and log_bytes <= HERE_BYTES_MAX
        is_small = is_small and not (batch.moved or batch.edited)
        return is_small and self._commit_s < HERE_S_MAX and self._writing.is_idle

    def needs_checkpoint(self) -> bool:
        return self._unsaved_bytes >= CHECKPOINT_BYTES

    async def checkpoint(self) -> bool:
        self._pinned_bytes, self._free_bytes = await self._guarded(self._run_writer(_checkpoint))
        self._unsaved_bytes = 0
        if not self._has_room_for_log:
            raise StoreFull(
                f"{self._wal_path} needs the last space of its disk, since a backup or another "
                "reader of the database keeps it from beginning anew: free some, or end the reader"
            )
        return not self._pinned_bytes

    @property
    def _has_room_for_log(self) -> bool:
        """What only the log has will have to be written to the database as well, and so will what
        comes before the next checkpoint. A disk that lacks this room stays full for ever."""
        if not self._pinned_bytes:
            return True
        free_bytes = shutil.disk_usage(self._path.parent).free + self._reserve.size_bytes
        return free_bytes >= self._pinned_bytes + 2 * CHECKPOINT_BYTES

    async def last_batch(self) -> int:
        def read(connection: sqlite3.Connection) -> int:
            number: int = connection.execute("SELECT batch FROM part").fetchone()[0]
            return number

        return await self._guarded(self._run_writer(read))

    # ---- reading -------------------------------------------------------------------------------

    async def read(self, reads: list[Read]) -> list[Page]:
        def read_all(connection: sqlite3.Connection) -> list[Page]:
            return [read_page(connection, read) for read in reads]

        return await self._guarded(self._run_writer(read_all))

    async def job(self, queue: QueueKey, id: str) -> JobDetail | None:
        return await self._guarded(self._run_reader(read_detail, queue, id))

    async def jobs(
        self, queue: QueueKey, state: State, after: JobCursor | None, limit: int, bytes_max: int
    ) -> tuple[list[JobRow], JobCursor | None]:
        return await self._guarded(
            self._run_reader(read_jobs, queue, state, after, limit, bytes_max)
        )

    async def history(self, queue: str, name: str, places: list[Place]) -> list[HistoryRow]:
        return await self._guarded(self._run_charter(read_history, queue, name, places))

    async def history_top(
        self, order: HistoryOrder, step_ms: int, from_ms: int, to_ms: int, limit: int
    ) -> list[HistorySum]:
        return await self._guarded(
            self._run_charter(read_history_top, order, step_ms, from_ms, to_ms, limit)
        )

    async def has_room(self) -> bool:
        """The reserve could be taken again, and there is room for the log."""
        if self._pinned_bytes:
            try:
                await self.checkpoint()
            except StoreFull:
                return False
        self._reserve.take()
        return self._reserve.is_held

    async def stats(self) -> StoreStats:
        return StoreStats(
            size_of(self._path),
            size_of(self._wal_path),
            shutil.disk_usage(self._path.parent).free,
            self._free_bytes,
        )

    # ---- hops and errors -----------------------------------------------------------------------

    @property
    def _writing(self) -> Connection:
        assert self._writer is not None, "the store is not open"
        return self._writer

    def _run_writer(self, function: Callable[..., T], *arguments: Any) -> Awaitable[T]:
        return self._writing.run(function, *arguments)

    def _run_reader(self, function: Callable[..., T], *arguments: Any) -> Awaitable[T]:
        assert self._reader is not None, "the store is not open"
        return self._reader.run(function, *arguments)

    def _run_charter(self, function: Callable[..., T], *arguments: Any) -> Awaitable[T]:
        assert self._charter is not None, "the store is not open"
        return self._charter.run(function, *arguments)

    async def _guarded(self, running: Awaitable[T]) -> T:
        with self._guarding():
            return await running

    @contextmanager
    def _guarding(self) -> Iterator[None]:
        """SQLite's errors as ours. After a full disk the reserve is given up."""
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", type(error).__name__)
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                self._reserve.give_up()
                raise StoreFull(f"no space left for {self._path}: free some") from error
            self._lock.mark_broken()
            raise StoreBroken(
                f"{self._path}: {name}: {error}: check the disk; if it comes again, "
                f"{RESTORE_ADVICE}"
            ) from error
        except (ValueError, TypeError, KeyError) as error:
            self._lock.mark_broken()
            raise StoreBroken(
                f"{self._path}: a row cannot be read ({error}): {RESTORE_ADVICE}"
            ) from error


# ---- functions that run in the connection's thread -----------------------------------------------


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """SQLite's errors while a file is opened: it cannot be used as it is."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        advice = (
            f"if it is damaged, {RESTORE_ADVICE}; if it is another program's, choose another "
            "directory with --data"
        )
        if isinstance(error, sqlite3.OperationalError):  # not what is in it, but the disk
            advice = "check the disk, its free space and the rights, and start again"
        raise StoreRefused(f"{path} cannot be opened as a database ({error}): {advice}") from error


def _stand_of(connection: sqlite3.Connection, path: Path) -> Stand | None:
    with _refusing(path):
        return stand_of(connection, path)


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


def _checkpoint(connection: sqlite3.Connection) -> tuple[int, int]:
    """Returns the bytes of the log that could not be moved, and the free ones of the database."""
    _, frames, moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return (frames - moved) * pragma(connection, "page_size"), _free_bytes(connection)


def _free_bytes(connection: sqlite3.Connection) -> int:
    return pragma(connection, "freelist_count") * pragma(connection, "page_size")


def _truncate_log(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA busy_timeout = 0")  # a backup under way is not waited for
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
