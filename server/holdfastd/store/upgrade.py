"""An older database is backed up before it is migrated: the way back, should one be needed.

Nothing is written before that. The database is looked at by a connection that can only read, so
that one that is foreign or newer is refused as it is (`store.schema`). A migration that fails is
rolled back, and tried again at the next start; the backup of the first attempt serves for all.

The backup is one like any other (`store.backup`), but for its name, which says why it is there and
which the schedule of backups leaves alone. An older holdfastd makes a database of it with
`holdfastd restore`.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from holdfastd.store import schema
from holdfastd.store.backup import BackupError, back_up, open_file, time_in_names
from holdfastd.store.base import StoreRefused
from holdfastd.store.files import DATABASE_NAME


class Stand(NamedTuple):
    """How far a database file has come. No batch is applied without a higher epoch than that of the
    start before: two files of one database that agree in this hold the same."""

    schema: int
    epoch: int
    batch: int


class Upgrade(NamedTuple):
    from_schema: int
    to_schema: int
    backup: Path
    is_made: bool
    """The backup is there already: an earlier attempt made it."""


class Upgrading(NamedTuple):
    """What a store has to be given, so that it may migrate."""

    backups: Path | None
    """Directory for the backup; made if it is not there. None = the data directory."""
    now_ms: Callable[[], int]
    """Wall time, for the name."""
    on_begin: Callable[[Upgrade], None]
    """Called before it takes its time: a copy is made and checked, then each row may be touched."""


def stand_of(connection: sqlite3.Connection, path: Path) -> Stand | None:
    """None = a new file. Raises StoreRefused: foreign, a backup, or newer. Writes nothing."""
    version = schema.check(connection, path)
    if not version:
        return None
    epoch, batch = connection.execute("SELECT epoch, batch FROM part").fetchone()
    return Stand(version, epoch, batch)


def is_needed(stand: Stand | None) -> bool:
    return stand is not None and stand.schema < schema.SCHEMA_VERSION


def plan(directory: Path, stand: Stand, upgrading: Upgrading) -> Upgrade:
    to_schema = schema.SCHEMA_VERSION
    folder = upgrading.backups or directory
    reason = f"holdfast-schema-{stand.schema}-before-upgrade-to-{to_schema}"
    for path in sorted(folder.glob(f"{reason}-*.db")):
        if _stand_of_backup(path) == stand:
            return Upgrade(stand.schema, to_schema, path, is_made=True)
    path = folder / f"{reason}-{time_in_names(upgrading.now_ms())}.db"
    return Upgrade(stand.schema, to_schema, path, is_made=False)


def make_backup(directory: Path, upgrade: Upgrade, now_ms: int) -> None:
    """Raises StoreRefused: there is none, and nothing of it is left."""
    database = directory / DATABASE_NAME
    try:
        upgrade.backup.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        back_up(directory, upgrade.backup, now_ms)
    except (OSError, BackupError) as error:
        raise StoreRefused(
            f"{database} has schema {upgrade.from_schema} and is not migrated to "
            f"{upgrade.to_schema} without a backup, which could not be made: {error} (backup.dir "
            "says where it goes); nothing was changed"
        ) from error


def _stand_of_backup(path: Path) -> Stand | None:
    """None = it cannot be read. It is whole, as it has its name."""
    with (
        suppress(sqlite3.Error, TypeError),
        closing(open_file(path, "mode=ro&immutable=1")) as connection,
    ):
        version = schema.pragma(connection, "user_version")
        epoch, batch = connection.execute("SELECT epoch, batch FROM part").fetchone()
        return Stand(version, epoch, batch)
    return None
