"""following.py: who waits for the end of a job, and who listens to a queue."""

import pytest

from holdfastd.engine import commands, following
from holdfastd.engine.model import State
from holdfastd.engine.outputs import Answer, Refusal, Show, unknown_job
from support.engine import START_MS, Driver, P, V, W

ADDED, ACTIVE, PROGRESS, COMPLETED, FAILED, RETRYING, DELAYED, WAITING, LOST, REMOVED = range(1, 11)
DRAINED, PAUSED, RESUMED = range(11, 14)


def kinds(driver: Driver) -> list[int]:
    """Kinds of the events that came since the last call."""
    events, driver.events = driver.events, []
    return [event.kind for event in events]


# ---- waiting for an end --------------------------------------------------------------------------


def test_a_wait_is_answered_when_the_job_ends(driver: Driver) -> None:
    item = driver.lease()
    number = driver.do(P, commands.Wait("q", "a"))
    driver.flush()
    assert driver.shown == []
    driver.ack(W, item)
    assert not driver.engine.sessions["producer"].waits, "an answered wait counts no more"
    assert [(show.connection, show.request, show.id) for show in driver.shown] == [(P, number, "a")]
    driver.ask(P, commands.Wait("q", "a"))
    assert len(driver.shown) == 2
    assert driver.ask(P, commands.Wait("q", "nope")).refusal is Refusal.UNKNOWN_JOB


def test_a_wait_ends_with_its_connection(driver: Driver) -> None:
    item = driver.lease()
    driver.do(P, commands.Wait("q", "a"))
    driver.detach(P)
    driver.ack(W, item)
    assert driver.shown == []


@pytest.mark.parametrize("end", ["completed", "failed", "crashed", "removed"])
def test_every_end_of_a_job_answers_all_who_wait_for_it(driver: Driver, end: str) -> None:
    item = driver.lease(max_crashes=1)
    driver.attach(V, "another")
    numbers = {driver.do(P, commands.Wait("q", "a")), driver.do(P, commands.Wait("q", "a"))}
    numbers.add(driver.do(V, commands.Wait("q", "a")))
    driver.flush()
    assert driver.shown == []
    match end:
        case "completed":
            driver.ack(W, item)
        case "failed":
            driver.fail(W, item)
        case "crashed":
            driver.detach(W)
            driver.pass_time(11)
        case "removed":
            driver.ask(P, commands.Remove("q", ["a"], State.ACTIVE))
    assert {show.request for show in driver.shown} == numbers
    assert [s.wait_count for s in driver.engine.sessions.values()] == [0] * 3


def test_the_waits_of_a_session_are_bounded_even_for_one_job(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "WAITS_PER_SESSION_MAX", 3)
    item = driver.lease()
    for _ in range(3):
        driver.do(P, commands.Wait("q", "a"))
    assert driver.ask(P, commands.Wait("q", "a")).refusal is Refusal.TOO_MANY
    driver.ack(W, item)
    assert len(driver.shown) == 3
    driver.add(P, "q", "b")
    assert driver.ask(P, commands.Wait("q", "b")) is None, "there is room again"


def test_waits_of_others_stay_when_a_connection_goes(driver: Driver) -> None:
    item = driver.lease()
    driver.attach(V, "another")
    for connection in (P, V):
        driver.do(connection, commands.Wait("q", "a"))
    driver.detach(P)
    driver.ack(W, item)
    assert [show.connection for show in driver.shown] == [V]


def test_a_wait_outlives_a_retry_of_its_job(driver: Driver) -> None:
    item = driver.lease(attempts=2)
    driver.do(P, commands.Wait("q", "a"))
    driver.fail(W, item, credit=1)
    assert driver.shown == []
    (again,) = driver.take(W)
    driver.ack(W, again)
    assert len(driver.shown) == 1


def test_a_wait_for_a_job_of_an_unknown_queue_is_refused(driver: Driver) -> None:
    assert driver.ask(P, commands.Wait("nope", "a")).refusal is Refusal.UNKNOWN_JOB


