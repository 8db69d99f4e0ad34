"""administering.py: what people do to jobs and queues.

Queue q has no worker, unless a test says so: it keeps one job in memory, the others are read for
the command.
"""

from typing import Any

import pytest

from holdfastd.engine import commands
from holdfastd.engine.events import EventNumber
from holdfastd.engine.model import (
    NO_TOKEN,
    AttemptOutcome,
    FailReason,
    Keep,
    QueueSettings,
    Retention,
    State,
)
from holdfastd.engine.outputs import ItemExisting, ItemRefusal, Refusal, RevokeReason
from support.engine import START_MS, Driver, P, V, W, ids_of, new_job


def cancel(*ids: str, expected: State | None = None) -> commands.Cancel:
    return commands.Cancel("q", list(ids), expected)


def move(*ids: str, to: str = "r", expected: State | None = None) -> commands.Move:
    return commands.Move("q", list(ids), to, expected)


def edit(id: str, payload: bytes = b"edited", expected: State | None = None) -> commands.Edit:
    return commands.Edit("q", id, payload, expected)


def refusals(answer: Any) -> list[tuple[int, Refusal]]:
    return [(refused.at, refused.refusal) for refused in answer]


# ---- any command ---------------------------------------------------------------------------------


def test_a_command_may_carry_the_state_its_sender_saw(driver: Driver) -> None:
    item = driver.lease()
    (refused,) = driver.ask(P, commands.Remove("q", ["a"], State.WAITING))
    assert refused.refusal is Refusal.WRONG_STATE
    (refused,) = driver.ask(P, commands.Remove("q", ["a"], None))
    assert "active" in refused.message
    assert driver.ask(P, commands.Remove("q", ["a"], State.ACTIVE)) == []
    assert driver.revoked[W] == [(item[0], RevokeReason.REMOVED)]
    assert driver.counts("q") == {}


def test_unknown_queues_and_jobs_are_refused(driver: Driver) -> None:
    assert driver.ask(P, commands.Promote("nope", ["a"])).refusal is Refusal.UNKNOWN_QUEUE
    assert driver.ask(P, commands.Counts("nope", None, 9)).refusal is Refusal.UNKNOWN_QUEUE
    driver.add(P, "q", "a")
    (refused,) = driver.ask(P, commands.Promote("q", ["nope"]))
    assert refused.refusal is Refusal.UNKNOWN_JOB


def test_a_job_that_has_moved_on_is_not_touched(driver: Driver) -> None:
    driver.lease()
    seen = State.WAITING
    acts: list[Any] = [cancel("a", expected=seen), move("a", expected=seen)]
    acts += [commands.Promote("q", ["a"], seen), commands.Remove("q", ["a"], seen)]
    for command in acts:
        assert refusals(driver.ask(P, command)) == [(0, Refusal.WRONG_STATE)]
    assert driver.ask(P, edit("a", expected=seen)).refusal is Refusal.WRONG_STATE
    assert driver.row("a").state is State.ACTIVE


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


# ---- promote, retry, change ----------------------------------------------------------------------


def test_a_redriven_job_starts_anew(driver: Driver) -> None:
    driver.fail(W, driver.lease())
    assert driver.ask(P, commands.Retry("q", ["a"], State.FAILED)) == []
    row = driver.row("a")
    assert (row.state, row.failures, row.fail_reason) == (State.WAITING, 0, FailReason.NONE)
    (refused,) = driver.ask(P, commands.Retry("q", ["a"], None))
    assert refused.refusal is Refusal.WRONG_STATE


def test_promote_priority_and_delay_of_waiting_jobs(driver: Driver) -> None:
    driver.add(P, "q", "a", "b")
    driver.add(P, "q", "later", run_at_ms=START_MS + 60_000)
    assert driver.ask(P, commands.Promote("q", ["later"])) == []
    change = commands.Change("q", ["later"], -1, None, None, None)
    assert driver.ask(P, change) == []
    driver.ask(P, commands.Change("q", ["a"], None, None, START_MS + 1_000, None))
    driver.subscribe(W, "q", credit=9)
    assert ids_of(driver.take(W)) == ["later", "b"]
    driver.pass_time(1)
    assert ids_of(driver.take(W)) == ["a"]


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


# ---- cancel --------------------------------------------------------------------------------------


