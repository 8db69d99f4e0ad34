"""What clients did and saw, and the judge of it: Jepsen's total-queue checker, and some more.

A run ends with a full drain: every job that was confirmed must have been handled.
"""

from dataclasses import dataclass, field


@dataclass
class History:
    attempted: set[str] = field(default_factory=set)
    """Ids of jobs that somebody tried to add."""
    confirmed: set[str] = field(default_factory=set)
    """Of those, the ones whose confirmation came."""
    runs: list[tuple[str, int, bytes]] = field(default_factory=list)
    """(id, token, payload) of every start of a handler, in order of arrival per worker."""
    acks: list[tuple[str, int]] = field(default_factory=list)
    """(id, token) of every ack that the server took."""


@dataclass(frozen=True)
class Verdict:
    lost: set[str]
    """Confirmed, and never handled."""
    unexpected: set[str]
    """Handled, and never added by anybody."""
    recovered: set[str]
    """Not confirmed, and handled all the same: allowed."""
    completed_twice: set[str]
    """Taken as done under two different tokens."""
    tokens_fell: set[str]
    """A later run had no greater token."""
    damaged: set[str]
    """The payload was not what was added."""

    @property
    def is_valid(self) -> bool:
        return not (
            self.lost or self.unexpected or self.completed_twice or self.tokens_fell or self.damaged
        )


def judge(history: History, payload_of: dict[str, bytes]) -> Verdict:
    """payload_of: what was sent, by id."""
    handled = {id for id, _, _ in history.runs}
    tokens: dict[str, int] = {}
    fell: set[str] = set()
    for id, token, _ in history.runs:
        if token < tokens.get(id, 0):
            fell.add(id)
        tokens[id] = token
    done: dict[str, set[int]] = {}
    for id, token in history.acks:
        done.setdefault(id, set()).add(token)
    return Verdict(
        lost=history.confirmed - set(done),
        unexpected=handled - history.attempted,
        recovered=(handled & history.attempted) - history.confirmed,
        completed_twice={id for id, found in done.items() if len(found) > 1},
        tokens_fell=fell,
        damaged={id for id, _, payload in history.runs if payload != payload_of.get(id)},
    )
