"""routes.py: every command, which part of the engine does it, and how it is answered."""

import pytest

from holdfastd.engine import commands, sweeping
from holdfastd.engine.model import Keep, QueueSettings, Retention, SessionKey
from holdfastd.engine.outputs import Refusal, unknown_job, unknown_queue
from support.engine import START_MS, Driver, P, V, W, held_of, new_job

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
        unknown_queue("none"),
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
        unknown_job("nobody", "q"),
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
    assert refused.refusal is Refusal.WRONG_STATE
    assert "job a is active" in refused.message


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


@pytest.mark.parametrize("command", [commands.Detach(), commands.End()])
def test_a_connection_that_goes_is_gone(driver: Driver, command: commands.Command) -> None:
    driver.lease()
    driver.do(W, command, 0)
    driver.flush()
    assert W not in driver.engine._partition.connections
    is_over = isinstance(command, commands.End)
    assert driver.counts("q") == ({"waiting": 1} if is_over else {"active": 1})
