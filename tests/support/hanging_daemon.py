"""holdfastd on a disk that hangs: `hanging_daemon.py FILE RULE serve …`.

While FILE is there, no write, truncation or sync of the database comes back. RULE: what else is
broken, see `sabotaged_daemon`; keeps_all = nothing.
"""

import sys
import time
from pathlib import Path
from typing import Final

from holdfastd.__main__ import main
from support import sabotaged_daemon
from support.vfs import Fault, installed

LOOK_S: Final = 0.01


class _Hanging:
    def __init__(self, file: Path):
        self._file = file

    def _wait(self) -> Fault | None:
        while self._file.exists():
            time.sleep(LOOK_S)
        return None

    def opened(self, path: str) -> None: ...

    def write(self, path: str, offset: int, data: bytes) -> Fault | None:
        return self._wait()

    def truncate(self, path: str, size: int) -> Fault | None:
        return self._wait()

    def sync(self, path: str) -> Fault | None:
        return self._wait()

    def synced(self, path: str) -> None: ...

    def delete(self, path: str) -> None: ...


if __name__ == "__main__":
    file, rule = Path(sys.argv.pop(1)), sys.argv.pop(1)
    getattr(sabotaged_daemon, rule)()
    with installed(_Hanging(file)):
        main()
