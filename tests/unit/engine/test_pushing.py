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
