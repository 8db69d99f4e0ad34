"""The rules of a queue, one sentence each, on an engine with the model store."""

from typing import Any

import pytest

from holdfastd.engine import commands, queue
from holdfastd.engine.model import (
    Backoff,
    BackoffKind,
    FailReason,
    Keep,
    QueueSettings,
    Rate,
    Retention,
    State,
)
from holdfastd.engine.outputs import Refusal, RevokeReason
from support.engine import START_MS, Driver, P, V, W, held_of, ids_of, new_job

# ---- adding and order ----------------------------------------------------------------------------


def test_a_job_that_meets_an_idle_worker_is_inserted_already_leased(driver: Driver) -> None:
    driver.subscribe(W, "q")
    driver.do(P, commands.Enqueue("q", [(0, new_job("a"))], []))
    batch, outputs = driver.engine.close_batch()
    assert [row.state for row in batch.added] == [State.ACTIVE]
    assert not batch.leased
    assert len(outputs) == 2  # reply and push leave together


def test_jobs_run_in_order_of_priority_then_first_come(driver: Driver) -> None:
    driver.add(P, "q", "b", "c")
    driver.add(P, "q", "late", priority=1)
    driver.add(P, "q", "urgent", priority=-1)
    driver.add(P, "q", "last-in", lifo=True)
    driver.subscribe(W, "q", credit=9)
    assert ids_of(driver.take(W)) == ["urgent", "last-in", "b", "c", "late"]


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


def test_a_delayed_job_waits_until_it_is_due_and_then_queues_up_behind(driver: Driver) -> None:
    driver.add(P, "q", "later", run_at_ms=START_MS + 5_000)
    driver.pass_time(4.999)
    driver.add(P, "q", "now")
    assert driver.counts("q") == {"waiting": 1, "delayed": 1}
    driver.pass_time(0.001)
    driver.subscribe(W, "q", credit=9)
    assert ids_of(driver.take(W)) == ["now", "later"]


def test_a_run_at_in_the_past_runs_at_once(driver: Driver) -> None:
    driver.add(P, "q", "a", run_at_ms=5)
    assert driver.counts("q") == {"waiting": 1}


def test_request_numbers_must_rise(driver: Driver) -> None:
    driver.add(P, "q", "a")
    refuse = driver.ask(P, commands.Pause("q"), request=driver.request)
    assert refuse.refusal is Refusal.OUT_OF_ORDER
    assert not driver.engine.queues["q"].is_paused


def test_while_the_disk_is_full_no_job_is_taken_but_acks_are(driver: Driver) -> None:
    item = driver.lease()
    driver.engine.refuses_jobs = Refusal.DISK_FULL
    assert driver.add(P, "q", "b").refusal is Refusal.DISK_FULL
    assert driver.ack(W, item) == []


# ---- answers of workers --------------------------------------------------------------------------


def test_an_ack_completes_the_job_with_its_result(driver: Driver) -> None:
    item = driver.lease()
    assert driver.ask(W, commands.Ack([(held_of(item), b"result")], 0)) == []
    row = driver.row("a")
    assert (row.state, row.result, row.session) == (State.COMPLETED, b"result", 0)


def test_a_second_ack_with_the_same_token_is_a_success(driver: Driver) -> None:
    item = driver.lease()
    driver.ack(W, item)
    assert driver.ack(W, item) == []
    assert driver.engine.queues["q"].stats.completed == 1


def test_a_failed_attempt_runs_again_after_its_backoff(driver: Driver) -> None:
    backoff = Backoff(BackoffKind.FIXED, (2_000,))
    item = driver.lease(attempts=3, backoff=backoff)
    assert driver.fail(W, item, credit=1) == []
    assert driver.counts("q") == {"delayed": 1}
    assert driver.fail(W, item) == []  # repeated: a success
    driver.pass_time(2.0)
    (again,) = driver.take(W)
    assert again[5] == 2  # the attempt
    assert again[0] > item[0]  # the token


def test_the_last_failure_ends_the_job_and_keeps_every_error(driver: Driver) -> None:
    item = driver.lease(attempts=2)
    driver.fail(W, item, credit=1)
    (again,) = driver.take(W)
    driver.fail(W, again)
    row = driver.row("a")
    assert (row.state, row.fail_reason, row.failures) == (State.FAILED, FailReason.ERROR, 2)
    assert [attempt.attempt for attempt in driver.disk.attempts.values()] == [1, 2]


