"""The one table of a job's life: (state, event) -> state. Whatever is not in it is a bug.

protocol.md draws it; a test compares the two. `move` is the only place that sets `Job.state` of a
job that exists; a new job starts in one of STARTS.
"""

from enum import Enum
from typing import Final

from holdfastd.engine.model import FINISHED, Job, State


class Event(Enum):
    __hash__ = object.__hash__  # Enum's own is a call in Python, and each move looks an event up

    LEASE = "lease"
    ACK = "ack"
    FAIL = "fail"
    """An attempt ended in an error and none is left."""
    RETRY_AT_ONCE = "retry at once"
    RETRY_LATER = "retry later"
    RELEASE = "release"
    RELEASE_LATER = "release later"
    EXPIRE = "expire"
    """The lease was lost; the job runs again."""
    CRASH = "crash"
    """The lease was lost once too often."""
    PROMOTE = "promote"
    """By a person, or since it is due."""
    POSTPONE = "postpone"
    REDRIVE = "redrive"
    CANCEL = "cancel"
    """By a person or program: it is not to run, or to stop."""
    QUARANTINE = "quarantine"
    """What was read from disk is not what was written."""


STARTS: Final = frozenset({State.WAITING, State.DELAYED})

TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    (State.WAITING, Event.LEASE): State.ACTIVE,
    (State.WAITING, Event.POSTPONE): State.DELAYED,
    (State.WAITING, Event.QUARANTINE): State.FAILED,
    (State.DELAYED, Event.PROMOTE): State.WAITING,
    (State.DELAYED, Event.POSTPONE): State.DELAYED,
    (State.ACTIVE, Event.ACK): State.COMPLETED,
    (State.ACTIVE, Event.FAIL): State.FAILED,
    (State.ACTIVE, Event.RETRY_AT_ONCE): State.WAITING,
    (State.ACTIVE, Event.RETRY_LATER): State.DELAYED,
    (State.ACTIVE, Event.RELEASE): State.WAITING,
    (State.ACTIVE, Event.RELEASE_LATER): State.DELAYED,
    (State.ACTIVE, Event.EXPIRE): State.WAITING,
    (State.ACTIVE, Event.CRASH): State.FAILED,
    **{(state, Event.REDRIVE): State.WAITING for state in FINISHED},
    **{(state, Event.CANCEL): State.CANCELLED for state in State if state not in FINISHED},
}


class InvariantError(Exception):
    """The engine contradicts itself: a bug. The daemon stops rather than write on."""


def move(job: Job, event: Event) -> tuple[State, State]:
    """Set the job's next state. Returns (state before, state after).

    Raises:
        InvariantError: the table does not have it; the caller must have checked.
    """
    before = job.state
    after = TRANSITIONS.get((before, event))
    if after is None:
        raise InvariantError(f"job {job.seq} is {before.name}: {event.value} is not in the table")
    job.state = after
    return before, after
