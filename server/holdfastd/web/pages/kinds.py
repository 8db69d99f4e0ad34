"""What can be done to jobs, in the words of the pages; `web.acting` does it, and checks it."""

from dataclasses import dataclass
from typing import Final

from holdfastd.engine import model
from holdfastd.web.acting.kinds import STATES

FINISHED: Final = frozenset(state.name.lower() for state in model.FINISHED)


@dataclass(frozen=True, slots=True)
class Kind:
    verb: str
    """On buttons."""
    asks: str
    """With {jobs}: what one is asked about, and agrees to."""
    doing: str
    done: str
    icon: str
    states: frozenset[str]
    """Jobs in other states are passed over."""
    explains: str
    """What will be with the jobs."""
    is_danger: bool = False
    is_direct: bool = False
    """Done to one job without a question: it does no harm."""
    afterwards: str = ""
    """How it is undone when it is done; "" = by no single step."""


def _states(kind: str) -> frozenset[str]:
    return frozenset(state.name.lower() for state in STATES[kind])


KINDS: Final = {
    "retry": Kind(
        "Retry", "Retry {jobs}", "Retrying", "retried", "retry", _states("retry"),
        "Put back to run again, with all attempts anew.", is_direct=True,
    ),
    "promote": Kind(
        "Promote", "Promote {jobs}", "Promoting", "promoted", "play", _states("promote"),
        "Waits no longer, and runs as soon as a worker is free.", is_direct=True,
    ),
    "cancel": Kind(
        "Cancel", "Cancel {jobs}", "Cancelling", "cancelled", "cancelled", _states("cancel"),
        "What waits will not run; the handler of an active job is asked to stop. It is kept as "
        "cancelled for a while, and can be retried.",
        afterwards="A retry brings them back, for as long as their queue keeps them.",
    ),
    "delete": Kind(
        "Delete", "Delete {jobs}", "Deleting", "deleted", "trash", _states("delete"),
        "Data, result, errors and logs are gone for good; the handler of an active job is told to "
        "stop.", is_danger=True,
    ),
    "reschedule": Kind(
        "Reschedule", "Reschedule {jobs}", "Rescheduling", "rescheduled", "delayed",
        _states("reschedule"),
        "Runs at another time.",
    ),
    "priority": Kind(
        "Change priority", "Change the priority of {jobs}", "Changing", "changed", "up",
        _states("priority"),
        "A smaller number runs first; 0 is usual.",
    ),
    "move": Kind(
        "Move to a queue", "Move {jobs} to a queue", "Moving", "moved", "queues", _states("move"),
        "Keeps its id, and goes on in the other queue.",
    ),
    "edit": Kind(
        "Edit data", "Change the data of {jobs}", "Changing", "changed", "edit", _states("edit"),
        "The handler gets what stands here.",
    ),
}  # fmt: skip
"""By the name that `acting` knows it by."""
_BACK: Final = "Undo is for those that were changed, and leaves the others as they are."
QUEUES: Final = {
    "pause": Kind(
        "Pause all", "Pause {queues}", "Pausing", "paused", "pause", frozenset(),
        "No job is given to a worker until they are resumed: {jobs} will wait, with all that are "
        "added meanwhile. What runs goes on.", afterwards=_BACK,
    ),
    "resume": Kind(
        "Resume all", "Resume {queues}", "Resuming", "go on", "play", frozenset(),
        "{jobs} wait in them; workers with free slots get them at once.", afterwards=_BACK,
    ),
}  # fmt: skip
"""The same of many queues at once."""


def jobs_in_words(count: int, *, is_exact: bool = True) -> str:
    if is_exact and count == 1:
        return "1 job"
    return f"{'' if is_exact else 'at least '}{count:,} jobs"


def queues_in_words(count: int) -> str:
    return f"{count:,} queue{'' if count == 1 else 's'}"
