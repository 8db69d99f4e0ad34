"""What the engine is asked to do: checked values, no wire formats. Names as in the protocol."""

from collections.abc import Callable
from typing import Any, NamedTuple

from holdfastd.engine.model import NewJob, QueueSettings, SessionKey, State, Token
from holdfastd.engine.schedules import ScheduleSpec


class Attach(NamedTuple):
    """A connection takes up a session; a new one if the id is unknown."""

    session_id: str
    worker: str
    """Name of the worker, "" for a producer."""
    leases: tuple[Token, ...]
    """The leases it holds by its own account."""
    origin: dict[str, Any]
    """What it tells of itself (client, host, pid), for people."""


class Detach(NamedTuple):
    """The connection broke; its session may be resumed within the grace."""


class End(NamedTuple):
    """The client said goodbye: its leases are released, its session is over."""


class Report(NamedTuple):
    token: Token
    progress: bytes | None
    lines: list[tuple[int, str]]
    """(at_ms, text), checked and cut."""


class Heartbeat(NamedTuple):
    reports: list[Report]


class Enqueue(NamedTuple):
    queue: str
    items: list[tuple[int, NewJob]]
    """(index in the request, job)."""
    refused: list[Any]
    """Results of items that were refused before; passed on into the answer."""


class Refused(NamedTuple):
    """An ENQUEUE was refused before it came here; its number is that of this command."""

    queue: str
    """As the client wrote it; need not exist, or be a name."""
    jobs: int
    """Items of it."""


class Wait(NamedTuple):
    queue: str
    id: str


class Subscribe(NamedTuple):
    queues: list[str]
    credit: int


class Credit(NamedTuple):
    amount: int


class Hold(NamedTuple):
    """The client does not read what it is sent (or does so again): push it nothing meanwhile."""

    is_held: bool


class Held(NamedTuple):
    """One item of ACK, FAIL, RELEASE, EXTEND: the lease, and the job it was for."""

    token: Token
    queue: str
    id: str


class AttemptError(NamedTuple):
    type: str
    message: str
    traceback: str


class Ack(NamedTuple):
    items: list[tuple[Held, bytes | None]]
    credit: int


class Fail(NamedTuple):
    items: list[tuple[Held, AttemptError, int | None]]
    """Third: None by the job's policy, -1 never again, else milliseconds until the next attempt."""
    credit: int


class Release(NamedTuple):
    items: list[tuple[Held, int]]
    """Second: milliseconds until it may run again, 0 = at once."""
    credit: int


class Extend(NamedTuple):
    items: list[Held]


class Listen(NamedTuple):
    queue: str
    after: int | None


class Unlisten(NamedTuple):
    queue: str


class Counts(NamedTuple):
    queue: str | None
    after: str | None
    limit: int
    shows: Callable[[str], bool] | None = None
    """Which queues of a listing, by name; None = all."""


class Remove(NamedTuple):
    queue: str
    ids: list[str]
    expected: State | None


class Promote(NamedTuple):
    queue: str
    ids: list[str]
    expected: State | None = None


class Retry(NamedTuple):
    queue: str
    ids: list[str]
    expected: State | None


class Change(NamedTuple):
    queue: str
    ids: list[str]
    priority: int | None
    lifo: bool | None
    run_at_ms: int | None
    """None = leave it; in the past = at once."""
    expected: State | None


class Cancel(NamedTuple):
    queue: str
    ids: list[str]
    expected: State | None


class Move(NamedTuple):
    queue: str
    ids: list[str]
    target: str
    """Name of the queue they go to; it is made if it is new."""
    expected: State | None


class Edit(NamedTuple):
    queue: str
    id: str
    payload: bytes
    expected: State | None


class Explain(NamedTuple):
    """Why does the job not run? Answered with an `explaining.Explanation` as a map."""

    queue: str
    id: str


class Quiet(NamedTuple):
    """A worker gets no more jobs, and keeps those that it has; or it gets some again."""

    session: SessionKey
    """`Session.key`: an id would do to take it over, and is shown to nobody."""
    is_quiet: bool


class StopWorker(NamedTuple):
    """A worker is told to end: to finish what it runs, and to leave."""

    session: SessionKey


class PutSchedule(NamedTuple):
    """In place of the schedule of that queue and id, if there is one. Answered with the schedule
    as a map (`schedules.describe`)."""

    spec: ScheduleSpec

    @property
    def queue(self) -> str:
        return self.spec.queue


class RemoveSchedule(NamedTuple):
    """Its jobs stay."""

    queue: str
    id: str


class PauseSchedule(NamedTuple):
    """It makes no jobs any more; or some again, from now on."""

    queue: str
    id: str
    is_paused: bool


class RunSchedule(NamedTuple):
    """One job now, whatever its plan, which stays as it is. Answered with the job's id."""

    queue: str
    id: str
    run: str
    """Chosen by who asks, never twice, 1 to 32 printable characters: the job's id is made of it, so
    that asking again makes no second job."""


class Schedules(NamedTuple):
    """A page of the schedules of a queue, or of all, by queue and id; or one. Answered with a map:
    `schedules`, and `next`, which is `after` of the next page, None = no more."""

    queue: str | None
    id: str | None
    """Only that one, of that queue."""
    after: tuple[str, str] | None
    """(queue, id) of the last one before."""
    limit: int
    shows: Callable[[str], bool] | None = None
    """Which queues, by name; None = all."""


class Pause(NamedTuple):
    queue: str


class Resume(NamedTuple):
    queue: str


class Configure(NamedTuple):
    queue: str
    settings: QueueSettings


class Drain(NamedTuple):
    queue: str
    delayed: bool


class Obliterate(NamedTuple):
    queue: str
    force: bool


Command = (
    Attach | Detach | End | Heartbeat
    | Enqueue | Refused | Wait
    | Subscribe | Credit | Hold | Ack | Fail | Release | Extend
    | Listen | Unlisten | Counts
    | Remove | Promote | Retry | Change | Cancel | Move | Edit
    | Explain | Quiet | StopWorker
    | PutSchedule | RemoveSchedule | PauseSchedule | RunSchedule | Schedules
    | Pause | Resume | Configure | Drain | Obliterate
)  # fmt: skip
