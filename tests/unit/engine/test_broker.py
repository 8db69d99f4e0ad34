"""broker.py: which command is applied when, what has to be read for it, and what is due.

Jobs come into memory and leave it while a command waits; what it finds must be the truth at the
moment when it is applied. Queue q has no worker here, so it keeps one job in memory.
"""

import pytest

from holdfastd.engine import commands, dispatch, sweeping
from holdfastd.engine.broker import HOUSEKEEPING_S
from holdfastd.engine.model import Keep, QueueKey, QueueSettings, Rate, Retention, SessionKey, State
from holdfastd.engine.outputs import ItemExisting, Refusal
from holdfastd.engine.partition import job_of_row
from support.engine import SMALL_HEAD, START_MS, Driver, P, V, W, held_of, ids_of, new_job, numbered


@pytest.fixture
def other(driver: Driver) -> None:
    """V, and two jobs of which the second is only on disk."""
    driver.attach(V, "other")
    driver.add(P, "q", "first", "x")


def enqueue(*ids: str, is_generated: bool = False) -> commands.Enqueue:
    jobs = [new_job(id, is_generated=is_generated) for id in ids]
    return commands.Enqueue("q", list(enumerate(jobs)), [])


def ids_on_disk(driver: Driver) -> list[str]:
    return sorted(row.id for row in driver.rows())


def configure(driver: Driver, name: str = "q", rate: Rate | None = None) -> None:
    driver.ask(P, commands.Configure(name, QueueSettings(rate=rate)))


# ---- the order of requests -----------------------------------------------------------------------


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


def test_a_draining_daemon_leases_and_takes_nothing(driver: Driver) -> None:
    item = driver.lease()
    driver.engine.drain()
    assert driver.add(P, "q", "b").refusal is Refusal.DRAINING
    assert driver.ack(W, item, credit=1) == []


def test_a_refusal_to_a_connection_that_has_gone_is_not_said(driver: Driver) -> None:
    driver.add(P, "q", "first", "x")
    driver.add(P, "r", "first")
    driver.do(P, commands.Obliterate("q", False))
    driver.do(P, commands.Detach(), 0)
    driver.outputs.clear()
    driver.flush()
    assert driver.outputs == []


# ---- jobs that must be read first ----------------------------------------------------------------


@pytest.mark.usefixtures("other")
def test_a_job_that_left_memory_while_another_was_looked_up_is_found(driver: Driver) -> None:
    driver.do(P, enqueue("a", is_generated=True))
    number = driver.do(P, enqueue("a", "b"))
    driver.flush()
    assert driver.answers[P, number] == [ItemExisting(0, State.WAITING)]
    assert ids_on_disk(driver) == ["a", "b", "first", "x"]


@pytest.mark.usefixtures("other")
def test_of_two_sessions_that_look_up_the_same_id_one_adds_it(driver: Driver) -> None:
    driver.do(P, enqueue("a", is_generated=True))
    mine, its = driver.do(P, enqueue("a", "b")), driver.do(V, enqueue("b"))
    driver.flush()
    assert (driver.answers[P, mine], driver.answers[V, its]) == (
        [ItemExisting(0, State.WAITING)],
        [ItemExisting(0, State.WAITING)],
    )
    assert ids_on_disk(driver) == ["a", "b", "first", "x"]


@pytest.mark.usefixtures("other")
def test_of_two_sessions_that_remove_a_job_one_finds_it(driver: Driver) -> None:
    driver.do(P, enqueue("a", is_generated=True))
    driver.do(P, enqueue("a", "b"))
    mine = driver.do(P, commands.Remove("q", ["x"], None))
    its = driver.do(V, commands.Remove("q", ["x"], None))
    driver.flush()
    answers = [driver.answers[P, mine], driver.answers[V, its]]
    assert sorted(len(refused) for refused in answers) == [0, 1]
    assert driver.counts("q") == {"waiting": len(driver.rows())}


