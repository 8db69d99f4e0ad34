"""Which files are ours, and how an older one becomes a current one.

`application_id` says that a file is ours, `user_version` which migrations it has seen. A newer
file is refused unread: nobody can know what this version would break in it.
"""

import sqlite3
from importlib.resources import files
from pathlib import Path
from typing import Final

from holdfastd.store.base import StoreRefused

APPLICATION_ID: Final = 0x484F4C44
"""HOLD in ASCII."""
BACKUP_APPLICATION_ID: Final = 0x484F4C42
"""HOLB: a backup, on which no daemon may start before `holdfastd restore` has raised its epoch."""


def migrations() -> list[str]:
    """SQL texts in order; the first one makes schema 1 of an empty file."""
    folder = files("holdfastd.store") / "migrations"
    texts = sorted(
        (file.name, file.read_text("utf-8"))
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    )
    return [text for _, text in texts]


SCHEMA_VERSION: Final = len(migrations())


def check(connection: sqlite3.Connection, path: Path) -> int:
    """Returns the file's schema; 0 = it is empty. Reads no more of it than that, writes nothing.

    Raises:
        StoreRefused: it is a backup, another program's, or newer.
    """
    application_id = pragma(connection, "application_id")
    version = pragma(connection, "user_version")
    is_empty = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    if application_id == BACKUP_APPLICATION_ID:
        raise StoreRefused(
            f"{path} is a backup: make a database of it with holdfastd restore, so that no lease "
            "that was given out after it is taken for a live one"
        )
    if application_id != APPLICATION_ID and not (application_id == 0 and is_empty):
        raise StoreRefused(
            f"{path} is a database, but not one of Holdfast (application id {application_id:#x}): "
            "choose another directory with --data"
        )
    if version > SCHEMA_VERSION:
        raise StoreRefused(
            f"{path} has schema {version}, this holdfastd knows up to {SCHEMA_VERSION}: start the "
            "newer version again; nothing was read or changed"
        )
    return version


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the file to SCHEMA_VERSION, one transaction per migration; a new one in a single
    transaction, so that one whose making was cut short is empty. Raises StoreRefused."""
    version = check(connection, path)
    texts = migrations()[version:]
    for text in texts if version else ["\n".join(texts)]:
        version = version + 1 if version else SCHEMA_VERSION
        connection.executescript(
            f"BEGIN IMMEDIATE; {text}\n"
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version}; COMMIT;"
        )


def pragma(connection: sqlite3.Connection, name: str) -> int:
    """Of those that are numbers."""
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value
