"""working.py: what workers answer, and what losing one does."""

import pytest

from holdfastd.engine import commands
from holdfastd.engine.events import EventNumber
from holdfastd.engine.model import Backoff, BackoffKind, FailReason, QueueSettings, State, Token
from holdfastd.engine.outputs import ItemRefusal, Refusal, RevokeReason
from holdfastd.engine.partition import EngineSettings
from holdfastd.engine.tally import QUICK_MS, bucket_of
from support.engine import START_MS, Driver, P, V, W, held_of, ids_of

SETTINGS_WITH_TASKS = EngineSettings(task_series_max=9)
LEASE_S = 30
GRACE_S = 10


# ---- answers -------------------------------------------------------------------------------------


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


def test_a_free_slot_serves_the_workers_other_queues(driver: Driver) -> None:
    driver.subscribe(W, "q", "r", credit=1)
    driver.add(P, "q", "a")
    driver.add(P, "r", "b")
    (item,) = driver.take(W)
    driver.ack(W, item, credit=1)
    assert ids_of(driver.take(W)) == ["b"]


# ---- progress and logs ---------------------------------------------------------------------------


def test_progress_and_logs_are_kept_and_bounded(driver: Driver) -> None:
    item = driver.lease()
    lines = [(1, f"line {number}") for number in range(1_005)]
    report = commands.Report(item[0], b"40", lines)
    assert driver.ask(W, commands.Heartbeat([report])) == []
    assert driver.row("a").progress == b"40"
    assert len(driver.disk.logs) == 1_000
    assert driver.row("a").log_lines == 1_005


# ---- answers that are repeated, or too late ------------------------------------------------------


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


def test_an_answer_for_jobs_of_several_queues_is_judged_by_all_of_them(driver: Driver) -> None:
    driver.add(P, "q", "first", "x")
    driver.subscribe(W, "q", "r", credit=3)
    driver.add(P, "r", "y")
    items = driver.take(W)
    driver.ack(W, *items)
    number = driver.do(W, commands.Ack([(held_of(item), None) for item in items], 0))
    driver.flush()
    assert driver.answers[W, number] == []
    stranger = commands.Held(items[0][0], "no-such-queue", "first")
    (refused,) = driver.ask(W, commands.Ack([(stranger, None)], 0))
    assert refused.refusal is Refusal.LEASE_LOST


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


def test_a_worker_is_told_of_every_lease_it_lost(driver: Driver) -> None:
    driver.subscribe(W, "q", "r", credit=2)
    driver.add(P, "q", "a")
    driver.add(P, "r", "b")
    tokens = [item[0] for item in driver.take(W)]
    driver.pass_time(LEASE_S + 1)
    assert driver.revoked[W] == [(token, RevokeReason.LEASE_LOST) for token in tokens]


# ---- what is counted and told --------------------------------------------------------------------


def test_how_an_attempt_ended_and_how_long_it_took_is_counted() -> None:
    driver = Driver(settings=SETTINGS_WITH_TASKS)
    driver.attach(P, "producer")
    driver.attach(W, "worker", worker="w")
    driver.subscribe(W, "q", credit=5)
    driver.add(P, "q", *"abcde", attempts=2)
    a, b, c, d, e = driver.take(W)
    driver.pass_time(2.5)
    driver.ack(W, a)
    driver.fail(W, b, retry_ms=1_000)
    driver.fail(W, c, retry_ms=-1)
    driver.release(W, d)
    driver.release(W, e, delay_ms=1_000)
    queue = driver.engine.queues["q"]
    stats, tally = queue.stats, queue.tallies["work"]
    assert (stats.completed, stats.attempts_failed, stats.retries, stats.jobs_failed) == (
        1,
        2,
        1,
        1,
    )
    assert (stats.attempts_released, stats.attempts_snoozed, stats.attempts_lost) == (1, 1, 0)
    assert stats.duration_seconds_completed.total == 2.5
    assert stats.duration_seconds_failed.total == 5.0
    assert (tally.completed, tally.failed, tally.retried, tally.lost) == (1, 1, 1, 0)
    assert tally.runs == {bucket_of(2_500): 3}
    tasks = driver.engine.ledger.tasks
    assert tasks is not None
    assert tasks.by_queue["q"]["work"].total == 7.5


@pytest.mark.parametrize("ran_ms", [QUICK_MS - 1, QUICK_MS, QUICK_MS + 1, 29_000, -1_000])
def test_a_run_of_any_length_is_in_its_bucket(driver: Driver, ran_ms: int) -> None:
    """One that a clock set back makes negative is none."""
    item = driver.lease()
    driver.now_ms += ran_ms
    driver.flush()
    driver.ack(W, item)
    (queue,) = driver.engine.queues.values()
    assert queue.tallies["work"].runs == {bucket_of(max(0, ran_ms)): 1}
    assert queue.stats.duration_seconds_completed.total == max(0, ran_ms) / 1000


def test_a_lost_lease_is_counted_and_told(driver: Driver) -> None:
    driver.ask(P, commands.Listen("q", None))
    driver.lease(max_crashes=1)
    driver.events.clear()
    driver.pass_time(31)
    queue = driver.engine.queues["q"]
    assert (queue.stats.attempts_lost, queue.stats.jobs_failed) == (1, 1)
    assert (queue.tallies["work"].lost, queue.tallies["work"].failed) == (1, 1)
    told = [(event.kind, event.id, event.details) for event in driver.events]
    assert told == [
        (EventNumber.LOST, "a", {"crashes": 1, "worker": "w"}),
        (EventNumber.FAILED, "a", {"reason": FailReason.CRASHED}),
        (EventNumber.DRAINED, None, {}),
    ]
    (attempt,) = driver.disk.attempts.values()
    assert (attempt.error_type, attempt.error_message, attempt.error_traceback) == (
        "LeaseLost",
        "the worker was lost while it ran the job",
        "",
    )