@pytest.mark.usefixtures("other")
def test_what_was_read_for_a_command_is_read_again_when_one_before_it_has_to_wait_on(
    driver: Driver,
) -> None:
    """Queue r comes into being while P's commands wait, so the second has a job to look up after
    all, and the third waits for another write with it."""
    driver.do(P, commands.Remove("q", ["x"], None))
    second = driver.do(P, commands.Enqueue("r", [(0, new_job("y"))], []))
    third = driver.do(P, commands.Promote("q", ["late"]))
    items = [(at, new_job(id, is_generated=True)) for at, id in enumerate(["first", "y"])]
    driver.do(V, commands.Enqueue("r", items, []))
    late = new_job("late", is_generated=True, run_at_ms=START_MS + 1_000)
    driver.do(V, commands.Enqueue("q", [(0, late)], []))
    driver.write()
    driver.read()
    driver.now_ms += 1_000  # it is promoted, written, and leaves memory
    driver.flush()
    assert driver.answers[P, second] == [ItemExisting(0, State.WAITING)]
    assert [refused.refusal for refused in driver.answers[P, third]] == [Refusal.WRONG_STATE]
    counts = {name: driver.counts(name) for name in "qr"}
    assert counts == {"q": {"waiting": 2}, "r": {"waiting": 2}}


@pytest.mark.usefixtures("other")
def test_commands_of_a_session_are_applied_in_order_though_some_wait(driver: Driver) -> None:
    driver.do(P, commands.Remove("q", ["x"], None))
    driver.do(P, enqueue("x"))
    driver.do(P, commands.Change("q", ["x"], 5, None, None, None))
    assert driver.rows()[-1].priority == 0
    driver.flush()
    assert [(row.id, row.priority) for row in driver.rows()] == [("first", 0), ("x", 5)]


@pytest.mark.usefixtures("other")
def test_a_heartbeat_does_not_wait_behind_a_look_up(driver: Driver) -> None:
    driver.do(W, commands.Remove("q", ["x"], None))
    number = driver.do(W, commands.Heartbeat([]))
    driver.write()
    assert driver.answers[W, number] == []
    assert driver.row("x") is not None


@pytest.mark.usefixtures("other")
def test_two_sessions_may_wait_for_the_same_job(driver: Driver) -> None:
    numbers = [(P, driver.do(P, enqueue("x"))), (V, driver.do(V, enqueue("x")))]
    driver.flush()
    for key in numbers:
        assert driver.answers[key] == [ItemExisting(0, State.WAITING)]


@pytest.mark.usefixtures("other")
def test_a_queue_that_came_back_during_the_look_up_is_looked_up_anew(driver: Driver) -> None:
    driver.do(V, commands.Obliterate("q", False))
    driver.write()
    wanted = driver.engine.take_reads()
    pages = driver.pages(list(wanted))
    number = driver.do(P, enqueue("x", "b"))
    for (read, then), page in zip(wanted.items(), pages, strict=True):
        driver.engine.answer(read, then, page, driver.moment)
    assert driver.engine.queues == {}
    driver.do(V, enqueue("first", "x", is_generated=True))
    driver.flush()
    assert driver.answers[P, number] == [ItemExisting(0, State.WAITING)]
    assert ids_on_disk(driver) == ["b", "first", "x"]


@pytest.mark.usefixtures("other")
def test_a_job_that_is_named_twice_is_changed_once(driver: Driver) -> None:
    (refused,) = driver.ask(P, commands.Remove("q", ["x", "x"], None))
    assert (refused.at, refused.refusal) == (1, Refusal.UNKNOWN_JOB)
    assert driver.counts("q") == {"waiting": 1}


@pytest.mark.usefixtures("other")
def test_a_due_job_that_is_looked_up_is_judged_by_what_became_of_it(driver: Driver) -> None:
    driver.add(P, "q", "late", run_at_ms=START_MS + 1_000)
    driver.do(P, commands.Promote("q", ["late", "x"]))
    driver.now_ms += 1_000
    driver.flush()
    assert driver.counts("q") == {"waiting": 3}


