"""attending.py and session.py: sessions come, go and time out."""

import pytest

from holdfastd.engine import attending, commands
from holdfastd.engine.model import SessionKey, State, Token
from holdfastd.engine.outputs import Displace, Refusal, Stop, Welcome
from holdfastd.engine.session import Session
from support.engine import SETTINGS, START_MS, Driver, P, V, W, ids_of, new_job

LEASE_S = 30
GRACE_S = 10


def worker_of(driver: Driver) -> Session:
    (worker,) = [session for session in driver.engine.sessions.values() if session.is_worker]
    return worker


def quiet(driver: Driver, is_quiet: bool = True) -> None:
    assert driver.ask(P, commands.Quiet(worker_of(driver).key, is_quiet)) is None


def stop(driver: Driver) -> None:
    assert driver.ask(P, commands.StopWorker(worker_of(driver).key)) is None


def stops(driver: Driver) -> list[int]:
    return [output.connection for output in driver.outputs if isinstance(output, Stop)]


# ---- deadlines -----------------------------------------------------------------------------------


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


# ---- coming back ---------------------------------------------------------------------------------


def test_a_resumed_session_keeps_its_leases_and_learns_what_is_durable(driver: Driver) -> None:
    item = driver.lease()
    driver.detach(W)
    driver.pass_time(5)
    welcome = driver.attach(V, "worker", leases=[item[0], 77])
    assert (welcome.resumed, welcome.lost) == (True, [77])
    assert driver.take(V) == []
    driver.pass_time(20)
    assert driver.ack(V, item) == []
    assert driver.attach(P + 10, "producer").last_request > 0


def test_a_second_connection_takes_the_session_over(driver: Driver) -> None:
    driver.lease()
    driver.attach(V, "worker", leases=[])
    assert driver.displaced == [W]
    assert driver.ask(W, commands.Pause("q")) is None
    assert not driver.engine.queues["q"].is_paused


def test_a_restart_of_the_daemon_re_runs_nothing(driver: Driver) -> None:
    item = driver.lease()
    driver.start()
    assert driver.counts("q") == {"active": 1}
    driver.pass_time(9)
    assert driver.attach(W, "worker", leases=[item[0]]).lost == []
    assert driver.ack(W, item) == []
    assert driver.row("a").state is State.COMPLETED


def test_a_lease_lost_with_the_daemon_is_not_counted_as_a_crash(driver: Driver) -> None:
    driver.lease()
    driver.start()
    driver.pass_time(10.1)
    row = driver.row("a")
    assert (row.state, row.crashes, row.releases) == (State.WAITING, 0, 1)


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


# ---- going ---------------------------------------------------------------------------------------


def test_goodbye_gives_back_what_is_held_and_forgets_the_session(driver: Driver) -> None:
    driver.lease()
    driver.do(W, commands.End(), 0)
    driver.flush()
    row = driver.row("a")
    assert (row.state, row.crashes, row.releases) == (State.WAITING, 0, 1)
    assert not driver.attach(W, "worker").resumed


def test_an_absent_session_is_forgotten_after_a_day(driver: Driver) -> None:
    driver.add(P, "q", "a")
    driver.detach(P)
    driver.pass_time(23 * 3600)
    assert driver.attach(P, "producer").resumed
    driver.detach(P)
    driver.pass_time(25 * 3600)
    assert not driver.attach(P, "producer").resumed


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


def test_a_connection_that_goes_leaves_what_it_heard_of_queues_that_are_gone(
    driver: Driver,
) -> None:
    driver.ask(P, commands.Listen("q", None))
    driver.attach(V, "other")
    driver.ask(V, commands.Obliterate("q", False))
    driver.detach(P)
    assert driver.engine.sessions.keys() == {"worker", "other"}


# ---- what a person says to a worker --------------------------------------------------------------


def test_a_quiet_worker_keeps_its_leases_and_gets_no_more_until_it_is_not(driver: Driver) -> None:
    driver.subscribe(W, "q", credit=2)
    driver.add(P, "q", "a")
    quiet(driver)
    driver.add(P, "q", "b")
    (item,) = driver.take(W)
    driver.beat(W)
    assert driver.ack(W, item, credit=1) == []
    assert driver.take(W) == []
    quiet(driver, is_quiet=False)
    assert ids_of(driver.take(W)) == ["b"]


def test_a_worker_is_quiet_over_reconnects_and_restarts(driver: Driver) -> None:
    quiet(driver)
    driver.detach(W)
    driver.add(P, "q", "a")
    for _ in range(2):
        driver.attach(W, "worker", worker="w")
        driver.subscribe(W, "q")
        assert driver.take(W) == []
        driver.start()
        driver.attach(P, "producer")
    assert worker_of(driver).is_quiet


def test_a_worker_that_is_told_to_stop_gets_no_more_and_is_told_again_if_it_comes_back(
    driver: Driver,
) -> None:
    driver.subscribe(W, "q", credit=2)
    stop(driver)
    assert stops(driver) == [W]
    driver.add(P, "q", "a")
    assert driver.take(W) == []
    driver.detach(W)
    driver.attach(5, "worker", worker="w")
    assert stops(driver) == [W, 5]


def test_one_that_runs_jobs_is_told_again_when_it_resumes(driver: Driver) -> None:
    item = driver.lease()
    driver.detach(W)
    stop(driver)
    assert stops(driver) == []
    driver.attach(5, "worker", leases=[item[0]], worker="w")
    assert stops(driver) == [5]
    assert driver.ack(5, item, credit=1) == []