def test_a_wait_that_is_refused_says_why(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = driver.ask(P, commands.Wait("q", "a"))
    assert refused.message == unknown_job("a", "q")
    monkeypatch.setattr(following, "WAITS_PER_SESSION_MAX", 1)
    driver.add(P, "q", "a")
    driver.do(P, commands.Wait("q", "a"))
    driver.flush()
    refused = driver.ask(P, commands.Wait("q", "a"))
    assert refused.message == "this session has 1 waits open already"


def test_a_wait_is_noted_with_its_session_and_its_queue(driver: Driver) -> None:
    driver.add(P, "q", "a")
    numbers = [driver.do(P, commands.Wait("q", "a")) for _ in range(2)]
    driver.flush()
    session = driver.engine.sessions["producer"]
    assert (session.waits, session.wait_count) == ({("q", "a"): None}, 2)
    assert driver.engine.queues["q"].waits == {"a": [(P, number) for number in numbers]}


def test_a_wait_for_what_has_ended_is_shown_at_once_and_not_kept(driver: Driver) -> None:
    driver.ack(W, driver.lease())
    number = driver.do(P, commands.Wait("q", "a"))
    driver.flush()
    queue = driver.engine.queues["q"]
    assert driver.shown == [Show(P, number, queue.key, "a")]
    assert (queue.waits, driver.engine.sessions["producer"].wait_count) == ({}, 0)


# ---- events --------------------------------------------------------------------------------------


def test_events_come_in_order_with_rising_numbers(driver: Driver) -> None:
    answer = driver.ask(P, commands.Listen("q", None))
    item = driver.lease(attempts=2)
    driver.fail(W, item, credit=1)
    (again,) = driver.take(W)
    driver.ack(W, again)
    kinds = [event.kind for event in driver.events]
    assert kinds == [1, 2, 6, 2, 4, 11]  # added, active, retrying, active, completed, drained
    numbers = [event.number for event in driver.events]
    assert numbers == list(range(answer["last"] + 1, answer["last"] + 7))


def test_every_turn_of_a_jobs_life_is_an_event(driver: Driver) -> None:
    driver.ask(P, commands.Listen("q", None))
    item = driver.lease(attempts=3)
    assert kinds(driver) == [ADDED, ACTIVE]
    driver.ask(W, commands.Heartbeat([commands.Report(item[0], b"40", [])]))
    assert kinds(driver) == [PROGRESS]
    driver.release(W, item)
    assert kinds(driver) == [WAITING]
    driver.do(W, commands.Credit(1), 0)
    driver.flush()
    (item,) = driver.take(W)
    driver.release(W, item, delay_ms=1_000)
    assert kinds(driver) == [ACTIVE, DELAYED]
    driver.ask(P, commands.Promote("q", ["a"]))
    driver.ask(P, commands.Change("q", ["a"], None, None, START_MS + 9_000, None))
    assert kinds(driver) == [WAITING, DELAYED]
    driver.ask(P, commands.Change("q", ["a"], None, None, 0, None))
    driver.do(W, commands.Credit(1), 0)
    driver.flush()
    driver.pass_time(31)
    assert kinds(driver) == [WAITING, ACTIVE, LOST]
    driver.ask(P, commands.Remove("q", ["a"], None))
    assert kinds(driver) == [REMOVED]


def test_the_last_end_of_a_queue_is_followed_by_drained(driver: Driver) -> None:
    driver.ask(P, commands.Listen("q", None))
    driver.fail(W, driver.lease())
    assert kinds(driver) == [ADDED, ACTIVE, FAILED, DRAINED]
    driver.ask(P, commands.Retry("q", ["a"], None))
    assert kinds(driver) == [WAITING]


def test_a_delayed_job_is_added_with_the_instant_of_its_run(driver: Driver) -> None:
    driver.ask(P, commands.Listen("q", None))
    driver.add(P, "q", "a", run_at_ms=START_MS + 5_000)
    assert [event.details for event in driver.events] == [{"run_at_ms": START_MS + 5_000}]


def test_a_listener_that_was_away_gets_what_it_missed(driver: Driver) -> None:
    driver.ask(P, commands.Listen("q", None))
    driver.add(P, "q", "a")
    seen = driver.events[-1].number
    driver.detach(P)
    driver.attach(V, "another")
    driver.add(V, "q", "b", "c")
    driver.clear()
    answer = driver.ask(V, commands.Listen("q", seen))
    assert answer == {"missed": False, "last": seen + 2}
    assert [event.id for event in driver.events] == ["b", "c"]


def test_after_a_restart_a_listener_learns_that_it_missed_some(driver: Driver) -> None:
    driver.ask(P, commands.Listen("q", None))
    driver.add(P, "q", "a")
    seen = driver.events[-1].number
    driver.start()
    driver.attach(P, "producer")
    answer = driver.ask(P, commands.Listen("q", seen))
    assert answer["missed"]
    assert answer["last"] > seen


def test_who_stops_listening_hears_nothing_more(driver: Driver) -> None:
    driver.ask(P, commands.Listen("q", None))
    driver.ask(P, commands.Unlisten("q"))
    driver.ask(P, commands.Unlisten("never-heard-of"))
    driver.add(P, "q", "a")
    assert driver.events == []


def test_a_listener_hears_of_a_queue_that_was_obliterated_and_came_back(driver: Driver) -> None:
    driver.ask(P, commands.Listen("q", None))
    driver.add(P, "q", "a")
    before = driver.events[-1].number
    driver.ask(P, commands.Obliterate("q", False))
    driver.clear()
    driver.add(P, "q", "b")
    assert [event.id for event in driver.events] == ["b"]
    assert driver.events[0].number > before, "event numbers of a queue's name rise"


def test_a_queue_that_is_listened_to_is_made_and_noted(driver: Driver) -> None:
    driver.ask(P, commands.Listen("q", None))
    queue = driver.engine.queues["q"]
    assert list(queue.listeners) == [P]
    assert driver.engine.sessions["producer"].listens == {"q": None}
    driver.ask(P, commands.Unlisten("q"))
    assert (queue.listeners, driver.engine.sessions["producer"].listens) == ({}, {})


def test_a_listener_with_nothing_to_catch_up_gets_its_answer_alone(driver: Driver) -> None:
    last = driver.ask(P, commands.Listen("q", None))["last"]
    driver.outputs.clear()
    number = driver.do(P, commands.Listen("q", last))
    driver.flush()
    assert driver.outputs == [Answer(P, number, {"missed": False, "last": last})]