def test_a_handler_may_choose_the_delay_or_never(driver: Driver) -> None:
    item = driver.lease(attempts=9)
    driver.fail(W, item, retry_ms=7_000, credit=1)
    assert driver.row("a").run_at_ms == START_MS + 7_000
    driver.pass_time(7.0)
    (again,) = driver.take(W)
    driver.fail(W, again, retry_ms=-1)
    assert driver.row("a").state is State.FAILED


def test_a_release_costs_no_attempt_and_keeps_the_place(driver: Driver) -> None:
    item = driver.lease()
    driver.add(P, "q", "b")
    driver.release(W, item, credit=2)
    assert ids_of(driver.take(W)) == ["a", "b"]
    row = driver.row("a")
    assert (row.failures, row.crashes, row.releases) == (0, 0, 1)


def test_a_release_with_a_delay_waits(driver: Driver) -> None:
    item = driver.lease()
    driver.release(W, item, delay_ms=1_000, credit=1)
    assert driver.take(W) == []
    driver.pass_time(1.0)
    assert ids_of(driver.take(W)) == ["a"]


def test_progress_and_logs_are_kept_and_bounded(driver: Driver) -> None:
    item = driver.lease()
    lines = [(1, f"line {number}") for number in range(1_005)]
    report = commands.Report(item[0], b"40", lines)
    assert driver.ask(W, commands.Heartbeat([report])) == []
    assert driver.row("a").progress == b"40"
    assert len(driver.disk.logs) == 1_000
    assert driver.row("a").log_lines == 1_005


# ---- losing a lease ------------------------------------------------------------------------------


def test_a_silent_worker_loses_its_jobs_after_lease_ms(driver: Driver) -> None:
    item = driver.lease()
    driver.pass_time(29.9)
    driver.ask(W, commands.Heartbeat([]))
    driver.pass_time(29.9)
    assert driver.counts("q") == {"active": 1}
    driver.pass_time(0.2)
    assert driver.counts("q") == {"waiting": 1}
    assert driver.row("a").crashes == 1
    assert driver.revoked[W] == [(item[0], RevokeReason.LEASE_LOST)]


def test_a_broken_connection_has_the_grace_and_no_more(driver: Driver) -> None:
    driver.lease()
    driver.detach(W)
    driver.pass_time(9.9)
    assert driver.counts("q") == {"active": 1}
    driver.pass_time(0.2)
    assert driver.counts("q") == {"waiting": 1}


def test_a_job_that_kills_its_workers_fails_as_crashed(driver: Driver) -> None:
    for round in range(3):
        driver.attach(10 + round, f"w{round}")
        driver.subscribe(10 + round, "q")
        if round == 0:
            driver.add(P, "q", "a", attempts=10)
        assert ids_of(driver.take(10 + round)) == ["a"]
        driver.detach(10 + round)
        driver.pass_time(10.1)
    row = driver.row("a")
    assert (row.state, row.fail_reason, row.crashes) == (State.FAILED, FailReason.CRASHED, 3)


@pytest.mark.parametrize("then", ["waiting", "leased again", "completed", "removed"])
def test_a_worker_that_lost_its_lease_can_change_nothing(driver: Driver, then: str) -> None:
    item = driver.lease()
    driver.pass_time(30.1)
    driver.attach(V, "other")
    if then in ("leased again", "completed"):
        driver.subscribe(V, "q")
        (second,) = driver.take(V)
        if then == "completed":
            driver.ack(V, second)
    if then == "removed":
        driver.ask(P, commands.Remove("q", ["a"], None))
    before = dict(driver.disk.jobs)
    for answer in (
        driver.ack(W, item),
        driver.fail(W, item),
        driver.release(W, item),
        driver.ask(W, commands.Extend([held_of(item)])),
        driver.ask(W, commands.Heartbeat([commands.Report(item[0], b"9", [(1, "x")])])),
    ):
        assert [refused.refusal for refused in answer] == [Refusal.LEASE_LOST]
    assert driver.disk.jobs == before


def test_another_sessions_token_is_no_lease_of_mine(driver: Driver) -> None:
    item = driver.lease()
    driver.attach(V, "thief")
    assert [refused.refusal for refused in driver.ack(V, item)] == [Refusal.LEASE_LOST]
    assert driver.counts("q") == {"active": 1}


# ---- sessions ------------------------------------------------------------------------------------


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


def test_a_lease_that_never_arrived_is_delivered_again_with_the_same_token(driver: Driver) -> None:
    item = driver.lease()
    driver.detach(W)
    driver.attach(V, "worker", leases=[])
    (again,) = driver.take(V)
    assert tuple(again) == tuple(item)


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


