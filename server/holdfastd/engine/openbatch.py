"""The batch that is open: which jobs, queues and sessions changed, and what is to be said.

It remembers *that* something changed and takes the final rows when it is closed, so the order of
the commands between does not matter and a job that changes five times is written once.

Invariants:

- `Job.change` says what the open batch will do with a job; `jobs` are those where it is not NONE,
  each once;
- ADDED stays ADDED whatever follows, but for REMOVED; REMOVED stays REMOVED;
- a job that the batch writes with its payload has it in memory until `rows` was called;
- what is in `outputs` is true once the rows of this batch are durable, and not before. The items of
  a Deliver, Revoke or Notify grow until then: one of each kind per connection (and queue).
"""

from typing import TYPE_CHECKING, Any

from holdfastd.engine.changes import (
    AddedRow,
    AttemptRow,
    Batch,
    CompletedRow,
    EditedRow,
    HistoryCut,
    HistoryRow,
    LeasedRow,
    LogRow,
    MovedRow,
    RewrittenRow,
)
from holdfastd.engine.events import QueueEvent
from holdfastd.engine.model import (
    FINISHED,
    Change,
    Job,
    QueueKey,
    Seq,
    SessionKey,
    State,
    Token,
)
from holdfastd.engine.outputs import (
    DELIVERY_BYTES_MAX,
    Deliver,
    Notify,
    Output,
    Revoke,
    RevokeReason,
)

if TYPE_CHECKING:
    from holdfastd.engine.queue import QueueState
    from holdfastd.engine.schedules import Schedule, ScheduleKey
    from holdfastd.engine.session import Session


class _Delivery:
    """What a batch pushes to one connection."""

    __slots__ = ("bytes", "items", "total_bytes")

    def __init__(self) -> None:
        self.items: list[Any] = []
        """Of its last Deliver."""
        self.bytes = 0
        """Of these items."""
        self.total_bytes = 0


