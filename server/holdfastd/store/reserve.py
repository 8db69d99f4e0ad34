"""Space kept back, so that workers can still answer when the disk is full.

A file of some size is allocated beside the database. When a batch finds no space it is given up, so
that acks go on while no job is accepted; it is taken again when there is room.
"""

import os
import shutil
from pathlib import Path
from typing import Final

RESERVE_NAME: Final = "holdfast.reserve"


class Reserve:
    def __init__(self, directory: Path, size_bytes: int):
        """size_bytes: at least twice the write-ahead log's usual length; 0 = none."""
        self._path = directory / RESERVE_NAME
        self.size_bytes = size_bytes

    @property
    def is_held(self) -> bool:
        return self._path.exists() or not self.size_bytes

    def take(self) -> None:
        """Allocate it if more than that is free; else leave it for later."""
        free_bytes = shutil.disk_usage(self._path.parent).free
        if self.is_held or free_bytes < self.size_bytes * 5 // 4:
            return
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.posix_fallocate(file, 0, self.size_bytes)
        except OSError:
            self._path.unlink()
        finally:
            os.close(file)

    def give_up(self) -> None:
        self._path.unlink(missing_ok=True)