def test_waiting_and_delayed_jobs_are_cancelled_and_never_run(driver: Driver) -> None:
    driver.add(P, "q", "a", "b", "c")
    driver.add(P, "q", "later", run_at_ms=START_MS + 1_000)
    assert driver.ask(P, cancel("b", "later")) == []
    assert driver.counts("q") == {"waiting": 2, "cancelled": 2}
    assert driver.row("b").finished_at_ms == START_MS
    driver.pass_time(2)
    driver.subscribe(W, "q", credit=9)
    assert ids_of(driver.take(W)) == ["a", "c"]


def test_the_worker_of_a_cancelled_job_is_told_and_can_change_nothing(driver: Driver) -> None:
    item = driver.lease(attempts=3)
    assert driver.ask(P, cancel("a")) == []
    assert driver.revoked[W] == [(item[0], RevokeReason.CANCELLED)]
    assert driver.row("a").state is State.CANCELLED
    for answer in (driver.ack(W, item), driver.fail(W, item), driver.release(W, item)):
        assert refusals(answer) == [(0, Refusal.LEASE_LOST)]
    (attempt,) = driver.disk.attempts.values()
    assert (attempt.attempt, attempt.outcome) == (1, AttemptOutcome.CANCELLED)
    assert driver.row("a").token == NO_TOKEN
    assert driver.engine.lease_count == 0


def test_a_cancelled_job_that_is_put_back_is_not_ended_by_its_first_worker(driver: Driver) -> None:
    item = driver.lease()
    driver.ask(P, cancel("a"))
    assert driver.ask(P, commands.Retry("q", ["a"], State.CANCELLED)) == []
    assert refusals(driver.fail(W, item)) == [(0, Refusal.LEASE_LOST)]
    driver.subscribe(W, "q")
    (again,) = driver.take(W)
    assert again[0] > item[0]
    assert driver.ack(W, again) == []


def test_the_slot_of_a_cancelled_job_is_given_back_by_its_worker_alone(driver: Driver) -> None:
    """Its handler may still run: credit says when it has ended."""
    driver.lease()
    driver.add(P, "q", "b")
    driver.ask(P, cancel("a"))
    assert driver.take(W) == []
    driver.do(W, commands.Credit(1), 0)
    driver.flush()
    assert ids_of(driver.take(W)) == ["b"]


def test_what_has_ended_is_not_cancelled(driver: Driver) -> None:
    driver.ack(W, driver.lease())
    assert refusals(driver.ask(P, cancel("a", "nobody"))) == [
        (0, Refusal.WRONG_STATE),
        (1, Refusal.UNKNOWN_JOB),
    ]
    assert driver.ask(P, commands.Cancel("none", ["a"], None)).refusal is Refusal.UNKNOWN_QUEUE


def test_who_waits_for_a_cancelled_job_is_told(driver: Driver) -> None:
    driver.add(P, "q", "a")
    driver.attach(V, "other")
    number = driver.do(V, commands.Wait("q", "a"))
    driver.flush()
    driver.ask(P, cancel("a"))
    assert [(show.connection, show.request) for show in driver.shown] == [(V, number)]


def test_cancelled_jobs_are_pruned_as_their_retention_says(driver: Driver) -> None:
    settings = QueueSettings(retention=Retention(cancelled=Keep(None, 1)))
    driver.ask(P, commands.Configure("q", settings))
    driver.add(P, "q", *"abcd")
    driver.ask(P, cancel(*"abcd"))
    driver.pass_time(61)
    assert driver.counts("q") == {"cancelled": 1}


# ---- move ----------------------------------------------------------------------------------------


def test_a_moved_job_runs_in_the_other_queue_behind_those_that_are_there(driver: Driver) -> None:
    driver.add(P, "r", "first")
    driver.add(P, "q", "a", "b", "c", priority=0)
    driver.add(P, "q", "urgent", priority=-1)
    assert driver.ask(P, move("c", "b", "urgent")) == []
    driver.add(P, "r", "last")
    assert driver.counts("q") == {"waiting": 1}
    driver.subscribe(W, "r", credit=9)
    assert ids_of(driver.take(W)) == ["urgent", "first", "c", "b", "last"]


