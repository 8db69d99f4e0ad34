"""session.py: when a job may be pushed to a session, and what is stored of it."""

import pytest

from holdfastd.engine import commands
from holdfastd.engine.changes import SessionRow
from holdfastd.engine.model import SessionKey
from holdfastd.engine.session import Parked, Session


def session() -> Session:
    return Session(SessionKey(7), "s")


def test_it_takes_a_job_while_it_has_credit() -> None:
    worker = session()
    assert not worker.can_take
    worker.credit = 1
    assert worker.can_take


@pytest.mark.parametrize("why", ["is_held", "is_sated", "is_quiet", "is_stopping"])
def test_it_takes_none_whatever_its_credit_while_something_holds_it(why: str) -> None:
    worker = session()
    worker.credit = 5
    assert not getattr(worker, why)
    setattr(worker, why, True)
    assert not worker.can_take


def test_a_worker_says_so_or_takes_jobs() -> None:
    named, taking = session(), session()
    named.worker, taking.queues = "w", ["q"]
    assert [each.is_worker for each in (session(), named, taking)] == [False, True, True]


def test_what_was_parked_is_dropped_and_knows_it() -> None:
    producer = session()
    parked = [Parked(number, commands.Pause("q")) for number in (1, 2)]
    producer.parked.extend(parked)
    producer.unpark()
    assert not producer.parked
    assert [each.is_dropped for each in parked] == [True, True]


def test_a_command_is_parked_with_nothing_read_for_it() -> None:
    parked = Parked(5, commands.Pause("q"))
    assert (parked.request, parked.command) == (5, commands.Pause("q"))
    assert (parked.found, parked.looked_up, parked.reads_left) == ({}, set(), 0)
    assert not parked.is_dropped


def test_a_new_session_holds_nothing_and_is_nowhere() -> None:
    new = session()
    assert new.row() == SessionRow(SessionKey(7), "s", "", 0, 0, 0, is_quiet=False)
    assert (new.connection, new.watched_at, new.deadline, new.wait_count) == (None, None, 0, 0)
    assert not (new.is_stored)
    assert not (new.is_restored)
    assert not (new.leases)
    assert not (new.queues)
    assert not (new.left)
    assert not (new.waits)
    assert not (new.listens)
    assert not (new.origin)


def test_its_row_is_what_a_restart_needs() -> None:
    worker = session()
    worker.worker, worker.is_quiet = "w", True
    worker.last_request, worker.last_refused, worker.seen_at_ms = 9, 4, 123
    assert worker.row() == SessionRow(SessionKey(7), "s", "w", 9, 4, 123, is_quiet=True)