@pytest.mark.usefixtures("other")
def test_goodbye_waits_for_what_was_sent_before_it(driver: Driver) -> None:
    driver.do(P, enqueue("a"))
    driver.do(P, enqueue("b", is_generated=True))
    driver.do(P, commands.End(), 0)
    driver.flush()
    assert ids_on_disk(driver) == ["a", "b", "first", "x"]
    assert P not in driver.engine._partition.connections


# ---- what is due ---------------------------------------------------------------------------------


def test_a_delayed_job_waits_until_it_is_due_and_then_queues_up_behind(driver: Driver) -> None:
    driver.add(P, "q", "later", run_at_ms=START_MS + 5_000)
    driver.pass_time(4.999)
    driver.add(P, "q", "now")
    assert driver.counts("q") == {"waiting": 1, "delayed": 1}
    driver.pass_time(0.001)
    driver.subscribe(W, "q", credit=9)
    assert ids_of(driver.take(W)) == ["now", "later"]


def test_a_burst_of_due_jobs_is_promoted_in_several_steps(driver: Driver) -> None:
    driver.add(P, "q", *numbered(999), *"abc", run_at_ms=START_MS + 1_000)
    driver.now_ms += 1_000
    driver.engine.tick(driver.moment)
    assert driver.counts("q") == {"waiting": 1_000, "delayed": 2}
    assert driver.engine.next_tick_s(driver.moment) == 0
    driver.flush()
    assert driver.counts("q") == {"waiting": 1_002}


def test_the_rate_holds_over_all_workers_and_a_restart(driver: Driver) -> None:
    configure(driver, rate=Rate(2, 10_000, 2))
    driver.add(P, "q", *"abcd")
    driver.subscribe(W, "q", credit=9)
    assert ids_of(driver.take(W)) == ["a", "b"]
    driver.start()
    driver.attach(V, "other")
    driver.subscribe(V, "q", credit=9)
    assert driver.take(V) == []
    driver.pass_time(4.999)
    assert driver.take(V) == []
    driver.pass_time(0.001)
    assert ids_of(driver.take(V)) == ["c"]


def test_one_timer_is_set_however_often_the_rate_holds_jobs_back(driver: Driver) -> None:
    configure(driver, rate=Rate(1, 10_000, 1))
    driver.subscribe(W, "q", credit=9)
    for id in "abcdefgh":
        driver.add(P, "q", id)
    assert len(driver.engine._partition.rate_timers) == 1
    assert driver.engine.next_tick_s(driver.moment) == pytest.approx(10)


def test_a_faster_rate_takes_effect_at_once_and_its_old_timer_does_no_harm(
    driver: Driver,
) -> None:
    configure(driver, rate=Rate(1, 20_000, 1))
    driver.subscribe(W, "q", credit=9)
    driver.add(P, "q", *"abc")
    assert ids_of(driver.take(W)) == ["a"]
    configure(driver, rate=Rate(1, 15_000, 1))
    driver.pass_time(15)
    assert ids_of(driver.take(W)) == ["b"]
    driver.pass_time(5)  # the first timer comes up; the second one is still set
    assert driver.take(W) == []
    driver.beat(W)
    driver.pass_time(10)
    assert ids_of(driver.take(W)) == ["c"]


def test_the_timer_of_a_queue_that_is_gone_does_no_harm(driver: Driver) -> None:
    configure(driver, rate=Rate(1, 10_000, 1))
    driver.subscribe(W, "q", credit=9)
    driver.add(P, "q", *"ab")
    driver.ask(P, commands.Obliterate("q", True))
    driver.pass_time(11)
    assert driver.engine.queues == {}


# ---- what it tells of itself ---------------------------------------------------------------------


