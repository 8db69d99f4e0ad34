"""What leaves the engine: rows for the store, messages for sessions. Values only.

The store writes a `Batch` in one transaction; it holds final rows, so the order of the commands
that led to them no longer matters: a job that was added and leased in one batch is one insert of
an active job. A batch applied twice would change nothing: rows are keyed, counters are totals.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from holdfastd.engine.model import (
    AttemptOutcome,
    FailReason,
    JobOptions,
    QueueKey,
    QueueSettings,
    Seq,
    SessionKey,
    State,
    Token,
)
from holdfastd.engine.schedules import Schedule, ScheduleKey

Key: TypeAlias = tuple[int, int]
"""A place in an order of jobs."""


class AddedRow(NamedTuple):
    """A new job: WAITING, DELAYED or ACTIVE (token, session, started_at_ms are 0 unless ACTIVE)."""

    seq: Seq
    queue: QueueKey
    id: str
    name: str
    state: State
    priority: int
    order: int
    run_at_ms: int
    created_at_ms: int
    options: JobOptions
    payload: bytes
    token: Token
    session: SessionKey
    started_at_ms: int


class LeasedRow(NamedTuple):
    """A stored job that was waiting becomes ACTIVE."""

    seq: Seq
    token: Token
    session: SessionKey
    started_at_ms: int


class CompletedRow(NamedTuple):
    """A stored active job becomes COMPLETED; its session becomes 0, all else stays."""

    seq: Seq
    finished_at_ms: int
    result: bytes | None


class RewrittenRow(NamedTuple):
    """Any other change of a stored job: every column that changes often."""

    seq: Seq
    state: State
    priority: int
    order: int
    run_at_ms: int
    failures: int
    crashes: int
    releases: int
    token: Token
    session: SessionKey
    started_at_ms: int
    finished_at_ms: int
    fail_reason: FailReason
    result: bytes | None
    """Written as it is: None clears a stored result (a job put back to run again)."""
    progress: bytes | None
    log_lines: int


class MovedRow(NamedTuple):
    """A stored job goes to another queue; its place there is in a RewrittenRow."""

    seq: Seq
    queue: QueueKey


class EditedRow(NamedTuple):
    """A stored job gets other data."""

    seq: Seq
    payload: bytes


class JobRow(NamedTuple):
    """A job as the store gives it back."""

    seq: Seq
    queue: QueueKey
    id: str
    name: str
    state: State
    priority: int
    order: int
    run_at_ms: int
    created_at_ms: int
    options: JobOptions
    failures: int
    crashes: int
    releases: int
    token: Token
    session: SessionKey
    started_at_ms: int
    finished_at_ms: int
    fail_reason: FailReason
    progress: bytes | None
    log_lines: int
    result: bytes | None
    """None unless it was asked for, or there is none."""
    payload: bytes | None
    """None unless it was asked for."""
    is_damaged: bool
    """The checksum does not fit what was read; checked whenever the payload was asked for."""

    @property
    def attempt(self) -> int:
        """Number of the run that is on, comes next, or was the last: 1 = first."""
        return self.failures + self.crashes + (self.state is not State.FAILED)


class AttemptRow(NamedTuple):
    """The end of an attempt that did not complete; kept as long as its job. Keyed (seq, token)."""

    seq: Seq
    token: Token
    attempt: int
    started_at_ms: int
    ended_at_ms: int
    outcome: AttemptOutcome
    error_type: str
    error_message: str
    error_traceback: str
    worker: str
    """Name of the worker's session, "" = unknown."""


class LogRow(NamedTuple):
    """One line that a handler logged. Keyed (seq, number), number from 1."""

    seq: Seq
    number: int
    at_ms: int
    text: str


class Clearing(NamedTuple):
    """A drain or obliterate under way. It is stored with the command that began it, and goes on
    after a restart: who asked for it may have been told that it is done."""

    states: tuple[State, ...]
    last: Seq
    """Jobs added after the command are not its business."""
    forget_queue: bool


class QueueRow(NamedTuple):
    """A queue with its counters: totals, so that no start has to count jobs."""

    key: QueueKey
    name: str
    is_paused: bool
    settings: QueueSettings
    rate_full_at_ms: int
    """State of the rate limit, see engine.limits; 0 = unused."""
    counts: tuple[int, ...]
    """Jobs by state, index = State number (index 0 unused, always 0); length 8."""
    clearing: Clearing | None = None


class SessionRow(NamedTuple):
    key: SessionKey
    id: str
    name: str
    """Of its worker, "" = a producer."""
    last_request: int
    """Highest request number whose effect is in this batch or before; 0 = none."""
    last_refused: int
    """Highest number of an ENQUEUE that was refused as a whole; 0 = none."""
    seen_at_ms: int
    is_quiet: bool = False
    """A person said that it is to get no more jobs."""


class HistoryRow(NamedTuple):
    """What happened in a minute or an hour; see engine.history, also for what is counted. Keyed
    (step_ms, at_ms, queue, name)."""

    step_ms: int
    """60,000 or 3,600,000."""
    at_ms: int
    """Its beginning."""
    queue: str
    """Its name, "" = all queues. It may be gone by now."""
    name: str
    """Of the jobs, "" = all."""
    added: int
    completed: int
    failed: int
    retried: int
    lost: int
    run_ms: int
    """Of all attempts that were completed or failed, about."""
    waits: Mapping[int, int]
    """Bucket -> how often."""
    runs: Mapping[int, int]


