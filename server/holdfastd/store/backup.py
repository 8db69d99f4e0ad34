"""A copy of the database while the daemon works on: of one instant, checked, never there by half.

It runs in a process of its own, so that it takes neither the daemon's GIL nor its writer thread.
Its connection is read-only (it can neither write nor checkpoint, nor remove the log when it closes)
and holds one read transaction from the first page to the last. That pins the instant: SQLite's
backup would else begin again whenever the daemon commits. What it costs: while the copy is made the
log cannot begin anew and grows by all that is written; so the copy is made fast, and given up when
the log needs the last of its disk.

The copy is made under another name beside its place, synced, read back from the disk and checked,
and only then renamed. Its `application_id` says that it is a backup: the daemon does not start on
it, since tokens of leases that were given out after it must not come again. `store.restore` makes a
database of it.
"""

import fcntl
import os
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from holdfastd.engine.model import State
from holdfastd.store.base import RESTORE_ADVICE, StoreError
from holdfastd.store.codec import checksum
from holdfastd.store.files import CHECKPOINT_BYTES, DATABASE_NAME, log_of, size_of
from holdfastd.store.lock import evict_page_cache, is_held, sync_directory
from holdfastd.store.schema import APPLICATION_ID, BACKUP_APPLICATION_ID, SCHEMA_VERSION, pragma
from holdfastd.store.walcheck import is_damaged, used_frames

STEP_PAGES: Final = 256
"""Copied at once, and synced: 1 MiB. For what a file system has to write for the copy, the daemon's
fsync has to wait. Beside a copy that is synced after each MiB, an fdatasync took 11 ms at p99, as
without a copy (on a busy machine); after each 16, 13 ms; and if it is synced at the end alone,
33 ms at p99.9 where it was 17."""
PAUSE_S: Final = 0.002
"""After each step: the disk is the daemon's first."""
LOG_BYTES_USUAL: Final = 2 * CHECKPOINT_BYTES
"""Up to this length the log is the daemon's own affair."""
SPARE_BYTES: Final = 64 * 1024 * 1024
"""Left free on the target beside the copy. Arbitrary."""
DAMAGED_NAMED: Final = 5
"""Damaged jobs that a report names; it counts them all."""

PARTIAL_SUFFIX: Final = ".holdfast-partial"

_DAMAGED_COPY: Final = (
    "there is no new backup, and older ones are kept; if the next one fails too, the database "
    f"itself is damaged, or the disk: then {RESTORE_ADVICE}"
)


class BackupError(StoreError):
    """There is no backup, or it cannot be used. The text is for the operator."""


class Contents(NamedTuple):
    """What a database file holds, as read and checked from beginning to end."""

    at_ms: int
    """Wall time: of the backup; in a file that is not one, the latest that any job knows of; 0 =
    no job knows of any."""
    epoch: int
    batch: int
    schema: int
    jobs: Counter[State]
    damaged: list[str]
    """QUEUE/ID of the first DAMAGED_NAMED jobs whose checksum is wrong."""
    damaged_count: int


class Backup(NamedTuple):
    """A backup that was made."""

    path: Path
    contents: Contents
    size_bytes: int
    seconds: float
    """For all of it."""
    copy_seconds: float
    """For the copy alone, during which the log could not begin anew."""


def back_up(directory: Path, dest: Path, now_ms: int) -> Backup:
    """Copy the database of a directory, whether a daemon runs there or not.

    Args:
        dest: the file to be, or a directory for it, in which it is named after now_ms.

    Raises:
        BackupError: there is none; nothing of it is left.
    """
    started = time.perf_counter()
    database = directory / DATABASE_NAME
    if not database.is_file():
        raise BackupError(f"there is no database in {directory}: name its directory with --data")
    target = _target(dest, now_ms)
    try:
        _remove_leftovers(target.parent)
        _check_log(directory)
        with _partial_file(target) as (partial, file):
            copy_seconds = _copy(database, partial, file, now_ms)
            evict_page_cache(partial)
            contents = check(partial, target, _DAMAGED_COPY)
            partial.rename(target)
            sync_directory(target.parent)
    except OSError as error:
        raise BackupError(
            f"the backup {target} could not be written ({error.strerror or error}): nothing of it "
            "is left; check the disk, its free space and the rights"
        ) from error
    seconds = time.perf_counter() - started
    return Backup(target, contents, target.stat().st_size, seconds, copy_seconds)


def time_in_names(now_ms: int) -> str:
    """Date and time in UTC, such as 20261125T031500Z."""
    return f"{datetime.fromtimestamp(now_ms / 1000, UTC):%Y%m%dT%H%M%SZ}"


