"""The application's own database: three tables with one row per photo, and the mails that are out.

A job may run twice, so every row has the job's key and a second write of it changes nothing.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

SCHEMA = """
CREATE TABLE IF NOT EXISTS photos (file_key TEXT PRIMARY KEY, user_id INTEGER, url TEXT) STRICT;
CREATE TABLE IF NOT EXISTS sizes (file_key TEXT PRIMARY KEY, bytes INTEGER) STRICT;
CREATE TABLE IF NOT EXISTS activity (file_key TEXT PRIMARY KEY, user_id INTEGER, at REAL) STRICT;
CREATE TABLE IF NOT EXISTS mails (job_id TEXT PRIMARY KEY) STRICT;
"""


@contextmanager
def transaction() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(os.environ["APP_DATABASE"], timeout=30)) as connection:
        connection.executescript(SCHEMA)
        with connection:
            yield connection


def photo_done(user_id: int, file_key: str, url: str, size_bytes: int) -> None:
    """All three rows or none."""
    with transaction() as rows:
        rows.execute("INSERT OR IGNORE INTO photos VALUES (?, ?, ?)", (file_key, user_id, url))
        rows.execute("INSERT OR IGNORE INTO sizes VALUES (?, ?)", (file_key, size_bytes))
        now = time.time()
        rows.execute("INSERT OR IGNORE INTO activity VALUES (?, ?, ?)", (file_key, user_id, now))


def mail_sent(job_id: str) -> None:
    with transaction() as rows:
        rows.execute("INSERT OR IGNORE INTO mails VALUES (?)", (job_id,))


def is_mail_sent(job_id: str) -> bool:
    with transaction() as rows:
        return (
            rows.execute("SELECT 1 FROM mails WHERE job_id = ?", (job_id,)).fetchone() is not None
        )