def test_the_engine_tells_names_counts_and_ages(driver: Driver) -> None:
    driver.lease("a")
    driver.add(P, "q", "b")
    engine, queue = driver.engine, driver.engine.queues["q"]
    session = engine.sessions["worker"]
    assert (engine.queue_name(queue.key), engine.queue_name(QueueKey(99))) == ("q", None)
    assert (engine.session_name(session.key), engine.session_name(SessionKey(99))) == ("w", "")
    assert (engine.lease_count, engine.open_job_count, queue.slots) == (1, 0, 1)
    assert queue.oldest_waiting_at_ms() == START_MS
    driver.ask(P, commands.Drain("q", True))
    assert queue.oldest_waiting_at_ms() is None


def test_the_engine_tells_what_the_open_batch_holds(driver: Driver) -> None:
    engine = driver.engine
    driver.do(P, commands.Enqueue("q", [(0, new_job("a"))], []))
    assert (engine.open_job_count, engine.open_body_bytes, engine.has_open_batch) == (1, 1, True)
    driver.flush()
    assert (engine.open_job_count, engine.open_body_bytes, engine.has_open_batch) == (0, 0, False)


def test_the_engine_tells_what_workers_do(driver: Driver) -> None:
    driver.lease("a")
    key = driver.engine.sessions["worker"].key
    assert driver.engine.session_queues(key) == ["q"]
    assert driver.engine.session_queues(SessionKey(99)) == []
    assert [job.id for job in driver.engine.leased] == ["a"]
    assert list(driver.engine.ledger.own) == [driver.engine.queues["q"].key]
    assert driver.engine.history.per_minute("q", START_MS).added == 1


# ---- what is refused whatever it is --------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        commands.Remove("none", ["a"], None),
        commands.Promote("none", ["a"]),
        commands.Retry("none", ["a"], None),
        commands.Change("none", ["a"], 1, None, None, None),
        commands.Cancel("none", ["a"], None),
        commands.Move("none", ["a"], "q", None),
        commands.Edit("none", "a", b"x", None),
        commands.Explain("none", "a"),
        commands.Counts("none", None, 9),
        commands.Drain("none", delayed=True),
        commands.Obliterate("none", force=True),
    ],
    ids=lambda command: type(command).__name__,
)
def test_a_queue_that_is_not_there_is_named(driver: Driver, command: commands.Command) -> None:
    refused = driver.ask(P, command)
    assert (refused.refusal, refused.message) == (
        Refusal.UNKNOWN_QUEUE,
        "there is no queue none",
    )
    assert "none" not in driver.engine.queues


@pytest.mark.parametrize(
    "command", [commands.Edit("q", "nobody", b"x", None), commands.Explain("q", "nobody")]
)
def test_a_job_that_is_not_there_is_named(driver: Driver, command: commands.Command) -> None:
    driver.add(P, "q", "a")
    refused = driver.ask(P, command)
    assert (refused.refusal, refused.message) == (
        Refusal.UNKNOWN_JOB,
        "no job nobody in queue q",
    )


def test_a_queue_that_is_being_cleared_takes_no_other_clearing_and_no_moved_job(
    driver: Driver,
) -> None:
    driver.attach(V, "other")
    driver.add(P, "r", "b")
    driver.lease("a")
    numbers = [driver.do(W, commands.Move("q", ["a"], "r", None))]  # it waits for a read
    driver.do(P, commands.Drain("r", delayed=False))
    clearings = (commands.Drain("r", delayed=True), commands.Obliterate("r", force=True))
    numbers += [driver.do(V, command) for command in clearings]
    driver.flush()
    for number, connection in zip(numbers, (W, V, V), strict=True):
        refused = driver.refusals[connection, number]
        assert refused.refusal is Refusal.BUSY
        assert refused.message == "queue r is being cleared: wait"


def test_a_queue_with_active_jobs_is_not_obliterated_unless_it_is_forced(driver: Driver) -> None:
    driver.lease("a")
    refused = driver.ask(P, commands.Obliterate("q", force=False))
    assert refused.refusal is Refusal.NOT_EMPTY
    assert refused.message == "queue q has 1 active jobs: wait, or force it"
    assert driver.ask(P, commands.Obliterate("q", force=True)) == 1


