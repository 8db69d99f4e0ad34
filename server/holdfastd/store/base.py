"""What the daemon asks of a store. SQLite is the embedded one; `store.memory` is the model of it.

One call writes: `apply`. It is atomic and durable when it returns, and applying a batch a second
time is refused by its number, so an in-doubt commit is settled by asking `last_batch()`. Calls of
`apply` and `read` never overlap: the pipeline makes one at a time, so a read sees exactly the
batches applied before it. The reads for people (`job`, `jobs`) may overlap with both.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple, Protocol, TypeAlias, TypeVar

from holdfastd.engine.changes import (
    AttemptRow,
    Batch,
    HistoryRow,
    JobRow,
    LogRow,
    Page,
    QueueRow,
    Read,
    SessionRow,
)
from holdfastd.engine.model import QueueKey, Seq, SessionKey, State
from holdfastd.engine.schedules import Schedule

T = TypeVar("T")

ATTEMPTS_KEPT: Final = 100
"""Per job: a job that fails every second for a week must not fill the disk with its tracebacks."""
DETAIL_BYTES_MAX: Final = 512 * 1024
"""Of a job's attempts, and of its log lines, that are read with it. With the largest payload and
result they fit one frame of the protocol (4 MiB)."""

RESTORE_ADVICE: Final = "restore a backup with holdfastd restore"


class StoreError(Exception):
    """Base of what a store raises. Its text is for the operator: what, where, what to do."""


class StoreRefused(StoreError):
    """The store cannot be opened as it is: locked by another daemon, foreign, newer, damaged, not
    writable. The daemon exits with one line; nothing was changed."""


class StoreFull(StoreError):
    """No space for this batch. Nothing of it was written; apply the same batch again later."""


class StoreDeposed(StoreError):
    """Another daemon opened this store after us (a higher epoch), or the batch number does not
    follow. We must not write on: the process ends."""


class StoreBroken(StoreError):
    """I/O error, failed fsync, corruption: what is on disk is unknown. The process must end at
    once (exit 70) and say nothing more to anyone; the next start reads the truth from the disk."""


class Recovered(NamedTuple):
    """What the engine starts from."""

    epoch: int
    """Number of this opening of the store, from 1; greater than any before."""
    batch: int
    """Number of the last batch applied; 0 = none."""
    next_seq: Seq
    next_queue: QueueKey
    next_session: SessionKey
    queues: list[QueueRow]
    sessions: list[SessionRow]
    active: list[JobRow]
    """Every ACTIVE job, without payload, in order of token."""
    schedules: list[Schedule]
    """In no order."""


@dataclass(frozen=True, slots=True)
class JobDetail:
    """A job with what is kept of it."""

    row: JobRow
    attempts: list[AttemptRow]
    """In order; the newest that fit DETAIL_BYTES_MAX."""
    logs: list[LogRow]
    """Likewise."""


class JobCursor(NamedTuple):
    """Place in a listing: key of the last job of the page before, see changes.key_of. Finished jobs
    are listed from the last one."""

    first: int
    second: int


@dataclass(frozen=True, slots=True)
class StoreStats:
    """For metrics; bytes on disk."""

    db_bytes: int
    wal_bytes: int
    disk_free_bytes: int
    free_bytes: int
    """Of db_bytes, those that hold nothing and are used again before the file grows; as they were
    at the last checkpoint."""


Place: TypeAlias = tuple[int, int]
"""A minute or an hour of the history: step_ms, at_ms."""


class HistoryOrder(Enum):
    """What pairs of queue and job name are ordered by, the highest first."""

    FAILED = "failed"
    ENDED = "ended"
    """Completed and failed."""
    MEAN_RUN = "mean run"


class HistorySum(NamedTuple):
    """A pair over some time."""

    queue: str
    name: str
    completed: int
    failed: int
    runs: list[Mapping[int, int]]
    """Bucket -> how often; to be added up."""


class Store(Protocol):
    async def open(self) -> Recovered:
        """Check, lock, migrate, raise the epoch (durably) and load.

        Raises:
            StoreRefused: it must not be opened; see there.
        """

    async def apply(self, batch: Batch) -> None:
        """Write one batch in one transaction; durable (fsynced) on return.

        Raises:
            StoreFull: nothing was written; the caller keeps the batch and tries again.
            StoreDeposed, StoreBroken: the process must end.
        """

    async def read(self, reads: list[Read]) -> list[Page]:
        """Answer each read, in order, from what has been applied. One hop for all of them."""

    async def last_batch(self) -> int:
        """Number of the last batch applied."""

    async def job(self, queue: QueueKey, id: str) -> JobDetail | None:
        """One job with data, result, attempts and logs; None = no such job. Only durable facts. Of
        its attempts the last ATTEMPTS_KEPT are kept.
        When several have the id (a client's lie), the newest."""

    async def jobs(
        self, queue: QueueKey, state: State, after: JobCursor | None, limit: int, bytes_max: int
    ) -> tuple[list[JobRow], JobCursor | None]:
        """One page of a queue's jobs in a state with their payloads, cut after the row that passes
        bytes_max. Returns the rows and the cursor of the next page, None = no more."""

    async def history(self, queue: str, name: str, places: list[Place]) -> list[HistoryRow]:
        """The rows of a pair (see HistoryRow for what "" means) at these places; those that do not
        exist are left out. In no order."""

    async def history_top(
        self, order: HistoryOrder, step_ms: int, from_ms: int, to_ms: int, limit: int
    ) -> list[HistorySum]:
        """The first `limit` pairs by the rows of a step that begin from from_ms (a beginning of a
        step) to before to_ms. Those whose figure is 0 are left out."""

    async def checkpoint(self) -> bool:
        """Housekeeping between batches, called by the pipeline when it is idle or the log is long.
        False = a reader, such as a backup, still needs a part of the log. Raises as apply does;
        StoreFull also when the log will not find room in the database."""

    def needs_checkpoint(self) -> bool:
        """True when the write-ahead log is long enough to be worth one now; cheap to ask."""

    async def has_room(self) -> bool:
        """After StoreFull: True once there is space again for new jobs, not only for answers."""

    async def stats(self) -> StoreStats: ...

    async def close(self) -> None:
        """Checkpoint, release the lock. After it the file is whole without a log beside it, unless
        there was no space for that."""


def cut_by_bytes(page: Page, bytes_max: int) -> Page:
    """The page, cut after the row whose payload and result pass bytes_max."""
    sizes = [len(row.payload or b"") + len(row.result or b"") for row in page.rows]
    count = count_that_fits(sizes, bytes_max)
    return Page(page.rows[:count], page.has_more or count < len(page.rows))


def count_that_fits(sizes: list[int], bytes_max: int) -> int:
    """How many of the first sizes there are up to the one that reaches bytes_max, included."""
    total = 0
    for count, size in enumerate(sizes, start=1):
        total += size
        if total >= bytes_max:
            return count
    return len(sizes)


def detail_of(
    row: JobRow, newest_attempts: Iterable[AttemptRow], newest_logs: Iterable[LogRow]
) -> JobDetail:
    """Attempts and logs, newest first, cut to DETAIL_BYTES_MAX each and put in order."""
    return JobDetail(
        row,
        _fitting(newest_attempts, lambda attempt: _bytes_of(attempt[6:])),
        _fitting(newest_logs, lambda log: _bytes_of(log[3:])),
    )


def _bytes_of(texts: Iterable[str]) -> int:
    return 32 + sum(len(text.encode()) for text in texts)


def _fitting(newest_first: Iterable[T], bytes_of: Callable[[T], int]) -> list[T]:
    """As many as fit, in order."""
    fitting: list[T] = []
    room = DETAIL_BYTES_MAX
    for item in newest_first:
        room -= bytes_of(item)
        if room < 0:
            break
        fitting.append(item)
    return fitting[::-1]
