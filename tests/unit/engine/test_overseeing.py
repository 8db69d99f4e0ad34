"""Quiet and StopWorker: what a person says to a worker, through the server."""

from holdfastd.engine import commands
from holdfastd.engine.model import SessionKey
from holdfastd.engine.outputs import Refusal, Stop
from holdfastd.engine.session import Session
from support.engine import Driver, P, W, ids_of


def worker_of(driver: Driver) -> Session:
    (worker,) = [session for session in driver.engine.sessions.values() if session.is_worker]
    return worker


def quiet(driver: Driver, is_quiet: bool = True) -> None:
    assert driver.ask(P, commands.Quiet(worker_of(driver).key, is_quiet)) is None


def stop(driver: Driver) -> None:
    assert driver.ask(P, commands.StopWorker(worker_of(driver).key)) is None


def stops(driver: Driver) -> list[int]:
    return [output.connection for output in driver.outputs if isinstance(output, Stop)]


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
