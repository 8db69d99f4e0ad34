"""holdfastd on a disk that fails: `python -m support.faulty_daemon OPERATION:FAULT:NUMBER serve …`.

The NUMBERth operation (write, truncate or sync) after the start fails, and all after it.
"""

import sys

from holdfastd.__main__ import main
from support.crashdisk import Plan, Recorder
from support.vfs import Fault, installed


class _Failing(Recorder):
    """Keeps no record: it may run for long."""

    def write(self, path: str, offset: int, data: bytes) -> Fault | None:
        return self._fault("write")

    def truncate(self, path: str, size: int) -> Fault | None:
        return self._fault("truncate")

    def sync(self, path: str) -> Fault | None:
        return self._fault("sync")

    def synced(self, path: str) -> None: ...

    def delete(self, path: str) -> None: ...


if __name__ == "__main__":
    operation, fault, number = sys.argv.pop(1).split(":")
    plan = Plan(int(number), Fault[fault], forever=True, operations=(operation,))
    with installed(_Failing(plan)):
        main()
