"""sweeping.py: retention, drain and obliterate, in pages, while everything else goes on."""

from typing import Any

import pytest

from holdfastd.engine import commands, sweeping
from holdfastd.engine.changes import Clearing, FinishedPage
from holdfastd.engine.events import EventNumber
from holdfastd.engine.model import Keep, QueueSettings, Retention, Seq, State
from holdfastd.engine.outputs import Refusal, RevokeReason
from support.engine import START_MS, Driver, P, V, W, held_of, ids_of, new_job, numbered

STEP = 5
SLACK = 2
FOREVER = Keep(None, None)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "STEP_JOBS_MAX", STEP)
    monkeypatch.setattr(sweeping, "PRUNE_SLACK_JOBS", SLACK)


def configure(driver: Driver, completed: Keep = FOREVER, failed: Keep = FOREVER) -> None:
    retention = Retention(completed, failed, FOREVER)
    driver.ask(P, commands.Configure("q", QueueSettings(retention=retention)))


def run(driver: Driver, how: str, *ids: str) -> None:
    """Add the jobs and let W ack or fail them, all in one command."""
    driver.beat(W)
    driver.subscribe(W, "q", credit=len(ids))
    driver.add(P, "q", *ids)
    items = driver.take(W)
    if how == "ack":
        driver.ack(W, *items)
        return
    error = commands.AttemptError("E", "m", "t")
    driver.ask(W, commands.Fail([(held_of(item), error, None) for item in items], 0))


# ---- retention -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("how", "state"), [("ack", "completed"), ("fail", "failed")])
def test_the_newest_are_kept_by_count(driver: Driver, how: str, state: str) -> None:
    configure(driver, Keep(None, 3), Keep(None, 3))
    run(driver, how, *numbered(20))
    assert driver.counts("q") == {state: 3 + SLACK}
    driver.pass_time(61)
    assert driver.counts("q") == {state: 3}
    assert [row.id for row in driver.rows()] == ["j017", "j018", "j019"]
    assert driver.engine.queues["q"].stats.pruned == 17


def test_jobs_are_dropped_at_their_age_in_any_number_of_steps(driver: Driver) -> None:
    configure(driver, Keep(90_000, None), Keep(300_000, None))
    run(driver, "ack", *numbered(3 * STEP))
    run(driver, "fail", "bad")
    driver.pass_time(61)
    assert driver.counts("q") == {"completed": 15, "failed": 1}
    driver.pass_time(61)
    assert driver.counts("q") == {"failed": 1}
    driver.pass_time(240)
    assert driver.counts("q") == {}


def test_attempts_and_logs_go_with_their_job(driver: Driver) -> None:
    configure(driver, failed=Keep(60_000, None))
    item = driver.lease()
    driver.ask(W, commands.Heartbeat([commands.Report(item[0], None, [(1, "line")])]))
    driver.fail(W, item)
    assert (len(driver.disk.attempts), len(driver.disk.logs)) == (1, 1)
    driver.pass_time(125)
    assert (driver.disk.jobs, driver.disk.attempts, driver.disk.logs) == ({}, {}, {})


