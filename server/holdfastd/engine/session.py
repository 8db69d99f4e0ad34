"""One session: a client's identity over any number of connections, its leases and its credit."""

from collections import deque
from typing import TYPE_CHECKING, Any

from holdfastd.engine.changes import SessionRow
from holdfastd.engine.model import Job, SessionKey, Token

if TYPE_CHECKING:
    from holdfastd.engine.commands import Command


class Session:
    def __init__(self, key: SessionKey, id: str):
        # Durable
        self.key = key
        self.id = id
        self.worker = ""
        """Name of the worker, "" = a producer."""
        self.last_request = 0
        """Highest request number applied; as durable as the batch that is open."""
        self.seen_at_ms = 0
        self.is_stored = False
        """It has a row, or will have with the open batch."""
        # In memory only
        self.origin: dict[str, Any] = {}
        self.connection: int | None = None
        """None = detached."""
        self.leases: dict[Token, Job] = {}
        self.queues: list[str] = []
        """Names of the queues it takes jobs from."""
        self.credit = 0
        """Jobs it can still take."""
        self.deadline = 0.0
        """Monotonic seconds at which its leases expire unless it is heard of."""
        self.is_watched = False
        """The heap of deadlines has an entry for it."""
        self.is_restored = False
        """Not heard of since the daemon started: leases that expire are not its jobs' fault."""
        self.waits: dict[tuple[str, str], None] = {}
        """(queue, job id) whose end its connection waits for."""
        self.listens: dict[str, None] = {}
        """Queues whose events its connection gets."""
        self.parked: deque[tuple[int, Command]] = deque()
        """(request, command) that wait: the first for what it has to read, the rest for it."""
        self.lookup: object | None = None
        """The reading that the first parked command waits for."""

    def unpark(self) -> None:
        """Drop what was not applied yet: the client will send it again."""
        self.parked.clear()
        self.lookup = None

    def row(self) -> SessionRow:
        return SessionRow(self.key, self.id, self.worker, self.last_request, self.seen_at_ms)
