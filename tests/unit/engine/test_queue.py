"""queue.py: what is held of one queue, and what of it is stored."""

import pytest

from holdfastd.engine.changes import Clearing, QueueRow
from holdfastd.engine.head import NOTHING
from holdfastd.engine.model import QueueKey, QueueSettings, Rate, Seq, SessionKey, State
from holdfastd.engine.queue import QueueState, ready_at_ms
from holdfastd.engine.session import Session
from support.engine import bare_job

SETTINGS = QueueSettings(concurrency=2, rate=Rate(1, 1_000, 1))


def a_queue(settings: QueueSettings | None = None) -> QueueState:
    return QueueState(QueueKey(3), "q", settings)


def a_row(waiting: int = 0) -> QueueRow:
    clearing = Clearing((State.WAITING,), Seq(8), forget_queue=True)
    counts = (0, waiting, 2, 3, 4, 5, 6, 7)
    return QueueRow(QueueKey(3), "q", True, SETTINGS, 10_500, counts, clearing)


# ---- stored --------------------------------------------------------------------------------------


def test_a_new_queue_is_empty_and_runs() -> None:
    queue = a_queue()
    assert queue.row() == QueueRow(QueueKey(3), "q", False, QueueSettings(), 0, (0,) * 8, None)
    assert (queue.ring, queue.rate_timer_at, queue.tallies) == (None, 0, {})
    assert not (queue.is_reading_page)
    assert not (queue.is_reading_payloads)
    assert not (queue.is_pruning)
    assert not (queue.jobs)
    assert not (queue.subscribers)
    assert not (queue.ready)
    assert not (queue.waits)
    assert not (queue.listeners)


@pytest.mark.parametrize("waiting", [0, 1])
def test_what_was_stored_is_stored_again(waiting: int) -> None:
    queue = QueueState.from_row(a_row(waiting), 10_000, 5.0)
    assert queue.row() == a_row(waiting)


def test_after_a_restart_its_waiting_jobs_are_all_on_disk() -> None:
    assert QueueState.from_row(a_row(waiting=1), 0, 0.0).head.horizon == NOTHING
    assert QueueState.from_row(a_row(waiting=0), 0, 0.0).head.horizon is None


def test_after_a_restart_its_rate_goes_on() -> None:
    queue = QueueState.from_row(a_row(), 10_000, 5.0)
    assert queue.rate.wait_ms(5.0) == 500


def test_counts_that_are_counted_on_leave_the_row_they_came_from() -> None:
    row = a_row(waiting=1)
    QueueState.from_row(row, 0, 0.0).counts[State.WAITING] += 1
    assert row.counts[State.WAITING] == 1


# ---- waits ---------------------------------------------------------------------------------------


def test_a_connection_that_waits_no_more_leaves_the_others() -> None:
    queue = a_queue()
    queue.waits = {"a": [(1, 10), (2, 20), (1, 11)], "b": [(1, 12)]}
    queue.drop_wait("a", 1)
    assert queue.waits == {"a": [(2, 20)], "b": [(1, 12)]}
    queue.drop_wait("b", 1)
    queue.drop_wait("unknown", 1)
    assert queue.waits == {"a": [(2, 20)]}


# ---- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("active", "is_at_limit"), [(1, False), (2, True), (3, True)])
def test_it_is_at_its_limit_from_the_last_job_on(active: int, is_at_limit: bool) -> None:
    queue = a_queue(SETTINGS)
    queue.counts[State.ACTIVE] = active
    assert (queue.active_count, queue.is_at_concurrency_limit) == (active, is_at_limit)


def test_without_a_limit_it_is_at_none() -> None:
    queue = a_queue()
    queue.counts[State.ACTIVE] = 1_000_000
    assert not queue.is_at_concurrency_limit


def test_slots_are_what_its_workers_could_run_and_what_they_run() -> None:
    queue = a_queue()
    queue.counts[State.ACTIVE] = 3
    for key, credit in ((1, 4), (2, 5)):
        worker = Session(SessionKey(key), f"s{key}")
        worker.credit = credit
        queue.subscribers[worker] = None
    assert queue.slots == 12


def test_it_is_being_cleared_while_a_clearing_is_under_way() -> None:
    queue = a_queue()
    assert not queue.is_clearing
    queue.clearing = Clearing((State.WAITING,), Seq(8), forget_queue=False)
    assert queue.is_clearing


# ---- age -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("created_at_ms", "run_at_ms", "ready"), [(5, 0, 5), (5, 9, 9), (7, 7, 7)])
def test_a_job_is_ready_when_it_was_added_or_came_due(
    created_at_ms: int, run_at_ms: int, ready: int
) -> None:
    job = bare_job(1)
    job.created_at_ms, job.run_at_ms = created_at_ms, run_at_ms
    assert ready_at_ms(job) == ready


def test_a_queue_is_as_old_as_its_first_waiting_job() -> None:
    queue = a_queue()
    assert queue.oldest_waiting_at_ms() is None
    job = bare_job(1)
    job.created_at_ms = 42
    queue.head.place(job, 0, 1)
    assert queue.oldest_waiting_at_ms() == 42