def test_a_moved_job_is_whole_after_a_restart(driver: Driver) -> None:
    driver.add(P, "q", "a", "b", attempts=7)
    driver.ask(P, move("b"))
    driver.start()
    driver.attach(W, "w", worker="w")
    driver.subscribe(W, "r")
    (item,) = driver.take(W)
    assert (item[1], item[2], item[4], item[6]) == ("r", "b", b"b", 7)


def test_a_delayed_job_keeps_its_time_in_the_other_queue(driver: Driver) -> None:
    driver.add(P, "q", "a", run_at_ms=START_MS + 5_000)
    driver.ask(P, move("a"))
    assert driver.counts("r") == {"delayed": 1}
    driver.subscribe(W, "r")
    driver.pass_time(4.9)
    assert driver.take(W) == []
    driver.pass_time(0.1)
    assert ids_of(driver.take(W)) == ["a"]


def test_a_job_is_not_moved_to_where_its_id_is_taken(driver: Driver) -> None:
    driver.add(P, "r", "x", "a")
    driver.add(P, "q", "y", "a", "b")
    assert refusals(driver.ask(P, move("a", "b"))) == [(0, Refusal.JOB_EXISTS)]
    assert (driver.counts("q"), driver.counts("r")) == ({"waiting": 2}, {"waiting": 3})
    assert refusals(driver.ask(P, move("y", to="q"))) == [(0, Refusal.JOB_EXISTS)]


def test_of_an_id_that_is_named_twice_the_second_is_gone(driver: Driver) -> None:
    driver.add(P, "q", "a")
    assert refusals(driver.ask(P, move("a", "a"))) == [(1, Refusal.UNKNOWN_JOB)]
    assert driver.counts("r") == {"waiting": 1}


def test_no_queue_is_made_for_a_job_that_is_not_moved(driver: Driver) -> None:
    driver.lease()
    assert refusals(driver.ask(P, move("a"))) == [(0, Refusal.WRONG_STATE)]
    assert "r" not in driver.engine.queues


def test_a_job_goes_to_another_queue_and_back_within_one_batch(driver: Driver) -> None:
    driver.add(P, "q", "a")
    driver.do(P, move("a"))
    driver.do(P, commands.Move("r", ["a"], "q", None))
    driver.flush()
    assert (driver.counts("q"), driver.counts("r")) == ({"waiting": 1}, {})
    driver.subscribe(W, "q", "r", credit=9)
    assert ids_of(driver.take(W)) == ["a"]


def test_an_id_is_free_again_once_its_job_was_moved(driver: Driver) -> None:
    driver.add(P, "q", "a")
    driver.do(P, move("a"))
    assert driver.add(P, "q", "a") == []
    driver.subscribe(W, "q", "r", credit=9)
    assert sorted((item[1], item[2]) for item in driver.take(W)) == [("q", "a"), ("r", "a")]


def test_a_page_that_was_read_before_a_move_brings_nothing_back(driver: Driver) -> None:
    """The disk has the jobs in the old queue until the batch is written."""
    driver.add(P, "q", "a", "b", "c")
    driver.subscribe(W, "q", credit=0)  # now a page of q is wanted
    driver.begin_write()
    driver.end_write()
    driver.begin_read()
    driver.do(P, move("a"))
    driver.end_read()
    driver.flush()
    driver.subscribe(W, "q", credit=9)
    assert ids_of(driver.take(W)) == ["b", "c"]
    assert driver.counts("r") == {"waiting": 1}


def test_a_new_job_is_moved_before_it_was_written(driver: Driver) -> None:
    driver.do(P, commands.Enqueue("q", [(0, new_job("a"))], []))
    driver.do(P, move("a"))
    driver.flush()
    assert [driver.engine.queue_name(row.queue) for row in driver.rows()] == ["r"]


def test_nothing_is_moved_into_a_queue_that_is_being_cleared(driver: Driver) -> None:
    """What was added before the sweep goes with it, and a moved job was."""
    driver.add(P, "q", "a")
    driver.add(P, "r", "b")
    driver.attach(V, "other")
    number = driver.do(P, move("a"))  # it waits for a read
    driver.do(V, commands.Obliterate("r", False))
    driver.flush()
    assert driver.refusals[P, number].refusal is Refusal.BUSY
    assert driver.counts("q") == {"waiting": 1}


