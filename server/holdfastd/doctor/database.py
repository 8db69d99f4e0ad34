"""The database, the daemon that has it, and its backups; all of it only read.

Beside a daemon it is read by a read-only connection in one short transaction: that neither writes
nor checkpoints, and waits for nobody. Without a daemon the file alone is read as it is, so that not
even SQLite's own files beside it are made.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

from holdfastd.backups import made_in
from holdfastd.config import Backup
from holdfastd.doctor.report import Finding, Status
from holdfastd.store.backup import LOG_BYTES_USUAL, open_file
from holdfastd.store.base import RESTORE_ADVICE
from holdfastd.store.files import DATABASE_NAME, log_of, size_of
from holdfastd.store.lock import LOCK_NAME, UNCLEAN_NAME, is_held
from holdfastd.store.schema import APPLICATION_ID, BACKUP_APPLICATION_ID, SCHEMA_VERSION, pragma

HOUR_MS: Final = 3_600_000


class Running(NamedTuple):
    """Whether a daemon has the directory."""

    is_known: bool
    is_running: bool
    pid: int | None
    """None = no daemon runs, or it does not say."""


def running(directory: Path) -> Running:
    try:
        if not is_held(directory):
            return Running(is_known=True, is_running=False, pid=None)
        text = (directory / LOCK_NAME).read_text().strip()
    except OSError:
        return Running(is_known=False, is_running=False, pid=None)
    return Running(is_known=True, is_running=True, pid=int(text) if text.isdigit() else None)


def daemon(directory: Path, found: Running) -> Finding:
    facts = {"is_running": found.is_running, "pid": found.pid}
    if not found.is_known:
        text = "its lock file cannot be read"
        return Finding("daemon", Status.UNKNOWN, text, facts, "run the doctor as the daemon's user")
    if found.is_running:
        return Finding("daemon", Status.OK, f"runs, pid {found.pid or 'unknown'}", facts)
    if (directory / UNCLEAN_NAME).exists():
        text = "none runs here; the last one did not stop in good order"
        return Finding("daemon", Status.OK, f"{text}: the next one recovers", facts)
    return Finding("daemon", Status.OK, "none runs here", facts)


# ---- the file ------------------------------------------------------------------------------------


def database(directory: Path, *, is_shared: bool) -> Finding:
    """is_shared: a daemon has it open, or may have."""
    path = directory / DATABASE_NAME
    if not path.is_file():
        return Finding("database", Status.OK, "there is none yet: the first start makes it")
    try:
        with closing(open_file(path, "mode=ro" if is_shared else "mode=ro&immutable=1")) as opened:
            return _judge(path, _Header.of(opened), is_whole=is_shared or not size_of(log_of(path)))
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            text, advice = f"{path} cannot be read ({error})", "run the doctor as the daemon's user"
            return Finding("database", Status.UNKNOWN, text, {}, advice)
        text = f"{path} cannot be read as a database ({error})"
        return Finding("database", Status.BAD, text, {}, RESTORE_ADVICE)


class _Header(NamedTuple):
    application_id: int
    schema: int
    size_bytes: int
    epoch: int | None
    """None = it is not one of ours."""

    @classmethod
    def of(cls, connection: sqlite3.Connection) -> "_Header":
        connection.execute("BEGIN")
        application_id, schema = (
            pragma(connection, name) for name in ("application_id", "user_version")
        )
        size = pragma(connection, "page_count") * pragma(connection, "page_size")
        is_ours = application_id == APPLICATION_ID and 0 < schema <= SCHEMA_VERSION
        part = connection.execute("SELECT epoch FROM part").fetchone() if is_ours else None
        return cls(application_id, schema, size, part[0] if part else None)


def _judge(path: Path, found: _Header, *, is_whole: bool) -> Finding:
    """is_whole: nothing newer is in a log that was not read."""
    facts: dict[str, Any] = {
        "schema": found.schema,
        "epoch": found.epoch,
        "bytes": found.size_bytes,
    }
    if not found.application_id and not is_whole:
        text = "all of it is in the log, which the next start takes in"
        return Finding("database", Status.UNKNOWN, text, facts)
    if found.application_id == BACKUP_APPLICATION_ID:
        advice = "make a database of it with holdfastd restore"
        return Finding("database", Status.BAD, f"{path} is a backup", facts, advice)
    if found.application_id != APPLICATION_ID:
        text = f"{path} is not one of Holdfast (application id {found.application_id:#x})"
        return Finding("database", Status.BAD, text, facts, "choose another directory with --data")
    if found.schema > SCHEMA_VERSION:
        text = f"schema {found.schema}, newer than this holdfastd knows ({SCHEMA_VERSION})"
        return Finding("database", Status.BAD, text, facts, "start the newer version again")
    text = f"schema {found.schema}, epoch {found.epoch}, {found.size_bytes:,} bytes"
    if not is_whole:
        text += ", as of the last checkpoint (a log is left to recover)"
    if found.schema < SCHEMA_VERSION:
        text += f"; the next start makes schema {SCHEMA_VERSION} of it"
    return Finding("database", Status.OK, text, facts)


def log(directory: Path, *, is_running: bool) -> Finding:
    log_bytes = size_of(log_of(directory / DATABASE_NAME))
    facts = {"bytes": log_bytes, "usual_bytes_max": LOG_BYTES_USUAL}
    text = f"{log_bytes:,} bytes of write-ahead log; up to {LOG_BYTES_USUAL:,} are usual"
    if log_bytes > LOG_BYTES_USUAL:
        advice = (
            "somebody reads the database and pins its log: a backup, or a program that should not"
            if is_running
            else "the next start takes it in, and takes somewhat longer"
        )
        return Finding("log", Status.WARN, text, facts, advice)
    return Finding("log", Status.OK, text, facts)


def written_at_ms(directory: Path) -> int | None:
    """When database or log was last written; None = there is neither, or they cannot be seen."""
    found = []
    database = directory / DATABASE_NAME
    for path in (database, log_of(database)):
        try:
            found.append(path.stat().st_mtime_ns // 1_000_000)
        except OSError:
            continue
    return max(found, default=None)


# ---- backups -------------------------------------------------------------------------------------


def backup(settings: Backup, now_ms: int) -> Finding:
    """By the names of those that the daemon has made itself; others are not known here."""
    if settings.dir is None:
        text = "the daemon makes none (backup.dir is not set)"
        advice = "set backup.dir, or see that holdfastd backup is run by something else"
        return Finding("backup", Status.WARN, text, {"last_at_ms": None}, advice)
    made = made_in(settings.dir)
    if not made:
        text = f"there is none in {settings.dir} yet"
        advice = "a running daemon makes one at once: see its log for backup_failed"
        return Finding("backup", Status.WARN, text, {"last_at_ms": None}, advice)
    age_ms = max(0, now_ms - made[-1].at_ms)
    facts = {"last_at_ms": made[-1].at_ms, "age_ms": age_ms, "count": len(made)}
    text = f"the last of {len(made):,} is {age_ms / HOUR_MS:,.1f} h old ({made[-1].path.name})"
    if age_ms > 2 * settings.every_ms:
        text += f"; there should be one each {settings.every_ms / HOUR_MS:,.1f} h"
        return Finding("backup", Status.WARN, text, facts, "see the log for backup_failed")
    return Finding("backup", Status.OK, text, facts)
