"""partition.py: the primitives that keep memory and the open batch consistent."""

from functools import partial
from random import Random
from typing import Any

import pytest

from holdfastd.engine import commands
from holdfastd.engine.changes import AttemptRow, Batch, DelayedPage, JobRow, JobsById, Page
from holdfastd.engine.events import EventNumber, QueueEvent
from holdfastd.engine.model import (
    NO_SESSION,
    TOKEN_COUNTER_BITS,
    AttemptOutcome,
    Change,
    FailReason,
    Job,
    JobOptions,
    QueueKey,
    QueueSettings,
    Rate,
    Seq,
    SessionKey,
    State,
    Token,
)
from holdfastd.engine.openbatch import OpenBatch
from holdfastd.engine.outputs import Notify, Show
from holdfastd.engine.partition import TRUST_MS, Moment, Partition, job_of_row
from holdfastd.engine.queue import HEAD_JOBS_MAX, IDLE_HEAD_JOBS_MAX, QueueState
from holdfastd.engine.session import Session
from holdfastd.engine.transitions import Event, InvariantError
from support.engine import (
    SETTINGS,
    SMALL_HEAD,
    START_MS,
    Driver,
    P,
    W,
    bare_job,
    count_reads,
    ids_of,
    new_job,
    numbered,
)

# ---- jobs that wait ------------------------------------------------------------------------------


def test_a_queue_without_a_worker_keeps_but_its_first_job_in_memory(driver: Driver) -> None:
    driver.add(P, "q", *numbered(50))
    assert list(driver.engine.queues["q"].jobs) == ["j000"]
    driver.subscribe(W, "q", credit=0)
    assert len(driver.engine.queues["q"].jobs) == 50
    driver.subscribe(W, "elsewhere", credit=0)
    assert list(driver.engine.queues["q"].jobs) == ["j000"]


@pytest.mark.usefixtures("small_heads")
def test_urgent_jobs_push_the_others_out_of_a_full_head(driver: Driver) -> None:
    driver.ask(P, commands.Pause("q"))
    driver.subscribe(W, "q", credit=100)
    driver.add(P, "q", *numbered(10), priority=5)
    for number in range(20):
        driver.add(P, "q", f"urgent-{number:02}")
        assert len(driver.engine.queues["q"].jobs) <= 2 * SMALL_HEAD
    driver.ask(P, commands.Resume("q"))
    taken = ids_of(driver.take(W))
    assert taken == [*(f"urgent-{number:02}" for number in range(20)), *numbered(10)]


# ---- jobs that are delayed -----------------------------------------------------------------------


