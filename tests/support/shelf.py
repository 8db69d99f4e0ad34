"""A database of jobs that are made up, written as the store writes them, for searches."""

import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from holdfast.packing import pack
from holdfastd.engine.changes import (
    AddedRow,
    AttemptRow,
    Batch,
    QueueRow,
    RewrittenRow,
    SessionRow,
)
from holdfastd.engine.model import (
    DEFAULT_OPTIONS,
    AttemptOutcome,
    FailReason,
    JobOptions,
    QueueKey,
    QueueSettings,
    Seq,
    SessionKey,
    State,
    Token,
)
from holdfastd.store.files import DATABASE_NAME
from holdfastd.store.schema import migrate
from holdfastd.store.statements import write_batch

NOW_MS = 1_795_610_096_789
"""2026-11-25T12:34:56.789Z"""


class Shelved(NamedTuple):
    """A job, and what is known of it."""

    queue: str = "mail"
    id: str = ""
    name: str = "send"
    state: State = State.WAITING
    data: Any = None
    tags: tuple[str, ...] = ()
    priority: int = 0
    created_at_ms: int = NOW_MS
    run_at_ms: int = 0
    started_at_ms: int = 0
    finished_at_ms: int = 0
    failures: int = 0
    crashes: int = 0
    reason: FailReason = FailReason.NONE
    worker: str = ""
    """Who runs it."""
    errors: tuple[tuple[str, str, str], ...] = ()
    """Type, message and worker of each attempt that did not complete."""
    seq: int = 0


class Shelf:
    """Jobs in a directory.

    Attributes: jobs, in order; connection, which writes.
    """

    def __init__(self, directory: Path):
        self.connection = sqlite3.connect(directory / DATABASE_NAME, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        migrate(self.connection, directory / DATABASE_NAME)
        self.jobs: list[Shelved] = []
        self._queues: dict[str, QueueKey] = {}
        self._sessions: dict[str, SessionKey] = {}

    def close(self) -> None:
        self.connection.close()

    def put(self, *jobs: Shelved) -> list[Shelved]:
        """Write them, with numbers, in one batch; returns them as they are then."""
        first = len(self.jobs) + 1
        numbered = [
            job._replace(seq=seq, id=job.id or f"job-{seq}")
            for seq, job in enumerate(jobs, start=first)
        ]
        self.jobs += numbered
        self._write(
            added=[self._added(job) for job in numbered],
            rewritten=[self._rewritten(job) for job in numbered],
            attempts=[row for job in numbered for row in _attempts(job)],
        )
        return numbered

    def change(self, job: Shelved, **fields: Any) -> Shelved:
        changed = job._replace(**fields)
        self.jobs[job.seq - 1] = changed
        self._write(rewritten=[self._rewritten(changed)])
        return changed

    def _write(self, **rows: Any) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        write_batch(
            self.connection,
            Batch(
                **rows,
                queues=[self._queue_row(name) for name in self._queues],
                sessions=[
                    SessionRow(key, f"s{key}", name, 0, 0, NOW_MS)
                    for name, key in self._sessions.items()
                ],
            ),
        )
        self.connection.execute("COMMIT")

    def _queue_row(self, name: str) -> QueueRow:
        states = Counter(job.state for job in self.jobs if job.queue == name)
        counts = (0, *(states[state] for state in State))
        return QueueRow(self._queues[name], name, False, QueueSettings(), 0, counts)

    def _added(self, job: Shelved) -> AddedRow:
        key = self._queues.setdefault(job.queue, QueueKey(len(self._queues) + 1))
        options = JobOptions(attempts=5, tags=job.tags) if job.tags else DEFAULT_OPTIONS
        return AddedRow(
            Seq(job.seq), key, job.id, job.name, State.WAITING, job.priority, job.seq, 0,
            job.created_at_ms, options, pack(job.data), Token(0), SessionKey(0), 0,
        )  # fmt: skip

    def _rewritten(self, job: Shelved) -> RewrittenRow:
        session = SessionKey(0)
        if job.worker:
            session = self._sessions.setdefault(job.worker, SessionKey(len(self._sessions) + 1))
        return RewrittenRow(
            Seq(job.seq), job.state, job.priority, job.seq, job.run_at_ms, job.failures,
            job.crashes, 0, Token(job.seq), session, job.started_at_ms, job.finished_at_ms,
            job.reason, None, None, 0,
        )  # fmt: skip


def _attempts(job: Shelved) -> list[AttemptRow]:
    return [
        AttemptRow(
            Seq(job.seq),
            Token(number),
            number,
            1,
            2,
            AttemptOutcome.FAILED,
            *error[:2],
            "",
            error[2],
        )
        for number, error in enumerate(job.errors, start=1)
    ]
