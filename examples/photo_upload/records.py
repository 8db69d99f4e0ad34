"""The application's database: three tables, each with one row per photo."""

import os
import sqlite3
import time

SCHEMA = """
CREATE TABLE IF NOT EXISTS photo (file_key TEXT PRIMARY KEY, user_id INTEGER, url TEXT);
CREATE TABLE IF NOT EXISTS feed (file_key TEXT PRIMARY KEY, user_id INTEGER, at REAL);
CREATE TABLE IF NOT EXISTS quota (file_key TEXT PRIMARY KEY, user_id INTEGER, photos INTEGER);
"""


def connect() -> sqlite3.Connection:
    connection = sqlite3.connect(os.environ["APP_DATABASE"], timeout=10)
    connection.executescript(SCHEMA)
    return connection


def photo_done(user_id: int, file_key: str, url: str) -> None:
    """One transaction; a second time changes nothing."""
    connection = connect()
    with connection:
        connection.execute("INSERT OR IGNORE INTO photo VALUES (?, ?, ?)", (file_key, user_id, url))
        connection.execute(
            "INSERT OR IGNORE INTO feed VALUES (?, ?, ?)", (file_key, user_id, time.time())
        )
        connection.execute("INSERT OR IGNORE INTO quota VALUES (?, ?, 1)", (file_key, user_id))
    connection.close()
