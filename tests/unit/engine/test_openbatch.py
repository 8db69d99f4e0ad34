"""openbatch.py: what a batch writes of jobs that changed any number of times, and how what is said
to one connection goes together."""

from itertools import product
from typing import Any

import pytest

from holdfastd.engine import openbatch
from holdfastd.engine.changes import AddedRow, CompletedRow, EditedRow, LeasedRow, MovedRow
from holdfastd.engine.events import EventRing
from holdfastd.engine.model import (
    DEFAULT_OPTIONS,
    NO_SESSION,
    NO_TOKEN,
    Change,
    FailReason,
    Job,
    QueueKey,
    Seq,
    SessionKey,
    State,
    Token,
)
from holdfastd.engine.openbatch import OpenBatch
from holdfastd.engine.outputs import Deliver, Notify, Revoke, RevokeReason
from holdfastd.engine.queue import QueueState
from holdfastd.engine.session import Session
from support.engine import bare_job

CHANGES = [Change.LEASED, Change.COMPLETED, Change.REWRITTEN, Change.REMOVED]


def changed(batch: OpenBatch, change: Change, state: State = State.WAITING) -> Job:
    job = bare_job(7, state)
    batch.touch(job, change)
    return job


# ---- changes that come together ------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), list(product([Change.ADDED, *CHANGES], CHANGES)))
def test_two_changes_make_the_one_that_writes_both(first: Change, second: Change) -> None:
    batch, job = OpenBatch(), bare_job(7)
    if first is Change.ADDED:
        batch.add(job)
    else:
        batch.touch(job, first)
    batch.touch(job, second)
    if Change.REMOVED in (first, second):
        expected = Change.REMOVED
    elif first is Change.ADDED:
        expected = Change.ADDED
    else:
        expected = first if first is second else Change.REWRITTEN
    assert (job.change, batch.jobs) == (expected, [job])


def test_bytes_are_those_of_new_and_edited_payloads() -> None:
    batch = OpenBatch()
    batch.add(bare_job(1, payload=b"four"))
    batch.edit(bare_job(2, payload=b"edited"))
    batch.touch(bare_job(3, payload=b"elsewhere"), Change.REWRITTEN)
    batch.add(bare_job(4, payload=None))
    batch.edit(bare_job(5, payload=None))
    assert batch.body_bytes == 10


# ---- rows ----------------------------------------------------------------------------------------


def test_an_empty_batch_has_nothing_to_write() -> None:
    assert OpenBatch().rows().is_empty


def test_a_new_job_is_one_insert() -> None:
    batch, job = OpenBatch(), bare_job(7)
    job.priority, job.order, job.run_at_ms, job.created_at_ms = 1, 2, 3, 4
    batch.add(job)
    rows = batch.rows()
    rest: Any = (1, 2, 3, 4, DEFAULT_OPTIONS, b"x", NO_TOKEN, NO_SESSION, 0)
    assert rows.added == [AddedRow(Seq(7), QueueKey(1), "j7", "n", State.WAITING, *rest)]
    assert (rows.rewritten, rows.leased, job.change) == ([], [], Change.NONE)


def test_a_new_job_that_is_leased_is_one_insert_of_an_active_row() -> None:
    batch, job = OpenBatch(), bare_job(7)
    batch.add(job)
    job.state, job.token, job.session, job.started_at_ms = (
        State.ACTIVE,
        Token(5),
        SessionKey(6),
        99,
    )
    batch.touch(job, Change.LEASED)
    rows = batch.rows()
    (row,) = rows.added
    assert (row.state, row.token, row.session, row.started_at_ms) == (State.ACTIVE, 5, 6, 99)
    assert (rows.rewritten, rows.leased) == ([], [])


def test_a_new_job_that_was_leased_and_given_back_has_not_begun() -> None:
    batch, job = OpenBatch(), bare_job(7)
    batch.add(job)
    job.started_at_ms, job.releases = 99, 1
    rows = batch.rows()
    assert (rows.added[0].started_at_ms, rows.rewritten[0].started_at_ms) == (0, 99)


@pytest.mark.parametrize("state", [State.COMPLETED, State.FAILED, State.CANCELLED])
def test_a_new_job_that_ended_is_inserted_waiting_and_written_over(state: State) -> None:
    batch, job = OpenBatch(), bare_job(7)
    batch.add(job)
    job.state, job.finished_at_ms = state, 5
    rows = batch.rows()
    assert [row.state for row in rows.added] == [State.WAITING]
    assert [(row.state, row.finished_at_ms) for row in rows.rewritten] == [(state, 5)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("failures", 1),
        ("crashes", 1),
        ("releases", 1),
        ("finished_at_ms", 1),
        ("log_lines", 1),
        ("progress", b"1"),
    ],
)
def test_a_new_job_to_which_more_happened_than_a_lease_is_written_over(
    field: str, value: Any
) -> None:
    batch, job = OpenBatch(), bare_job(7)
    batch.add(job)
    setattr(job, field, value)
    (row,) = batch.rows().rewritten
    assert getattr(row, field) == value


