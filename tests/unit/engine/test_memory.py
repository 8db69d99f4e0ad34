"""head.py and its owners: what is in memory, what is only on disk, and when it is read."""

from typing import Any

import pytest

from holdfastd.engine import commands, dispatch, partition, queue
from holdfastd.engine.changes import DelayedPage, JobsBySeq, WaitingPage
from holdfastd.engine.head import Head
from holdfastd.engine.model import DEFAULT_OPTIONS, Job, NewJob, QueueKey, Seq, State
from support.engine import START_MS, Driver, P, W, ids_of, new_job

SMALL_HEAD = 4
SMALL_BYTES = 1_000


@pytest.fixture
def small_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "HEAD_JOBS_MAX", SMALL_HEAD)
    monkeypatch.setattr(partition, "DELAYED_HEAD_JOBS_MAX", SMALL_HEAD)


@pytest.fixture
def small_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "HEAD_BYTES_MAX", SMALL_BYTES)
    monkeypatch.setattr(dispatch, "HEAD_BYTES_MAX", SMALL_BYTES)


def add_large(driver: Driver, ids: list[str], bytes: int, priority: int = 0) -> None:
    jobs = [NewJob(id, False, "work", b"x" * bytes, priority) for id in ids]
    driver.ask(P, commands.Enqueue("q", list(enumerate(jobs)), []))


def numbered(count: int) -> list[str]:
    return [f"j{number:03}" for number in range(count)]


def bare_job(seq: int) -> Job:
    return Job(
        Seq(seq), QueueKey(1), f"j{seq}", "n", State.WAITING, 0, seq, 0, 0, DEFAULT_OPTIONS, b"x"
    )


def count_reads(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every read from now on."""
    reads: list[Any] = []
    pages = driver.pages

    def counted(wanted: list[Any]) -> Any:
        reads.extend(wanted)
        return pages(wanted)

    monkeypatch.setattr(driver, "pages", counted)
    return reads


# ---- waiting jobs --------------------------------------------------------------------------------


def test_a_queue_without_a_worker_keeps_but_its_first_job_in_memory(driver: Driver) -> None:
    driver.add(P, "q", *numbered(50))
    assert list(driver.engine.queues["q"].jobs) == ["j000"]
    driver.subscribe(W, "q", credit=0)
    assert len(driver.engine.queues["q"].jobs) == 50
    driver.subscribe(W, "elsewhere", credit=0)
    assert list(driver.engine.queues["q"].jobs) == ["j000"]


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


def test_entries_of_jobs_that_left_do_not_pile_up() -> None:
    """Such as a reminder in an hour that is set and taken back all day long."""
    head = Head(10_000, 1_000_000)
    head.place(bare_job(1), 0, 1)
    for number in range(2, 5_000):
        job = bare_job(number)
        head.place(job, 1, number)
        head.unplace(job)
        assert len(head._entries) <= 200
    assert (head.count, head.bytes) == (1, 1)


# ---- delayed jobs --------------------------------------------------------------------------------


def test_a_job_that_was_forgotten_and_read_again_can_take_its_old_place() -> None:
    head = Head(10, None)
    before, again = bare_job(1), bare_job(1)
    for _ in range(3):
        head.place(before, 5, 1)
        head.unplace(before)
    head.place(again, 5, 1)
    assert head.peek() is again


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


def test_a_burst_of_due_jobs_is_promoted_in_several_steps(driver: Driver) -> None:
    driver.add(P, "q", *numbered(999), *"abc", run_at_ms=START_MS + 1_000)
    driver.now_ms += 1_000
    driver.engine.tick(driver.moment)
    assert driver.counts("q") == {"waiting": 1_000, "delayed": 2}
    assert driver.engine.next_tick_s(driver.moment) == 0
    driver.flush()
    assert driver.counts("q") == {"waiting": 1_002}