def test_of_workers_only_one_that_is_there_is_told_anything(driver: Driver) -> None:
    worker = driver.engine.sessions["worker"]
    for command in (commands.Quiet, commands.StopWorker):
        arguments = (True,) if command is commands.Quiet else ()
        for key in (driver.engine.sessions["producer"].key, SessionKey(99)):
            refused = driver.ask(P, command(key, *arguments))
            assert refused.refusal is Refusal.UNKNOWN_WORKER
            assert refused.message == f"session {key} is no worker, or it has gone"
        assert driver.ask(P, command(worker.key, *arguments)) is None
    assert (worker.is_quiet, worker.is_stopping) == (True, True)


# ---- every command -------------------------------------------------------------------------------


def test_a_command_that_changes_jobs_or_queues_is_stored_with_its_number(driver: Driver) -> None:
    driver.add(P, "q", "a", "b", "c")
    driver.add(P, "q", "later", run_at_ms=START_MS + 5_000)
    asked: list[commands.Command] = [
        commands.Enqueue("q", [(0, new_job("d"))], []),
        commands.Promote("q", ["later"]),
        commands.Change("q", ["a"], 5, None, None, None),
        commands.Edit("q", "a", b"x", None),
        commands.Move("q", ["a"], "r", None),
        commands.Cancel("q", ["b"], None),
        commands.Retry("q", ["b"], None),
        commands.Remove("q", ["b"], None),
        commands.Pause("q"),
        commands.Resume("q"),
        commands.Configure("q", QueueSettings()),
        commands.Drain("q", delayed=True),
        commands.Obliterate("q", force=True),
    ]
    for command in asked:
        assert driver.ask(P, command) in (None, [], 0, 3)
        (row,) = [row for row in driver.disk.sessions.values() if row.id == "producer"]
        assert row.last_request == driver.request, command
    driver.attach(V, "other")
    reads = (commands.Counts(None, None, 9), commands.Listen("q", None), commands.Unlisten("q"))
    for command in reads:
        driver.ask(V, command)
    assert "other" not in {row.id for row in driver.disk.sessions.values()}


def test_answers_of_workers_are_stored_with_their_number(driver: Driver) -> None:
    driver.subscribe(W, "q", credit=3)
    driver.add(P, "q", "a", "b", "c")
    a, b, c = driver.take(W)
    error = commands.AttemptError("E", "m", "t")
    asked: list[commands.Command] = [
        commands.Ack([(held_of(a), None)], 0),
        commands.Fail([(held_of(b), error, None)], 0),
        commands.Release([(held_of(c), 0)], 0),
    ]
    for command in asked:
        assert driver.ask(W, command) == []
        (row,) = [row for row in driver.disk.sessions.values() if row.id == "worker"]
        assert row.last_request == driver.request, command


def test_an_enqueue_that_was_refused_as_a_whole_is_remembered(driver: Driver) -> None:
    driver.ask(P, commands.Refused("q", 3), request=5)
    driver.ask(P, commands.Refused("q", 3), request=4)
    assert driver.engine.ledger.other.rejected == 6
    assert driver.attach(P, "producer").last_refused == 5
    driver.engine.refuses_jobs = Refusal.DISK_FULL
    items = [(0, new_job("a"))]
    refused = driver.ask(P, commands.Enqueue("q", items, [[1, 305, "no"]]), request=9)
    text = "the server's disk is full: no job is taken until there is room"
    assert (refused.refusal, refused.message) == (Refusal.DISK_FULL, text)
    assert driver.engine.ledger.other.rejected == 8
    assert driver.attach(P, "producer").last_refused == 9


def test_a_finished_daemon_writes_its_minute_unless_the_disk_is_full(driver: Driver) -> None:
    driver.add(P, "q", "a")
    driver.engine.refuses_jobs = Refusal.DISK_FULL
    driver.engine.finish(driver.moment)
    assert not driver.engine.wants_reads
    driver.engine.drain()
    refused = driver.add(P, "q", "b")
    assert refused.message == "the server is going down: connect again and send it again"
    driver.engine.finish(driver.moment)
    assert driver.engine.wants_reads


