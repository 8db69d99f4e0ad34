"""A database from a backup, in place of one that is lost or damaged.

What a backup does not know: every token, session and start of the daemon that came after it. So a
restored database must never be taken for the one it was copied from.

- Its **epoch** is raised beyond every one that the old daemon can have had (`raised_epoch`): tokens
  given out after the backup are then older than all new ones, and are refused as any stale token.
- **No lease** of it holds. Its active jobs wait again at their place, counted as released.
- **No session** of it is known. A client that resumes one is told `resumed = false`, as it must be:
  the server has forgotten things that it had confirmed. It sends what was not answered again.

Everything is prepared in a file of its own. Then the old files are moved aside, never deleted, and
the new one takes their place. A crash between the two leaves `holdfast.restoring`, beside which no
daemon starts; restoring again finishes it.
"""

import os
import shutil
import sqlite3
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from holdfastd.engine.model import TOKEN_COUNTER_BITS, AttemptOutcome, State
from holdfastd.store.backup import BackupError, Contents, check, open_file, time_in_names
from holdfastd.store.codec import pack_counts, unpack_counts
from holdfastd.store.files import DATABASE_NAME, RESTORING_NAME, log_of, size_of
from holdfastd.store.lock import LOCK_NAME, DirectoryLock, evict_page_cache, sync_directory
from holdfastd.store.schema import APPLICATION_ID, migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

STARTS_SPARE: Final = 1_024
"""Starts of the old daemon after the backup that are allowed for in any case. Arbitrary."""
START_MS: Final = 30_000
"""And one more for each so long since the backup: a daemon that starts more often than that, on and
on for weeks, gives its work out to nobody. It also keeps two restores of one backup apart."""
EPOCH_MAX: Final = 2 ** (63 - TOKEN_COUNTER_BITS) - 1
"""A token is a signed 64-bit integer in the file: 8 million epochs, of which a restore of
yesterday's backup takes 4,000."""
OLD_FILES: Final = tuple(f"{DATABASE_NAME}{suffix}" for suffix in ("", "-wal", "-shm", "-journal"))


class Restored(NamedTuple):
    contents: Contents
    """Of the backup."""
    epoch: int
    """The next start of the daemon has the one after it."""
    released_count: int
    """Jobs that were active in the backup, and wait again."""
    moved_to: Path | None
    """Where the old files are now; None = there were none."""


def restore(backup: Path, directory: Path, now_ms: int, *, moves_aside: bool) -> Restored:
    """Make the directory's database from a backup, or from any whole database file of ours.

    Args:
        moves_aside: a database that is there already is moved to a folder beside it.

    Raises:
        StoreRefused: a daemon runs there. BackupError: the backup cannot be used, or there is a
        database and it may not be moved. Nothing was changed.
    """
    _refuse_in_use(backup)
    with _locked(directory) as lock:
        if _old_files(directory) and not moves_aside:
            raise BackupError(
                f"{directory} has a database already: say --move-aside to keep it under another "
                "name there, or restore into another directory"
            )
        prepared = directory / f"{RESTORING_NAME}.partial"
        try:
            _fetch(backup, prepared)
            contents = check(prepared, backup, "use another backup; nothing was changed")
            known_epoch = _epoch_of(directory / DATABASE_NAME)
            epoch, released_count = _make_database(prepared, contents, known_epoch, now_ms)
            _sync(prepared)
            restoring = directory / RESTORING_NAME
            prepared.rename(restoring)
            sync_directory(directory)
        except (OSError, sqlite3.OperationalError) as error:
            raise BackupError(
                f"{backup} could not be restored to {directory} ({error}): nothing was changed"
            ) from error
        finally:
            prepared.unlink(missing_ok=True)
        moved_to = _move_aside(directory, now_ms)
        restoring.rename(directory / DATABASE_NAME)
        lock.mark_clean()  # and syncs the directory
    return Restored(contents, epoch, released_count, moved_to)


def _old_files(directory: Path) -> list[Path]:
    return [directory / name for name in OLD_FILES if (directory / name).exists()]


def _refuse_in_use(backup: Path) -> None:
    if not backup.is_file():
        raise BackupError(f"there is no backup {backup}")
    log = log_of(backup)
    if size_of(log):
        raise BackupError(
            f"{backup} is a database in use, with a log beside it ({log.name}), and no backup: "
            "make one with holdfastd backup"
        )


