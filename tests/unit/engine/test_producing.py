"""producing.py: jobs are added, waited for, listened to, counted."""

import pytest

from holdfastd.engine import commands, producing
from holdfastd.engine.model import Keep, QueueSettings, Rate, Retention, State
from holdfastd.engine.outputs import Answer, Refusal, Show
from holdfastd.engine.producing import describe_stats
from holdfastd.engine.stats import QueueStats
from support.engine import START_MS, Driver, P, V, W, held_of, new_job

ADDED, ACTIVE, PROGRESS, COMPLETED, FAILED, RETRYING, DELAYED, WAITING, LOST, REMOVED = range(1, 11)
DRAINED, PAUSED, RESUMED = range(11, 14)


def kinds(driver: Driver) -> list[int]:
    """Kinds of the events that came since the last call."""
    events, driver.events = driver.events, []
    return [event.kind for event in events]


# ---- adding --------------------------------------------------------------------------------------


def test_the_same_id_is_reported_as_existing_wherever_the_job_is(driver: Driver) -> None:
    assert driver.add(P, "q", "a") == []
    (existing,) = driver.add(P, "q", "a")  # on disk only
    assert (existing.at, existing.state) == (0, State.WAITING)
    items = list(enumerate([new_job("b"), new_job("b")]))
    (twice,) = driver.ask(P, commands.Enqueue("q", items, []))
    assert twice.at == 1
    driver.do(P, commands.Enqueue("q", [(0, new_job("c"))], []))
    (in_open_batch,) = driver.add(P, "q", "c")
    assert in_open_batch.state == State.WAITING
    assert driver.counts("q") == {"waiting": 3}


def test_an_id_is_noticed_although_the_same_request_pushes_its_job_out_of_memory(
    driver: Driver,
) -> None:
    driver.add(P, "q", "a")
    urgent = [new_job(f"u{number}", priority=-1) for number in range(5)]
    items = list(enumerate([*urgent, new_job("a")]))
    (existing,) = driver.ask(P, commands.Enqueue("q", items, []))
    assert existing.at == 5
    assert driver.counts("q") == {"waiting": 6}


def test_an_id_is_free_again_once_its_job_is_removed(driver: Driver) -> None:
    driver.add(P, "q", "a")
    driver.do(P, commands.Remove("q", ["a"], None))
    assert driver.add(P, "q", "a") == []
    assert driver.counts("q") == {"waiting": 1}
    assert len(driver.disk.jobs) == 1


def test_a_run_at_in_the_past_runs_at_once(driver: Driver) -> None:
    driver.add(P, "q", "a", run_at_ms=5)
    assert driver.counts("q") == {"waiting": 1}


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
    monkeypatch.setattr(producing, "WAITS_PER_SESSION_MAX", 3)
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


# ---- counts --------------------------------------------------------------------------------------


def test_counts_describe_a_queue(driver: Driver) -> None:
    driver.add(P, "q", "a")
    driver.add(P, "r", "a")
    found = dict(driver.ask(P, commands.Counts(None, None, 1)))
    assert list(found) == ["q"]
    assert (found["q"]["waiting"], found["q"]["paused"], found["q"]["workers"]) == (1, False, 0)
    assert [name for name, _ in driver.ask(P, commands.Counts(None, "q", 9))] == ["r"]


def test_counts_tell_what_has_happened_since_the_start_whatever_was_removed(
    driver: Driver,
) -> None:
    for id in ("a", "b", "c"):
        lease = driver.lease(id, attempts=2 if id == "b" else 1)
        if id == "a":
            driver.ack(W, held_of(lease))
        else:
            driver.fail(W, held_of(lease))
    driver.ask(P, commands.Remove("q", ["a"], None))
    ((_, found),) = driver.ask(P, commands.Counts("q", None, 1))
    assert found["completed"] == 0
    assert found["since_start"] == {
        "added": 3,
        "completed": 1,
        "failed": 1,
        "retries": 1,
        "lost": 0,
    }


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


# ---- what is counted and said --------------------------------------------------------------------


def test_jobs_that_were_not_taken_are_counted_with_their_queue_or_the_others(
    driver: Driver,
) -> None:
    driver.ask(P, commands.Enqueue("new", [], [[0, 305, "no"], [1, 305, "no"]]))
    assert (driver.engine.ledger.other.rejected, driver.engine.queues) == (2, {})
    driver.add(P, "q", "a")
    driver.ask(P, commands.Enqueue("q", [(1, new_job("b"))], [[0, 305, "no"]]))
    stats = driver.engine.queues["q"].stats
    assert (stats.rejected, stats.accepted) == (1, 2)
    assert driver.engine.ledger.other.rejected == 2


def test_a_job_is_counted_in_its_minute_by_its_name(driver: Driver) -> None:
    driver.add(P, "q", "a", "b")
    driver.add(P, "q", "b")
    assert driver.engine.queues["q"].tallies["work"].added == 2


def test_a_wait_that_is_refused_says_why(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = driver.ask(P, commands.Wait("q", "a"))
    assert refused.message == "no job a in queue q"
    monkeypatch.setattr(producing, "WAITS_PER_SESSION_MAX", 1)
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


def test_a_queue_is_described_in_full(driver: Driver) -> None:
    keep = Retention(Keep(1, 2), Keep(3, None), Keep(None, 4))
    driver.ask(P, commands.Configure("q", QueueSettings(5, None, keep)))
    driver.subscribe(W, "q", credit=1)
    driver.add(P, "q", "a", "b", "c", attempts=2)
    driver.add(P, "q", "later", run_at_ms=START_MS + 60_000)
    driver.ask(P, commands.Pause("q"))
    driver.ask(P, commands.Cancel("q", ["c"], None))
    ((name, found),) = driver.ask(P, commands.Counts("q", None, 1))
    assert (name, found) == (
        "q",
        {
            "waiting": 1,
            "delayed": 1,
            "active": 1,
            "blocked": 0,
            "completed": 0,
            "failed": 0,
            "cancelled": 1,
            "paused": True,
            "workers": 1,
            "settings": {
                "concurrency": 5,
                "rate": None,
                "retention": {
                    "completed": {"age_ms": 1, "count": 2},
                    "failed": {"age_ms": 3, "count": None},
                    "cancelled": {"age_ms": None, "count": 4},
                },
            },
            "since_start": {"added": 4, "completed": 0, "failed": 0, "retries": 0, "lost": 0},
        },
    )


def test_what_has_happened_is_told_by_what_it_was() -> None:
    stats = QueueStats(accepted=1, completed=2, jobs_failed=3, retries=4, attempts_lost=5)
    told = {"added": 1, "completed": 2, "failed": 3, "retries": 4, "lost": 5}
    assert describe_stats(stats) == told


def test_a_listing_has_the_queues_one_may_see_by_name(driver: Driver) -> None:
    for name in ("c", "a", "b"):
        driver.ask(P, commands.Pause(name))

    def names(command: commands.Counts) -> list[str]:
        return [name for name, _ in driver.ask(P, command)]

    assert names(commands.Counts(None, None, 9)) == ["a", "b", "c"]
    assert names(commands.Counts(None, None, 2)) == ["a", "b"]
    assert names(commands.Counts(None, "a", 9)) == ["b", "c"]
    assert names(commands.Counts(None, None, 9, lambda name: name != "b")) == ["a", "c"]
