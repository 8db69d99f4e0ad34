"""Which role may send what: one table, for every message that a client can send.

A key has roles and patterns of queue names. What it may do with a queue is asked with each message,
so the answer is looked up once per kind of message and queue, and remembered. What a worker says of
its leases needs no look at the queue: it could lease only from queues that it may use, a lease is
of one session, and a session is of one key (see `Identity.session_of`).

HTTP knows no messages, so it asks by `Need`; RIGHTS takes its roles from the same table, so that a
key may do the same on both ports.
"""

import re
from collections.abc import Callable, Iterable
from enum import Enum, auto
from typing import Any, Final, NamedTuple

from holdfast.wire import messages as wire
from holdfast.wire.checks import Refusal, shown
from holdfast.wire.constants import QUEUE_NAME_LENGTH_MAX, ErrorCode


class Role(Enum):
    PRODUCER = "producer"
    """Adds jobs, waits for them, reads its queues."""
    WORKER = "worker"
    """Takes jobs and answers."""
    VIEWER = "viewer"
    """Sees its queues, their jobs and the data of these; changes nothing."""
    OPERATOR = "operator"
    """Reads, acts on jobs, pauses queues and sets their limits; destroys no queue."""
    ADMIN = "admin"
    """Everything."""
    MONITOR = "monitor"
    """Counts and metrics: no job, no payload."""


class Need(Enum):
    """What somebody wants to do, beside a worker's work."""

    SEE_COUNTS = "see counts"
    """Queues, workers and their numbers; no job, no payload."""
    SEE_JOBS = "see jobs"
    """With their data, results and errors, and wait for them."""
    ADD = "add jobs"
    ACT = "act on jobs and queues"
    """Whatever destroys no queue."""
    DESTROY = "empty or delete queues"
    KEEP = "reload the server or have it backed up"


CHANGING: Final = frozenset({Need.ADD, Need.ACT, Need.DESTROY, Need.KEEP})
NEEDS: Final[dict[Need, frozenset[Role]]] = {
    Need.SEE_COUNTS: frozenset(
        {Role.PRODUCER, Role.VIEWER, Role.OPERATOR, Role.ADMIN, Role.MONITOR}
    ),
    Need.SEE_JOBS: frozenset({Role.PRODUCER, Role.VIEWER, Role.OPERATOR, Role.ADMIN}),
    Need.ADD: frozenset({Role.PRODUCER, Role.ADMIN}),
    Need.ACT: frozenset({Role.OPERATOR, Role.ADMIN}),
    Need.DESTROY: frozenset({Role.ADMIN}),
    Need.KEEP: frozenset({Role.ADMIN}),
}


class Scope(Enum):
    """What a message is about, as far as queues go."""

    CONNECTION = auto()
    """None: of the connection itself."""
    LEASES = auto()
    """The leases of its own session."""
    QUEUE = auto()
    """The one it names."""
    BOTH = auto()
    """The one it names, and its target."""
    QUEUES = auto()
    """All it names: one that is forbidden refuses the message."""
    LISTING = auto()
    """The one it names, or all: then those that are forbidden are left out."""
    VISIBLE = auto()
    """All: those that are forbidden are left out."""


class Right(NamedTuple):
    roles: frozenset[Role]
    scope: Scope
    is_audited: bool = False
    """Each use stands in the audit log."""


_EVERYBODY: Final = frozenset(Role)
_WORKERS: Final = frozenset({Role.WORKER, Role.ADMIN})
_PRODUCERS: Final = NEEDS[Need.ADD]
_READERS: Final = NEEDS[Need.SEE_JOBS]
_COUNTERS: Final = NEEDS[Need.SEE_COUNTS]
_OPERATORS: Final = NEEDS[Need.ACT]
_ADMINS: Final = NEEDS[Need.DESTROY]

