"""The files of a data directory that more than one module of the store knows of."""

from pathlib import Path
from typing import Final

DATABASE_NAME: Final = "holdfast.db"
RESTORING_NAME: Final = "holdfast.restoring"
"""There while a restored database takes the place of another; see `store.restore`."""
CHECKPOINT_BYTES: Final = 32 * 1024 * 1024
"""Written to the log since the last checkpoint, roughly, before the next one."""


def log_of(database: Path) -> Path:
    """SQLite's write-ahead log of a database file."""
    return Path(f"{database}-wal")


def size_of(path: Path) -> int:
    """0 if it is not there."""
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return 0
