"""attending.py, session.py and what working.py does of leases: who holds one, until when."""

import pytest

from holdfastd.engine import commands
from holdfastd.engine.model import FailReason, QueueSettings, State
from holdfastd.engine.outputs import RevokeReason
from support.engine import SETTINGS, START_MS, Driver, P, V, W, ids_of, new_job

LEASE_S = 30
GRACE_S = 10


# ---- silent workers ------------------------------------------------------------------------------


def test_a_silent_worker_with_credit_left_does_not_get_its_lost_job_again(driver: Driver) -> None:
    driver.subscribe(W, "q", credit=5)
    driver.add(P, "q", "a")
    driver.pass_time(LEASE_S + 1)
    row = driver.row("a")
    assert (row.state, row.crashes) == (State.WAITING, 1)


def test_a_job_lost_by_a_silent_worker_goes_to_one_that_is_heard(driver: Driver) -> None:
    driver.attach(V, "other")
    driver.subscribe(W, "q", credit=5)
    driver.add(P, "q", "a")
    driver.subscribe(V, "q", credit=5)
    driver.pass_time(LEASE_S - 1)
    driver.beat(V)
    driver.pass_time(2)
    assert ids_of(driver.take(V)) == ["a"]


def test_an_idle_worker_that_is_silent_gets_nothing_until_it_is_heard_again(
    driver: Driver,
) -> None:
    driver.subscribe(W, "q", "r", credit=5)
    driver.pass_time(LEASE_S + 1)
    driver.add(P, "q", "a")
    driver.add(P, "r", "b")
    assert driver.take(W) == []
    driver.beat(W)
    assert ids_of(driver.take(W)) == ["a", "b"]
    driver.pass_time(LEASE_S - 1)
    assert driver.counts("q") == {"active": 1}


def test_an_extend_keeps_the_leases_of_the_session_as_a_heartbeat_does(driver: Driver) -> None:
    token, queue, id, *_ = driver.lease()
    for _ in range(3):
        driver.pass_time(LEASE_S - 1)
        assert driver.ask(W, commands.Extend([commands.Held(token, queue, id)])) == []
    assert driver.counts("q") == {"active": 1}


def test_a_session_that_comes_and_goes_leaves_one_deadline_to_look_at(driver: Driver) -> None:
    item = driver.lease()
    for connection in range(100, 150):
        driver.attach(connection, "worker", leases=[item[0]])
        driver.pass_time(GRACE_S + 5)  # long enough for entries to come up, and be renewed
        driver.detach(connection)
    driver.attach(W, "worker", leases=[item[0]])
    driver.pass_time(GRACE_S + 5)
    assert driver.counts("q") == {"active": 1}
    assert len(driver.engine._partition.deadlines) <= 3


def test_the_engine_asks_to_be_called_when_the_first_deadline_comes(driver: Driver) -> None:
    driver.pass_time(1)
    driver.lease()
    assert driver.engine.next_tick_s(driver.moment) == pytest.approx(LEASE_S - 1)
    driver.detach(W)
    assert driver.engine.next_tick_s(driver.moment) == pytest.approx(GRACE_S)


# ---- resuming ------------------------------------------------------------------------------------


def test_what_a_connection_missed_is_pushed_over_the_next_one_alone(driver: Driver) -> None:
    """The first connection of two breaks before its pushes were read from disk."""
    driver.subscribe(W, "q", credit=2)
    driver.add(P, "q", "a", "b")
    first, second = driver.take(W)
    driver.detach(W)
    driver.engine.attach(V, commands.Attach("worker", "", (), {}), driver.moment)
    driver.do(V, commands.Detach(), 0)
    driver.attach(V + 1, "worker", leases=[first[0]])
    assert driver.take(V) == []
    assert [item[0] for item in driver.take(V + 1)] == [second[0]]


def test_a_lease_that_ended_meanwhile_is_not_pushed_again(driver: Driver) -> None:
    driver.lease()
    driver.detach(W)
    driver.engine.attach(V, commands.Attach("worker", "", (), {}), driver.moment)
    driver.do(P, commands.Remove("q", ["a"], State.ACTIVE))
    driver.flush()
    assert driver.take(V) == []