@contextmanager
def _locked(directory: Path) -> "Iterator[DirectoryLock]":
    """The directory's lock; the directory goes again if it was made in vain."""
    lock = DirectoryLock(directory)
    was_there = directory.exists()
    lock.acquire()
    try:
        if not was_there:
            sync_directory(directory.parent)
        yield lock
    except BaseException:
        if not was_there:
            (directory / LOCK_NAME).unlink()
            with suppress(OSError):  # something has been put there meanwhile
                directory.rmdir()
        raise
    finally:
        lock.release()


def _fetch(backup: Path, prepared: Path) -> None:
    """Copy it; from then on only the copy is looked at, as the disk has it."""
    needed, free = backup.stat().st_size, shutil.disk_usage(prepared.parent).free
    if free < needed:
        raise BackupError(
            f"{needed:,} bytes are needed in {prepared.parent} and {free:,} are free: free some; "
            "nothing was changed"
        )
    shutil.copyfile(backup, prepared)
    prepared.chmod(0o600)
    evict_page_cache(prepared)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _epoch_of(database: Path) -> int:
    """Of the database that is replaced, as far as it can be read; else 0."""
    with suppress(sqlite3.Error), closing(open_file(database, "mode=ro")) as connection:
        epoch: int = connection.execute("SELECT epoch FROM part").fetchone()[0]
        return epoch
    return 0


def raised_epoch(contents: Contents, known_epoch: int, now_ms: int) -> int:
    """Beyond every epoch that a daemon on the old database can have had.

    The backup knows the epoch of its time. Since then the old daemon may have started any number of
    times, each with the next epoch. If its database can still be read, that number is known. If
    not, it is bounded by the time that has passed. Raises BackupError.
    """
    passed_ms = max(0, now_ms - contents.at_ms) if contents.at_ms else 0
    epoch = max(contents.epoch, known_epoch) + STARTS_SPARE + passed_ms // START_MS
    if epoch > EPOCH_MAX - STARTS_SPARE:
        raise BackupError(
            f"the epochs of this database are used up ({contents.epoch:,}): begin a new one and "
            "add its jobs to it; nothing was changed"
        )
    return epoch


def _make_database(
    prepared: Path, contents: Contents, known_epoch: int, now_ms: int
) -> tuple[int, int]:
    """Make a database of the copy. Returns its epoch, and how many leases ended."""
    epoch = raised_epoch(contents, known_epoch, now_ms)
    with closing(open_file(prepared, "mode=rw")) as connection:
        connection.execute("PRAGMA journal_mode = MEMORY")  # a copy cut short is thrown away
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        migrate(connection, prepared)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DROP TABLE IF EXISTS backup")
        connection.execute("UPDATE part SET epoch = ?", (epoch,))
        connection.execute("DELETE FROM session")
        released_count = _release_active(connection, now_ms)
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = DELETE")
    return epoch, released_count


def _release_active(connection: sqlite3.Connection, now_ms: int) -> int:
    """As the engine does with a lease that is lost and not counted; `ord` is the old place."""
    connection.execute(
        "INSERT OR REPLACE INTO attempt SELECT seq, token, failures + crashes + 1, started_at_ms, "
        "?, ?, 'LeaseLost', 'the server was restored from a backup', '', '' "
        "FROM job WHERE state = ?",
        (now_ms, AttemptOutcome.LOST, State.ACTIVE),
    )
    released = dict(
        connection.execute(
            "SELECT queue, count(*) FROM job WHERE state = ? GROUP BY queue", (State.ACTIVE,)
        ).fetchall()
    )
    connection.execute(
        "UPDATE job SET state = ?, token = 0, session = 0, releases = releases + 1 WHERE state = ?",
        (State.WAITING, State.ACTIVE),
    )
    for queue, count in released.items():
        (packed,) = connection.execute(
            "SELECT counts FROM queue WHERE key = ?", (queue,)
        ).fetchone()
        counts = list(unpack_counts(packed))
        counts[State.ACTIVE] -= count
        counts[State.WAITING] += count
        connection.execute(
            "UPDATE queue SET counts = ? WHERE key = ?", (pack_counts(tuple(counts)), queue)
        )
    return sum(released.values())


def _move_aside(directory: Path, now_ms: int) -> Path | None:
    old = _old_files(directory)
    if not old:
        return None
    folder = directory / f"before-restore-{time_in_names(now_ms)}"
    while folder.exists():  # twice in one second
        folder = folder.with_name(f"{folder.name}-again")
    folder.mkdir(mode=0o700)
    for path in old:
        path.rename(folder / path.name)
    sync_directory(folder)
    sync_directory(directory)
    return folder