def _target(dest: Path, now_ms: int) -> Path:
    target = dest / f"holdfast-{time_in_names(now_ms)}.db" if dest.is_dir() else dest
    if os.path.lexists(target):
        raise BackupError(f"{target} is there already and is not overwritten: name another file")
    if not target.parent.is_dir():
        raise BackupError(f"there is no directory {target.parent}: make it first")
    return target


# ---- the copy ------------------------------------------------------------------------------------


def _check_log(directory: Path) -> None:
    """Where no daemon runs, see that the log is whole: SQLite would leave out, without a word, all
    that stands behind a damage in it. (A daemon has seen to that when it started.)

    No lock is held meanwhile: a daemon may start at any time, and then it looks for itself.
    """
    wal = log_of(directory / DATABASE_NAME)
    if is_held(directory) or not size_of(wal):
        return
    try:
        with closing(open_file(directory / DATABASE_NAME, "mode=ro")) as reader:
            reader.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.Error as error:
        raise _source_error(directory / DATABASE_NAME, error) from error
    used = used_frames(directory / f"{DATABASE_NAME}-shm")
    if is_damaged(wal, used, directory / DATABASE_NAME) and not is_held(directory):
        raise BackupError(
            f"{wal} is damaged: a backup would lack confirmed changes: {RESTORE_ADVICE}"
        )


