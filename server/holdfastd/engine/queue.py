"""What the engine holds of one queue in memory.

Plain state: what changes it, and what is always true of it, is in `engine.partition`. The durable
part is a row of its own, written with every batch in which a count or a setting changed; so a start
counts nothing. Of the jobs only the head, the active ones and those that the open batch changed are
here: memory does not grow with the queue.
"""

from typing import TYPE_CHECKING, Final

from holdfastd.engine.changes import Clearing, QueueRow
from holdfastd.engine.head import NOTHING, Head
from holdfastd.engine.limits import RateLimiter
from holdfastd.engine.model import Job, QueueKey, QueueSettings, State
from holdfastd.engine.tally import NOT_COUNTED, Tally

if TYPE_CHECKING:
    from holdfastd.engine.events import EventRing
    from holdfastd.engine.session import Session
    from holdfastd.engine.stats import QueueStats

STATE_COUNT: Final = len(State) + 1

HEAD_JOBS_MAX: Final = 2_000
"""Some 20 ms of work at full speed, so that a page read is never waited for; measured: 500 gives
2 % less when draining, 8,000 gives nothing more."""
HEAD_BYTES_MAX: Final = 4 * 1024 * 1024
"""Payload bytes of a head, so that large payloads do not make a large process."""
IDLE_HEAD_JOBS_MAX: Final = 1
"""Without a subscriber only the first job is kept: it tells how old the queue is."""


class QueueState:
    """Attributes as in `changes.QueueRow` where they are durable."""

    def __init__(self, key: QueueKey, name: str, settings: QueueSettings | None = None):
        # Durable
        self.key = key
        self.name = name
        self.is_paused = False
        self.settings = settings or QueueSettings()
        self.rate = RateLimiter(self.settings.rate)
        self.counts = [0] * STATE_COUNT
        """Jobs by State number."""
        self.clearing: Clearing | None = None
        # In memory only
        self.head = Head(IDLE_HEAD_JOBS_MAX, HEAD_BYTES_MAX)
        self.jobs: dict[str, Job] = {}
        """By id: every job in the head, active, or changed in the open batch."""
        self.subscribers: dict[Session, None] = {}
        self.ready: dict[Session, None] = {}
        """Subscribers with credit; the first one is next (round robin)."""
        self.waits: dict[str, list[tuple[int, int]]] = {}
        """By job id: (connection, request) that wait for its end."""
        self.listeners: dict[int, None] = {}
        """Connections that get its events."""
        self.ring: EventRing | None = None
        """None until somebody first listens: events that nobody wants cost nothing."""
        self.is_reading_page = False
        self.is_reading_payloads = False
        self.is_pruning = False
        self.rate_timer_at = 0.0
        """Monotonic seconds of the timer that is set for the rate limit; 0 = none."""
        self.stats: QueueStats
        """Of its own, or shared: the ledger sets it when the queue becomes known."""
        self.tallies: dict[str, Tally] = NOT_COUNTED
        """What happened in this minute, by job name; see engine.history, which sets it."""

    @classmethod
    def from_row(cls, row: QueueRow, now_ms: int, monotonic: float) -> "QueueState":
        """As it was stored; now_ms and monotonic: the start of the daemon."""
        queue = cls(row.key, row.name, row.settings)
        queue.is_paused = row.is_paused
        queue.rate.resume(row.rate_full_at_ms, now_ms, monotonic)
        queue.counts = list(row.counts)
        queue.clearing = row.clearing
        if queue.counts[State.WAITING]:
            queue.head.horizon = NOTHING
        return queue

    def row(self) -> QueueRow:
        return QueueRow(
            self.key,
            self.name,
            self.is_paused,
            self.settings,
            self.rate.full_at_ms,
            tuple(self.counts),
            self.clearing,
        )

    def drop_wait(self, id: str, connection: int) -> None:
        """A connection no longer waits for a job's end."""
        waits = [wait for wait in self.waits.get(id, ()) if wait[0] != connection]
        if waits:
            self.waits[id] = waits
        else:
            self.waits.pop(id, None)

    @property
    def is_clearing(self) -> bool:
        """Nothing is leased meanwhile."""
        return self.clearing is not None

    @property
    def active_count(self) -> int:
        return self.counts[State.ACTIVE]

    @property
    def is_at_concurrency_limit(self) -> bool:
        limit = self.settings.concurrency
        return limit is not None and self.counts[State.ACTIVE] >= limit

    @property
    def slots(self) -> int:
        """What its workers could run at once: their credit and what they run of it now."""
        return sum(session.credit for session in self.subscribers) + self.active_count

    def oldest_waiting_at_ms(self) -> int | None:
        """When the first waiting job was added or became due; None = none, or not read yet."""
        job = self.head.peek()
        return None if job is None else ready_at_ms(job)


def ready_at_ms(job: Job) -> int:
    """When a waiting job was added or became due."""
    created_at_ms, run_at_ms = job.created_at_ms, job.run_at_ms
    return created_at_ms if created_at_ms >= run_at_ms else run_at_ms