def test_who_waits_for_a_moved_job_hears_of_its_end(driver: Driver) -> None:
    driver.add(P, "q", "a")
    driver.attach(V, "other")
    number = driver.do(V, commands.Wait("q", "a"))
    driver.flush()
    driver.ask(P, move("a"))
    driver.subscribe(W, "r")
    (item,) = driver.take(W)
    driver.ack(W, item)
    assert [(show.request, driver.engine.queue_name(show.queue)) for show in driver.shown] == [
        (number, "r")
    ]
    assert not driver.engine.sessions["other"].waits


def test_both_queues_tell_of_a_move_and_one_of_a_cancel(driver: Driver) -> None:
    driver.ask(P, commands.Listen("q", None))
    driver.ask(P, commands.Listen("r", None))
    driver.add(P, "q", "a", "b")
    driver.events.clear()
    driver.ask(P, move("a"))
    driver.ask(P, cancel("b"))
    told = [(event.kind, event.id, event.details) for event in driver.events]
    assert told == [
        (EventNumber.MOVED, "a", {"to": "r"}),
        (EventNumber.MOVED, "a", {"from": "q"}),
        (EventNumber.CANCELLED, "b", {}),
        (EventNumber.DRAINED, None, {}),
    ]


def test_an_existing_id_is_noticed_in_both_queues_after_a_move(driver: Driver) -> None:
    driver.add(P, "q", "a")
    driver.ask(P, move("a"))
    (existing,) = driver.add(P, "r", "a")
    assert existing == ItemExisting(0, State.WAITING)
    assert driver.add(P, "q", "a") == []


# ---- edit ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", ["first", "on-disk", "later"])
def test_a_job_is_delivered_with_the_data_it_was_given_last(driver: Driver, id: str) -> None:
    """One is in the head with its data, one is only on disk, one is delayed."""
    driver.add(P, "q", "first", "on-disk")
    driver.add(P, "q", "later", run_at_ms=START_MS + 1_000)
    assert driver.ask(P, edit(id)) is None
    driver.pass_time(1)
    driver.subscribe(W, "q", credit=9)
    delivered = {item[2]: item[4] for item in driver.take(W)}
    assert delivered == {"first": b"first", "on-disk": b"on-disk", "later": b"later"} | {
        id: b"edited"
    }


def test_a_new_job_is_edited_before_it_was_written(driver: Driver) -> None:
    driver.do(P, commands.Enqueue("q", [(0, new_job("a"))], []))
    driver.do(P, edit("a"))
    driver.flush()
    assert driver.row("a").payload == b"edited"


def test_an_edited_job_is_moved_and_leased_within_one_batch(driver: Driver) -> None:
    driver.add(P, "q", "a")
    driver.subscribe(W, "r")
    driver.do(P, edit("a"))
    driver.do(P, move("a"))
    driver.flush()
    (item,) = driver.take(W)
    assert (item[1], item[4]) == ("r", b"edited")
    assert driver.row("a").payload == b"edited"


def test_a_page_that_was_read_before_an_edit_brings_no_old_data_back(driver: Driver) -> None:
    driver.add(P, "q", "a", "b")
    driver.subscribe(W, "q", credit=0)
    driver.begin_write()
    driver.end_write()
    driver.begin_read()
    driver.do(P, edit("a"))
    driver.end_read()
    driver.subscribe(W, "q", credit=9)
    assert [item[4] for item in driver.take(W)] == [b"edited", b"b"]


def test_only_a_job_that_waits_is_edited(driver: Driver) -> None:
    driver.lease()
    refused = driver.ask(P, edit("a"))
    assert (refused.refusal, "is active" in refused.message) == (Refusal.WRONG_STATE, True)
    assert driver.ask(P, edit("nobody")).refusal is Refusal.UNKNOWN_JOB
    assert driver.ask(P, commands.Edit("none", "a", b"x", None)).refusal is Refusal.UNKNOWN_QUEUE


def test_the_head_counts_the_bytes_of_edited_data(driver: Driver) -> None:
    driver.subscribe(W, "q", credit=0)
    driver.add(P, "q", "a", "b")
    driver.ask(P, edit("a", b"x" * 1_000))
    assert driver.engine.queues["q"].head.bytes == 1_001