RIGHTS: Final[dict[type[Any], Right]] = {
    wire.Identify: Right(_EVERYBODY, Scope.CONNECTION),
    wire.Goodbye: Right(_EVERYBODY, Scope.CONNECTION),
    wire.Heartbeat: Right(_EVERYBODY, Scope.LEASES),
    wire.Enqueue: Right(_PRODUCERS, Scope.QUEUE),
    wire.Wait: Right(_READERS, Scope.QUEUE),
    wire.Subscribe: Right(_WORKERS, Scope.QUEUES),
    wire.Credit: Right(_WORKERS, Scope.LEASES),
    wire.Ack: Right(_WORKERS, Scope.LEASES),
    wire.Fail: Right(_WORKERS, Scope.LEASES),
    wire.Release: Right(_WORKERS, Scope.LEASES),
    wire.Extend: Right(_WORKERS, Scope.LEASES),
    wire.Listen: Right(_READERS, Scope.QUEUE),
    wire.Unlisten: Right(_READERS, Scope.QUEUE),
    wire.Get: Right(_READERS, Scope.QUEUE),
    wire.List: Right(_READERS, Scope.QUEUE),
    wire.Counts: Right(_COUNTERS, Scope.LISTING),
    wire.Search: Right(_READERS, Scope.VISIBLE),
    wire.Explain: Right(_READERS, Scope.QUEUE),
    wire.Remove: Right(_OPERATORS, Scope.QUEUE, is_audited=True),
    wire.Promote: Right(_OPERATORS, Scope.QUEUE, is_audited=True),
    wire.Retry: Right(_OPERATORS, Scope.QUEUE, is_audited=True),
    wire.Change: Right(_OPERATORS, Scope.QUEUE, is_audited=True),
    wire.Cancel: Right(_OPERATORS, Scope.QUEUE, is_audited=True),
    wire.Move: Right(_OPERATORS, Scope.BOTH, is_audited=True),
    wire.Edit: Right(_OPERATORS, Scope.QUEUE, is_audited=True),
    wire.Pause: Right(_OPERATORS, Scope.QUEUE, is_audited=True),
    wire.Resume: Right(_OPERATORS, Scope.QUEUE, is_audited=True),
    wire.Configure: Right(_OPERATORS, Scope.QUEUE, is_audited=True),
    wire.Schedules: Right(_READERS, Scope.LISTING),
    # A schedule is a job added again and again: it is for those who may add one.
    wire.Schedule: Right(_PRODUCERS, Scope.QUEUE, is_audited=True),
    wire.Unschedule: Right(_PRODUCERS, Scope.QUEUE, is_audited=True),
    wire.PauseSchedule: Right(_OPERATORS, Scope.QUEUE, is_audited=True),
    wire.ResumeSchedule: Right(_OPERATORS, Scope.QUEUE, is_audited=True),
    wire.RunSchedule: Right(_OPERATORS, Scope.QUEUE, is_audited=True),
    wire.Drain: Right(_ADMINS, Scope.QUEUE, is_audited=True),
    wire.Obliterate: Right(_ADMINS, Scope.QUEUE, is_audited=True),
}
"""A test compares it with the messages of the protocol, and with the tables of protocol.md and
docs/how-to/secure.md. What is not in it is nobody's."""

_OF_QUEUE: Final = frozenset(kind for kind, right in RIGHTS.items() if right.scope is Scope.QUEUE)

_PATTERN: Final = re.compile(rf"[A-Za-z0-9._:*-]{{1,{QUEUE_NAME_LENGTH_MAX}}}")
REMEMBERED_MAX: Final = 1_000
"""Pairs of message and queue per connection; one that uses more queues is asked anew. Arbitrary."""


