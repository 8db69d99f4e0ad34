"""How much is pushed to one connection: by credit, by bytes, and only while its client reads."""

import pytest

from holdfastd.engine import commands, dispatch, openbatch
from holdfastd.engine.outputs import Deliver
from support.engine import Driver, P, V, W, ids_of, new_job


@pytest.fixture
def small_pushes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three jobs of 4 + 256 bytes and more fill a batch, two fill a Deliver."""
    monkeypatch.setattr(dispatch, "PUSH_BYTES_MAX", 600)
    monkeypatch.setattr(openbatch, "DELIVERY_BYTES_MAX", 600)


def add(driver: Driver, *ids: str) -> None:
    items = [new_job(id) for id in ids]
    driver.do(P, commands.Enqueue("q", list(enumerate(items)), []))


@pytest.mark.usefixtures("small_pushes")
def test_one_batch_pushes_a_connection_so_many_bytes_and_the_next_goes_on(driver: Driver) -> None:
    driver.subscribe(W, "q", credit=10)
    add(driver, *"abcdefgh")
    driver.write()
    assert ids_of(driver.take(W)) == [*"abc"]
    driver.flush()
    assert ids_of(driver.take(W)) == [*"defgh"]


@pytest.mark.usefixtures("small_pushes")
def test_what_one_worker_cannot_be_pushed_goes_to_the_other(driver: Driver) -> None:
    driver.subscribe(W, "q", credit=10)
    driver.attach(V, "other")
    driver.subscribe(V, "q", credit=10)
    add(driver, *"abcdefgh")
    driver.write()
    assert (ids_of(driver.take(W)), ids_of(driver.take(V))) == ([*"ace"], [*"bdf"])


@pytest.mark.usefixtures("small_pushes")
def test_a_delivery_holds_so_many_bytes(driver: Driver) -> None:
    driver.subscribe(W, "q", credit=10)
    add(driver, *"abc")
    driver.flush()
    deliveries = [output for output in driver.outputs if isinstance(output, Deliver)]
    assert [ids_of(delivery.items) for delivery in deliveries] == [["a", "b"], ["c"]]


@pytest.mark.usefixtures("small_pushes")
def test_a_job_larger_than_a_delivery_goes_alone(driver: Driver) -> None:
    driver.subscribe(W, "q", credit=10)
    add(driver, "a", "b" * 120, "c")
    driver.flush()
    assert ids_of(driver.take(W)) == ["a", "b" * 120, "c"]


@pytest.mark.usefixtures("small_pushes")
def test_a_worker_that_goes_between_two_pushes_leaves_no_trace(driver: Driver) -> None:
    driver.subscribe(W, "q", credit=10)
    add(driver, *"abcdefgh")
    driver.write()
    driver.detach(W)
    assert driver.engine.next_tick_s(driver.moment) > 0
    driver.attach(V, "other")
    driver.subscribe(V, "q", credit=10)
    assert ids_of(driver.take(V)) == [*"defgh"]


def test_a_client_that_does_not_read_is_pushed_nothing_until_it_does(driver: Driver) -> None:
    driver.subscribe(W, "q", credit=2)
    driver.do(W, commands.Hold(True), 0)
    driver.add(P, "q", "a", "b", "c")
    assert driver.take(W) == []
    driver.do(W, commands.Credit(1), 0)
    driver.flush()
    assert driver.take(W) == []
    driver.do(W, commands.Hold(False), 0)
    driver.flush()
    assert ids_of(driver.take(W)) == ["a", "b", "c"]


def test_a_new_connection_is_taken_to_read(driver: Driver) -> None:
    driver.subscribe(W, "q", credit=2)
    driver.do(W, commands.Hold(True), 0)
    driver.detach(W)
    driver.attach(W, "worker")
    driver.subscribe(W, "q", credit=2)
    driver.add(P, "q", "a")
    assert ids_of(driver.take(W)) == ["a"]


@pytest.mark.parametrize("credit", [1, 3])
def test_the_queues_of_a_worker_take_turns(driver: Driver, credit: int) -> None:
    """A slot had stayed with its queue until that was empty."""
    for queue in "pqr":
        items = [new_job(f"{queue}{number}") for number in range(4)]
        driver.do(P, commands.Enqueue(queue, list(enumerate(items)), []))
    driver.do(P, commands.Enqueue("s", [(0, new_job("s0"))], []))
    driver.do(W, commands.Subscribe(["p", "q", "gone", "r", "s"], credit))
    came: list[str] = []
    while len(came) < 13:
        driver.flush()
        jobs = driver.take(W)
        came += [job[2] for job in jobs]
        driver.ack(W, *jobs, credit=len(jobs))
    assert came[:4] == ["p0", "q0", "r0", "s0"]
    assert [id[1] for id in came if id[0] != "s"] == [*"000111222333"]


def test_a_worker_whose_queue_is_gone_begins_with_the_first_of_the_others(driver: Driver) -> None:
    for queue in "pq":
        driver.do(P, commands.Enqueue(queue, [(0, new_job(f"{queue}0"))], []))
    driver.do(W, commands.Subscribe(["q", "p"], 1))
    driver.flush()
    (job,) = driver.take(W)
    assert job[2] == "q0"
    driver.do(W, commands.Subscribe(["p", "r"], 1))
    driver.flush()
    assert ids_of(driver.take(W)) == ["p0"]