def test_what_goes_by_age_does_not_make_the_count_drop_more_than_its_share(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page by age and one by count are under way together."""
    monkeypatch.setattr(sweeping, "STEP_JOBS_MAX", 1_000)
    run(driver, "fail", *numbered(30))
    driver.pass_time(100)
    run(driver, "fail", *(f"new{number}" for number in range(10)))
    configure(driver, Keep(90_000, None), Keep(90_000, 10))
    run(driver, "ack", "a")  # asks for the 30 failed ones too many
    driver.pass_time(61)
    assert driver.counts("q") == {"completed": 1, "failed": 10}


def test_a_count_that_was_asked_for_before_jobs_went_by_age_is_reckoned_anew(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "STEP_JOBS_MAX", 1_000)
    run(driver, "fail", *numbered(30))
    queue = driver.engine.queues["q"]
    queue.settings = QueueSettings(retention=Retention(failed=Keep(None, 10)))
    driver.engine._sweeping.prune_if_over(queue)
    ((read, then),) = driver.engine.take_reads().items()
    assert read == FinishedPage(queue.key, State.FAILED, None, 20)
    driver.engine._partition.prune(queue, State.FAILED, driver.pages([read])[0].seqs[:15])
    driver.write()
    driver.engine.answer(read, then, driver.pages([read])[0], driver.moment)
    driver.flush()
    assert driver.counts("q") == {"failed": 10}


def test_a_lower_bound_takes_effect_without_another_job(driver: Driver) -> None:
    run(driver, "ack", *numbered(20))
    configure(driver, Keep(None, 4))
    driver.pass_time(61)
    driver.pass_time(61)
    assert driver.counts("q") == {"completed": 4}


def test_a_page_to_prune_of_a_queue_that_is_gone_is_dropped(driver: Driver) -> None:
    run(driver, "ack", *numbered(20))
    configure(driver, Keep(None, 4))
    driver.do(P, commands.Obliterate("q", False))
    driver.now_ms += 61_000
    driver.monotonic += 61
    driver.engine.tick(driver.moment)
    for _ in range(10):
        driver.write()
        wanted = driver.engine.take_reads()
        pages = driver.pages(list(wanted))
        for (read, then), page in reversed(list(zip(wanted.items(), pages, strict=True))):
            driver.engine.answer(read, then, page, driver.moment)
    driver.flush()
    assert (driver.engine.queues, driver.disk.jobs) == ({}, {})


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


# ---- drain ---------------------------------------------------------------------------------------


def test_a_drain_takes_what_waits_and_leaves_the_rest(driver: Driver) -> None:
    run(driver, "ack", "done")
    item = driver.lease("running")
    driver.add(P, "q", *numbered(3 * STEP))
    driver.add(P, "q", "late", run_at_ms=START_MS + 1_000)
    assert driver.ask(P, commands.Drain("q", False)) == 3 * STEP
    assert driver.counts("q") == {"delayed": 1, "active": 1, "completed": 1}
    assert driver.ack(W, item) == []
    assert driver.ask(P, commands.Drain("q", True)) == 1
    assert driver.counts("q") == {"completed": 2}


def test_nothing_is_leased_of_what_a_drain_is_about_to_remove(driver: Driver) -> None:
    driver.add(P, "q", *numbered(3 * STEP))
    number = driver.do(P, commands.Drain("q", False))
    driver.do(W, commands.Subscribe(["q"], 100))
    driver.flush()
    assert driver.answers[P, number] == 3 * STEP
    assert driver.take(W) == []


def test_jobs_added_during_a_drain_stay_and_run(driver: Driver) -> None:
    driver.add(P, "q", *numbered(3 * STEP))
    driver.subscribe(W, "r", credit=10)
    driver.do(P, commands.Drain("q", True))
    driver.do(P, commands.Enqueue("q", [(0, new_job("new", is_generated=True))], []))
    later = new_job("later", is_generated=True, run_at_ms=START_MS + 1_000)
    driver.do(P, commands.Enqueue("q", [(0, later)], []))
    driver.flush()
    assert driver.counts("q") == {"waiting": 1, "delayed": 1}
    driver.subscribe(W, "q", credit=10)
    assert ids_of(driver.take(W)) == ["new"]


def test_jobs_that_changed_while_a_page_was_read_are_judged_by_what_they_are(
    driver: Driver,
) -> None:
    """One in memory is released between the read of the only page and its answer."""
    item = driver.lease("running")
    driver.add(P, "q", "waits")
    driver.do(P, commands.Drain("q", False))
    driver.write()
    wanted = driver.engine.take_reads()
    pages = driver.pages(list(wanted))
    driver.do(W, commands.Release([(held_of(item), 0)], 0))
    for (read, then), page in zip(wanted.items(), pages, strict=True):
        driver.engine.answer(read, then, page, driver.moment)
    driver.flush()
    assert driver.counts("q") == {}


def test_a_queue_is_cleared_by_one_command_at_a_time(driver: Driver) -> None:
    driver.add(P, "q", *numbered(3 * STEP))
    driver.do(P, commands.Drain("q", False))
    for command in (commands.Drain("q", False), commands.Obliterate("q", True)):
        assert driver.do(P, command)
        driver.write()
        assert driver.refusals[P, driver.request].refusal is Refusal.BUSY
    driver.flush()
    assert driver.ask(P, commands.Drain("nope", False)).refusal is Refusal.UNKNOWN_QUEUE
    assert driver.ask(P, commands.Obliterate("nope", False)).refusal is Refusal.UNKNOWN_QUEUE


def test_a_drain_whose_caller_has_gone_goes_on_in_silence(driver: Driver) -> None:
    driver.add(P, "q", *numbered(3 * STEP))
    number = driver.do(P, commands.Drain("q", False))
    driver.detach(P)
    driver.flush()
    assert driver.counts("q") == {}
    assert (P, number) not in driver.answers


def test_a_wait_for_a_job_that_is_drained_is_answered(driver: Driver) -> None:
    driver.add(P, "q", "a", "b")
    number = driver.do(P, commands.Wait("q", "b"))
    driver.ask(P, commands.Drain("q", False))
    assert [(show.request, show.id) for show in driver.shown] == [(number, "b")]


# ---- obliterate ----------------------------------------------------------------------------------


def test_obliterate_takes_every_job_and_the_queue_in_any_number_of_steps(driver: Driver) -> None:
    run(driver, "ack", *numbered(STEP))
    item: Any = driver.lease("running")
    driver.add(P, "q", *(f"w{number}" for number in range(2 * STEP)))
    driver.add(P, "q", "late", run_at_ms=START_MS + 1_000)
    assert driver.ask(P, commands.Obliterate("q", False)).refusal is Refusal.NOT_EMPTY
    assert driver.ask(P, commands.Obliterate("q", True)) == 3 * STEP + 2
    assert (driver.disk.jobs, driver.disk.queues, driver.engine.queues) == ({}, {}, {})
    assert driver.revoked[W] == [(item[0], RevokeReason.REMOVED)]
    assert driver.engine._partition.delayed.count == 0


def test_a_job_added_during_an_obliterate_keeps_the_queue_alive(driver: Driver) -> None:
    driver.add(P, "q", *numbered(3 * STEP))
    driver.do(P, commands.Obliterate("q", False))
    driver.do(P, commands.Enqueue("q", [(0, new_job("new", is_generated=True))], []))
    driver.flush()
    assert driver.counts("q") == {"waiting": 1}
    driver.attach(V, "other")
    driver.subscribe(V, "q")
    assert ids_of(driver.take(V)) == ["new"]


@pytest.mark.parametrize("forget_queue", [False, True], ids=["drain", "obliterate"])
def test_what_was_begun_before_a_crash_is_finished_after_it(
    driver: Driver, forget_queue: bool
) -> None:
    """The session's last request covers it: its client is told that it was done."""
    driver.add(P, "q", *numbered(3 * STEP))
    asked = commands.Obliterate("q", False) if forget_queue else commands.Drain("q", False)
    number = driver.do(P, asked)
    for _ in range(2):
        driver.write()
        driver.read()
    assert 0 < len(driver.rows()) < 3 * STEP
    driver.crash()
    assert driver.attach(P, "producer").last_request == number
    driver.flush()
    assert driver.rows() == []
    assert ("q" in driver.engine.queues) is not forget_queue


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


# ---- what is counted and told --------------------------------------------------------------------


def test_what_is_cleared_is_counted_by_what_cleared_it(driver: Driver) -> None:
    driver.add(P, "q", *numbered(2 * STEP + 1))
    queue = driver.engine.queues["q"]
    driver.ask(P, commands.Drain("q", False))
    assert (queue.stats.removed, queue.stats.obliterated) == (2 * STEP + 1, 0)
    driver.add(P, "q", "a")
    driver.do(P, commands.Obliterate("q", False))
    driver.do(P, commands.Enqueue("q", [(0, new_job("new", is_generated=True))], []))
    driver.flush()
    assert (queue.stats.removed, queue.stats.obliterated) == (2 * STEP + 1, 1)


def test_a_drain_is_told_when_it_is_done_and_jobs_run_again(driver: Driver) -> None:
    driver.ask(P, commands.Listen("q", None))
    driver.add(P, "q", *numbered(2 * STEP))
    driver.do(P, commands.Drain("q", False))
    driver.do(W, commands.Subscribe(["q"], 1))
    driver.do(P, commands.Enqueue("q", [(0, new_job("new", is_generated=True))], []))
    driver.flush()
    assert driver.events[-2].kind == EventNumber.DRAINED
    assert (driver.events[-1].kind, driver.events[-1].id) == (EventNumber.ACTIVE, "new")
    assert not driver.engine.queues["q"].is_clearing


def test_a_drain_under_way_is_stored_and_so_is_its_end(driver: Driver) -> None:
    driver.add(P, "q", *numbered(3 * STEP))
    driver.do(P, commands.Drain("q", False))
    driver.write()
    (row,) = driver.disk.queues.values()
    assert row.clearing == Clearing((State.WAITING,), Seq(3 * STEP), forget_queue=False)
    driver.flush()
    (row,) = driver.disk.queues.values()
    assert row.clearing is None


def test_an_obliterate_takes_jobs_of_every_state(driver: Driver) -> None:
    driver.do(P, commands.Obliterate("q", True))
    driver.add(P, "q", "a")
    driver.do(P, commands.Obliterate("q", True))
    clearing = driver.engine.queues["q"].clearing
    assert clearing is not None
    assert (set(clearing.states), clearing.forget_queue) == (set(State), True)


def test_nothing_is_pruned_twice_at_a_time(driver: Driver) -> None:
    """The page that was asked for may be late: a slow disk, a full batch."""
    run(driver, "ack", *numbered(3 * STEP))
    configure(driver, Keep(None, 4))
    queue, sweeping_ = driver.engine.queues["q"], driver.engine._sweeping
    sweeping_.prune_old(queue, driver.moment)
    assert len(driver.engine.take_reads()) == 1
    sweeping_.prune_old(queue, driver.moment)
    sweeping_.prune_if_over(queue)
    assert not driver.engine.wants_reads


def test_a_page_to_prune_that_comes_when_its_queue_is_gone_is_dropped(driver: Driver) -> None:
    run(driver, "ack", *numbered(2 * STEP))
    configure(driver, Keep(None, 4))
    queue = driver.engine.queues["q"]
    driver.engine._sweeping.prune_old(queue, driver.moment)
    ((read, then),) = driver.engine.take_reads().items()
    page = driver.pages([read])[0]
    driver.ask(P, commands.Obliterate("q", force=True))
    driver.engine.answer(read, then, page, driver.moment)
    assert not driver.engine.has_open_batch


def test_a_restart_clears_only_what_was_being_cleared(driver: Driver) -> None:
    driver.add(P, "q", *numbered(3))
    driver.start()
    driver.flush()
    assert driver.counts("q") == {"waiting": 3}
