"""The model of a store: the same contract with dictionaries, for tests and for the model checker.

`disk` is what survives: give it to another MemoryStore and open that, as after a crash.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from holdfastd.engine.changes import (
    AddedRow,
    AttemptRow,
    Batch,
    DelayedPage,
    FinishedPage,
    HistoryPage,
    HistoryRow,
    JobRow,
    JobsById,
    JobsBySeq,
    LogRow,
    Page,
    QueuePage,
    QueueRow,
    Read,
    RewrittenRow,
    SessionRow,
    WaitingPage,
    key_of,
)
from holdfastd.engine.history import ALL, HOUR_MS, MINUTE_MS
from holdfastd.engine.model import (
    FINISHED,
    NO_SESSION,
    FailReason,
    QueueKey,
    Seq,
    SessionKey,
    State,
    Token,
)
from holdfastd.engine.schedules import Schedule, ScheduleKey
from holdfastd.store.base import (
    ATTEMPTS_KEPT,
    HistoryOrder,
    HistorySum,
    JobCursor,
    JobDetail,
    Place,
    Recovered,
    StoreDeposed,
    StoreFull,
    StoreStats,
    cut_by_bytes,
    detail_of,
)


@dataclass
class Disk:
    """Everything that is durable."""

    epoch: int = 0
    batch: int = 0
    next_seq: int = 1
    next_queue: int = 1
    next_session: int = 1
    jobs: dict[int, JobRow] = field(default_factory=dict)
    queues: dict[int, QueueRow] = field(default_factory=dict)
    sessions: dict[int, SessionRow] = field(default_factory=dict)
    attempts: dict[tuple[int, int], AttemptRow] = field(default_factory=dict)
    logs: dict[tuple[int, int], LogRow] = field(default_factory=dict)
    schedules: dict[ScheduleKey, Schedule] = field(default_factory=dict)
    history: dict[tuple[int, int, str, str], HistoryRow] = field(default_factory=dict)
    is_full: bool = False
    """While set, every batch is refused with StoreFull."""


class MemoryStore:
    def __init__(self, disk: Disk | None = None):
        self.disk = disk or Disk()
        self._epoch = 0

    async def open(self) -> Recovered:
        return self.opened()

    def opened(self) -> Recovered:
        """`open` without a loop."""
        disk = self.disk
        disk.epoch += 1
        self._epoch = disk.epoch
        active = [_bare(row) for row in disk.jobs.values() if row.state is State.ACTIVE]
        return Recovered(
            disk.epoch,
            disk.batch,
            Seq(disk.next_seq),
            QueueKey(disk.next_queue),
            SessionKey(disk.next_session),
            list(disk.queues.values()),
            list(disk.sessions.values()),
            sorted(active, key=lambda row: row.token),
            list(disk.schedules.values()),
        )

    async def close(self) -> None:
        """Nothing is left to be written."""

    # ---- writing ---------------------------------------------------------------------------

    async def apply(self, batch: Batch) -> None:
        self.write(batch)

    def write(self, batch: Batch) -> None:
        """`apply` without a loop."""
        disk = self.disk
        if disk.is_full:
            raise StoreFull("the model disk is full")
        if self._epoch != disk.epoch or batch.number != disk.batch + 1:
            raise StoreDeposed(f"batch {batch.number} does not follow {disk.batch}")
        disk.batch = batch.number
        disk.next_seq = batch.next_seq
        disk.next_queue = batch.next_queue
        disk.next_session = batch.next_session
        self._write_jobs(batch)
        for attempt in batch.attempts:
            self._keep_attempt(attempt)
        disk.logs |= {(row.seq, row.number): row for row in batch.logs}
        self._remove_jobs(batch.removed)
        disk.queues |= {row.key: row for row in batch.queues}
        disk.sessions |= {row.key: row for row in batch.sessions}
        for queue in batch.queues_removed:
            disk.queues.pop(queue, None)
        for session in batch.sessions_removed:
            disk.sessions.pop(session, None)
        for place in batch.schedules_removed:
            disk.schedules.pop(place, None)
        disk.schedules |= {schedule.place: schedule for schedule in batch.schedules}
        self._write_history(batch)

    def _write_jobs(self, batch: Batch) -> None:
        jobs = self.disk.jobs
        for added in batch.added:
            jobs[added.seq] = _row_of(added)
        for leased in batch.leased:
            jobs[leased.seq] = jobs[leased.seq]._replace(
                state=State.ACTIVE,
                token=leased.token,
                session=leased.session,
                started_at_ms=leased.started_at_ms,
            )
        for done in batch.completed:
            jobs[done.seq] = jobs[done.seq]._replace(
                state=State.COMPLETED,
                session=NO_SESSION,
                finished_at_ms=done.finished_at_ms,
                result=done.result,
            )
        for row in batch.rewritten:
            if row.seq in jobs:
                values = {name: getattr(row, name) for name in RewrittenRow._fields}
                jobs[row.seq] = jobs[row.seq]._replace(**values)
        for moved in batch.moved:
            jobs[moved.seq] = jobs[moved.seq]._replace(queue=moved.queue)
        for edited in batch.edited:
            jobs[edited.seq] = jobs[edited.seq]._replace(payload=edited.payload)

    def _remove_jobs(self, seqs: list[Seq]) -> None:
        disk = self.disk
        gone = set(seqs)
        if gone:
            disk.jobs = {seq: row for seq, row in disk.jobs.items() if seq not in gone}
            disk.attempts = {key: row for key, row in disk.attempts.items() if key[0] not in gone}
            disk.logs = {key: row for key, row in disk.logs.items() if key[0] not in gone}

    def _write_history(self, batch: Batch) -> None:
        history = self.disk.history
        for row in batch.history:
            history[row[:4]] = row
        for step_ms, before_ms, limit in batch.history_cuts:
            old = [key for key in history if key[0] == step_ms and key[1] < before_ms]
            for key in sorted(old)[:limit]:
                del history[key]

    async def last_batch(self) -> int:
        return self.disk.batch

    # ---- reading ---------------------------------------------------------------------------

    async def read(self, reads: list[Read]) -> list[Page]:
        return self.pages(reads)

    def pages(self, reads: list[Read]) -> list[Page]:
        """`read` without a loop."""
        return [_READERS[type(read)](self, read) for read in reads]

    def _waiting(self, read: WaitingPage) -> Page:
        rows = self._sorted(
            lambda row: row.queue == read.queue and row.state is State.WAITING,
            lambda row: (row.priority, row.order),
        )
        if read.after is not None:
            rows = [row for row in rows if (row.priority, row.order) > read.after]
        return cut_by_bytes(
            _page([row._replace(result=None) for row in rows], read.limit), read.bytes_max
        )

    def _delayed(self, read: DelayedPage) -> Page:
        rows = self._sorted(
            lambda row: row.state is State.DELAYED, lambda row: (row.run_at_ms, row.seq)
        )
        if read.after is not None:
            rows = [row for row in rows if (row.run_at_ms, row.seq) > read.after]
        return _page([_bare(row) for row in rows], read.limit)

    def _by_id(self, read: JobsById) -> Page:
        ids = set(read.ids)
        rows = self._sorted(
            lambda row: row.queue == read.queue and row.id in ids, lambda row: (row.seq, 0)
        )
        return Page([_bare(row) for row in rows], False)

    def _by_seq(self, read: JobsBySeq) -> Page:
        found = [self.disk.jobs[seq] for seq in read.seqs if seq in self.disk.jobs]
        chosen: list[JobRow] = []
        total = 0
        for row in found:
            total += len(row.payload or b"")
            if chosen and total > read.bytes_max:
                break
            chosen.append(row._replace(result=None))
        return Page(chosen, len(chosen) < len(found))

    def _finished(self, read: FinishedPage) -> Page:
        rows = self._sorted(
            lambda row: (
                row.queue == read.queue
                and row.state is read.state
                and (read.before_ms is None or row.finished_at_ms < read.before_ms)
            ),
            lambda row: (row.finished_at_ms, row.seq),
        )
        seqs = tuple(row.seq for row in rows[: read.limit])
        return Page([], len(rows) > read.limit, seqs)

    def _queue_page(self, read: QueuePage) -> Page:
        rows = self._sorted(
            lambda row: (
                row.queue == read.queue
                and row.state is read.state
                and (read.after is None or key_of(read.state, row) > read.after)
            ),
            lambda row: key_of(read.state, row),
        )
        return _page([_bare(row) for row in rows], read.limit)

    def _history(self, read: HistoryPage) -> Page:
        places = ((MINUTE_MS, read.minute_at_ms), (HOUR_MS, read.hour_at_ms))
        rows = [row for row in self.disk.history.values() if row[:2] in places and row.name != ALL]
        return Page([], False, history=tuple(rows))

    def _keep_attempt(self, new: AttemptRow) -> None:
        attempts = self.disk.attempts
        for key, old in list(attempts.items()):
            if old.seq == new.seq and old.attempt <= new.attempt - ATTEMPTS_KEPT:
                del attempts[key]
        attempts[new.seq, new.token] = new

    def _sorted(
        self, wanted: Callable[[JobRow], bool], key: Callable[[JobRow], tuple[int, int]]
    ) -> list[JobRow]:
        return sorted((row for row in self.disk.jobs.values() if wanted(row)), key=key)

    async def job(self, queue: QueueKey, id: str) -> JobDetail | None:
        rows = [row for row in self.disk.jobs.values() if (row.queue, row.id) == (queue, id)]
        if not rows:
            return None
        row = max(rows, key=lambda row: row.seq)
        attempts = [attempt for key, attempt in self.disk.attempts.items() if key[0] == row.seq]
        logs = [log for key, log in self.disk.logs.items() if key[0] == row.seq]
        return detail_of(
            row,
            sorted(attempts, key=lambda attempt: attempt.token, reverse=True),
            sorted(logs, key=lambda log: log.number, reverse=True),
        )

    async def jobs(
        self, queue: QueueKey, state: State, after: JobCursor | None, limit: int, bytes_max: int
    ) -> tuple[list[JobRow], JobCursor | None]:
        is_newest_first = state in FINISHED
        rows = self._sorted(
            lambda row: row.queue == queue and row.state is state,
            lambda row: key_of(state, row),
        )
        if is_newest_first:
            rows.reverse()
        if after is not None:
            sign = -1 if is_newest_first else 1
            rows = [row for row in rows if _compared(key_of(state, row), after) == sign]
        page = cut_by_bytes(_page(rows, limit), bytes_max)
        return page.rows, JobCursor(*key_of(state, page.rows[-1])) if page.has_more else None

    async def history(self, queue: str, name: str, places: list[Place]) -> list[HistoryRow]:
        keys = [(*place, queue, name) for place in places]
        return [self.disk.history[key] for key in keys if key in self.disk.history]

    async def history_top(
        self, order: HistoryOrder, step_ms: int, from_ms: int, to_ms: int, limit: int
    ) -> list[HistorySum]:
        by_pair: dict[tuple[str, str], list[HistoryRow]] = {}
        for row in self.disk.history.values():
            if row.step_ms == step_ms and from_ms <= row.at_ms < to_ms and row.name != ALL:
                by_pair.setdefault((row.queue, row.name), []).append(row)
        ranks = {pair: _rank(order, rows) for pair, rows in by_pair.items()}
        best = sorted(
            (pair for pair in ranks if ranks[pair]), key=lambda pair: (-ranks[pair], pair)
        )
        return [
            HistorySum(
                *pair,
                sum(row.completed for row in by_pair[pair]),
                sum(row.failed for row in by_pair[pair]),
                [row.runs for row in by_pair[pair]],
            )
            for pair in best[:limit]
        ]

    # ---- housekeeping ----------------------------------------------------------------------

    async def checkpoint(self) -> bool:
        """There is no log."""
        return True

    def needs_checkpoint(self) -> bool:
        return False

    async def has_room(self) -> bool:
        return not self.disk.is_full

    async def stats(self) -> StoreStats:
        return StoreStats(0, 0, 0, 0)


_READERS: Final[dict[type[Any], Callable[[MemoryStore, Any], Page]]] = {
    WaitingPage: MemoryStore._waiting,
    DelayedPage: MemoryStore._delayed,
    JobsById: MemoryStore._by_id,
    JobsBySeq: MemoryStore._by_seq,
    FinishedPage: MemoryStore._finished,
    QueuePage: MemoryStore._queue_page,
    HistoryPage: MemoryStore._history,
}


def _row_of(added: AddedRow) -> JobRow:
    return JobRow(
        seq=added.seq,
        queue=added.queue,
        id=added.id,
        name=added.name,
        state=added.state,
        priority=added.priority,
        order=added.order,
        run_at_ms=added.run_at_ms,
        created_at_ms=added.created_at_ms,
        options=added.options,
        failures=0,
        crashes=0,
        releases=0,
        token=added.token or Token(0),
        session=added.session,
        started_at_ms=added.started_at_ms,
        finished_at_ms=0,
        fail_reason=FailReason.NONE,
        progress=None,
        log_lines=0,
        result=None,
        payload=added.payload,
        is_damaged=False,
    )


def _bare(row: JobRow) -> JobRow:
    return row._replace(payload=None, result=None)


def _page(rows: list[JobRow], limit: int) -> Page:
    return Page(rows[:limit], len(rows) > limit)


def _compared(one: tuple[int, int], other: tuple[int, int]) -> int:
    """1, 0 or -1 as one is after, at or before the other."""
    return (one > other) - (one < other)


def _rank(order: HistoryOrder, rows: list[HistoryRow]) -> float:
    failed = sum(row.failed for row in rows)
    ended = failed + sum(row.completed for row in rows)
    if order is HistoryOrder.MEAN_RUN:
        return sum(row.run_ms for row in rows) / max(1, ended)
    return failed if order is HistoryOrder.FAILED else ended