def test_what_is_no_worker_is_refused(driver: Driver) -> None:
    producer = driver.engine.sessions["producer"]
    for key in (producer.key, SessionKey(99)):
        for command in (commands.Quiet(key, True), commands.StopWorker(key)):
            assert driver.ask(P, command).refusal is Refusal.UNKNOWN_WORKER


def test_what_a_list_of_workers_shows_is_in_the_session(driver: Driver) -> None:
    driver.subscribe(W, "q", "r", credit=3)
    driver.add(P, "q", "a")
    worker = worker_of(driver)
    assert (worker.worker, worker.queues, worker.credit) == ("w", ["q", "r"], 2)
    assert [job.id for job in worker.leases.values()] == ["a"]
    driver.detach(W)
    assert (worker.connection, worker.queues, worker.left) == (None, [], ["q", "r"])


# ---- what an attachment says ---------------------------------------------------------------------


def test_a_session_that_is_taken_over_is_welcomed_and_the_other_connection_told(
    driver: Driver,
) -> None:
    item = driver.lease()
    driver.outputs.clear()
    command = commands.Attach("worker", "new name", (item[0], Token(77)), {"pid": 5})
    driver.engine.attach(V, command, driver.moment)
    driver.flush()
    assert driver.outputs == [
        Displace(W),
        Welcome(V, resumed=True, last_request=0, last_refused=0, lost=[Token(77)]),
    ]
    session = driver.engine.sessions["worker"]
    assert (session.worker, session.origin, session.connection) == ("new name", {"pid": 5}, V)
    assert driver.engine._partition.connections.keys() == {P, V}


def test_a_new_session_is_not_resumed(driver: Driver) -> None:
    assert driver.attach(V, "new") == Welcome(
        V, resumed=False, last_request=0, last_refused=0, lost=[]
    )


def test_a_session_remembers_when_it_was_seen(driver: Driver) -> None:
    session = driver.engine.sessions["worker"]
    assert session.seen_at_ms == START_MS
    driver.lease()
    driver.pass_time(3)
    driver.beat(W)
    assert session.seen_at_ms == START_MS + 3_000
    driver.pass_time(2)
    driver.detach(W)
    assert session.seen_at_ms == START_MS + 5_000


def test_a_connection_that_goes_leaves_nothing_behind(driver: Driver) -> None:
    driver.subscribe(W, "q", "r", credit=2)
    driver.lease()
    driver.ask(W, commands.Listen("q", None))
    driver.do(W, commands.Wait("q", "a"))
    driver.flush()
    session, queue = driver.engine.sessions["worker"], driver.engine.queues["q"]
    driver.detach(W)
    assert (session.connection, session.credit, session.queues) == (None, 0, [])
    assert session.left == ["q"]
    assert (session.listens, session.waits, session.wait_count) == ({}, {}, 0)
    assert (queue.listeners, queue.waits, queue.subscribers, queue.ready) == ({}, {}, {}, {})
    driver.attach(V, "worker")
    assert session.left == []


def test_the_grace_makes_no_lease_longer(driver: Driver) -> None:
    driver.lease()
    driver.pass_time(LEASE_S - 2)
    driver.detach(W)
    driver.pass_time(1.9)
    assert driver.counts("q") == {"active": 1}
    driver.pass_time(0.2)
    assert driver.counts("q") == {"waiting": 1}


def test_forgiving_makes_no_lease_shorter(driver: Driver) -> None:
    driver.lease()
    driver.engine.forgive(driver.moment)
    driver.pass_time(LEASE_S - 0.1)
    assert driver.counts("q") == {"active": 1}
    driver.pass_time(0.2)
    assert driver.counts("q") == {"waiting": 1}


def test_old_sessions_are_forgotten_some_at_a_time(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attending, "SESSIONS_FORGOTTEN_PER_TICK_MAX", 2)
    for number in range(5):
        driver.attach(100 + number, f"s{number}")
        driver.add(100 + number, "q", f"j{number}")
        driver.detach(100 + number)
    left = []
    driver.pass_time(SETTINGS.session_ms / 1000)
    for _ in range(4):
        left.append(len(driver.engine.sessions) - 2)
        driver.pass_time(60)
    assert left == [5, 3, 1, 0]


def test_a_session_with_a_lease_is_not_forgotten(driver: Driver) -> None:
    """Its deadline is yet to come: as with a grace of days."""
    driver.lease()
    session = driver.engine.sessions["worker"]
    driver.detach(W)
    session.deadline = float("inf")
    driver.pass_time(SETTINGS.session_ms / 1000 + 61)
    driver.pass_time(61)
    assert "worker" in driver.engine.sessions


def test_a_stopped_worker_is_told_once_and_quiet_ones_are_stored(driver: Driver) -> None:
    driver.subscribe(W, "q")
    quiet(driver)
    (row,) = [row for row in driver.disk.sessions.values() if row.id == "worker"]
    assert row.is_quiet
    stop(driver)
    assert worker_of(driver).is_stopping
    assert stops(driver) == [W]


def test_a_worker_whose_jobs_have_all_ended_is_watched_again_with_the_next(
    driver: Driver,
) -> None:
    driver.ack(W, driver.lease())
    driver.pass_time(LEASE_S + 1)
    assert driver.engine.sessions["worker"].watched_at is None
    driver.beat(W)
    driver.lease("b")
    driver.pass_time(LEASE_S + 1)
    assert driver.row("b").crashes == 1
