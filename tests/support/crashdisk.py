"""What a disk can hold after the power went: a recorder of file operations, and images from it.

The model: what was synced is there; of what was written to a file since its last sync, any part
may be there, in any order, the last sectors of 512 bytes perhaps torn. A new file whose first sync
has not come may be missing (SQLite syncs the directory with it). Deletions are durable at once:
SQLite deletes a log only when the database holds all that was in it.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeAlias

from support.vfs import Fault

SECTOR_BYTES: Final = 512


class Kind(Enum):
    """How much of the unsynced writes of each file is in an image."""

    NONE = "none"
    ALL = "all"
    PREFIX = "prefix"
    SUBSET = "subset"
    SHUFFLED = "shuffled subset"
    TORN = "torn"
    """A prefix, of whose last write some sectors are missing."""


@dataclass(frozen=True)
class Write:
    path: str
    offset: int
    data: bytes


@dataclass(frozen=True)
class Truncate:
    path: str
    size: int


@dataclass(frozen=True)
class Sync:
    path: str


@dataclass(frozen=True)
class FailedSync:
    """The kernel told of an error, dropped what it had to write and calls those pages clean: they
    can be read until they are evicted, and are not on the disk (Rebello et al., ATC 2020)."""

    path: str


@dataclass(frozen=True)
class Delete:
    path: str


@dataclass(frozen=True)
class Mark:
    """Something was said to the outside."""

    said: Any


Entry: TypeAlias = Write | Truncate | Sync | FailedSync | Delete | Mark


@dataclass(frozen=True)
class Plan:
    """Which operation fails, and how."""

    at: int
    """Number of the operation, from 0, of those in `operations`."""
    fault: Fault
    forever: bool = False
    """All after it fail too."""
    operations: tuple[str, ...] = ("write", "truncate", "sync")


class Recorder:
    """A `vfs.Watcher` that notes everything, and fails what the plan says.

    Attributes:
        log: in order. count: operations so far. has_failed: one was made to fail.
    """

    def __init__(self, plan: Plan | None = None) -> None:
        self.log: list[Entry] = []
        self.count = 0
        self.has_failed = False
        self._plan = plan

    def _fault(self, operation: str) -> Fault | None:
        plan = self._plan
        if plan is None or operation not in plan.operations:
            self.count += plan is None
            return None
        at, self.count = self.count, self.count + 1
        if at == plan.at or (plan.forever and at > plan.at):
            self.has_failed = True
            return plan.fault
        return None

    def opened(self, path: str) -> None: ...

    def write(self, path: str, offset: int, data: bytes) -> Fault | None:
        fault = self._fault("write")
        if fault is None:
            self.log.append(Write(path, offset, data))
        elif fault is Fault.SHORT:
            self.log.append(Write(path, offset, data[: len(data) // 2]))
        return fault

    def truncate(self, path: str, size: int) -> Fault | None:
        fault = self._fault("truncate")
        if fault is None:
            self.log.append(Truncate(path, size))
        return fault

    def sync(self, path: str) -> Fault | None:
        fault = self._fault("sync")
        if fault is not None:
            self.failed_sync(path)
        return fault

    def failed_sync(self, path: str) -> None:
        self.log.append(FailedSync(path))

    def synced(self, path: str) -> None:
        self.log.append(Sync(path))

    def delete(self, path: str) -> None:
        self.log.append(Delete(path))

    def mark(self, said: Any) -> None:
        self.log.append(Mark(said))


@dataclass
class _File:
    durable: bytearray = field(default_factory=bytearray)
    unsynced: list[Write | Truncate] = field(default_factory=list)
    was_synced: bool = False


class CrashDisk:
    """Replays a log up to any point, and says what the disk could hold then."""

    def __init__(self, log: list[Entry], durable: dict[str, bytes] | None = None):
        """durable: contents by path at the start of the log."""
        self._log = log
        self._files = {
            path: _File(bytearray(data), was_synced=True) for path, data in (durable or {}).items()
        }
        self.said: list[Any] = []
        """Marks up to here."""

    def points(self) -> Iterator[int]:
        """Go through the log; after each operation the disk stands as at that point."""
        for number, entry in enumerate(self._log):
            match entry:
                case Mark():
                    self.said.append(entry.said)
                case Delete():
                    self._files.pop(entry.path, None)
                case Sync():
                    file = self._files.setdefault(entry.path, _File())
                    for operation in file.unsynced:
                        _apply(file.durable, operation)
                    file.unsynced.clear()
                    file.was_synced = True
                case FailedSync():
                    self._files.setdefault(entry.path, _File()).unsynced.clear()
                case Write() | Truncate():
                    self._files.setdefault(entry.path, _File()).unsynced.append(entry)
            yield number

    def image(self, kind: Kind, rng: random.Random) -> dict[str, bytes]:
        """Contents by path."""
        contents: dict[str, bytes] = {}
        for path, file in self._files.items():
            chosen = _chosen(file.unsynced, kind, rng)
            if not file.was_synced and not chosen:
                continue  # its directory entry was never synced
            data = bytearray(file.durable)
            for operation in chosen:
                _apply(data, operation)
            contents[path] = bytes(data)
        return contents


def _chosen(
    unsynced: list[Write | Truncate], kind: Kind, rng: random.Random
) -> list[Write | Truncate]:
    match kind:
        case Kind.NONE:
            return []
        case Kind.ALL:
            return unsynced
        case Kind.PREFIX:
            return unsynced[: rng.randint(0, len(unsynced))]
        case Kind.SUBSET | Kind.SHUFFLED:
            some = [operation for operation in unsynced if rng.random() < 0.5]
            if kind is Kind.SHUFFLED:
                rng.shuffle(some)
            return some
        case Kind.TORN:
            prefix = unsynced[: rng.randint(0, len(unsynced))]
            return prefix[:-1] + _torn(prefix[-1], rng) if prefix else []


def _torn(operation: Write | Truncate, rng: random.Random) -> list[Write | Truncate]:
    """Some of its sectors."""
    if isinstance(operation, Truncate):
        return [operation]
    return [
        Write(operation.path, operation.offset + at, operation.data[at : at + SECTOR_BYTES])
        for at in range(0, len(operation.data), SECTOR_BYTES)
        if rng.random() < 0.5
    ]


def _apply(data: bytearray, operation: Write | Truncate) -> None:
    if isinstance(operation, Truncate):
        if operation.size < len(data):
            del data[operation.size :]
        else:
            data.extend(bytes(operation.size - len(data)))
        return
    end = operation.offset + len(operation.data)
    if len(data) < end:
        data.extend(bytes(end - len(data)))
    data[operation.offset : end] = operation.data


def write_image(contents: dict[str, bytes], directory: Path) -> None:
    """Put an image where a store can open it, in place of what is there."""
    for old in directory.iterdir():
        old.unlink()
    for path, data in contents.items():
        (directory / Path(path).name).write_bytes(data)
