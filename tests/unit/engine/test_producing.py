"""following.py, producing.py, events.py: waits, events, counts; who is told what; what is bound."""

import pytest

from holdfastd.engine import commands, following
from holdfastd.engine.model import QueueSettings, Rate, State
from holdfastd.engine.outputs import ItemRefusal, Refusal
from support.engine import START_MS, Driver, P, V, W, held_of, new_job

ADDED, ACTIVE, PROGRESS, COMPLETED, FAILED, RETRYING, DELAYED, WAITING, LOST, REMOVED = range(1, 11)
DRAINED, PAUSED, RESUMED = range(11, 14)


def kinds(driver: Driver) -> list[int]:
    """Kinds of the events that came since the last call."""
    events, driver.events = driver.events, []
    return [event.kind for event in events]


# ---- adding --------------------------------------------------------------------------------------


def test_what_was_refused_before_is_part_of_the_answer(driver: Driver) -> None:
    refused = [0, 305, "too large"]
    driver.add(P, "q", "a")
    items = [(1, new_job("b")), (2, new_job("a"))]
    answer = driver.ask(P, commands.Enqueue("q", items, [refused]))
    assert [answer[0], answer[1].at] == [refused, 2]


def test_a_request_of_refused_items_alone_makes_no_queue(driver: Driver) -> None:
    refused = [0, 305, "too large"]
    assert driver.ask(P, commands.Enqueue("q", [], [refused])) == [refused]
    assert driver.engine.queues == {}


def test_only_new_jobs_are_counted_as_accepted(driver: Driver) -> None:
    driver.add(P, "q", "a", "b")
    driver.add(P, "q", "b", "c")
    stats = driver.engine.queues["q"].stats
    assert (stats.accepted, stats.duplicates) == (3, 1)


# ---- waiting for an end --------------------------------------------------------------------------


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


# ---- events --------------------------------------------------------------------------------------


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


def test_pause_and_resume_are_told_once(driver: Driver) -> None:
    driver.ask(P, commands.Listen("q", None))
    for command in (commands.Pause("q"), commands.Pause("q"), commands.Resume("q")):
        driver.ask(P, command)
    assert kinds(driver) == [PAUSED, RESUMED]


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


# ---- counts --------------------------------------------------------------------------------------


def test_counts_tell_the_settings_as_configure_takes_them(driver: Driver) -> None:
    driver.ask(P, commands.Configure("q", QueueSettings(5, Rate(10, 1000, 2))))
    ((_, shown),) = driver.ask(P, commands.Counts("q", None, 1))
    assert shown["settings"]["concurrency"] == 5
    assert shown["settings"]["rate"] == {"limit": 10, "period_ms": 1000, "burst": 2}
    assert shown["settings"]["retention"]["failed"] == {"age_ms": 30 * 86_400_000, "count": None}


def test_counts_are_those_of_the_commands_before_them(driver: Driver) -> None:
    item = driver.lease()
    driver.add(P, "q", "b")
    driver.do(W, commands.Ack([(held_of(item), None)], 0))
    ((_, shown),) = driver.ask(P, commands.Counts(None, None, 9))
    assert (shown["completed"], shown["waiting"], shown["active"]) == (1, 1, 0)


# ---- people --------------------------------------------------------------------------------------


def test_each_refusal_says_in_which_state_the_job_is(driver: Driver) -> None:
    driver.lease()
    driver.add(P, "q", "w")
    asked = {
        commands.Promote: commands.Promote("q", ["w"]),
        commands.Retry: commands.Retry("q", ["w"], None),
    }
    for command in asked.values():
        (refused,) = driver.ask(P, command)
        assert isinstance(refused, ItemRefusal)
        assert (refused.refusal, "waiting" in refused.message) == (Refusal.WRONG_STATE, True)
    (refused,) = driver.ask(P, commands.Change("q", ["a"], 5, None, None, None))
    assert refused.refusal is Refusal.WRONG_STATE
    (refused,) = driver.ask(P, commands.Change("q", ["w"], 5, None, None, State.DELAYED))
    assert "waiting by now, not delayed" in refused.message
    refuse = driver.ask(P, commands.Change("nope", ["w"], 5, None, None, None))
    assert refuse.refusal is Refusal.UNKNOWN_QUEUE
    assert driver.ask(P, commands.Retry("nope", ["w"], None)).refusal is Refusal.UNKNOWN_QUEUE


def test_a_changed_priority_of_a_delayed_job_holds_when_it_is_due(driver: Driver) -> None:
    driver.add(P, "q", "late", run_at_ms=START_MS + 1_000)
    driver.add(P, "q", "b", "c")
    driver.ask(P, commands.Change("q", ["late"], None, True, None, None))
    driver.ask(
        P, commands.Change("q", ["c"], -1, None, 5, None)
    )  # an instant in the past: as it is
    driver.pass_time(1)
    driver.subscribe(W, "q", credit=9)
    assert [item[2] for item in driver.take(W)] == ["c", "late", "b"]


def test_a_job_that_is_postponed_again_waits_for_the_later_instant(driver: Driver) -> None:
    driver.add(P, "q", "a", run_at_ms=START_MS + 1_000)
    driver.ask(P, commands.Change("q", ["a"], None, None, START_MS + 5_000, State.DELAYED))
    driver.pass_time(4.9)
    assert driver.counts("q") == {"delayed": 1}
    driver.pass_time(0.1)
    assert driver.counts("q") == {"waiting": 1}


def test_a_refusal_to_a_connection_that_has_gone_is_not_said(driver: Driver) -> None:
    driver.add(P, "q", "first", "x")
    driver.add(P, "r", "first")
    driver.do(P, commands.Obliterate("q", False))
    driver.do(P, commands.Detach(), 0)
    driver.outputs.clear()
    driver.flush()
    assert driver.outputs == []