def test_a_wait_credit_and_hold_are_passed_on(driver: Driver) -> None:
    driver.subscribe(W, "q", credit=0)
    driver.do(W, commands.Hold(is_held=True), 0)
    driver.do(W, commands.Credit(1), 0)
    driver.add(P, "q", "a")
    number = driver.do(P, commands.Wait("q", "a"))
    driver.flush()
    assert driver.take(W) == []
    driver.do(W, commands.Hold(is_held=False), 0)
    driver.flush()
    (item,) = driver.take(W)
    driver.ack(W, item)
    assert [show.request for show in driver.shown] == [number]


def test_an_extend_and_a_heartbeat_renew_and_say_what_is_lost(driver: Driver) -> None:
    item = driver.lease()
    for command in (commands.Extend([held_of(item)]), commands.Heartbeat([])):
        driver.pass_time(29)
        assert driver.ask(W, command) == []
    driver.pass_time(29)
    assert driver.counts("q") == {"active": 1}
    driver.pass_time(2)
    (refused,) = driver.ask(W, commands.Extend([held_of(item)]))
    assert refused.refusal is Refusal.LEASE_LOST


def test_an_explanation_is_answered_as_a_map(driver: Driver) -> None:
    driver.add(P, "q", "a")
    found = driver.ask(P, commands.Explain("q", "a"))
    assert found.keys() == {"code", "text", "details"}


def test_an_edit_is_refused_as_a_whole(driver: Driver) -> None:
    driver.lease()
    refused = driver.ask(P, commands.Edit("q", "a", b"x", None))
    assert (refused.refusal, refused.message) == (
        Refusal.WRONG_STATE,
        "job a is active: only a waiting one is edited",
    )


def test_commands_of_a_connection_that_is_not_attached_change_nothing(driver: Driver) -> None:
    driver.do(99, commands.Pause("q"))
    assert (driver.engine.queues, driver.engine.has_open_batch) == ({}, False)