def check_pattern(pattern: str) -> str:
    """A queue's name in which each `*` stands for any characters. Raises ValueError."""
    if _PATTERN.fullmatch(pattern):
        return pattern
    raise ValueError(
        f"{shown(pattern)} is no pattern of queue names: use 1 to {QUEUE_NAME_LENGTH_MAX} of "
        "A-Z a-z 0-9 . _ : - and * for any characters"
    )


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Whether a whole name is one of them."""
    parts = (re.escape(pattern).replace(r"\*", ".*") for pattern in patterns)
    match = re.compile("|".join(parts)).fullmatch
    return lambda name: match(name) is not None


class Rights:
    """What one connection may do.

    Attributes:
        roles: at least one. patterns: of the queues for which it has them.
    """

    def __init__(self, roles: frozenset[Role], patterns: tuple[str, ...]):
        self.roles = roles
        self.patterns = patterns
        self.allows_queue = matcher(patterns)
        self._without_queue = frozenset(
            kind
            for kind, right in RIGHTS.items()
            if right.scope in (Scope.CONNECTION, Scope.LEASES) and right.roles & roles
        )
        self._remembered: set[tuple[type[Any], str]] = set()
        """Allowed; refusals are rare, and asked anew."""

    def check(self, message: Any) -> None:
        """Raises Refusal (FORBIDDEN)."""
        kind = type(message)
        if kind in self._without_queue:
            return
        if kind in _OF_QUEUE:
            if (kind, message.queue) not in self._remembered:
                self._check_queue(kind, message.queue)
                self._remember(kind, message.queue)
        else:
            self._check_rare(kind, message)

    def check_need(self, need: Need, queue: str | None = None) -> None:
        """queue: None = any of its; lists leave out the others. Raises Refusal (FORBIDDEN)."""
        if not NEEDS[need] & self.roles:
            raise Refusal(
                ErrorCode.FORBIDDEN,
                f"to {need.value} is for {_list(NEEDS[need])}: this key is for {_list(self.roles)}",
            )
        if queue is not None:
            self._check_pattern(queue)

    def _remember(self, kind: type[Any], queue: str) -> None:
        if len(self._remembered) >= REMEMBERED_MAX:
            self._remembered.clear()
        self._remembered.add((kind, queue))

    def _check_rare(self, kind: type[Any], message: Any) -> None:
        scope = RIGHTS[kind].scope
        if scope is Scope.QUEUES:
            for name in message.queues:
                self._check_queue(kind, name)
        elif scope is Scope.BOTH:
            self._check_queue(kind, message.queue)
            self._check_queue(kind, message.target)
        self._check_role(kind)
        if scope is Scope.LISTING and message.queue is not None:
            self._check_queue(kind, message.queue)

    def _check_queue(self, kind: type[Any], name: object) -> None:
        self._check_role(kind)
        if type(name) is str:
            self._check_pattern(name)

    def _check_pattern(self, name: str) -> None:
        if not self.allows_queue(name):
            raise Refusal(
                ErrorCode.FORBIDDEN,
                f"this key is for the queues {', '.join(self.patterns)}, not for {shown(name)}",
            )

    def _check_role(self, kind: type[Any]) -> None:
        needed = RIGHTS[kind].roles
        if not needed & self.roles:
            raise Refusal(
                ErrorCode.FORBIDDEN,
                f"{wire.name_of(kind)} is for {_list(needed)}: this key is for {_list(self.roles)}",
            )


def _list(roles: frozenset[Role]) -> str:
    """In the order of the enum."""
    return ", ".join(role.value for role in Role if role in roles)


class Identity(NamedTuple):
    """Who is at the other end of a connection.

    Without a key (where none is required) it has no name, and `rights` is None: all of them.
    """

    name: str = ""
    key_id: str = ""
    rights: Rights | None = None

    def session_of(self, session_id: str) -> str:
        """The engine's id of a session: another key cannot resume it, whatever it knows."""
        return f"{self.name}/{session_id}" if self.name else session_id

    @property
    def allows_queue(self) -> Callable[[str], bool] | None:
        """None = all."""
        return None if self.rights is None else self.rights.allows_queue


ANYBODY: Final = Identity()
METRICS_ROLES: Final = NEEDS[Need.SEE_COUNTS] - {Role.PRODUCER}
"""Who may read /metrics, with a key for all queues: it names them all."""


def check_metrics(identity: Identity) -> None:
    """Raises Refusal (FORBIDDEN)."""
    rights = identity.rights
    if rights is None:
        return
    if not rights.roles & METRICS_ROLES or "*" not in rights.patterns:
        raise Refusal(
            ErrorCode.FORBIDDEN,
            f"/metrics is for {_list(METRICS_ROLES)}, with a key for the queues *",
        )
