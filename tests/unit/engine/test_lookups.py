"""lookups.py: commands on jobs that are only on disk wait until these have been read.

Jobs come into memory and leave it while a command waits; what it finds must be the truth at the
moment when it is applied. Queue q has no worker here, so it keeps one job in memory.
"""

import pytest

from holdfastd.engine import commands
from holdfastd.engine.model import State
from holdfastd.engine.outputs import ItemExisting, Refusal
from holdfastd.engine.recurrence import Every
from holdfastd.engine.schedules import ScheduleSpec
from support.engine import START_MS, Driver, P, V, W, held_of, new_job


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


def test_a_job_may_be_asked_for_thousands_of_times_at_once(driver: Driver) -> None:
    """All of it is one read; each command once ended in the call of the one before it, and one
    client that waited for one job a thousand times ended the daemon (RecursionError)."""
    driver.do(P, enqueue("a", is_generated=True))
    numbers = [driver.do(P, commands.Explain("q", "none")) for _ in range(5_000)]
    driver.flush()
    assert {driver.refusals[P, number].refusal for number in numbers} == {Refusal.UNKNOWN_JOB}


@pytest.mark.usefixtures("other")
def test_a_repeated_answer_is_looked_up_and_one_that_holds_is_not(driver: Driver) -> None:
    driver.subscribe(W, "q")
    (item,) = driver.take(W)
    driver.do(W, commands.Ack([(held_of(item), None)], 0))
    assert not driver.engine.sessions["worker"].parked
    driver.flush()
    number = driver.do(W, commands.Ack([(held_of(item), None)], 0))
    assert driver.engine.sessions["worker"].parked
    driver.flush()
    assert driver.answers[W, number] == []


@pytest.mark.usefixtures("other")
def test_a_move_looks_up_both_queues(driver: Driver) -> None:
    driver.add(P, "r", "first", "x")
    (refused,) = driver.ask(P, commands.Move("q", ["x"], "r", None))
    assert refused.refusal is Refusal.JOB_EXISTS


def test_a_run_by_hand_looks_its_job_up(driver: Driver) -> None:
    spec = ScheduleSpec("q", "s", Every(60_000), "work", b"data")
    driver.ask(P, commands.PutSchedule(spec))
    first = driver.ask(P, commands.RunSchedule("q", "s", "1"))
    assert driver.ask(P, commands.RunSchedule("q", "s", "1")) == first
    assert driver.counts("q") == {"waiting": 1}


def test_an_edit_that_names_a_queue_which_is_not_there_waits_for_nothing(driver: Driver) -> None:
    driver.do(P, commands.Edit("none", "a", b"x", None))
    assert not driver.engine.sessions["producer"].parked