def test_large_leases_are_pushed_again_in_several_reads(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfastd.engine.dispatch.HEAD_BYTES_MAX", 3)
    driver.subscribe(W, "q", credit=3)
    driver.add(P, "q", "aa", "bb", "cc")
    before = driver.take(W)
    driver.detach(W)
    driver.attach(V, "worker")
    assert driver.take(V) == before


def test_a_lease_whose_job_is_damaged_on_disk_ends_and_frees_its_slot(driver: Driver) -> None:
    driver.ask(P, commands.Configure("q", QueueSettings(concurrency=1)))
    driver.lease()
    driver.add(P, "q", "b")
    driver.attach(P + 5, "other")
    driver.subscribe(P + 5, "q")
    driver.detach(W)
    seq = driver.row("a").seq
    driver.disk.jobs[seq] = driver.disk.jobs[seq]._replace(is_damaged=True)
    driver.attach(V, "worker")
    row = driver.row("a")
    assert (row.state, row.fail_reason) == (State.FAILED, FailReason.DAMAGED)
    assert driver.take(V) == []
    assert ids_of(driver.take(P + 5)) == ["b"]


def test_a_command_that_was_parked_when_the_connection_broke_is_dropped_and_resent(
    driver: Driver,
) -> None:
    driver.add(P, "q", "a", "b")
    number = driver.do(P, commands.Remove("q", ["b"], None))
    driver.do(P, commands.Detach(), 0)
    driver.flush()
    assert driver.counts("q") == {"waiting": 2}
    assert driver.attach(V, "producer").last_request == number - 1
    assert driver.ask(V, commands.Remove("q", ["b"], None), number) == []
    assert driver.counts("q") == {"waiting": 1}


def test_welcome_tells_the_highest_request_whose_effect_is_durable(driver: Driver) -> None:
    driver.ask(P, commands.Pause("q"), request=7)
    driver.ask(P, commands.Counts("q", None, 1), request=9)  # changes nothing
    driver.start()
    welcome = driver.attach(P, "producer")
    assert (welcome.resumed, welcome.last_request) == (True, 7)
    assert driver.ask(P, commands.Resume("q"), request=8) is None


def test_a_session_that_did_nothing_durable_is_gone_with_its_connection(driver: Driver) -> None:
    driver.subscribe(W, "q")
    driver.detach(W)
    assert "worker" not in driver.engine.sessions
    assert not driver.attach(W, "worker").resumed


def test_a_worker_that_resumes_after_a_restart_is_counted_when_it_is_lost_again(
    driver: Driver,
) -> None:
    item = driver.lease()
    driver.start()
    driver.attach(W, "worker", leases=[item[0]])
    driver.detach(W)
    driver.pass_time(GRACE_S + 1)
    assert driver.row("a").crashes == 1


def test_sessions_of_workers_that_never_came_back_are_forgotten_on_disk(driver: Driver) -> None:
    driver.lease()
    driver.start()
    driver.pass_time(GRACE_S + 1)
    driver.pass_time(25 * 3600)
    assert driver.disk.sessions == {}


# ---- losing --------------------------------------------------------------------------------------


def test_a_lost_job_runs_again_before_those_that_came_after_it(driver: Driver) -> None:
    driver.lease("a")
    driver.add(P, "q", "b")
    driver.pass_time(LEASE_S + 1)
    driver.attach(V, "other")
    driver.subscribe(V, "q", credit=2)
    assert ids_of(driver.take(V)) == ["a", "b"]


def test_each_way_an_attempt_ended_is_kept_with_its_worker(driver: Driver) -> None:
    item = driver.lease(attempts=2)
    driver.fail(W, item, credit=1)
    driver.take(W)
    driver.pass_time(LEASE_S + 1)
    attempts = sorted(driver.disk.attempts.values(), key=lambda attempt: attempt.token)
    assert [(a.attempt, a.outcome.name, a.error_type, a.worker) for a in attempts] == [
        (1, "FAILED", "ValueError", "w"),
        (2, "LOST", "LeaseLost", "w"),
    ]
    assert attempts[1].ended_at_ms == START_MS + (LEASE_S + 1) * 1000


def test_goodbye_hands_the_jobs_to_the_next_worker_at_once(driver: Driver) -> None:
    driver.lease()
    driver.attach(V, "other")
    driver.subscribe(V, "q")
    driver.do(W, commands.End(), 0)
    driver.flush()
    assert ids_of(driver.take(V)) == ["a"]


def test_a_command_of_a_connection_that_has_gone_changes_nothing(driver: Driver) -> None:
    driver.detach(P)
    driver.do(P, commands.Enqueue("q", [(0, new_job("a"))], []))
    driver.flush()
    assert driver.engine.queues == {}


def test_removing_an_active_job_of_an_absent_worker_is_told_when_it_is_back(
    driver: Driver,
) -> None:
    item = driver.lease()
    driver.detach(W)
    assert driver.ask(P, commands.Remove("q", ["a"], State.ACTIVE)) == []
    assert driver.revoked == {}
    assert driver.attach(V, "worker", leases=[item[0]]).lost == [item[0]]


def test_a_worker_is_told_of_every_lease_it_lost(driver: Driver) -> None:
    driver.subscribe(W, "q", "r", credit=2)
    driver.add(P, "q", "a")
    driver.add(P, "r", "b")
    tokens = [item[0] for item in driver.take(W)]
    driver.pass_time(LEASE_S + 1)
    assert driver.revoked[W] == [(token, RevokeReason.LEASE_LOST) for token in tokens]


def test_time_in_which_the_daemon_heard_nobody_ends_no_lease(driver: Driver) -> None:
    driver.lease()
    driver.now_ms += 3_600_000
    driver.monotonic += 3_600
    driver.engine.forgive(driver.moment)
    driver.flush()
    assert driver.row("a").crashes == 0
    driver.pass_time(SETTINGS.grace_ms / 1000 - 1)
    assert driver.row("a").state is State.ACTIVE
    driver.pass_time(2)
    assert driver.row("a").crashes == 1


def test_a_daemon_that_takes_long_to_go_down_ends_no_lease(driver: Driver) -> None:
    """Nobody can come back to it. Found by the simulation: a drain that waited for a full disk."""
    item = driver.lease()
    driver.engine.drain()
    driver.detach(W)
    driver.pass_time(LEASE_S + GRACE_S)
    driver.crash()
    driver.attach(W, "worker", leases=[item[0]], worker="w")
    assert driver.ack(W, item) == []
    assert driver.row("a").state is State.COMPLETED