def test_removing_an_active_job_of_an_absent_worker_is_told_when_it_is_back(
    driver: Driver,
) -> None:
    item = driver.lease()
    driver.detach(W)
    assert driver.ask(P, commands.Remove("q", ["a"], State.ACTIVE)) == []
    assert driver.revoked == {}
    assert driver.attach(V, "worker", leases=[item[0]]).lost == [item[0]]


# ---- queues --------------------------------------------------------------------------------------


def test_pause_and_resume_are_told_once(driver: Driver) -> None:
    driver.ask(P, commands.Listen("q", None))
    for command in (commands.Pause("q"), commands.Pause("q"), commands.Resume("q")):
        driver.ask(P, command)
    assert [event.kind for event in driver.events] == [EventNumber.PAUSED, EventNumber.RESUMED]


def test_a_queue_that_is_paused_or_configured_before_it_is_there_is_made(driver: Driver) -> None:
    driver.ask(P, commands.Pause("p"))
    driver.ask(P, commands.Configure("c", QueueSettings(concurrency=3)))
    assert driver.engine.queues["p"].is_paused
    assert driver.engine.queues["c"].settings.concurrency == 3
    driver.start()
    assert driver.engine.queues["p"].is_paused
    assert driver.engine.queues["c"].settings.concurrency == 3


def test_a_queue_that_goes_on_serves_its_workers_at_once(driver: Driver) -> None:
    driver.subscribe(W, "q", credit=2)
    driver.ask(P, commands.Pause("q"))
    driver.add(P, "q", "a")
    assert driver.take(W) == []
    driver.ask(P, commands.Resume("q"))
    assert ids_of(driver.take(W)) == ["a"]


def test_a_wider_limit_takes_effect_at_once(driver: Driver) -> None:
    driver.ask(P, commands.Configure("q", QueueSettings(concurrency=1)))
    driver.subscribe(W, "q", credit=2)
    driver.add(P, "q", "a", "b")
    assert ids_of(driver.take(W)) == ["a"]
    driver.ask(P, commands.Configure("q", QueueSettings(concurrency=2)))
    assert ids_of(driver.take(W)) == ["b"]


# ---- what is counted, told and said --------------------------------------------------------------


def test_what_people_did_is_counted(driver: Driver) -> None:
    driver.lease("a")
    driver.add(P, "q", "b", "c", "d")
    driver.add(P, "q", "later", run_at_ms=START_MS + 60_000)
    for command in (
        commands.Remove("q", ["a"], State.ACTIVE),
        commands.Promote("q", ["later"]),
        edit("b"),
        move("b"),
        cancel("c"),
        commands.Retry("q", ["c"], None),
        commands.Remove("q", ["d", "nobody"], None),
    ):
        driver.ask(P, command)
    stats = driver.engine.queues["q"].stats
    assert (stats.removed, stats.promoted, stats.edited, stats.moved) == (2, 1, 1, 1)
    assert (stats.jobs_cancelled, stats.retried, stats.attempts_cancelled) == (1, 1, 1)


def test_what_people_did_is_told(driver: Driver) -> None:
    driver.ask(P, commands.Listen("q", None))
    driver.add(P, "q", "a", "b")
    driver.ask(P, cancel("a"))
    driver.events.clear()
    driver.ask(P, commands.Retry("q", ["a"], None))
    driver.ask(P, commands.Change("q", ["a"], None, None, START_MS + 5_000, None))
    driver.ask(P, commands.Promote("q", ["a"]))
    driver.ask(P, commands.Remove("q", ["a"], None))
    assert [(event.kind, event.id, event.details) for event in driver.events] == [
        (EventNumber.WAITING, "a", {"retried": True}),
        (EventNumber.DELAYED, "a", {"run_at_ms": START_MS + 5_000}),
        (EventNumber.WAITING, "a", {}),
        (EventNumber.REMOVED, "a", {}),
    ]


def test_each_refusal_says_why_in_one_line(driver: Driver) -> None:
    driver.lease("active")
    driver.add(P, "q", "waits", "done")
    driver.add(P, "r", "waits")
    driver.ask(P, cancel("done"))
    asked: list[tuple[Any, str]] = [
        (
            commands.Remove("q", ["active"], None),
            "job active is active",
        ),
        (cancel("done"), "job done is cancelled"),
        (commands.Promote("q", ["waits"]), "job waits is waiting, not delayed"),
        (
            commands.Retry("q", ["waits"], None),
            "job waits is waiting",
        ),
        (
            commands.Change("q", ["active"], 1, None, None, None),
            "job active is active",
        ),
        (move("active"), "job active is active"),
        (move("waits"), "queue r has a job waits already"),
        (cancel("waits", expected=State.ACTIVE), "job waits is waiting by now, not active"),
        (cancel("nobody"), "there is no job nobody in queue q"),
    ]
    for command, text in asked:
        (refused,) = driver.ask(P, command)
        assert refused.at == 0
        assert text in refused.message
    assert "job active is active" in driver.ask(P, edit("active")).message


