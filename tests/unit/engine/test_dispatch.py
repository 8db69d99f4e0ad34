"""dispatch.py: which job goes to which worker, and what is read for that."""

import pytest

from holdfastd.engine import commands, dispatch, openbatch, queue
from holdfastd.engine.changes import JobsBySeq, WaitingPage
from holdfastd.engine.events import EventNumber
from holdfastd.engine.model import FailReason, NewJob, QueueSettings, Rate, State
from holdfastd.engine.outputs import Deliver
from holdfastd.engine.tally import QUICK_MS, bucket_of
from support.engine import (
    SMALL_HEAD,
    START_MS,
    Driver,
    P,
    V,
    W,
    count_reads,
    ids_of,
    new_job,
    numbered,
)

SMALL_BYTES = 1_000


@pytest.fixture
def small_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "HEAD_BYTES_MAX", SMALL_BYTES)
    monkeypatch.setattr(dispatch, "HEAD_BYTES_MAX", SMALL_BYTES)


@pytest.fixture
def small_pushes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three jobs of 4 + 256 bytes and more fill a batch, two fill a Deliver."""
    monkeypatch.setattr(dispatch, "PUSH_BYTES_MAX", 600)
    monkeypatch.setattr(openbatch, "DELIVERY_BYTES_MAX", 600)


def add_large(driver: Driver, ids: list[str], bytes: int, priority: int = 0) -> None:
    jobs = [NewJob(id, False, "work", b"x" * bytes, priority) for id in ids]
    driver.ask(P, commands.Enqueue("q", list(enumerate(jobs)), []))


def add(driver: Driver, *ids: str) -> None:
    items = [new_job(id) for id in ids]
    driver.do(P, commands.Enqueue("q", list(enumerate(items)), []))


def damage(driver: Driver, id: str) -> None:
    seq = driver.row(id).seq
    driver.disk.jobs[seq] = driver.disk.jobs[seq]._replace(is_damaged=True)


# ---- turns, credit and limits --------------------------------------------------------------------


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


@pytest.mark.parametrize("credit", [1, 3])
def test_the_queues_of_a_worker_take_turns(driver: Driver, credit: int) -> None:
    """A slot had stayed with its queue until that was empty."""
    for name in "pqr":
        items = [new_job(f"{name}{number}") for number in range(4)]
        driver.do(P, commands.Enqueue(name, list(enumerate(items)), []))
    driver.do(P, commands.Enqueue("s", [(0, new_job("s0"))], []))
    driver.do(W, commands.Subscribe(["p", "q", "gone", "r", "s"], credit))
    came: list[str] = []
    while len(came) < 13:
        driver.flush()
        jobs = driver.take(W)
        came += [job[2] for job in jobs]
        driver.ack(W, *jobs, credit=len(jobs))
    assert came[:4] == ["p0", "q0", "r0", "s0"]
    assert [id[1] for id in came if id[0] != "s"] == [*"000111222333"]


def test_a_worker_whose_queue_is_gone_begins_with_the_first_of_the_others(driver: Driver) -> None:
    for name in "pq":
        driver.do(P, commands.Enqueue(name, [(0, new_job(f"{name}0"))], []))
    driver.do(W, commands.Subscribe(["q", "p"], 1))
    driver.flush()
    (job,) = driver.take(W)
    assert job[2] == "q0"
    driver.do(W, commands.Subscribe(["p", "r"], 1))
    driver.flush()
    assert ids_of(driver.take(W)) == ["p0"]


# ---- jobs beyond the horizon ---------------------------------------------------------------------


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


@pytest.mark.usefixtures("small_heads")
def test_a_worker_gets_the_jobs_beyond_the_horizon_in_order(driver: Driver) -> None:
    driver.add(P, "q", *numbered(40))
    driver.add(P, "q", "urgent", priority=-1)
    driver.add(P, "q", "last", priority=1)
    seen: list[str] = []
    driver.subscribe(W, "q", credit=3)
    while items := driver.take(W):
        assert len(driver.engine.queues["q"].jobs) <= 2 * SMALL_HEAD + 3
        seen += ids_of(items)
        driver.ack(W, *items, credit=len(items))
    assert seen == ["urgent", *numbered(40), "last"]


@pytest.mark.usefixtures("small_heads")
def test_a_job_added_while_a_page_is_read_is_not_passed_over(driver: Driver) -> None:
    """Its batch is still open when the horizon rises above it."""
    driver.add(P, "q", *numbered(3))
    driver.do(W, commands.Subscribe(["q"], 10))
    driver.write()
    wanted = driver.engine.take_reads()
    assert any(isinstance(read, WaitingPage) for read in wanted)
    pages = driver.pages(list(wanted))
    items = [(0, new_job("meanwhile", is_generated=True))]
    driver.do(P, commands.Enqueue("q", items, []))
    for (read, then), page in zip(wanted.items(), pages, strict=True):
        driver.engine.answer(read, then, page, driver.moment)
    driver.flush()
    assert ids_of(driver.take(W)) == [*numbered(3), "meanwhile"]


@pytest.mark.usefixtures("small_heads")
def test_a_job_that_moved_while_a_page_is_read_takes_its_new_place(driver: Driver) -> None:
    driver.ask(P, commands.Pause("q"))
    driver.add(P, "q", *numbered(3))
    driver.do(W, commands.Subscribe(["q"], 9))
    driver.write()
    wanted = driver.engine.take_reads()
    pages = driver.pages(list(wanted))
    driver.do(P, commands.Change("q", ["j000"], 7, None, None, None))
    for (read, then), page in zip(wanted.items(), pages, strict=True):
        driver.engine.answer(read, then, page, driver.moment)
    driver.ask(P, commands.Resume("q"))
    assert ids_of(driver.take(W)) == ["j001", "j002", "j000"]


@pytest.mark.usefixtures("small_heads")
def test_a_page_that_was_overtaken_by_a_cut_is_read_again(driver: Driver) -> None:
    driver.ask(P, commands.Pause("q"))
    driver.add(P, "q", *numbered(12), priority=5)
    driver.do(W, commands.Subscribe(["q"], 100))
    driver.write()
    wanted = driver.engine.take_reads()
    pages = driver.pages(list(wanted))
    driver.do(W, commands.Subscribe([], 0))  # a short head again: cut to one
    driver.do(P, commands.Enqueue("q", [(0, new_job("urgent", is_generated=True))], []))
    driver.do(P, commands.Enqueue("q", [(0, new_job("first", is_generated=True, lifo=True))], []))
    driver.do(P, commands.Enqueue("q", [(0, new_job("zero", is_generated=True, lifo=True))], []))
    driver.do(W, commands.Subscribe(["q"], 100))
    for (read, then), page in zip(wanted.items(), pages, strict=True):
        driver.engine.answer(read, then, page, driver.moment)
    driver.ask(P, commands.Resume("q"))
    assert ids_of(driver.take(W)) == ["zero", "first", "urgent", *numbered(12)]


def test_a_page_of_a_queue_that_is_gone_is_dropped(driver: Driver) -> None:
    driver.ask(P, commands.Pause("q"))
    driver.add(P, "q", *numbered(3))
    driver.do(W, commands.Subscribe(["q"], 9))
    driver.do(P, commands.Obliterate("q", False))
    driver.write()
    wanted = driver.engine.take_reads()
    pages = driver.pages(list(wanted))
    for (read, then), page in reversed(list(zip(wanted.items(), pages, strict=True))):
        driver.engine.answer(read, then, page, driver.moment)
    driver.flush()
    assert driver.engine.queues == {}
    assert driver.take(W) == []


# ---- payload bytes -------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_bytes")
def test_few_jobs_with_large_payloads_fill_a_head_and_are_not_read_over_and_over(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_large(driver, numbered(10), bytes=SMALL_BYTES // 4)
    reads = count_reads(driver, monkeypatch)
    driver.subscribe(W, "q", credit=0)
    assert {type(read) for read in reads} == {WaitingPage}
    assert len(reads) <= 4, "a quarter of a head is read at a time"
    assert driver.engine.queues["q"].head.bytes <= SMALL_BYTES
    seen: list[str] = []
    driver.do(W, commands.Credit(1), 0)
    driver.flush()
    while items := driver.take(W):
        seen += ids_of(items)
        driver.ack(W, *items, credit=1)
    assert seen == numbered(10)


@pytest.mark.usefixtures("small_bytes")
def test_large_jobs_before_the_last_one_do_not_make_the_process_large(driver: Driver) -> None:
    driver.ask(P, commands.Pause("q"))
    driver.subscribe(W, "q", credit=100)
    driver.add(P, "q", "idle", priority=9)
    for id in numbered(30):
        add_large(driver, [id], bytes=SMALL_BYTES // 2)
        assert driver.engine.queues["q"].head.bytes <= 2 * SMALL_BYTES
    driver.ask(P, commands.Resume("q"))
    assert ids_of(driver.take(W)) == [*numbered(30), "idle"]


@pytest.mark.usefixtures("small_bytes")
def test_jobs_that_come_back_get_their_payloads_read_within_the_bound(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_large(driver, numbered(6), bytes=SMALL_BYTES // 2)
    driver.subscribe(W, "q", credit=6)
    items = driver.take(W)
    reads = count_reads(driver, monkeypatch)
    for item in items:
        driver.release(W, item)
    assert not reads, "nobody has credit: nothing needs its payload"
    driver.do(W, commands.Credit(6), 0)
    driver.flush()
    assert ids_of(driver.take(W)) == numbered(6)
    budgets = [read.bytes_max for read in reads if isinstance(read, JobsBySeq)]
    assert budgets
    assert max(budgets) <= SMALL_BYTES


# ---- damaged jobs --------------------------------------------------------------------------------


def test_a_damaged_job_is_put_aside_and_the_rest_is_served(driver: Driver) -> None:
    driver.add(P, "q", "a", "b", "c")
    disk = driver.disk.jobs
    damaged = next(seq for seq, row in disk.items() if row.id == "b")
    disk[damaged] = disk[damaged]._replace(is_damaged=True)
    driver.subscribe(W, "q", credit=9)
    assert ids_of(driver.take(W)) == ["a", "c"]
    assert driver.row("b").fail_reason is FailReason.DAMAGED


def test_a_job_that_came_back_and_is_damaged_on_disk_is_put_aside(driver: Driver) -> None:
    item = driver.lease("a")
    driver.add(P, "q", "b")
    damage(driver, "a")
    driver.release(W, item, credit=1)
    assert ids_of(driver.take(W)) == ["b"]
    assert driver.row("a").state is State.FAILED


def test_a_damaged_job_that_is_postponed_while_it_is_read_waits_for_its_instant(
    driver: Driver,
) -> None:
    item = driver.lease("a")
    damage(driver, "a")
    driver.do(W, commands.Release([(commands.Held(item[0], "q", "a"), 0)], 1))
    driver.write()
    driver.begin_read()
    driver.do(P, commands.Change("q", ["a"], None, None, START_MS + 5_000, None))
    driver.flush()
    assert driver.row("a").state is State.DELAYED
    driver.pass_time(5)
    assert driver.row("a").state is State.FAILED


def test_payloads_that_were_read_for_a_queue_that_is_gone_are_dropped(driver: Driver) -> None:
    item = driver.lease("a")
    driver.do(W, commands.Release([(commands.Held(item[0], "q", "a"), 0)], 1))
    driver.do(P, commands.Obliterate("q", True))
    driver.write()
    driver.begin_read()
    driver.reading.reverse()
    driver.end_read()
    driver.flush()
    assert driver.engine.queues == {}


# ---- how much is pushed to one connection --------------------------------------------------------


@pytest.mark.usefixtures("small_pushes")
def test_one_batch_pushes_a_connection_so_many_bytes_and_the_next_goes_on(driver: Driver) -> None:
    driver.subscribe(W, "q", credit=10)
    add(driver, *"abcdefgh")
    driver.write()
    assert ids_of(driver.take(W)) == [*"abc"]
    driver.flush()
    assert ids_of(driver.take(W)) == [*"defgh"]


@pytest.mark.usefixtures("small_pushes")
def test_what_one_worker_cannot_be_pushed_goes_to_the_other(driver: Driver) -> None:
    driver.subscribe(W, "q", credit=10)
    driver.attach(V, "other")
    driver.subscribe(V, "q", credit=10)
    add(driver, *"abcdefgh")
    driver.write()
    assert (ids_of(driver.take(W)), ids_of(driver.take(V))) == ([*"ace"], [*"bdf"])


@pytest.mark.usefixtures("small_pushes")
def test_a_delivery_holds_so_many_bytes(driver: Driver) -> None:
    driver.subscribe(W, "q", credit=10)
    add(driver, *"abc")
    driver.flush()
    deliveries = [output for output in driver.outputs if isinstance(output, Deliver)]
    assert [ids_of(delivery.items) for delivery in deliveries] == [["a", "b"], ["c"]]


@pytest.mark.usefixtures("small_pushes")
def test_a_job_larger_than_a_delivery_goes_alone(driver: Driver) -> None:
    driver.subscribe(W, "q", credit=10)
    add(driver, "a", "b" * 120, "c")
    driver.flush()
    assert ids_of(driver.take(W)) == ["a", "b" * 120, "c"]


@pytest.mark.usefixtures("small_pushes")
def test_a_worker_that_goes_between_two_pushes_leaves_no_trace(driver: Driver) -> None:
    driver.subscribe(W, "q", credit=10)
    add(driver, *"abcdefgh")
    driver.write()
    driver.detach(W)
    assert driver.engine.next_tick_s(driver.moment) > 0
    driver.attach(V, "other")
    driver.subscribe(V, "q", credit=10)
    assert ids_of(driver.take(V)) == [*"defgh"]


def test_a_client_that_does_not_read_is_pushed_nothing_until_it_does(driver: Driver) -> None:
    driver.subscribe(W, "q", credit=2)
    driver.do(W, commands.Hold(True), 0)
    driver.add(P, "q", "a", "b", "c")
    assert driver.take(W) == []
    driver.do(W, commands.Credit(1), 0)
    driver.flush()
    assert driver.take(W) == []
    driver.do(W, commands.Hold(False), 0)
    driver.flush()
    assert ids_of(driver.take(W)) == ["a", "b", "c"]


def test_a_new_connection_is_taken_to_read(driver: Driver) -> None:
    driver.subscribe(W, "q", credit=2)
    driver.do(W, commands.Hold(True), 0)
    driver.detach(W)
    driver.attach(W, "worker")
    driver.subscribe(W, "q", credit=2)
    driver.add(P, "q", "a")
    assert ids_of(driver.take(W)) == ["a"]


# ---- leases that are pushed again ----------------------------------------------------------------


def test_a_lease_that_never_arrived_is_delivered_again_with_the_same_token(driver: Driver) -> None:
    item = driver.lease()
    driver.detach(W)
    driver.attach(V, "worker", leases=[])
    (again,) = driver.take(V)
    assert tuple(again) == tuple(item)


def test_what_a_connection_missed_is_pushed_over_the_next_one_alone(driver: Driver) -> None:
    """The first connection of two breaks before its pushes were read from disk."""
    driver.subscribe(W, "q", credit=2)
    driver.add(P, "q", "a", "b")
    first, second = driver.take(W)
    driver.detach(W)
    driver.engine.attach(V, commands.Attach("worker", "", (), {}), driver.moment)
    driver.do(V, commands.Detach(), 0)
    driver.attach(V + 1, "worker", leases=[first[0]])
    assert driver.take(V) == []
    assert [item[0] for item in driver.take(V + 1)] == [second[0]]


def test_a_lease_that_ended_meanwhile_is_not_pushed_again(driver: Driver) -> None:
    driver.lease()
    driver.detach(W)
    driver.engine.attach(V, commands.Attach("worker", "", (), {}), driver.moment)
    driver.do(P, commands.Remove("q", ["a"], State.ACTIVE))
    driver.flush()
    assert driver.take(V) == []


def test_large_leases_are_pushed_again_in_several_reads(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfastd.engine.dispatch.HEAD_BYTES_MAX", 3)
    driver.subscribe(W, "q", credit=3)
    driver.add(P, "q", "aa", "bb", "cc")
    before = driver.take(W)
    driver.detach(W)
    driver.attach(V, "worker")
    assert driver.take(V) == before


def test_a_lease_whose_job_is_damaged_on_disk_ends_and_frees_its_slot(driver: Driver) -> None:
    driver.ask(P, commands.Configure("q", QueueSettings(concurrency=1)))
    driver.lease()
    driver.add(P, "q", "b")
    driver.attach(P + 5, "other")
    driver.subscribe(P + 5, "q")
    driver.detach(W)
    seq = driver.row("a").seq
    driver.disk.jobs[seq] = driver.disk.jobs[seq]._replace(is_damaged=True)
    driver.attach(V, "worker")
    row = driver.row("a")
    assert (row.state, row.fail_reason) == (State.FAILED, FailReason.DAMAGED)
    assert driver.take(V) == []
    assert ids_of(driver.take(P + 5)) == ["b"]


@pytest.mark.parametrize("is_edited", [False, True])
def test_a_lease_that_was_not_written_when_its_worker_came_back_is_pushed_to_it(
    driver: Driver, is_edited: bool
) -> None:
    """A read would find no row of a new job yet, and the old data of an edited one."""
    driver.subscribe(W, "q", credit=1)
    if is_edited:
        driver.ask(P, commands.Pause("q"))
        driver.add(P, "q", "a")
    driver.begin_write()
    driver.end_write()
    if is_edited:
        driver.do(P, commands.Edit("q", "a", b"edited", None))
        driver.do(P, commands.Resume("q"))
    else:
        driver.do(P, commands.Enqueue("q", [(0, new_job("a"))], []))
    session = next(session for session in driver.engine.sessions.values() if session.leases)
    driver.do(W, commands.Detach(), 0)
    driver.engine.attach(9, commands.Attach(session.id, "w", (), {}), driver.moment)
    driver.read()
    driver.flush()
    (item,) = driver.take(9)
    assert (item[2], item[4]) == ("a", b"edited" if is_edited else b"a")
    driver.flush()
    assert driver.take(9) == []


# ---- what is counted -----------------------------------------------------------------------------


def test_times_that_a_limit_held_a_job_back_are_counted(driver: Driver) -> None:
    driver.ask(P, commands.Configure("q", QueueSettings(concurrency=1)))
    driver.ask(P, commands.Configure("r", QueueSettings(rate=Rate(1, 10_000, 1))))
    driver.subscribe(W, "q", "r", credit=9)
    for name in "qr":
        driver.add(P, name, "a", "b")
    at_once, too_fast = (driver.engine.queues[name].stats for name in "qr")
    assert (at_once.throttled_concurrency, at_once.throttled_rate) == (1, 0)
    assert (too_fast.throttled_concurrency, too_fast.throttled_rate) == (0, 1)


def test_a_wait_is_counted_from_when_the_job_was_ready(driver: Driver) -> None:
    driver.add(P, "q", "a")
    driver.add(P, "q", "b", run_at_ms=START_MS + 2_000)
    driver.pass_time(3)
    driver.subscribe(W, "q", credit=9)
    queue = driver.engine.queues["q"]
    assert queue.stats.wait_seconds.total == 3 + 1
    assert queue.tallies["work"].waits == {bucket_of(3_000): 1, bucket_of(1_000): 1}


@pytest.mark.parametrize("waited_ms", [QUICK_MS - 1, QUICK_MS, QUICK_MS + 1, 60_000, -1_000])
def test_a_wait_of_any_length_is_in_its_bucket(driver: Driver, waited_ms: int) -> None:
    """One that a clock set back makes negative is none."""
    driver.add(P, "q", "a")
    driver.now_ms += waited_ms
    driver.flush()
    driver.subscribe(W, "q")
    (queue,) = driver.engine.queues.values()
    assert queue.tallies["work"].waits == {bucket_of(max(0, waited_ms)): 1}
    assert queue.stats.wait_seconds.total == max(0, waited_ms) / 1000


def test_a_listener_is_told_who_runs_a_job_and_for_which_time(driver: Driver) -> None:
    driver.fail(W, driver.lease(attempts=2))
    driver.ask(P, commands.Listen("q", None))
    driver.do(W, commands.Credit(1), 0)
    driver.flush()
    (event,) = driver.events
    assert (event.kind, event.id, event.name) == (EventNumber.ACTIVE, "a", "work")
    assert event.details == {"attempt": 2, "worker": "w"}


def test_a_delivery_says_all_that_a_handler_may_ask(driver: Driver) -> None:
    driver.lease(attempts=4, max_crashes=9)
    driver.pass_time(31)
    driver.beat(W)
    driver.do(W, commands.Credit(1), 0)
    driver.flush()
    (item,) = driver.take(W)
    driver.release(W, item, credit=1)
    (item,) = driver.take(W)
    token = driver.row("a").token
    assert item == (token, "q", "a", "work", b"a", 2, 4, START_MS, 1, 1)


# ---- what happens meanwhile ----------------------------------------------------------------------


def test_a_worker_that_has_gone_silent_is_passed_over_and_takes_no_turns(driver: Driver) -> None:
    driver.attach(V, "other")
    driver.subscribe(W, "q", credit=5)
    driver.subscribe(V, "q", credit=5)
    driver.pass_time(29)
    driver.beat(V)
    driver.pass_time(2)
    driver.add(P, "q", "a", "b")
    assert (ids_of(driver.take(W)), ids_of(driver.take(V))) == ([], ["a", "b"])
    driver.pass_time(31)
    driver.add(P, "q", "c")
    assert not driver.engine.queues["q"].ready
    assert driver.counts("q") == {"waiting": 3}


def test_a_rate_has_one_timer_that_is_set_anew_when_it_has_come_up(driver: Driver) -> None:
    driver.ask(P, commands.Configure("q", QueueSettings(rate=Rate(1, 10_000, 1))))
    driver.subscribe(W, "q", credit=9)
    timers = driver.engine._partition.rate_timers
    for id in "abc":
        driver.add(P, "q", id)
    queue = driver.engine.queues["q"]
    assert timers == [(queue.rate_timer_at, queue.key)]
    driver.beat(W)
    driver.pass_time(10)
    assert len(driver.take(W)) == 2
    assert timers == [(driver.monotonic + 10, queue.key)]


def test_a_queue_whose_jobs_have_all_gone_needs_no_page(driver: Driver) -> None:
    driver.add(P, "q", "a", "b")
    head = driver.engine.queues["q"].head
    assert head.page_after() is not None
    driver.ask(P, commands.Remove("q", ["a", "b"], None))
    driver.subscribe(W, "q")
    assert head.horizon is None
    assert not driver.engine.wants_reads
    driver.add(P, "q", "c")
    assert ids_of(driver.take(W)) == ["c"]


@pytest.mark.parametrize("is_edited", [False, True])
def test_a_job_that_changed_while_its_page_was_read_is_placed_with_what_it_has_now(
    driver: Driver, is_edited: bool
) -> None:
    driver.ask(P, commands.Pause("q"))
    driver.add(P, "q", "a", "b", "c")
    driver.do(W, commands.Subscribe(["q"], 9))
    driver.write()
    driver.begin_read()
    change = commands.Change("q", ["a"], 5, None, None, None)
    driver.do(P, commands.Edit("q", "a", b"new", None) if is_edited else change)
    driver.end_read()
    driver.ask(P, commands.Resume("q"))
    taken = [(item[2], item[4]) for item in driver.take(W)]
    assert taken == (
        [("a", b"new"), ("b", b"b"), ("c", b"c")]
        if is_edited
        else [("b", b"b"), ("c", b"c"), ("a", b"a")]
    )


def test_payloads_are_read_once_at_a_time(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    item = driver.lease("a")
    reads = count_reads(driver, monkeypatch)
    driver.do(W, commands.Release([(commands.Held(*item[:3]), 0)], 1))
    driver.write()
    driver.do(W, commands.Credit(1), 0)
    driver.flush()
    assert [type(read) for read in reads] == [JobsBySeq]
    assert ids_of(driver.take(W)) == ["a"]


def test_a_payload_that_was_edited_while_it_was_read_is_the_new_one(driver: Driver) -> None:
    item = driver.lease("a")
    driver.do(W, commands.Release([(commands.Held(*item[:3]), 0)], 1))
    driver.write()
    driver.begin_read()
    driver.do(P, commands.Pause("q"))
    driver.do(P, commands.Edit("q", "a", b"new", None))
    driver.end_read()
    driver.ask(P, commands.Resume("q"))
    assert [item[4] for item in driver.take(W)] == [b"new"]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (commands.Cancel("q", ["b"], None), ["a", "c"]),
        (commands.Change("q", ["b"], 5, None, None, None), ["a", "c", "b"]),
        (commands.Remove("q", ["b"], None), ["a", "c"]),
    ],
)
def test_a_job_that_was_looked_up_and_changed_before_its_page_came_is_where_it_belongs(
    driver: Driver, command: commands.Command, expected: list[str]
) -> None:
    """Both are read together; of the job there is only what the look-up gave: no payload."""
    driver.add(P, "q", "a", "b", "c")
    driver.do(P, command)
    driver.do(W, commands.Subscribe(["q"], 9))
    driver.flush()
    taken = [(item[2], item[4]) for item in driver.take(W)]
    assert taken == [(id, id.encode()) for id in expected]


def test_a_connection_that_breaks_while_its_leases_are_read_is_pushed_nothing(
    driver: Driver,
) -> None:
    driver.lease("a")
    driver.detach(W)
    driver.engine.attach(V, commands.Attach("worker", "", (), {}), driver.moment)
    driver.write()
    driver.begin_read()
    driver.do(V, commands.Detach(), 0)
    driver.end_read()
    driver.flush()
    assert driver.take(V) == []


def test_leases_larger_than_a_push_come_back_page_by_page(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.subscribe(W, "q", credit=3)
    driver.add(P, "q", "aa", "bb", "cc")
    before = driver.take(W)
    monkeypatch.setattr(dispatch, "PUSH_BYTES_MAX", 3)
    reads = count_reads(driver, monkeypatch)
    driver.detach(W)
    driver.attach(V, "worker")
    assert driver.take(V) == before
    assert [len(read.seqs) for read in reads if isinstance(read, JobsBySeq)] == [3, 2, 1]


def test_a_lease_that_ends_while_it_is_read_is_left_out(driver: Driver) -> None:
    driver.subscribe(W, "q", credit=2)
    driver.add(P, "q", "a", "b")
    driver.take(W)
    driver.detach(W)
    driver.engine.attach(V, commands.Attach("worker", "", (), {}), driver.moment)
    driver.write()
    driver.begin_read()
    driver.do(P, commands.Remove("q", ["a"], State.ACTIVE))
    driver.end_read()
    driver.flush()
    assert ids_of(driver.take(V)) == ["b"]