def test_a_listener_is_told_what_became_of_an_attempt(driver: Driver) -> None:
    driver.ask(P, commands.Listen("q", None))
    item = driver.lease(attempts=3)
    driver.events.clear()
    driver.fail(W, item, retry_ms=0)
    driver.subscribe(W, "q")
    driver.fail(W, driver.take(W)[0], retry_ms=5_000)
    driver.pass_time(5)
    driver.subscribe(W, "q")
    driver.release(W, driver.take(W)[0])
    kinds = (EventNumber.RETRYING, EventNumber.WAITING)
    told = [(event.kind, event.details) for event in driver.events if event.kind in kinds]
    assert told == [
        (EventNumber.RETRYING, {"run_at_ms": START_MS, "failures": 1, "error": "no"}),
        (EventNumber.RETRYING, {"run_at_ms": START_MS + 5_000, "failures": 2, "error": "no"}),
        (EventNumber.WAITING, {}),
        (EventNumber.WAITING, {"released": True}),
    ]


def test_a_retry_at_once_goes_behind_those_that_wait(driver: Driver) -> None:
    item = driver.lease("a", attempts=2)
    driver.add(P, "q", "b")
    driver.fail(W, item, retry_ms=0, credit=2)
    assert ids_of(driver.take(W)) == ["b", "a"]


def test_a_result_counts_among_the_bytes_of_the_open_batch(driver: Driver) -> None:
    first, second = driver.lease("a"), driver.lease("b")
    driver.do(W, commands.Ack([(held_of(first), b"12345"), (held_of(second), None)], 0))
    assert driver.engine.open_body_bytes == 5


def test_a_report_of_a_lost_lease_changes_nothing_and_says_which(driver: Driver) -> None:
    item = driver.lease()
    reports = [
        commands.Report(Token(77), b"1", [(1, "x")]),
        commands.Report(item[0], None, [(5, "kept")]),
    ]
    (refused,) = driver.ask(W, commands.Heartbeat(reports))
    assert refused == ItemRefusal(0, Refusal.LEASE_LOST, "lease 77 is lost")
    assert [tuple(row)[1:] for row in driver.disk.logs.values()] == [(1, 5, "kept")]
    assert driver.row("a").progress is None


def test_a_refusal_names_the_lease_and_the_job(driver: Driver) -> None:
    driver.lease()
    held = commands.Held(Token(77), "q", "a")
    text = "lease 77 of job a in q is lost: nothing was changed"
    for answer in (
        driver.ask(W, commands.Extend([held])),
        driver.ask(W, commands.Ack([(held, None)], 0)),
    ):
        assert answer == [ItemRefusal(0, Refusal.LEASE_LOST, text)]


def test_every_log_line_has_its_number_over_all_attempts(driver: Driver) -> None:
    item = driver.lease(attempts=2)
    for number in (1, 2):
        report = commands.Report(item[0], None, [(number, f"{number}a"), (number, f"{number}b")])
        driver.ask(W, commands.Heartbeat([report]))
        if number == 1:
            driver.fail(W, item, retry_ms=0, credit=1)
            (item,) = driver.take(W)
    rows = [(row.number, row.at_ms, row.text) for row in driver.disk.logs.values()]
    assert rows == [(1, 1, "1a"), (2, 1, "1b"), (3, 2, "2a"), (4, 2, "2b")]


def test_credit_that_comes_with_an_answer_serves_the_workers_other_queues(driver: Driver) -> None:
    driver.attach(V, "other")
    driver.subscribe(W, "q", "r", credit=1)
    driver.subscribe(V, "q", credit=1)
    driver.add(P, "q", "a", "b", "c")
    driver.add(P, "r", "d", "e")
    (item,) = driver.take(W)
    driver.ack(W, item, credit=2)
    assert ids_of(driver.take(W)) == ["c", "d"]


def test_an_answer_frees_the_slot_for_another_worker(driver: Driver) -> None:
    driver.ask(P, commands.Configure("q", QueueSettings(concurrency=1)))
    driver.attach(V, "other")
    driver.subscribe(W, "q", credit=1)
    driver.subscribe(V, "q", credit=1)
    driver.add(P, "q", "a", "b")
    (item,) = driver.take(W)
    driver.ack(W, item)
    assert ids_of(driver.take(V)) == ["b"]


def test_a_completed_job_is_told_and_shown_to_who_waits_for_it(driver: Driver) -> None:
    driver.ask(P, commands.Listen("q", None))
    first, second = driver.lease("a"), driver.lease("b")
    number = driver.do(P, commands.Wait("q", "b"))
    driver.flush()
    driver.events.clear()
    driver.ack(W, first)
    assert [(event.kind, event.id) for event in driver.events] == [(EventNumber.COMPLETED, "a")]
    assert driver.shown == []
    driver.ack(W, second)
    kinds = [event.kind for event in driver.events][1:]
    assert kinds == [EventNumber.COMPLETED, EventNumber.DRAINED]
    assert [show.request for show in driver.shown] == [number]


def test_a_lease_that_was_lost_with_the_daemon_is_no_crash_of_the_job(driver: Driver) -> None:
    driver.lease(max_crashes=1)
    driver.start()
    driver.pass_time(GRACE_S + 1)
    row = driver.row("a")
    assert (row.state, row.crashes, row.releases) == (State.WAITING, 0, 1)