# ---- delivery ------------------------------------------------------------------------------------


def test_credit_is_never_exceeded_and_comes_back_with_answers(driver: Driver) -> None:
    driver.add(P, "q", *(f"j{number}" for number in range(10)))
    driver.subscribe(W, "q", credit=3)
    first = driver.take(W)
    assert len(first) == 3
    driver.ack(W, first[0])
    assert driver.take(W) == []
    driver.ack(W, first[1], credit=2)
    assert ids_of(driver.take(W)) == ["j3", "j4"]
    driver.do(W, commands.Credit(1), 0)
    driver.flush()
    assert ids_of(driver.take(W)) == ["j5"]


def test_workers_take_turns(driver: Driver) -> None:
    driver.attach(V, "other")
    driver.subscribe(W, "q", credit=5)
    driver.subscribe(V, "q", credit=5)
    driver.add(P, "q", *"abcd")
    assert (ids_of(driver.take(W)), ids_of(driver.take(V))) == (["a", "c"], ["b", "d"])


def test_one_subscription_serves_several_queues(driver: Driver) -> None:
    driver.subscribe(W, "q", "r", "not-there-yet", credit=3)
    for name in ("r", "q", "not-there-yet"):
        driver.add(P, name, f"in-{name}")
    assert ids_of(driver.take(W)) == ["in-r", "in-q", "in-not-there-yet"]


def test_a_paused_queue_leases_nothing(driver: Driver) -> None:
    driver.ask(P, commands.Pause("q"))
    driver.subscribe(W, "q")
    driver.add(P, "q", "a")
    assert driver.take(W) == []
    driver.start()
    driver.attach(W, "worker")
    driver.attach(P, "producer")
    driver.subscribe(W, "q")
    assert driver.take(W) == []
    driver.ask(P, commands.Resume("q"))
    assert ids_of(driver.take(W)) == ["a"]


def test_the_concurrency_limit_holds_over_all_workers_and_changes_while_running(
    driver: Driver,
) -> None:
    driver.attach(V, "other")
    driver.ask(P, commands.Configure("q", QueueSettings(concurrency=2)))
    for connection in (W, V):
        driver.subscribe(connection, "q", credit=5)
    driver.add(P, "q", *"abcdef")
    running = driver.take(W) + driver.take(V)
    assert len(running) == 2
    driver.ack(W, running[0])
    assert len(driver.take(W) + driver.take(V)) == 1
    driver.ask(P, commands.Configure("q", QueueSettings(concurrency=4)))
    assert len(driver.take(W) + driver.take(V)) == 2


def test_the_rate_limit_lets_the_next_job_start_when_its_time_has_come(driver: Driver) -> None:
    driver.ask(P, commands.Configure("q", QueueSettings(rate=Rate(2, 1000, 1))))
    driver.subscribe(W, "q", credit=9)
    driver.add(P, "q", *"abc")
    assert ids_of(driver.take(W)) == ["a"]
    driver.pass_time(0.499)
    assert driver.take(W) == []
    driver.pass_time(0.001)
    assert ids_of(driver.take(W)) == ["b"]
    driver.ask(P, commands.Configure("q", QueueSettings()))
    assert ids_of(driver.take(W)) == ["c"]


