"""The nouns of the engine: jobs, their options, queues' settings.

Only standard-library data types. A Job is mutable and belongs to the engine alone; everything that
leaves the engine is a row (`engine.changes`) or a message, copied from it.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, NamedTuple, NewType

Seq = NewType("Seq", int)
"""Number of a job in its partition: rises by one per job added, never used again. Primary key."""
QueueKey = NewType("QueueKey", int)
"""Number of a queue in its partition."""
SessionKey = NewType("SessionKey", int)
"""Number of a session in its partition; 0 = none."""
Token = NewType("Token", int)
"""Right to run a job once: (boot epoch << 40) + counter. Strictly rising; 0 = none."""

TOKEN_COUNTER_BITS: Final = 40
"""As in the protocol; a test compares the two."""

NO_SESSION: Final = SessionKey(0)
NO_TOKEN: Final = Token(0)


class State(IntEnum):
    """Numbers are stored: never change one. The same as the protocol's; a test compares them."""

    WAITING = 1
    DELAYED = 2
    ACTIVE = 3
    BLOCKED = 4
    COMPLETED = 5
    FAILED = 6
    CANCELLED = 7


FINISHED: Final = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED})


class FailReason(IntEnum):
    """How a job came to be `failed`. Numbers are stored."""

    NONE = 0
    ERROR = 1
    CRASHED = 2
    TIMED_OUT = 3
    EXPIRED = 4
    CHILD_FAILED = 5
    DAMAGED = 6


class BackoffKind(IntEnum):
    FIXED = 1
    EXPONENTIAL = 2
    LIST = 3


class Jitter(IntEnum):
    NONE = 0
    EQUAL = 1
    FULL = 2


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a failed attempt waits for the next. Used by `engine.policy.backoff_ms`."""

    kind: BackoffKind = BackoffKind.FIXED
    delays_ms: tuple[int, ...] = (0,)
    """LIST: the delay of each retry, the last one for all after it. Else one: the (first) delay."""
    factor: float = 2.0
    """EXPONENTIAL only: each delay is so many times the one before."""
    cap_ms: int = 0
    """EXPONENTIAL only: no delay is longer; 0 = no cap."""
    jitter: Jitter = Jitter.NONE


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What does not change over a job's life and is rarely given. Stored as one blob; the default
    is stored as NULL and shared by all jobs in memory."""

    attempts: int = 1
    """Failures that end in `failed`: 1 = no retry."""
    max_crashes: int = 3
    """Lost leases that end in `failed/crashed`. DESIGN.md, section 6."""
    backoff: Backoff = Backoff()
    tags: tuple[str, ...] = ()
    """By which a person finds it; none twice."""


DEFAULT_OPTIONS: Final = JobOptions()


class NewJob(NamedTuple):
    """One checked item of an enqueue."""

    id: str
    is_generated: bool
    """The client made the id up just now (UUIDv7): no job can have it, so it is not looked up."""
    name: str
    payload: bytes
    priority: int = 0
    lifo: bool = False
    run_at_ms: int = 0
    """Unix milliseconds; 0 or in the past = at once."""
    options: JobOptions = DEFAULT_OPTIONS


class Change(IntEnum):
    """What the open batch has to write of a job; `engine.changes` merges two of them."""

    NONE = 0
    ADDED = 1
    LEASED = 2
    """state, token, session, started_at_ms and nothing else"""
    COMPLETED = 3
    """state, finished_at_ms, result and nothing else"""
    REWRITTEN = 4
    """any column but queue and payload; see OpenBatch.moved and .edited for these"""
    REMOVED = 5


class Job:
    """One job that the engine holds in memory: in a head, active, or changed in an open batch.

    A plain class with slots, not a dataclass: one is made per job and the constructor is in the
    hot path.
    """

    __slots__ = (
        "change",
        "crashes",
        "created_at_ms",
        "fail_reason",
        "failures",
        "finished_at_ms",
        "id",
        "is_removed",
        "log_lines",
        "name",
        "options",
        "order",
        "payload",
        "place",
        "priority",
        "progress",
        "queue",
        "releases",
        "result",
        "run_at_ms",
        "seq",
        "session",
        "started_at_ms",
        "state",
        "token",
    )

    def __lt__(self, other: "Job") -> bool:
        """Where an entry of a head that was left behind meets one under the same key: a job that
        was forgotten and read again is another object. Which comes first is all the same."""
        return False

    def __init__(
        self,
        seq: Seq,
        queue: QueueKey,
        id: str,
        name: str,
        state: State,
        priority: int,
        order: int,
        run_at_ms: int,
        created_at_ms: int,
        options: JobOptions,
        payload: bytes | None,
    ):
        # Durable. `seq`, `id`, `name`, `created_at_ms`, `options` never change, queue and payload
        # only by MOVE and EDIT.
        self.seq = seq
        self.queue = queue
        self.id = id
        self.name = name
        self.state = state
        self.priority = priority
        self.order = order
        """Place within a priority, smaller first: seq, -seq for lifo, a fresh number on return."""
        self.run_at_ms = run_at_ms
        """When a delayed job is due; else when it last was, 0 = never delayed."""
        self.created_at_ms = created_at_ms
        self.options = options
        self.failures = 0
        self.crashes = 0
        self.releases = 0
        self.token: Token = NO_TOKEN
        """Of the live lease, or of the last one."""
        self.session: SessionKey = NO_SESSION
        """Holder of the live lease, else NO_SESSION."""
        self.started_at_ms = 0
        """When the last lease was given, 0 = never."""
        self.finished_at_ms = 0
        self.fail_reason: FailReason = FailReason.NONE
        self.result: bytes | None = None
        """Of a completed job, only while its batch is open: then it is on disk."""
        self.progress: bytes | None = None
        self.log_lines = 0
        """Lines logged so far over all attempts, the dropped ones included."""
        # In memory only.
        self.payload = payload
        """None: on disk only. It is read before the job is delivered."""
        self.change: Change = Change.NONE
        """What the open batch will write of it."""
        self.is_removed = False
        """It has been deleted, or moved away; its name stays taken in memory until the open batch
        is closed."""
        self.place: object | None = None
        """Its entry in the head that holds it (`engine.head`); None = in none."""

    @property
    def attempt(self) -> int:
        """Number of the run that is on, or comes next: 1 = first. Releases do not count."""
        return self.failures + self.crashes + 1


class AttemptOutcome(IntEnum):
    """How an attempt that did not complete ended. Numbers are stored."""

    FAILED = 1
    LOST = 2
    RELEASED = 3
    CANCELLED = 4
    """The job was cancelled while it ran."""


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `limit` leases per `period_ms`, up to `burst` at once."""

    limit: int
    period_ms: int
    burst: int


@dataclass(frozen=True, slots=True)
class Keep:
    """How long finished jobs of one state are kept. None = no bound."""

    age_ms: int | None
    count: int | None


DAY_MS: Final = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Retention:
    """Defaults: what is done is of use for a day, what failed for a month; arbitrary."""

    completed: Keep = Keep(DAY_MS, 10_000)
    failed: Keep = Keep(30 * DAY_MS, None)
    cancelled: Keep = Keep(DAY_MS, 10_000)


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """What a user sets on a queue; stored as one blob."""

    concurrency: int | None = None
    rate: Rate | None = None
    retention: Retention = field(default_factory=Retention)
