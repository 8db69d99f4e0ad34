"""holdfastd with one migration more: `migrating_daemon.py KILLED_AT serve …`.

It is killed before the operation of that number (from 0) on the database or its log; -1 = never.
"""

import os
import signal
import sys
from pathlib import Path

from holdfastd.__main__ import main
from holdfastd.store.files import DATABASE_NAME
from support.crashdisk import Recorder
from support.migrations import injected
from support.vfs import Fault, installed


class _Killing(Recorder):
    def __init__(self, at: int):
        super().__init__()
        self._at = at

    def write(self, path: str, offset: int, data: bytes) -> Fault | None:
        self._next(path)
        return None

    def truncate(self, path: str, size: int) -> Fault | None:
        self._next(path)
        return None

    def sync(self, path: str) -> Fault | None:
        self._next(path)
        return None

    def synced(self, path: str) -> None: ...

    def delete(self, path: str) -> None: ...

    def _next(self, path: str) -> None:
        if Path(path).name.startswith(DATABASE_NAME):
            if self.count == self._at:
                os.kill(os.getpid(), signal.SIGKILL)
            self.count += 1


if __name__ == "__main__":
    with injected(), installed(_Killing(int(sys.argv.pop(1)))):
        main()
