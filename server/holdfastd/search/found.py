"""What a search gives: jobs, or counts of them; and what it raises."""

from dataclasses import dataclass, field
from typing import NamedTuple

from holdfastd.engine.changes import JobRow


class FoundJob(NamedTuple):
    queue: str
    row: JobRow
    """Without payload and result."""
    worker: str
    """Session name of who runs it, "" = nobody, or no name."""
    error: str
    """Message of its last attempt that did not complete (its type if it has none), "" = none."""


@dataclass(frozen=True, slots=True)
class Found:
    """One page."""

    jobs: list[FoundJob]
    next: str | None
    """Give it as `after` to go on behind this page; None = there is no more."""
    was_cut: bool
    """Time was up before the page was full: `jobs` may be empty, and more may follow by `next`."""
    looked_at: int
    """Jobs that were looked at for this page."""


@dataclass(frozen=True, slots=True)
class Facets:
    """How many jobs match, and what they are."""

    total: int
    """At least; exactly if is_exact."""
    is_exact: bool
    by: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    """For state, queue, name, tag, worker: value and how many jobs have it, the most first, at most
    50. Those of state and queue are as exact as the total."""
    is_sampled: bool = False
    """name, tag and worker are of the jobs that were looked at before time was up, the newest."""
    looked_at: int = 0


class SearchError(Exception):
    """Base: this search has no answer; the text says why and what to do."""


class BadCursor(SearchError):
    """`after` is none that a page of this query gave."""


class SearchBusy(SearchError):
    """Too many searches wait already: try again later."""


class SearchBroken(SearchError):
    """The process that searches ended, or cannot read the database; the next search starts anew."""