class OpenBatch:
    def __init__(self) -> None:
        self.jobs: list[Job] = []
        """Each changed job once; `Job.change` says how."""
        self.body_bytes = 0
        """Payloads of new and edited jobs, and results of those that completed."""
        self.removed: set[Seq] = set()
        self.moved: dict[Seq, Job] = {}
        """Jobs that went to another queue: the disk still has them in the one before."""
        self.edited: set[Seq] = set()
        """Jobs that have other data than the disk."""
        self.attempts: list[AttemptRow] = []
        self.logs: list[LogRow] = []
        self.queues: dict[QueueState, None] = {}
        self.queues_removed: list[QueueKey] = []
        self.sessions: dict[Session, None] = {}
        self.sessions_removed: list[SessionKey] = []
        self.schedules: dict[ScheduleKey, Schedule | None] = {}
        """As they are by now; None = removed."""
        self.history: list[HistoryRow] = []
        self.history_cuts: list[HistoryCut] = []
        self.outputs: list[Output] = []
        self.sated: list[Session] = []
        """They were pushed as much as one batch may hold."""
        self._deliveries: dict[int, _Delivery] = {}
        self._revocations: dict[int, list[tuple[Token, RevokeReason]]] = {}
        self._notifications: dict[tuple[int, str], list[QueueEvent]] = {}

    # ---- what changed ----------------------------------------------------------------------

    def add(self, job: Job) -> None:
        """Note that a job is new."""
        job.change = Change.ADDED
        self.jobs.append(job)
        self.body_bytes += len(job.payload or b"")

    def touch(self, job: Job, change: Change) -> None:
        """Note that a job has changed. Two different changes make a full rewrite; what was
        added stays an insert; what was removed stays removed."""
        before = job.change
        if before is Change.NONE:
            self.jobs.append(job)
            job.change = change
        elif change is Change.REMOVED:
            job.change = change
        elif before is not change and before is not Change.ADDED and before is not Change.REMOVED:
            job.change = Change.REWRITTEN

    def move(self, job: Job, gone: Job) -> None:
        """Note that a job is in another queue; `gone` keeps its name in the one before."""
        self.touch(job, Change.REWRITTEN)
        self.moved[job.seq] = job
        gone.change = Change.REMOVED
        self.jobs.append(gone)

    def edit(self, job: Job) -> None:
        """Note that a job has other data."""
        self.touch(job, Change.REWRITTEN)
        self.edited.add(job.seq)
        self.body_bytes += len(job.payload or b"")

    # ---- what is to be said ----------------------------------------------------------------

    def deliver(self, connection: int, item: Any, item_bytes: int) -> int:
        """Returns the bytes that the batch pushes to this connection so far."""
        delivery = self._deliveries.get(connection)
        if delivery is None:
            delivery = self._deliveries[connection] = _Delivery()
        if not delivery.items or delivery.bytes + item_bytes > DELIVERY_BYTES_MAX:
            delivery.items = []
            delivery.bytes = 0
            self.outputs.append(Deliver(connection, delivery.items))
        delivery.items.append(item)
        delivery.bytes += item_bytes
        delivery.total_bytes += item_bytes
        return delivery.total_bytes

    def revoke(self, connection: int, token: Token, reason: RevokeReason) -> None:
        items = self._revocations.get(connection)
        if items is None:
            items = self._revocations[connection] = []
            self.outputs.append(Revoke(connection, items))
        items.append((token, reason))

    def notify(self, connection: int, queue: str, events: list[QueueEvent]) -> None:
        known = self._notifications.get((connection, queue))
        if known is None:
            known = self._notifications[connection, queue] = []
            self.outputs.append(Notify(connection, queue, known))
        known.extend(events)

    # ---- closing it ------------------------------------------------------------------------

    def rows(self) -> Batch:
        """The final rows of everything that changed; the changed jobs are marked as written."""
        batch = Batch(
            attempts=self.attempts,
            logs=self.logs,
            queues=[queue.row() for queue in self.queues],
            queues_removed=self.queues_removed,
            sessions=[session.row() for session in self.sessions],
            sessions_removed=self.sessions_removed,
            schedules=[schedule for schedule in self.schedules.values() if schedule is not None],
            schedules_removed=[key for key, left in self.schedules.items() if left is None],
            history=self.history,
            history_cuts=self.history_cuts,
            removed=list(self.removed),
        )
        for job in self.jobs:
            change, job.change = job.change, Change.NONE
            if change is Change.ADDED:
                batch.added.append(_added_row(job))
                if _outgrew_its_insert(job):
                    batch.rewritten.append(_rewritten_row(job))
            elif change is Change.COMPLETED:
                batch.completed.append(CompletedRow(job.seq, job.finished_at_ms, job.result))
            elif change is Change.LEASED:
                batch.leased.append(LeasedRow(job.seq, job.token, job.session, job.started_at_ms))
            elif change is Change.REWRITTEN:
                batch.rewritten.append(_rewritten_row(job))
                if job.seq in self.moved:
                    batch.moved.append(MovedRow(job.seq, job.queue))
                if job.seq in self.edited:
                    batch.edited.append(_edited_row(job))
        return batch


def _outgrew_its_insert(job: Job) -> bool:
    """More happened to it in the batch that added it than a lease: rare, so it costs a rewrite."""
    return bool(
        job.failures
        or job.crashes
        or job.releases
        or job.finished_at_ms
        or job.log_lines
        or job.progress
    )


def _added_row(job: Job) -> AddedRow:
    assert job.payload is not None, "a job keeps its payload until it is written"
    is_active = job.state is State.ACTIVE
    is_finished = job.state in FINISHED  # the rewrite that follows sets it
    return AddedRow(
        job.seq,
        job.queue,
        job.id,
        job.name,
        State.WAITING if is_finished else job.state,
        job.priority,
        job.order,
        job.run_at_ms,
        job.created_at_ms,
        job.options,
        job.payload,
        job.token,
        job.session,
        job.started_at_ms if is_active else 0,
    )


def _edited_row(job: Job) -> EditedRow:
    assert job.payload is not None, "a job keeps its data until it is written"
    return EditedRow(job.seq, job.payload)


def _rewritten_row(job: Job) -> RewrittenRow:
    return RewrittenRow(
        job.seq,
        job.state,
        job.priority,
        job.order,
        job.run_at_ms,
        job.failures,
        job.crashes,
        job.releases,
        job.token,
        job.session,
        job.started_at_ms,
        job.finished_at_ms,
        job.fail_reason,
        job.result,
        job.progress,
        job.log_lines,
    )