def test_memory_holds_the_head_and_the_rest_is_read_in_order(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (queue, __import__("holdfastd.engine.partition", fromlist=["x"])):
        monkeypatch.setattr(module, "HEAD_JOBS_MAX", 8)
    ids = [f"j{number:03}" for number in range(100)]
    driver.add(P, "q", *ids)
    assert len(driver.engine.queues["q"].jobs) <= 1
    seen: list[str] = []
    driver.subscribe(W, "q", credit=3)
    while items := driver.take(W):
        seen += ids_of(items)
        assert len(driver.engine.queues["q"].jobs) <= 16 + 3
        driver.ack(W, *items, credit=len(items))
    assert seen == ids


def test_a_damaged_job_is_put_aside_and_the_rest_is_served(driver: Driver) -> None:
    driver.add(P, "q", "a", "b", "c")
    disk = driver.disk.jobs
    damaged = next(seq for seq, row in disk.items() if row.id == "b")
    disk[damaged] = disk[damaged]._replace(is_damaged=True)
    driver.subscribe(W, "q", credit=9)
    assert ids_of(driver.take(W)) == ["a", "c"]
    assert driver.row("b").fail_reason is FailReason.DAMAGED


def test_a_draining_daemon_leases_and_takes_nothing(driver: Driver) -> None:
    item = driver.lease()
    driver.engine.drain()
    assert driver.add(P, "q", "b").refusal is Refusal.DRAINING
    assert driver.ack(W, item, credit=1) == []


# ---- waiting and listening -----------------------------------------------------------------------


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


# ---- administering -------------------------------------------------------------------------------


def test_a_command_may_carry_the_state_its_sender_saw(driver: Driver) -> None:
    item = driver.lease()
    (refused,) = driver.ask(P, commands.Remove("q", ["a"], State.WAITING))
    assert refused.refusal is Refusal.WRONG_STATE
    (refused,) = driver.ask(P, commands.Remove("q", ["a"], None))
    assert "active" in refused.message
    assert driver.ask(P, commands.Remove("q", ["a"], State.ACTIVE)) == []
    assert driver.revoked[W] == [(item[0], RevokeReason.REMOVED)]
    assert driver.counts("q") == {}


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


def test_unknown_queues_and_jobs_are_refused(driver: Driver) -> None:
    assert driver.ask(P, commands.Promote("nope", ["a"])).refusal is Refusal.UNKNOWN_QUEUE
    assert driver.ask(P, commands.Counts("nope", None, 9)).refusal is Refusal.UNKNOWN_QUEUE
    driver.add(P, "q", "a")
    (refused,) = driver.ask(P, commands.Promote("q", ["nope"]))
    assert refused.refusal is Refusal.UNKNOWN_JOB


def test_a_drain_removes_what_waits_in_pages_and_counts_it(driver: Driver) -> None:
    item = driver.lease()
    driver.add(P, "q", *(f"j{number}" for number in range(2_500)))
    driver.add(P, "q", "later", run_at_ms=START_MS + 60_000)
    assert driver.ask(P, commands.Drain("q", False)) == 2_500
    assert driver.counts("q") == {"delayed": 1, "active": 1}
    assert driver.ask(P, commands.Drain("q", True)) == 1
    assert driver.ack(W, item) == []


def test_an_obliterated_queue_is_gone_with_all_its_jobs(driver: Driver) -> None:
    item = driver.lease()
    driver.add(P, "q", "b")
    assert driver.ask(P, commands.Obliterate("q", False)).refusal is Refusal.NOT_EMPTY
    assert driver.ask(P, commands.Obliterate("q", True)) == 2
    assert (driver.disk.jobs, driver.disk.queues) == ({}, {})
    assert [refused.refusal for refused in driver.ack(W, item)] == [Refusal.LEASE_LOST]
    driver.add(P, "q", "new")
    driver.do(W, commands.Credit(1), 0)
    driver.flush()
    assert ids_of(driver.take(W)) == ["new"]


def test_retention_keeps_the_newest_and_drops_the_old(driver: Driver) -> None:
    keep = Retention(completed=Keep(60_000, 100), failed=Keep(None, None))
    driver.ask(P, commands.Configure("q", QueueSettings(retention=keep)))
    driver.subscribe(W, "q", credit=1_000)
    driver.add(P, "q", *(f"j{number:04}" for number in range(700)))
    driver.ack(W, *driver.take(W))
    assert driver.counts("q") == {"completed": 100}
    assert driver.row("j0699") is not None
    driver.pass_time(125)
    assert driver.counts("q") == {}


def test_a_job_that_is_redriven_while_it_is_to_be_pruned_stays(driver: Driver) -> None:
    keep = Retention(failed=Keep(None, 0))
    driver.fail(W, driver.lease())
    driver.ask(P, commands.Configure("q", QueueSettings(retention=keep)))
    driver.subscribe(W, "q", credit=600)
    driver.add(P, "q", *(f"j{number}" for number in range(501)))
    error = commands.AttemptError("E", "m", "t")
    items: list[Any] = [(held_of(item), error, None) for item in driver.take(W)]
    driver.do(W, commands.Fail(items, 0))
    driver.write()
    (read,) = wanted = driver.engine.take_reads()
    (page,) = driver.pages([read])
    assert driver.row("a").seq in page.seqs
    # Answered in the same round, before the removal: as two reads of one hop are.
    number = driver.do(P, commands.Retry("q", ["a"], None))
    (lookup,) = looked_up = driver.engine.take_reads()
    driver.engine.answer(lookup, looked_up[lookup], driver.pages([lookup])[0], driver.moment)
    driver.engine.answer(read, wanted[read], page, driver.moment)
    driver.flush()
    assert driver.answers[P, number] == []
    assert driver.row("a").state in (State.WAITING, State.ACTIVE)


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