def test_a_job_that_is_put_back_begins_with_nothing_behind_it(driver: Driver) -> None:
    item = driver.lease(attempts=1, max_crashes=9)
    driver.pass_time(31)
    driver.beat(W)
    driver.subscribe(W, "q")
    (item,) = driver.take(W)
    driver.release(W, item, credit=1)
    (item,) = driver.take(W)
    driver.ask(W, commands.Heartbeat([commands.Report(item[0], b"9", [])]))
    driver.fail(W, item)
    before = driver.row("a")
    assert (before.failures, before.crashes, before.releases, before.progress) == (1, 1, 1, b"9")
    driver.ask(P, commands.Retry("q", ["a"], None))
    row = driver.row("a")
    assert (row.failures, row.crashes, row.releases, row.progress) == (0, 0, 0, None)
    assert (row.finished_at_ms, row.fail_reason, row.result) == (0, FailReason.NONE, None)
    assert row.order > before.order, "it goes behind those that wait"


def test_a_result_is_gone_when_its_job_is_put_back(driver: Driver) -> None:
    item = driver.lease()
    driver.ask(W, commands.Ack([(commands.Held(*item[:3]), b"result")], 0))
    driver.ask(P, commands.Retry("q", ["a"], None))
    assert driver.row("a").result is None


def test_a_job_that_is_moved_leaves_a_queue_that_is_drained(driver: Driver) -> None:
    driver.ask(P, commands.Listen("q", None))
    driver.add(P, "q", "a", "b")
    driver.events.clear()
    driver.ask(P, move("a"))
    assert [event.kind for event in driver.events] == [EventNumber.MOVED]
    driver.ask(P, move("b"))
    assert [event.kind for event in driver.events][2:] == [EventNumber.DRAINED]


def test_another_priority_puts_a_job_behind_those_that_have_it(driver: Driver) -> None:
    driver.add(P, "q", "a", "b", "c")
    driver.ask(P, commands.Change("q", ["a"], 0, None, None, None))
    driver.ask(P, commands.Change("q", ["c"], None, True, None, None))
    driver.subscribe(W, "q", credit=9)
    assert ids_of(driver.take(W)) == ["c", "b", "a"]


def test_what_is_not_named_is_not_changed(driver: Driver) -> None:
    driver.add(P, "q", "a", "b", priority=3)
    driver.ask(P, commands.Change("q", ["a"], None, None, START_MS + 1_000, None))
    row = driver.row("a")
    assert (row.priority, row.order, row.run_at_ms) == (3, 1, START_MS + 1_000)
    driver.ask(P, commands.Change("q", ["a"], 4, None, None, None))
    assert driver.row("a").run_at_ms == START_MS + 1_000


def test_a_promoted_job_goes_behind_and_one_that_is_lifo_in_front(driver: Driver) -> None:
    driver.add(P, "q", "b")
    driver.add(P, "q", "late", run_at_ms=START_MS + 1_000)
    driver.add(P, "q", "first", run_at_ms=START_MS + 1_000, lifo=True)
    driver.add(P, "q", "c")
    driver.ask(P, commands.Promote("q", ["late", "first"]))
    driver.subscribe(W, "q", credit=9)
    assert ids_of(driver.take(W)) == ["first", "b", "c", "late"]


def test_a_delayed_job_that_is_changed_to_an_instant_in_the_past_waits_at_once(
    driver: Driver,
) -> None:
    driver.add(P, "q", "a", run_at_ms=START_MS + 60_000)
    driver.ask(P, commands.Change("q", ["a"], None, None, START_MS, None))
    assert driver.counts("q") == {"waiting": 1}
    assert driver.ask(P, commands.Change("q", ["a"], None, None, START_MS, None)) == []
    assert driver.counts("q") == {"waiting": 1}
