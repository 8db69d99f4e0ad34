"""What clients did and saw, and the judge of it: Jepsen's total-queue checker, and more.

A run ends with a full drain, after which no job waits, is delayed or active. Jobs are known by the
serial numbers in their payloads, not by their ids, so that a job that was added twice is seen.
"""

from dataclasses import dataclass, field, fields
from typing import NamedTuple


class Run(NamedTuple):
    """A start of a handler."""

    serial: str
    token: int
    payload: bytes
    worker: str
    """Which process."""


class Done(NamedTuple):
    """An ack that the server took."""

    serial: str
    token: int


class Stored(NamedTuple):
    """A job as the server has it at the end."""

    serial: str
    state: str
    reruns: int
    """Attempts that did not complete, for whatever reason: failures + crashes + releases."""


class Backup(NamedTuple):
    """A backup that was made and is whole."""

    confirmed_count: int
    """Jobs that were confirmed before it began, but for those that may have been pruned."""
    missing: frozenset[str]
    """Of those, the ones that it does not hold."""


@dataclass
class History:
    attempted: dict[str, bytes] = field(default_factory=dict)
    """Payloads by serial, of every job that somebody tried to add."""
    confirmed: set[str] = field(default_factory=set)
    """Of those, the ones whose confirmation came."""
    runs: list[Run] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)
    stored: list[Stored] = field(default_factory=list)
    backups: list[Backup] = field(default_factory=list)


@dataclass(frozen=True)
class Verdict:
    """Each is a set of serials, and empty in a valid history; but for `recovered`."""

    lost: set[str]
    """Confirmed, and not on the server with an end."""
    unexpected: set[str]
    """Run or stored, and never added by anybody."""
    doubled: set[str]
    """Added once, stored as two jobs."""
    damaged: set[str]
    """The payload was not what was added."""
    completed_twice: set[str]
    """Taken as done under two tokens."""
    shared: set[str]
    """One lease ran in two workers, or twice in one."""
    ran_after_done: set[str]
    """A lease was given out after the job was done."""
    unexplained: set[str]
    """Leased more often than its failures, crashes and releases explain."""
    untrue: set[str]
    """An ack was taken, and the job is not completed."""
    not_backed_up: set[str]
    """Confirmed before a backup began, and not in it."""
    recovered: set[str]
    """Not confirmed, and there all the same: allowed."""

    @property
    def wrong(self) -> dict[str, set[str]]:
        found = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: serials for name, serials in found.items() if serials and name != "recovered"}


def judge(history: History) -> Verdict:
    stored = {job.serial: job for job in history.stored}
    tokens: dict[str, list[int]] = {}
    for run in history.runs:
        tokens.setdefault(run.serial, []).append(run.token)
    done: dict[str, set[int]] = {}
    for serial, token in history.done:
        done.setdefault(serial, set()).add(token)
    ended = {job.serial for job in history.stored if job.state in ("completed", "failed")}
    known = set(stored) | set(tokens)
    return Verdict(
        lost=history.confirmed - ended,
        unexpected=known - set(history.attempted),
        doubled=_repeated([job.serial for job in history.stored]),
        damaged={run.serial for run in history.runs if not _is_true(run, history.attempted)},
        completed_twice={serial for serial, found in done.items() if len(found) > 1},
        shared={serial for serial, found in tokens.items() if len(found) > len(set(found))},
        ran_after_done={
            serial for serial, found in done.items() if max(tokens.get(serial, [0])) > max(found)
        },
        unexplained={
            job.serial
            for job in history.stored
            if len(set(tokens.get(job.serial, ()))) > job.reruns + (job.state == "completed")
        },
        untrue={serial for serial in done if stored.get(serial, _NONE).state != "completed"},
        not_backed_up={serial for backup in history.backups for serial in backup.missing},
        recovered=(set(stored) & set(history.attempted)) - history.confirmed,
    )


_NONE = Stored("", "gone", 0)


def _repeated(serials: list[str]) -> set[str]:
    seen: set[str] = set()
    return {serial for serial in serials if serial in seen or seen.add(serial)}  # type: ignore[func-returns-value]  # add is meant


def _is_true(run: Run, attempted: dict[str, bytes]) -> bool:
    return run.serial not in attempted or attempted[run.serial] == run.payload
