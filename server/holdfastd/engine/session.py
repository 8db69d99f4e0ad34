"""One session: a client's identity over any number of connections, its leases and its credit.

Plain state, changed by `engine.attending` (it comes, goes, times out), `engine.partition` (credit,
leases) and `engine.lookups` (commands that wait). It outlives its connections: `connection` is None
in between, its leases stay until `deadline`, and credit, waits and listening are gone, since they
belong to a connection. It has a row as soon as it has had a lease or changed anything: without one
there is nothing that it could come back to.

To show workers: `Engine.sessions`, those with `is_worker`. Name them by `key`: who knows the `id`
of a session can take it over.
"""

from collections import deque
from typing import Any

from holdfastd.engine.changes import SessionRow
from holdfastd.engine.commands import Command
from holdfastd.engine.model import Job, QueueKey, SessionKey, Token


class Parked:
    """A command that waits, with what has been read for it."""

    def __init__(self, request: int, command: Command):
        self.request = request
        self.command = command
        self.found: dict[tuple[QueueKey, str], Job] = {}
        self.looked_up: set[tuple[QueueKey, str]] = set()
        """Asked for; what of it is not in `found` does not exist on disk."""
        self.reads_left = 0
        self.is_dropped = False


class Session:
    def __init__(self, key: SessionKey, id: str):
        # Durable
        self.key = key
        self.id = id
        self.worker = ""
        """Name of the worker, "" = a producer."""
        self.last_request = 0
        """Highest request number applied; as durable as the batch that is open."""
        self.last_refused = 0
        """Highest number of an ENQUEUE refused as a whole: of those above it, up to last_request,
        its client knows that they were done, whatever became of the jobs since."""
        self.seen_at_ms = 0
        self.is_quiet = False
        """A person said that it is to get no more jobs; it keeps those that it has."""
        self.is_stored = False
        """It has a row, or will have with the open batch."""
        # In memory only
        self.origin: dict[str, Any] = {}
        self.connection: int | None = None
        """None = detached."""
        self.leases: dict[Token, Job] = {}
        self.queues: list[str] = []
        """Names of the queues it takes jobs from."""
        self.last_served: QueueKey | None = None
        """Of its several queues the one whose turn was last."""
        self.left: list[str] = []
        """While it is detached: names of the queues it took jobs from before."""
        self.credit = 0
        """Jobs it can still take."""
        self.is_held = False
        """Its client does not read."""
        self.is_sated = False
        """It was pushed as much as one batch may hold; it goes on with the next."""
        self.is_stopping = False
        """A person told it to end: it gets no more jobs, and is told again if it comes back."""
        self.deadline = 0.0
        """Monotonic seconds at which its leases expire unless it is heard of."""
        self.watched_at: float | None = None
        """Monotonic seconds of its entry in the heap of deadlines; None = it has none. Others of
        its entries there are out of date."""
        self.is_restored = False
        """Not heard of since the daemon started: leases that expire are not its jobs' fault."""
        self.waits: dict[tuple[str, str], None] = {}
        """(queue, job id) whose end its connection waits for."""
        self.wait_count = 0
        """Its requests that wait; several may wait for one job."""
        self.listens: dict[str, None] = {}
        """Queues whose events its connection gets."""
        self.parked: deque[Parked] = deque()
        """Commands that wait, in order: for what they have to read, or for those before them."""

    @property
    def can_take(self) -> bool:
        """A job may be pushed to it now, as far as credit and its connection go."""
        return self.credit > 0 and not (
            self.is_held or self.is_sated or self.is_quiet or self.is_stopping
        )

    @property
    def is_worker(self) -> bool:
        """It says so, or it takes jobs."""
        return bool(self.worker or self.queues)

    def unpark(self) -> None:
        """Drop what was not applied yet: the client will send it again."""
        for parked in self.parked:
            parked.is_dropped = True
        self.parked.clear()

    def row(self) -> SessionRow:
        return SessionRow(
            self.key,
            self.id,
            self.worker,
            self.last_request,
            self.last_refused,
            self.seen_at_ms,
            self.is_quiet,
        )
