"""One more migration than there are: what a real one might do.

`injected()` has the whole of the store take it for part of the product.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from holdfastd.store import backup, schema

NEXT: Final = schema.SCHEMA_VERSION + 1
MIGRATION: Final = """
CREATE TABLE size (seq INTEGER PRIMARY KEY, bytes INTEGER NOT NULL) STRICT;
INSERT INTO size SELECT seq, length(payload) FROM job;
CREATE INDEX job_by_name ON job (name, seq);
UPDATE job SET priority = priority + 1;
UPDATE job SET priority = priority - 1;
CREATE TABLE new_log (
    seq INTEGER NOT NULL, number INTEGER NOT NULL, at_ms INTEGER NOT NULL, line TEXT NOT NULL,
    PRIMARY KEY (seq, number)
) STRICT, WITHOUT ROWID;
INSERT INTO new_log SELECT * FROM log;
DROP TABLE log;
ALTER TABLE new_log RENAME TO log;
"""
"""A table made of another, an index, every row written (SQLite leaves out what changes nothing),
and a table replaced: in the end all that was there is as it was."""
TORN: Final = f"COMMIT; {MIGRATION} BEGIN IMMEDIATE;"
"""The same, each statement for itself: sabotage."""
TABLES: Final = ("job", "attempt", "log", "queue", "session", "tag")
"""`part` is changed by every start."""

Contents = dict[str, list[Any]]


@contextmanager
def injected(text: str = MIGRATION) -> Iterator[None]:
    texts = [*schema.migrations(), text]
    with (
        patch.object(schema, "migrations", lambda: texts),
        patch.object(schema, "SCHEMA_VERSION", NEXT),
        patch.object(backup, "SCHEMA_VERSION", NEXT),
    ):
        yield


def schema_of(database: Path) -> int:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        return version


def contents_of(database: Path) -> Contents:
    """Every row. Raises AssertionError: it is not sound, or half migrated."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found = {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
            for table in TABLES
        }
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
        assert ({"size", "job_by_name"} & names) == (
            {"size", "job_by_name"} if version == NEXT else set()
        )
        if version == NEXT:
            sizes = "SELECT seq, bytes FROM size ORDER BY seq"
            jobs = "SELECT seq, length(payload) FROM job ORDER BY seq"
            assert connection.execute(sizes).fetchall() == connection.execute(jobs).fetchall()
        return found