def test_several_delayed_jobs_leave_the_engine_at_rest_and_their_payloads_on_disk(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = count_reads(driver, monkeypatch)
    for number, id in enumerate(numbered(20)):
        driver.add(P, "q", id, is_generated=True, run_at_ms=START_MS + 5_000 + number)
    assert not [read for read in reads if isinstance(read, DelayedPage)]
    assert all(job.payload is None for job in driver.engine.queues["q"].jobs.values())
    driver.subscribe(W, "q", credit=100)
    driver.pass_time(6)
    assert [(item[2], item[4]) for item in driver.take(W)] == [
        (id, id.encode()) for id in numbered(20)
    ]


@pytest.mark.usefixtures("small_heads")
def test_delayed_jobs_beyond_the_horizon_are_read_as_they_come_due() -> None:
    driver = Driver()
    driver.attach(P, "producer")
    driver.attach(W, "worker")
    for number in reversed(range(30)):
        driver.add(P, "q", f"j{number:03}", run_at_ms=START_MS + 1_000 * (number + 1))
        assert len(driver.engine.queues["q"].jobs) <= 2 * SMALL_HEAD
    driver.subscribe(W, "q", credit=100)
    for number in range(30):
        driver.beat(W)
        driver.pass_time(1)
        assert ids_of(driver.take(W)) == [f"j{number:03}"]


@pytest.mark.usefixtures("small_heads")
def test_delayed_jobs_are_found_again_after_a_restart() -> None:
    driver = Driver()
    driver.attach(P, "producer")
    driver.add(P, "q", *numbered(10), run_at_ms=START_MS + 1_000)
    driver.start()
    driver.attach(W, "worker")
    driver.subscribe(W, "q", credit=100)
    driver.pass_time(1)
    assert ids_of(driver.take(W)) == numbered(10)


@pytest.mark.usefixtures("small_heads")
def test_a_delayed_job_added_while_a_page_of_them_is_read_is_not_passed_over() -> None:
    driver = Driver()
    driver.attach(P, "producer")
    driver.attach(W, "worker")
    driver.add(P, "q", *numbered(3), run_at_ms=START_MS + 2_000)
    driver.start()
    wanted = driver.engine.take_reads()
    pages = driver.pages(list(wanted))
    driver.attach(P, "producer")
    driver.engine._partition.wanted.clear()  # what the flush of attach asked for anew
    items = [(0, new_job("soon", is_generated=True, run_at_ms=START_MS + 1_000))]
    driver.do(P, commands.Enqueue("q", items, []))
    for (read, then), page in zip(wanted.items(), pages, strict=True):
        driver.engine.answer(read, then, page, driver.moment)
    driver.flush()
    driver.attach(W, "worker")
    driver.subscribe(W, "q", credit=10)
    driver.pass_time(1)
    assert ids_of(driver.take(W)) == ["soon"]


# ---- leases --------------------------------------------------------------------------------------


def test_a_leased_job_cannot_be_removed_by_mistake(driver: Driver) -> None:
    driver.lease()
    partition = driver.engine._partition
    (job,) = partition.leases.values()
    assert job.session != NO_SESSION
    with pytest.raises(InvariantError, match="while it is leased"):
        partition.remove(driver.engine.queues["q"], job)


# ---- without an engine around it -----------------------------------------------------------------

NOW = Moment(START_MS, 1_000.0)
EPOCH = 3


@pytest.fixture
def alone() -> Partition:
    made = Partition(SETTINGS, Random(1))
    made.epoch = EPOCH
    return made


def worker_of(alone: Partition, connection: int = 5, *names: str, credit: int = 1) -> Session:
    """A session that takes jobs of these queues."""
    session = alone.add_session(f"s{connection}")
    session.worker, session.connection = "w", connection
    session.deadline = NOW.monotonic + 30
    alone.connections[connection] = session
    alone.subscribe(session, list(names), credit)
    return session


def added(alone: Partition, queue: QueueState, id: str, **options: Any) -> Job:
    return alone.add_job(queue, new_job(id, **options), NOW)


def leased(alone: Partition, queue: QueueState, id: str, session: Session) -> Job:
    job = added(alone, queue, id)
    queue.head.pop()
    alone.lease(queue, job, session, NOW)
    return job


def written(alone: Partition) -> Batch:
    """The rows of the open batch; the next one is open."""
    closed, alone.open = alone.open, OpenBatch()
    return closed.rows()


# ---- numbers and time ----------------------------------------------------------------------------


def test_numbers_rise_by_one_and_tokens_say_of_which_start_they_are(alone: Partition) -> None:
    assert [alone.take_seq(), alone.take_seq(), alone.next_seq] == [1, 2, 3]
    first = (EPOCH << TOKEN_COUNTER_BITS) + 1
    assert [alone.take_token(), alone.take_token()] == [first, first + 1]


@pytest.mark.parametrize(
    ("age_ms", "steady_s", "is_trusted"),
    [
        (60_000, 59.9, False),
        (60_000, 60, True),
        (86_400_000, TRUST_MS / 1000 - 0.1, False),
        (86_400_000, TRUST_MS / 1000, True),
    ],
)
def test_an_age_is_believed_when_the_clock_was_steady_for_as_long_or_for_an_hour(
    alone: Partition, age_ms: int, steady_s: float, is_trusted: bool
) -> None:
    alone.steady_since = NOW.monotonic
    moment = Moment(0, NOW.monotonic + steady_s)
    assert alone.trusts_age(age_ms, moment) is is_trusted


# ---- queues --------------------------------------------------------------------------------------


def test_a_queue_is_made_once_and_stored(alone: Partition) -> None:
    first, second = alone.add_queue("q"), alone.add_queue("r")
    assert alone.add_queue("q") is first
    assert (first.key, second.key, alone.next_queue) == (1, 2, 3)
    assert alone.queues == {"q": first, "r": second}
    assert alone.queues_by_key == {QueueKey(1): first, QueueKey(2): second}
    assert list(alone.open.queues) == [first, second]
    assert list(alone.ledger.own) == [1, 2]


def test_who_asked_for_a_queue_before_it_was_there_has_it_when_it_is(alone: Partition) -> None:
    worker, other = worker_of(alone, 5, "late"), worker_of(alone, 6, "else")
    other.listens["late"] = None
    queue = alone.add_queue("late")
    assert (list(queue.subscribers), list(queue.ready)) == ([worker], [worker])
    assert list(queue.listeners) == [6]


def test_another_rate_takes_the_place_of_the_one_before(alone: Partition) -> None:
    queue, rate = alone.add_queue("q"), Rate(1, 1_000, 1)
    alone.open.queues.clear()
    alone.configure(queue, QueueSettings(concurrency=2, rate=rate))
    assert (queue.rate.rate, queue.settings.concurrency) == (rate, 2)
    assert list(alone.open.queues) == [queue]
    queue.rate.start(START_MS, NOW.monotonic)
    alone.configure(queue, QueueSettings(rate=Rate(1, 1_000, 1)))
    assert queue.rate.wait_ms(NOW.monotonic) == 1_000, "the same goes on"
    alone.configure(queue, QueueSettings())
    assert queue.rate.rate is None


def test_a_queue_that_is_forgotten_is_removed_and_its_events_go_on_in_the_next(
    alone: Partition,
) -> None:
    queue = alone.add_queue("q")
    ring = alone.add_listener(queue, 9)
    ring.last += 7
    alone.forget_queue(queue)
    assert (alone.queues, alone.queues_by_key, alone.ledger.own) == ({}, {}, {})
    assert (list(alone.open.queues), alone.open.queues_removed) == ([], [queue.key])
    again = alone.add_queue("q")
    assert alone.add_listener(again, 9).last == (EPOCH << TOKEN_COUNTER_BITS) + 7
    silent = alone.add_queue("silent")
    alone.forget_queue(silent)
    assert alone.last_event == (EPOCH << TOKEN_COUNTER_BITS) + 7


# ---- subscriptions and credit --------------------------------------------------------------------


def test_a_worker_takes_the_jobs_of_its_queues_that_are_there(alone: Partition) -> None:
    queue = alone.add_queue("q")
    worker = worker_of(alone, 5, "q", "none", credit=2)
    assert (worker.queues, worker.credit) == (["q", "none"], 2)
    assert alone.queues_of(worker) == [queue]
    assert (list(queue.subscribers), list(queue.ready)) == ([worker], [worker])
    assert queue.head.count_max == HEAD_JOBS_MAX


def test_a_worker_without_credit_takes_no_turns(alone: Partition) -> None:
    queue = alone.add_queue("q")
    worker = worker_of(alone, 5, "q", credit=0)
    assert (list(queue.subscribers), list(queue.ready)) == ([worker], [])
    alone.add_credit(worker, 2)
    assert list(queue.ready) == [worker]
    alone.take_credit(worker)
    assert (worker.credit, list(queue.ready)) == (1, [worker])
    alone.take_credit(worker)
    assert (worker.credit, list(queue.ready)) == (0, [])


def test_a_subscription_takes_the_place_of_the_one_before(alone: Partition) -> None:
    first, second = alone.add_queue("q"), alone.add_queue("r")
    worker = worker_of(alone, 5, "q", credit=3)
    alone.subscribe(worker, ["r"], 1)
    assert not first.subscribers
    assert not first.ready
    assert (list(second.subscribers), worker.credit) == ([worker], 1)
    alone.unsubscribe(worker)
    assert (worker.queues, worker.credit, list(second.subscribers)) == ([], 0, [])


def test_the_head_is_long_while_anybody_works_on_it(alone: Partition) -> None:
    queue = alone.add_queue("q")
    one, other = worker_of(alone, 5, "q"), worker_of(alone, 6, "q")
    for id in "abc":
        added(alone, queue, id)
    written(alone)
    alone.unsubscribe(one)
    assert (queue.head.count_max, queue.head.count) == (HEAD_JOBS_MAX, 3)
    alone.unsubscribe(other)
    assert (queue.head.count_max, queue.head.count) == (IDLE_HEAD_JOBS_MAX, 1)
    assert list(queue.jobs) == ["a"]


def test_a_worker_that_does_not_read_takes_no_turns_until_it_does(alone: Partition) -> None:
    queue = alone.add_queue("q")
    worker = worker_of(alone, 5, "q")
    alone.hold(worker, is_held=True)
    assert (worker.is_held, list(queue.ready)) == (True, [])
    alone.hold(worker, is_held=False)
    assert list(queue.ready) == [worker]


def test_a_worker_that_was_pushed_enough_waits_for_the_next_batch(alone: Partition) -> None:
    queue = alone.add_queue("q")
    worker = worker_of(alone, 5, "q")
    alone.sate(worker)
    alone.sate(worker)
    assert (worker.is_sated, alone.open.sated, list(queue.ready)) == (True, [worker], [])


# ---- jobs come into memory -----------------------------------------------------------------------


def test_a_new_job_waits_in_its_order(alone: Partition) -> None:
    queue = alone.add_queue("q")
    first, last_in = added(alone, queue, "a"), added(alone, queue, "b", lifo=True)
    assert (first.seq, first.order, last_in.seq, last_in.order) == (1, 1, 2, -2)
    assert (first.state, first.created_at_ms, first.run_at_ms) == (State.WAITING, START_MS, 0)
    assert (queue.counts[State.WAITING], alone.open.jobs) == (2, [first, last_in])
    assert queue.jobs["a"] is first
    assert queue.oldest_waiting_at_ms() == START_MS
    assert queue in alone.open.queues


@pytest.mark.parametrize(
    ("in_ms", "state"), [(-1, State.WAITING), (0, State.WAITING), (1, State.DELAYED)]
)
def test_a_job_is_delayed_if_its_instant_is_to_come(
    alone: Partition, in_ms: int, state: State
) -> None:
    queue = alone.add_queue("q")
    job = added(alone, queue, "a", run_at_ms=START_MS + in_ms)
    is_delayed = state is State.DELAYED
    assert (job.state, job.run_at_ms) == (state, START_MS + in_ms if is_delayed else 0)
    assert (alone.delayed.count, queue.head.count) == ((1, 0) if is_delayed else (0, 1))
    assert queue.counts[state] == 1


def a_row(queue: QueueState, seq: int = 1, id: str = "a") -> JobRow:
    """Whose numbers are all different."""
    lease: Any = (Token(70), SessionKey(80), 90, 100, FailReason.ERROR, b"p", 110)
    rest: Any = (JobOptions(attempts=9), 61, 62, 63, *lease, None, b"payload", False)
    return JobRow(Seq(seq), queue.key, id, "n", State.DELAYED, 20, 30, 40, 50, *rest)


def test_a_row_becomes_the_job_that_it_was_written_from(alone: Partition) -> None:
    job = job_of_row(a_row(alone.add_queue("q")))
    assert (job.seq, job.queue, job.id, job.name, job.state) == (1, 1, "a", "n", State.DELAYED)
    assert (job.priority, job.order, job.run_at_ms, job.created_at_ms) == (20, 30, 40, 50)
    assert (job.options.attempts, job.payload) == (9, b"payload")
    assert (job.failures, job.crashes, job.releases) == (61, 62, 63)
    assert (job.token, job.session, job.started_at_ms, job.finished_at_ms) == (70, 80, 90, 100)
    assert (job.fail_reason, job.progress, job.log_lines) == (FailReason.ERROR, b"p", 110)


def test_a_row_is_the_job_in_memory_if_there_is_one(alone: Partition) -> None:
    queue = alone.add_queue("q")
    job = added(alone, queue, "a")
    assert alone.materialise(a_row(queue, job.seq)) is job
    other = alone.materialise(a_row(queue, seq=77))
    assert other is not job
    assert other is not None
    assert other.seq == 77
    assert queue.jobs["a"] is job


def test_a_row_of_what_has_gone_since_is_nothing(alone: Partition) -> None:
    queue, target = alone.add_queue("q"), alone.add_queue("r")
    removed, moved = added(alone, queue, "a"), added(alone, queue, "b")
    alone.remove(queue, removed)
    alone.move(queue, moved, target)
    assert alone.materialise(a_row(queue, removed.seq, "a")) is None
    assert alone.materialise(a_row(queue, moved.seq, "b")) is None
    assert alone.materialise(a_row(target, moved.seq, "b")) is moved
    gone = a_row(queue, 99)._replace(queue=QueueKey(99))
    assert alone.materialise(gone) is None


def test_a_job_is_found_in_memory_or_in_what_was_read(alone: Partition) -> None:
    queue = alone.add_queue("q")
    known, read = added(alone, queue, "a"), bare_job(8)
    found = {(queue.key, "b"): read}
    assert [alone.find(queue, id, found) for id in "abc"] == [known, read, None]
    alone.remove(queue, known)
    assert alone.find(queue, "a", {(queue.key, "a"): read}) is None


@pytest.mark.usefixtures("small_heads")
def test_a_delayed_head_that_is_too_long_forgets_those_behind(alone: Partition) -> None:
    alone.delayed.count_max = SMALL_HEAD
    queue = alone.add_queue("q")
    for number in reversed(range(2 * SMALL_HEAD + 1)):
        added(alone, queue, f"j{number}", run_at_ms=START_MS + 1_000 + number)
        written(alone)
        for job in queue.jobs.values():
            job.change = Change.NONE
    assert alone.delayed.count == SMALL_HEAD
    assert sorted(queue.jobs) == [f"j{number}" for number in range(SMALL_HEAD)]


@pytest.mark.parametrize("why", ["changed", "placed", "active", "another", "none"])
def test_what_the_open_batch_or_a_worker_needs_stays_in_memory(alone: Partition, why: str) -> None:
    queue, job = alone.add_queue("q"), bare_job(1)
    queue.jobs[job.id] = job if why != "another" else bare_job(1)
    job.change = Change.REWRITTEN if why == "changed" else Change.NONE
    job.place = object() if why == "placed" else None
    job.state = State.ACTIVE if why == "active" else State.WAITING
    alone.forget_unchanged(queue, [job])
    assert (job.id in queue.jobs) is (why != "none")


# ---- jobs change ---------------------------------------------------------------------------------


def test_a_leased_job_is_its_sessions_until_the_lease_ends(alone: Partition) -> None:
    queue = alone.add_queue("q")
    worker = worker_of(alone, 5, "q", credit=2)
    job, second = leased(alone, queue, "a", worker), leased(alone, queue, "b", worker)
    assert (job.state, job.session, job.started_at_ms) == (State.ACTIVE, worker.key, START_MS)
    assert alone.leases == worker.leases == {job.token: job, second.token: second}
    assert second.token == job.token + 1
    assert queue.jobs["a"] is job
    assert (queue.counts[State.WAITING], queue.counts[State.ACTIVE]) == (0, 2)
    assert (worker.is_stored, list(alone.open.sessions)) == (True, [worker])
    assert alone.deadlines == [(worker.deadline, worker.key)], "one entry is enough"
    token = job.token
    alone.end_lease(job)
    assert alone.leases == worker.leases == {second.token: second}
    assert (job.session, job.token) == (0, token), "the token tells a repeated answer"


def test_a_stored_job_that_is_leased_writes_its_lease_alone(alone: Partition) -> None:
    queue = alone.add_queue("q")
    worker = worker_of(alone, 5, "q")
    job = added(alone, queue, "a")
    written(alone)
    alone.open.queues.clear()
    queue.head.pop()
    alone.lease(queue, job, worker, NOW)
    assert (job.change, queue in alone.open.queues) == (Change.LEASED, True)
    rows = written(alone)
    assert ([row.seq for row in rows.leased], rows.rewritten) == ([job.seq], [])


def test_a_job_that_is_only_on_disk_is_kept_once_it_changes(alone: Partition) -> None:
    queue, job = alone.add_queue("q"), bare_job(1, State.ACTIVE)
    queue.counts[State.ACTIVE] = 2
    alone.transit(queue, job, Event.ACK, Change.COMPLETED)
    assert (queue.jobs, queue.counts[State.COMPLETED]) == ({}, 1)
    again = bare_job(2, State.ACTIVE)
    alone.transit(queue, again, Event.FAIL, Change.REWRITTEN)
    assert queue.jobs == {"j2": again}
    assert (queue.counts[State.ACTIVE], queue.counts[State.FAILED]) == (0, 1)


@pytest.mark.parametrize(("order", "expected"), [(None, 1), (50, 50)])
def test_a_job_that_waits_again_keeps_its_place_or_takes_the_one_it_is_given(
    alone: Partition, order: int | None, expected: int
) -> None:
    queue = alone.add_queue("q")
    job = leased(alone, queue, "a", worker_of(alone, 5, "q"))
    alone.end_lease(job)
    alone.wait_again(queue, job, Event.RELEASE, order)
    assert (job.state, job.order, queue.head.peek()) == (State.WAITING, expected, job)


def test_a_job_that_is_postponed_changes_heads(alone: Partition) -> None:
    queue = alone.add_queue("q")
    job = added(alone, queue, "a")
    alone.delay(queue, job, Event.POSTPONE, START_MS + 5)
    assert (job.state, job.run_at_ms) == (State.DELAYED, START_MS + 5)
    assert (queue.head.count, alone.delayed.peek()) == (0, job)
    alone.wait_again(queue, job, Event.PROMOTE)
    assert (alone.delayed.count, queue.head.peek()) == (0, job)


def test_a_job_that_failed_is_counted_told_and_in_no_head(alone: Partition) -> None:
    queue = alone.add_queue("q")
    ring = alone.add_listener(queue, 9)
    job = added(alone, queue, "a")
    alone.finish_failed(queue, job, Event.QUARANTINE, FailReason.DAMAGED, NOW)
    assert (job.state, job.fail_reason, job.finished_at_ms) == (State.FAILED, 6, START_MS)
    assert (queue.head.count, queue.stats.jobs_failed, queue.tallies["work"].failed) == (0, 1, 1)
    ((event,), _) = ring.after(ring.last - 1)
    assert event[1:] == (EventNumber.FAILED, START_MS, "a", "work", {"reason": 6})


def test_a_job_that_was_cancelled_is_counted_told_and_in_no_head(alone: Partition) -> None:
    queue = alone.add_queue("q")
    ring = alone.add_listener(queue, 9)
    job = added(alone, queue, "a")
    alone.finish_cancelled(queue, job, NOW)
    assert (job.state, job.finished_at_ms) == (State.CANCELLED, START_MS)
    assert (queue.head.count, queue.stats.jobs_cancelled) == (0, 1)
    assert ring.after(ring.last - 1)[0][0].kind == EventNumber.CANCELLED


@pytest.mark.parametrize("end", ["failed", "cancelled", "removed"])
def test_who_waits_for_the_end_of_a_job_is_shown_it(alone: Partition, end: str) -> None:
    queue = alone.add_queue("q")
    job, asking = added(alone, queue, "a"), worker_of(alone, 5)
    queue.waits = {"a": [(5, 10), (5, 11)], "b": [(5, 12)]}
    asking.waits, asking.wait_count = {("q", "a"): None, ("q", "b"): None}, 3
    alone.open.outputs.clear()
    if end == "failed":
        alone.finish_failed(queue, job, Event.QUARANTINE, FailReason.DAMAGED, NOW)
    elif end == "cancelled":
        alone.finish_cancelled(queue, job, NOW)
    else:
        alone.remove(queue, job)
    assert alone.open.outputs == [Show(5, 10, queue.key, "a"), Show(5, 11, queue.key, "a")]
    assert (queue.waits, asking.waits, asking.wait_count) == (
        {"b": [(5, 12)]},
        {("q", "b"): None},
        1,
    )


@pytest.mark.parametrize("in_ms", [0, 5_000], ids=["waiting", "delayed"])
def test_a_job_with_other_data_keeps_its_place_and_its_bytes_are_counted(
    alone: Partition, in_ms: int
) -> None:
    queue = alone.add_queue("q")
    job = added(alone, queue, "a", run_at_ms=START_MS + in_ms)
    written(alone)
    queue.jobs.clear()
    alone.edit(queue, job, b"12345")
    assert (queue.jobs, job.payload) == ({"a": job}, b"12345")
    assert queue.head.bytes == (0 if in_ms else 5)
    assert queue.head.count + alone.delayed.count == 1
    assert alone.open.edited == {job.seq}


@pytest.mark.parametrize("in_ms", [0, 5_000], ids=["waiting", "delayed"])
@pytest.mark.parametrize("lifo", [False, True])
def test_a_job_goes_over_to_another_queue_and_leaves_its_name_behind(
    alone: Partition, lifo: bool, in_ms: int
) -> None:
    queue, target, asking = alone.add_queue("q"), alone.add_queue("r"), worker_of(alone, 5)
    job = added(alone, queue, "a", lifo=lifo, run_at_ms=START_MS + in_ms)
    written(alone)
    queue.waits, asking.waits, asking.wait_count = {"a": [(5, 10)]}, {("q", "a"): None}, 1
    alone.move(queue, job, target)
    assert (job.queue, job.order) == (target.key, -2 if lifo else 2)
    assert (queue.counts[job.state], target.counts[job.state]) == (0, 1)
    assert (queue.head.count, target.head.count + alone.delayed.count) == (0, 1)
    assert target.jobs == {"a": job}
    gone = queue.jobs["a"]
    assert (gone.is_removed, gone.seq, gone.queue, gone.payload) == (True, job.seq, 1, None)
    assert alone.find(queue, "a", {}) is None
    assert (queue.waits, target.waits, asking.waits) == ({}, {"a": [(5, 10)]}, {("r", "a"): None})
    assert asking.wait_count == 1
    assert list(alone.open.queues) == [queue, target]
    assert [row.queue for row in written(alone).moved] == [target.key]


def test_a_removed_job_is_gone_but_for_its_name(alone: Partition) -> None:
    queue = alone.add_queue("q")
    job = added(alone, queue, "a")
    written(alone)
    queue.jobs.clear()
    alone.remove(queue, job)
    assert (job.is_removed, queue.jobs, queue.head.count) == (True, {"a": job}, 0)
    assert (queue.counts[State.WAITING], list(alone.open.queues)) == (0, [queue])
    assert written(alone).removed == [job.seq]


def test_a_finished_job_that_is_removed_has_nobody_who_waits(alone: Partition) -> None:
    queue, job = alone.add_queue("q"), bare_job(1, State.COMPLETED)
    queue.counts[State.COMPLETED] = 1
    queue.waits = {"j1": [(5, 10)]}  # whoever asked was answered at its end
    alone.remove(queue, job)
    assert queue.waits == {"j1": [(5, 10)]}


def test_an_active_job_whose_lease_has_ended_can_be_removed(alone: Partition) -> None:
    queue = alone.add_queue("q")
    job = leased(alone, queue, "a", worker_of(alone, 5, "q"))
    with pytest.raises(InvariantError, match="job 1 is removed while it is leased"):
        alone.remove(queue, job)
    alone.end_lease(job)
    alone.remove(queue, job)
    assert queue.counts[State.ACTIVE] == 0


def test_what_is_pruned_is_what_nothing_has_changed_since(alone: Partition) -> None:
    queue = alone.add_queue("q")
    changed = added(alone, queue, "a")
    alone.open.removed.add(Seq(50))
    alone.open.queues.clear()
    queue.counts[State.COMPLETED] = 4
    alone.prune(queue, State.COMPLETED, [Seq(40), changed.seq, Seq(50), Seq(41)])
    assert (queue.counts[State.COMPLETED], queue.stats.pruned) == (2, 2)
    assert alone.open.removed == {40, 41, 50}
    assert list(alone.open.queues) == [queue]


def test_how_an_attempt_ended_is_kept(alone: Partition) -> None:
    job = bare_job(1)
    job.started_at_ms = 77
    error = ("E", "message", "trace")
    alone.note_attempt(job, Token(5), 2, AttemptOutcome.LOST, error, NOW, "w")
    assert alone.open.attempts == [
        AttemptRow(Seq(1), Token(5), 2, 77, START_MS, AttemptOutcome.LOST, *error, "w")
    ]


# ---- sessions ------------------------------------------------------------------------------------


def test_a_session_is_known_by_id_and_key_until_it_is_forgotten(alone: Partition) -> None:
    first, second = alone.add_session("a"), alone.add_session("b")
    assert (first.key, second.key, alone.next_session) == (1, 2, 3)
    assert alone.sessions == {"a": first, "b": second}
    alone.store_session(second)
    assert (second.is_stored, list(alone.open.sessions)) == (True, [second])
    alone.forget_session(first)
    assert (alone.open.sessions_removed, list(alone.open.sessions)) == ([], [second])
    alone.forget_session(second)
    assert (alone.open.sessions_removed, list(alone.open.sessions)) == ([2], [])
    assert (alone.sessions, alone.sessions_by_key) == ({}, {})


def test_a_deadline_that_is_watched_has_one_entry(alone: Partition) -> None:
    session = alone.add_session("a")
    session.deadline = 7.0
    alone.watch(session)
    session.deadline = 9.0
    alone.watch(session)
    assert (alone.deadlines, session.watched_at) == ([(7.0, 1)], 7.0)


# ---- events --------------------------------------------------------------------------------------


def test_events_cost_nothing_until_somebody_listens_and_go_to_all_who_do(alone: Partition) -> None:
    queue = alone.add_queue("q")
    alone.emit(queue, EventNumber.PAUSED, NOW, None, {})
    assert (queue.ring, alone.open.outputs) == (None, [])
    ring = alone.add_listener(queue, 8)
    assert alone.add_listener(queue, 9) is ring
    assert ring.last == EPOCH << TOKEN_COUNTER_BITS
    alone.emit(queue, EventNumber.PAUSED, NOW, None, {"a": 1})
    event = QueueEvent(ring.last, EventNumber.PAUSED, START_MS, None, None, {"a": 1})
    assert alone.open.outputs == [Notify(8, "q", [event]), Notify(9, "q", [event])]


@pytest.mark.parametrize("left", [None, State.WAITING, State.DELAYED, State.ACTIVE])
def test_a_queue_is_drained_when_nothing_is_left_to_run(
    alone: Partition, left: State | None
) -> None:
    queue = alone.add_queue("q")
    alone.emit_drained_if_empty(queue, NOW)
    assert queue.ring is None
    ring = alone.add_listener(queue, 8)
    queue.counts[State.COMPLETED] = 5
    if left is not None:
        queue.counts[left] = 1
    before = ring.last
    alone.emit_drained_if_empty(queue, NOW)
    events = [event[1:] for event in ring.after(before)[0]]
    drained: Any = (EventNumber.DRAINED, START_MS, None, None, {})
    assert events == ([drained] if left is None else [])


def test_a_read_that_several_ask_for_is_made_once_and_answered_in_their_order(
    alone: Partition,
) -> None:
    told: list[str] = []
    read, page = JobsById(QueueKey(1), ("a",)), Page([], False)
    for name in "abc":
        alone.want(read, partial(lambda name, *answer: told.append(name), name))
    ((wanted, then),) = alone.wanted.items()
    then(wanted, page, NOW)
    assert (wanted, told) == (read, ["a", "b", "c"])
