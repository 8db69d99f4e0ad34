"""What the engine has to say to connections; held back until the batch it depends on is durable."""

from enum import Enum, auto
from typing import Any, Final, NamedTuple

from holdfastd.engine.events import QueueEvent
from holdfastd.engine.model import QueueKey, Token


class Refusal(Enum):
    """Why not. `net.answers` maps each to an error code of the protocol."""

    OUT_OF_ORDER = auto()
    UNKNOWN_QUEUE = auto()
    UNKNOWN_JOB = auto()
    LEASE_LOST = auto()
    WRONG_STATE = auto()
    NOT_EMPTY = auto()
    BUSY = auto()
    DISK_FULL = auto()
    DRAINING = auto()
    TOO_MANY = auto()
    JOB_EXISTS = auto()
    UNKNOWN_WORKER = auto()
    UNKNOWN_SCHEDULE = auto()


def unknown_queue(name: str) -> str:
    """Said of every Refusal.UNKNOWN_QUEUE."""
    return f"there is no queue {name}: check the name; it is there once a job was added"


def unknown_job(id: str, queue: str) -> str:
    """Said of every Refusal.UNKNOWN_JOB."""
    return f"there is no job {id} in queue {queue}: check both; retention may have removed it"


class RevokeReason(Enum):
    LEASE_LOST = auto()
    REMOVED = auto()
    CANCELLED = auto()


class Answer(NamedTuple):
    connection: int
    request: int
    result: Any


class ItemRefusal(NamedTuple):
    at: int
    """Index of the item in the request."""
    refusal: Refusal
    message: str


class ItemExisting(NamedTuple):
    at: int
    state: int


class AnswerItems(NamedTuple):
    """Answer to a command with a list: only the items that did not simply succeed."""

    connection: int
    request: int
    items: list[Any]
    """ItemRefusal, ItemExisting, or what came in as Enqueue.refused."""


class Refuse(NamedTuple):
    connection: int
    request: int
    refusal: Refusal
    message: str


class Welcome(NamedTuple):
    connection: int
    resumed: bool
    last_request: int
    last_refused: int
    lost: list[Token]


class Displace(NamedTuple):
    """Another connection took over the session of this one: close it."""

    connection: int


class Show(NamedTuple):
    """Answer with the job as it is stored (once this output may leave, that is the truth)."""

    connection: int
    request: int
    queue: QueueKey
    id: str


DELIVERY_BYTES_MAX: Final = 2 * 1024 * 1024
"""Of the items of one Deliver (one larger item may be alone): half a frame of the protocol."""


class Deliver(NamedTuple):
    """Jobs leased to the session of this connection."""

    connection: int
    items: list[Any]
    """In the order of the protocol's JOBS item."""


class Revoke(NamedTuple):
    connection: int
    items: list[tuple[Token, RevokeReason]]


class Stop(NamedTuple):
    """The worker of this connection is to end."""

    connection: int


class Notify(NamedTuple):
    connection: int
    queue: str
    events: list[QueueEvent]


Output = (
    Answer | AnswerItems | Refuse | Welcome | Displace | Show | Deliver | Revoke | Stop | Notify
)