def _remove_leftovers(folder: Path) -> None:
    """Of backups that were killed; those still at work hold a lock on theirs."""
    for path in folder.glob(f"*{PARTIAL_SUFFIX}"):
        with suppress(OSError), closing(_Descriptor(path, os.O_RDWR)) as file:
            fcntl.flock(file.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove_with_logs(path)


class _Descriptor:
    def __init__(self, path: Path, flags: int):
        self.number = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def close(self) -> None:
        os.close(self.number)


def _remove_with_logs(path: Path) -> None:
    for suffix in ("-journal", "-wal", "-shm", ""):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


@contextmanager
def _partial_file(target: Path) -> Iterator[tuple[Path, int]]:
    """An empty, locked file beside the target, and its descriptor; gone in the end."""
    partial = target.with_name(f"{target.name}{PARTIAL_SUFFIX}")
    try:
        file = _Descriptor(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    except FileExistsError as error:
        raise BackupError(f"another backup to {target} is under way: {partial}") from error
    with closing(file):
        try:
            fcntl.flock(file.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield partial, file.number
        finally:
            _remove_with_logs(partial)


def _copy(database: Path, partial: Path, file: int, now_ms: int) -> float:
    """Fill the partial file and sync it. Returns the seconds for which the log was pinned."""
    try:
        with closing(open_file(partial, "mode=rw")) as copy:
            # It is synced here, as a whole; a copy that was cut short is thrown away.
            copy.execute("PRAGMA journal_mode = OFF")
            copy.execute("PRAGMA synchronous = OFF")
            copy.execute("PRAGMA locking_mode = EXCLUSIVE")
            with closing(open_file(database, "mode=ro")) as source:
                seconds = _copy_pages(source, database, copy, partial, file)
            _sign(copy, now_ms)
    except sqlite3.Error as error:
        raise _source_error(database, error) from error
    os.fsync(file)
    return seconds


def _sign(copy: sqlite3.Connection, now_ms: int) -> None:
    """Make a backup of the copied database: one file without a log beside it, with its time."""
    copy.execute("PRAGMA journal_mode = DELETE")
    copy.execute("CREATE TABLE backup (at_ms INTEGER NOT NULL) STRICT")
    copy.execute("INSERT INTO backup VALUES (?)", (now_ms,))
    copy.execute(f"PRAGMA application_id = {BACKUP_APPLICATION_ID}")


def _copy_pages(
    source: sqlite3.Connection,
    database: Path,
    copy: sqlite3.Connection,
    partial: Path,
    file: int,
) -> float:
    source.execute("BEGIN")
    _refuse_foreign(source, database, APPLICATION_ID)  # its first read: from here on, one instant
    started = time.perf_counter()
    _check_room(source, partial)
    wal = log_of(database)

    def after_step(status: int, left: int, total: int) -> None:
        # Python's own `sleep` is for a busy source only; it does not pause between steps.
        os.fdatasync(file)
        _give_up_if_too_long(size_of(wal), shutil.disk_usage(database.parent).free)
        time.sleep(PAUSE_S)

    source.backup(copy, pages=STEP_PAGES, progress=after_step)
    return time.perf_counter() - started


def _give_up_if_too_long(log_bytes: int, free_bytes: int) -> None:
    """Once the copy is done, the daemon has to write what is in the log to its database. As long as
    there is room for that, no backup can bring about a full disk that lasts.

    Raises BackupError.
    """
    if log_bytes > LOG_BYTES_USUAL and free_bytes < log_bytes + SPARE_BYTES:
        raise BackupError(
            f"the log has grown to {log_bytes:,} bytes and needs the last {free_bytes:,} of its "
            "disk: the backup was given up; free some space, or try when there is less to do"
        )


def _check_room(source: sqlite3.Connection, partial: Path) -> None:
    needed = pragma(source, "page_count") * pragma(source, "page_size") + SPARE_BYTES
    free = shutil.disk_usage(partial.parent).free
    if free < needed:
        raise BackupError(
            f"a backup needs {needed:,} bytes in {partial.parent}, of which {free:,} are free: "
            "free some, or name another target"
        )


def open_file(path: Path, how: str) -> sqlite3.Connection:
    """how: SQLite's URI parameters, such as mode=ro. It leaves transactions to the caller."""
    return sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True, isolation_level=None)


def _source_error(database: Path, error: sqlite3.Error) -> BackupError:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return BackupError("the target is full: nothing of the backup is left; free some space")
    if isinstance(error, sqlite3.OperationalError):
        return BackupError(
            f"{database} could not be copied ({error}): nothing of the backup is left; check the "
            "disks and their free space, and that this user may read and write there"
        )
    return BackupError(f"{database} is damaged ({error}): {RESTORE_ADVICE}")


# ---- what a file holds ---------------------------------------------------------------------------


def check(path: Path, shown: Path, advice: str) -> Contents:
    """Read a database that nobody has open from beginning to end: its structure, and the checksum
    of every job. In bounded memory.

    Args:
        shown: what it is called in an error; advice: what to do then.

    Raises:
        BackupError: it is foreign, newer, or its structure is damaged. Single damaged jobs are
        counted and named, and are no error.
    """
    try:
        with closing(open_file(path, "mode=ro&immutable=1")) as connection:
            _refuse_foreign(connection, shown, BACKUP_APPLICATION_ID, APPLICATION_ID)
            (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if found != "ok":
                raise sqlite3.DatabaseError(found.replace("\n", " "))
            return _read(connection)
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise BackupError(f"{shown} is damaged ({error}): {advice}") from error


def _refuse_foreign(connection: sqlite3.Connection, shown: Path, *ours: int) -> None:
    """Raises BackupError: its application_id is none of ours, or its schema is newer."""
    application_id = pragma(connection, "application_id")
    version = pragma(connection, "user_version")
    if application_id not in ours:
        raise BackupError(f"{shown} is none of Holdfast's (application id {application_id:#x})")
    if version > SCHEMA_VERSION:
        raise BackupError(
            f"{shown} has schema {version}, this holdfastd knows up to {SCHEMA_VERSION}: use the "
            "newer version"
        )


def _read(connection: sqlite3.Connection) -> Contents:
    """It asks for nothing that schema 1 did not have: older files can be checked, too."""
    epoch, batch = connection.execute("SELECT epoch, batch FROM part").fetchone()
    schema = pragma(connection, "user_version")
    # What is no UTF-8 any more is a damaged job, not a damaged file.
    connection.text_factory = lambda raw: raw.decode(errors="replace")
    names = dict(connection.execute("SELECT key, name FROM queue"))
    jobs: Counter[State] = Counter()
    damaged: list[str] = []
    damaged_count = latest_ms = 0
    for state, queue, id, name, created_at_ms, payload, check, at_ms in connection.execute(
        "SELECT state, queue, id, name, created_at_ms, payload, checksum, "
        "max(created_at_ms, started_at_ms, finished_at_ms) FROM job"
    ):
        jobs[State(state)] += 1
        latest_ms = max(latest_ms, at_ms)
        if check != checksum(queue, id, name, created_at_ms, payload):
            damaged_count += 1
            if len(damaged) < DAMAGED_NAMED:
                damaged.append(f"{names.get(queue, queue)}/{id}")
    at_ms = _at_ms(connection) or latest_ms
    return Contents(at_ms, epoch, batch, schema, jobs, damaged, damaged_count)


def _at_ms(connection: sqlite3.Connection) -> int | None:
    """When the backup was made; None = it is a plain database."""
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'backup'").fetchone():
        return None
    at_ms: int = connection.execute("SELECT at_ms FROM backup").fetchone()[0]
    return at_ms