@pytest.mark.parametrize("how", ["ack", "fail", "cancel"])
def test_what_ends_jobs_prunes_what_is_too_much(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(sweeping, "PRUNE_SLACK_JOBS", 1)
    keep = Keep(None, 0)
    settings = QueueSettings(retention=Retention(keep, keep, keep))
    driver.ask(P, commands.Configure("q", settings))
    driver.subscribe(W, "q", credit=2)
    driver.add(P, "q", "a", "b")
    error = commands.AttemptError("E", "m", "t")
    items = driver.take(W)
    if how == "ack":
        driver.ack(W, *items)
    elif how == "fail":
        driver.ask(W, commands.Fail([(held_of(item), error, None) for item in items], 0))
    else:
        driver.ask(P, commands.Cancel("q", ["a", "b"], None))
    assert driver.counts("q") == {}
    stranger = commands.Held(items[0][0], "gone", "a")
    (refused,) = driver.ask(W, commands.Ack([(stranger, None)], 0))
    assert refused.refusal is Refusal.LEASE_LOST


# ---- when it wants to be called ------------------------------------------------------------------


def test_an_idle_engine_wants_to_be_called_for_its_housekeeping(driver: Driver) -> None:
    assert driver.engine.next_tick_s(driver.moment) == HOUSEKEEPING_S
    driver.pass_time(10)
    assert driver.engine.next_tick_s(driver.moment) == HOUSEKEEPING_S - 10


def test_a_delayed_job_is_due_at_its_instant(driver: Driver) -> None:
    driver.add(P, "q", "a", run_at_ms=START_MS + 3_500)
    assert driver.engine.next_tick_s(driver.moment) == 3.5
    driver.now_ms += 10_000
    assert driver.engine.next_tick_s(driver.moment) == 0


def test_a_worker_that_was_pushed_enough_has_the_rest_at_once(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "PUSH_BYTES_MAX", 1)
    driver.subscribe(W, "q", credit=9)
    driver.do(P, enqueue("a", "b", is_generated=True))
    driver.write()
    assert ids_of(driver.take(W)) == ["a"]
    assert driver.engine.next_tick_s(driver.moment) == 0


def test_while_the_disk_is_full_no_history_is_due(driver: Driver) -> None:
    driver.add(P, "q", "a")
    driver.now_ms += 3_600_000
    assert driver.engine.next_tick_s(driver.moment) == 0
    driver.engine.refuses_jobs = Refusal.DISK_FULL
    assert driver.engine.next_tick_s(driver.moment) == HOUSEKEEPING_S


def test_time_that_is_forgiven_and_a_clock_that_is_not_believed(driver: Driver) -> None:
    driver.lease()
    driver.now_ms += 3_600_000
    driver.monotonic += 3_600
    driver.engine.forgive(driver.moment)
    driver.engine.distrust(driver.moment)
    driver.flush()
    assert driver.counts("q") == {"active": 1}
    assert not driver.engine._partition.trusts_age(60_000, driver.moment)


# ---- delayed jobs beyond the horizon -------------------------------------------------------------


@pytest.mark.usefixtures("small_heads")
def test_delayed_jobs_are_read_as_they_come_due_after_a_restart_too() -> None:
    driver = Driver()
    driver.attach(P, "producer")
    for number in reversed(range(4 * SMALL_HEAD)):
        driver.add(P, "q", f"j{number:03}", run_at_ms=START_MS + 1_000 * (number + 1))
    driver.start()
    driver.attach(W, "worker")
    driver.subscribe(W, "q", credit=100)
    for id in numbered(4 * SMALL_HEAD):
        driver.beat(W)
        driver.pass_time(1)
        assert ids_of(driver.take(W)) == [id]


@pytest.mark.usefixtures("small_heads")
def test_a_page_of_delayed_jobs_that_was_overtaken_by_a_cut_is_read_again() -> None:
    driver = Driver()
    driver.attach(P, "producer")
    driver.add(P, "q", *numbered(6), run_at_ms=START_MS + 9_000)
    driver.start()
    driver.begin_read()
    driver.engine._partition.delayed.horizon = (START_MS, 0)  # as a cut leaves it
    driver.end_read()
    driver.flush()
    driver.attach(W, "worker")
    driver.subscribe(W, "q", credit=100)
    driver.pass_time(9)
    assert ids_of(driver.take(W)) == numbered(6)


@pytest.mark.usefixtures("small_heads")
def test_delayed_jobs_that_changed_while_their_page_was_read_are_where_they_belong() -> None:
    driver = Driver()
    driver.attach(P, "producer")
    driver.add(P, "q", *numbered(3), run_at_ms=START_MS + 9_000)
    driver.start()
    driver.begin_read()
    engine, moment = driver.engine, driver.moment
    engine.attach(P, commands.Attach("producer", "", (), {}), moment)
    found = {row.id: job_of_row(row) for row in driver.rows()}
    session, at_ms = engine.sessions["producer"], START_MS + 5_000
    for number, (id, run_at_ms) in enumerate((("j000", 0), ("j001", at_ms)), 900):
        change = commands.Change("q", [id], None, None, run_at_ms, None)
        key = engine.queues["q"].key
        engine._execute(session, number, change, {(key, id): found[id]}, moment)
    driver.do(P, enqueue_at("soon", START_MS + 1_000), 910)
    driver.end_read()
    driver.flush()
    assert driver.counts("q") == {"waiting": 1, "delayed": 3}
    driver.attach(W, "worker")
    driver.subscribe(W, "q", credit=100)
    order = ids_of(driver.take(W))
    for _ in range(9):
        driver.beat(W)
        driver.pass_time(1)
        order += ids_of(driver.take(W))
    assert order == ["j000", "soon", "j001", "j002"]


def enqueue_at(id: str, run_at_ms: int) -> commands.Enqueue:
    return commands.Enqueue("q", [(0, new_job(id, is_generated=True, run_at_ms=run_at_ms))], [])
