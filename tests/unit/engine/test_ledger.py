"""ledger.py: which queue counts for itself, and which with the others."""

from holdfastd.engine.ledger import OTHER, OWN_MIN, Ledger, Tasks
from holdfastd.engine.model import QueueKey
from holdfastd.engine.queue import QueueState


def a_queue(number: int, name: str = "") -> QueueState:
    return QueueState(QueueKey(number), name or f"q{number}")


def opened(ledger: Ledger, count: int) -> list[QueueState]:
    queues = [a_queue(number) for number in range(count)]
    for queue in queues:
        ledger.open(queue)
    return queues


def names(queues: dict[QueueKey, QueueState]) -> list[str]:
    return [queue.name for queue in queues.values()]


# ---- queues --------------------------------------------------------------------------------------


def test_each_queue_counts_for_itself_while_there_is_room() -> None:
    ledger = Ledger(own_max=7, task_series_max=0)
    queues = opened(ledger, 7)
    assert (list(ledger.own.values()), names(ledger.others)) == (queues, [])
    assert len({id(queue.stats) for queue in [*queues]} | {id(ledger.other)}) == 8


def test_a_queue_too_many_costs_the_youngest_its_own() -> None:
    ledger = Ledger(own_max=7, task_series_max=0)
    queues = opened(ledger, 8)
    assert names(ledger.own) == ["q0", "q1", "q2", "q3", "q4", "q5"]
    assert names(ledger.others) == ["q6", "q7"]
    assert queues[6].stats is queues[7].stats is ledger.other


def test_however_many_there_are_the_oldest_keep_theirs() -> None:
    ledger = Ledger(own_max=7, task_series_max=0)
    opened(ledger, 100)
    assert names(ledger.own) == [f"q{number}" for number in range(OWN_MIN)]
    assert names(ledger.others) == [f"q{number}" for number in range(OWN_MIN, 100)]


def test_a_room_smaller_than_that_is_kept_to() -> None:
    ledger = Ledger(own_max=2, task_series_max=0)
    opened(ledger, 9)
    assert names(ledger.own) == ["q0", "q1"]


def test_without_room_all_count_together() -> None:
    ledger = Ledger(own_max=0, task_series_max=0)
    queues = opened(ledger, 3)
    assert (names(ledger.own), len(ledger.others)) == ([], 3)
    assert all(queue.stats is ledger.other for queue in queues)


def test_the_oldest_of_the_others_takes_the_room_of_one_that_goes() -> None:
    ledger = Ledger(own_max=6, task_series_max=0)
    queues = opened(ledger, 8)
    assert names(ledger.others) == ["q5", "q6", "q7"]
    ledger.other.completed = 9
    ledger.close(queues[0])
    assert names(ledger.own) == ["q1", "q2", "q3", "q4", "q5"]
    assert queues[5].stats is not ledger.other
    assert queues[5].stats.completed == 0, "it begins anew: counters only rise"
    ledger.close(queues[7])
    assert (names(ledger.own)[-1], names(ledger.others)) == ("q6", [])


def test_what_is_still_counted_of_a_queue_that_is_gone_goes_to_the_others() -> None:
    ledger = Ledger(own_max=2, task_series_max=1)
    mine, shared = opened(ledger, 3)[::2]
    for queue in (mine, shared):
        ledger.close(queue)
        assert queue.stats is ledger.other
        assert queue.key not in ledger.own.keys() | ledger.others.keys()


def test_a_queue_named_as_the_others_is_one_of_them() -> None:
    ledger = Ledger(own_max=9, task_series_max=0)
    ledger.open(a_queue(1, OTHER))
    ledger.open(a_queue(2))
    assert (names(ledger.own), names(ledger.others)) == (["q2"], [OTHER])


# ---- durations by job name -----------------------------------------------------------------------


def test_as_many_pairs_are_timed_as_there_is_room_and_the_rest_together() -> None:
    tasks = Tasks(series_max=2)
    for queue, task in (("q", "a"), ("q", "b"), ("q", "c"), ("r", "a"), ("q", "a")):
        tasks.observe(queue, task, 2.0)
    assert {queue: list(timed) for queue, timed in tasks.by_queue.items()} == {"q": ["a", "b"]}
    assert (tasks.by_queue["q"]["a"].total, tasks.by_queue["q"]["b"].total) == (4.0, 2.0)
    assert (tasks.other.total, tasks.folded) == (4.0, 2)


def test_a_queue_that_is_gone_leaves_its_room_to_others() -> None:
    tasks = Tasks(series_max=2)
    for task in "ab":
        tasks.observe("q", task, 1.0)
    tasks.forget("q")
    tasks.forget("unknown")
    for task in "abc":
        tasks.observe("r", task, 1.0)
    assert {queue: list(timed) for queue, timed in tasks.by_queue.items()} == {"r": ["a", "b"]}
    assert tasks.folded == 1


def test_a_queue_named_as_the_others_is_timed_with_them() -> None:
    tasks = Tasks(series_max=9)
    tasks.observe(OTHER, "a", 1.0)
    assert (tasks.by_queue, tasks.folded) == ({}, 1)


def test_a_ledger_keeps_tasks_if_it_is_to_and_forgets_them_with_their_queue() -> None:
    assert Ledger(own_max=1, task_series_max=0).tasks is None
    ledger = Ledger(own_max=1, task_series_max=5)
    (queue,) = opened(ledger, 1)
    assert ledger.tasks is not None
    ledger.tasks.observe(queue.name, "a", 1.0)
    ledger.close(queue)
    assert ledger.tasks.by_queue == {}