def test_a_stored_job_that_is_leased_or_completed_writes_that_alone() -> None:
    batch = OpenBatch()
    leased = changed(batch, Change.LEASED)
    leased.token, leased.session, leased.started_at_ms = Token(1), SessionKey(2), 3
    done = changed(batch, Change.COMPLETED)
    done.finished_at_ms, done.result = 4, b"result"
    rows = batch.rows()
    assert rows.leased == [LeasedRow(Seq(7), Token(1), SessionKey(2), 3)]
    assert rows.completed == [CompletedRow(Seq(7), 4, b"result")]
    assert (rows.rewritten, rows.added) == ([], [])


def test_any_other_change_writes_every_column_that_changes_often() -> None:
    batch = OpenBatch()
    job = changed(batch, Change.REWRITTEN, State.FAILED)
    job.priority, job.order, job.run_at_ms = 1, 2, 3
    job.failures, job.crashes, job.releases = 4, 5, 6
    job.token, job.session, job.started_at_ms, job.finished_at_ms = Token(7), SessionKey(8), 9, 10
    job.fail_reason, job.result, job.progress = FailReason.ERROR, b"r", b"p"
    job.log_lines = 11
    rows = batch.rows()
    numbers: Any = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
    assert [tuple(row) for row in rows.rewritten] == [
        (7, State.FAILED, *numbers, FailReason.ERROR, b"r", b"p", 11)
    ]
    assert (rows.moved, rows.edited) == ([], [])


def test_a_moved_job_is_in_its_new_queue_and_its_stand_in_writes_nothing() -> None:
    batch, job, gone = OpenBatch(), bare_job(7), bare_job(7)
    job.queue = QueueKey(2)
    batch.move(job, gone)
    assert (batch.jobs, gone.change) == ([job, gone], Change.REMOVED)
    rows = batch.rows()
    assert rows.moved == [MovedRow(Seq(7), QueueKey(2))]
    assert [row.seq for row in rows.rewritten] == [7]
    assert (rows.edited, rows.removed) == ([], [])


def test_an_edited_job_has_its_data_written_too() -> None:
    batch = OpenBatch()
    batch.edit(bare_job(7, payload=b"new"))
    rows = batch.rows()
    assert rows.edited == [EditedRow(Seq(7), b"new")]
    assert [row.seq for row in rows.rewritten] == [7]
    assert rows.moved == []


def test_a_removed_job_writes_its_removal_alone() -> None:
    batch = OpenBatch()
    changed(batch, Change.REMOVED)
    batch.removed.add(Seq(7))
    rows = batch.rows()
    assert rows.removed == [7]
    assert not (rows.added)
    assert not (rows.leased)
    assert not (rows.completed)
    assert not (rows.rewritten)


def test_queues_and_sessions_are_written_as_they_are_in_the_end() -> None:
    batch = OpenBatch()
    queue, session = QueueState(QueueKey(1), "q"), Session(SessionKey(2), "s")
    batch.queues[queue], batch.sessions[session] = None, None
    lists = ("attempts", "logs", "queues_removed", "sessions_removed", "history", "history_cuts")
    for name in lists:
        getattr(batch, name).append(name)
    queue.is_paused, session.last_request = True, 9
    rows = batch.rows()
    assert ([row.is_paused for row in rows.queues], len(rows.queues)) == ([True], 1)
    assert [row.last_request for row in rows.sessions] == [9]
    assert [getattr(rows, name) for name in lists] == [[name] for name in lists]


# ---- what is said --------------------------------------------------------------------------------


def test_jobs_of_one_connection_leave_together_up_to_so_many_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openbatch, "DELIVERY_BYTES_MAX", 10)
    batch = OpenBatch()
    totals = [batch.deliver(1, name, size) for name, size in (("a", 4), ("b", 6), ("c", 1))]
    assert batch.deliver(2, "other", 3) == 3
    assert batch.deliver(1, "large", 99) == 110
    assert batch.deliver(1, "last", 1) == 111
    assert totals == [4, 10, 11]
    assert batch.outputs == [
        Deliver(1, ["a", "b"]),
        Deliver(1, ["c"]),
        Deliver(2, ["other"]),
        Deliver(1, ["large"]),
        Deliver(1, ["last"]),
    ]


def test_what_is_taken_from_a_connection_is_told_at_once() -> None:
    batch = OpenBatch()
    lost = RevokeReason.LEASE_LOST
    for connection, token in ((1, 5), (2, 6), (1, 7)):
        batch.revoke(connection, Token(token), lost)
    assert batch.outputs == [
        Revoke(1, [(Token(5), lost), (Token(7), lost)]),
        Revoke(2, [(Token(6), lost)]),
    ]


def test_events_go_together_by_connection_and_queue() -> None:
    batch, events = OpenBatch(), [EventRing(9).add(1, n, None, None, {}) for n in range(4)]
    told: Any = [(1, "q", 0), (1, "r", 1), (1, "q", 2), (2, "q", 3)]
    for connection, queue, number in told:
        batch.notify(connection, queue, [events[number]])
    assert batch.outputs == [
        Notify(1, "q", [events[0], events[2]]),
        Notify(1, "r", [events[1]]),
        Notify(2, "q", [events[3]]),
    ]