class HistoryCut(NamedTuple):
    """Of the rows of that step that began before before_ms, the `limit` oldest go."""

    step_ms: int
    before_ms: int
    limit: int


@dataclass(slots=True)
class Batch:
    """Everything one transaction writes, in the order of the fields. Lists may be empty. A seq is
    in at most one of leased, completed, rewritten, removed; one in added may also be in rewritten
    or removed (what happened to it since is written on top)."""

    number: int = 0
    """Gap-free within the partition; the transaction refuses any but the one after the last."""
    next_seq: Seq = Seq(1)
    """Greater than any seq and order ever given out, so that none is used twice."""
    next_queue: QueueKey = QueueKey(1)
    next_session: SessionKey = SessionKey(1)
    added: list[AddedRow] = field(default_factory=list)
    leased: list[LeasedRow] = field(default_factory=list)
    completed: list[CompletedRow] = field(default_factory=list)
    rewritten: list[RewrittenRow] = field(default_factory=list)
    moved: list[MovedRow] = field(default_factory=list)
    """Each of them, and of edited, is in rewritten as well."""
    edited: list[EditedRow] = field(default_factory=list)
    removed: list[Seq] = field(default_factory=list)
    """Their attempts, logs and tags go with them."""
    attempts: list[AttemptRow] = field(default_factory=list)
    logs: list[LogRow] = field(default_factory=list)
    queues: list[QueueRow] = field(default_factory=list)
    queues_removed: list[QueueKey] = field(default_factory=list)
    """Empty by then: their jobs were removed in this batch or before."""
    sessions: list[SessionRow] = field(default_factory=list)
    sessions_removed: list[SessionKey] = field(default_factory=list)
    schedules: list[Schedule] = field(default_factory=list)
    """In place of those of the same queue and id."""
    schedules_removed: list[ScheduleKey] = field(default_factory=list)
    history: list[HistoryRow] = field(default_factory=list)
    """In place of those of the same key."""
    history_cuts: list[HistoryCut] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Nothing to write (next_* alone are not worth a transaction)."""
        return not (
            self.added
            or self.leased
            or self.completed
            or self.rewritten
            or self.removed
            or self.attempts
            or self.logs
            or self.queues
            or self.queues_removed
            or self.sessions
            or self.sessions_removed
            or self.schedules
            or self.schedules_removed
            or self.history
            or self.history_cuts
        )


# ---- what the engine wants to read --------------------------------------------------------------
# Dataclasses and not named tuples: they are keys, and those of two kinds are never equal.


def key_of(state: State, row: JobRow) -> Key:
    """The place of a row among those of its state, in the order of an index: waiting (priority,
    order); delayed (run_at_ms, seq); active (token, seq); finished (finished_at_ms, seq)."""
    if state is State.WAITING:
        return row.priority, row.order
    if state is State.DELAYED:
        return row.run_at_ms, row.seq
    if state is State.ACTIVE:
        return row.token, row.seq
    return row.finished_at_ms, row.seq


@dataclass(frozen=True, slots=True)
class WaitingPage:
    """Waiting jobs of a queue in (priority, order), after that key (None: from the first), with
    payloads; at most `limit` rows, and cut after the row that passes `bytes_max` of payload."""

    queue: QueueKey
    after: Key | None
    limit: int
    bytes_max: int


@dataclass(frozen=True, slots=True)
class DelayedPage:
    """Delayed jobs of all queues in (run_at_ms, seq), after that key, without payloads."""

    after: Key | None
    limit: int


@dataclass(frozen=True, slots=True)
class JobsById:
    """The jobs with these ids, without payloads; ids that do not exist are left out."""

    queue: QueueKey
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JobsBySeq:
    """These jobs with their payloads, for delivery; missing ones are left out. At most as many,
    in the order given, as fit `bytes_max` of payload (always at least one)."""

    seqs: tuple[Seq, ...]
    bytes_max: int


@dataclass(frozen=True, slots=True)
class FinishedPage:
    """The oldest finished jobs of a queue in a state, by (finished_at_ms, seq): their seqs alone,
    which an index has, since they are only read to be removed.
    before_ms: only those finished before that instant, None = any."""

    queue: QueueKey
    state: State
    before_ms: int | None
    limit: int


@dataclass(frozen=True, slots=True)
class QueuePage:
    """Jobs of a queue in a state after a key (see key_of; None: from the first), without
    payloads."""

    queue: QueueKey
    state: State
    after: Key | None
    limit: int


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """The history of a minute and of its hour, of pairs of queue and job name alone."""

    minute_at_ms: int
    hour_at_ms: int


Read = WaitingPage | DelayedPage | JobsById | JobsBySeq | FinishedPage | QueuePage | HistoryPage


class Page(NamedTuple):
    """Answer to any Read."""

    rows: list[JobRow]
    has_more: bool
    """There are rows after the last one (of those asked for)."""
    seqs: tuple[Seq, ...] = ()
    """Instead of rows, for a FinishedPage."""
    history: tuple[HistoryRow, ...] = ()
    """Instead of rows, for a HistoryPage."""
