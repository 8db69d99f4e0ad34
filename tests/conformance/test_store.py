"""One suite over every store: the model and SQLite. What differs is only what survives where."""

import sqlite3
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from holdfastd.engine.changes import (
    AddedRow,
    AttemptRow,
    Batch,
    Clearing,
    CompletedRow,
    DelayedPage,
    EditedRow,
    FinishedPage,
    HistoryCut,
    HistoryPage,
    HistoryRow,
    JobsById,
    JobsBySeq,
    LeasedRow,
    LogRow,
    MovedRow,
    QueuePage,
    QueueRow,
    RewrittenRow,
    SessionRow,
    WaitingPage,
    key_of,
)
from holdfastd.engine.history import ALL, HOUR_MS, MINUTE_MS
from holdfastd.engine.model import (
    DEFAULT_OPTIONS,
    AttemptOutcome,
    Backoff,
    BackoffKind,
    FailReason,
    Jitter,
    JobOptions,
    Keep,
    QueueKey,
    QueueSettings,
    Rate,
    Retention,
    Seq,
    SessionKey,
    State,
    Token,
)
from holdfastd.engine.recurrence import Cron, Every
from holdfastd.engine.schedules import Missed, Origin, Overlap, Schedule, ScheduleSpec
from holdfastd.store.base import (
    ATTEMPTS_KEPT,
    DETAIL_BYTES_MAX,
    HistoryOrder,
    JobCursor,
    StoreBroken,
    StoreDeposed,
    StoreRefused,
)
from holdfastd.store.files import DATABASE_NAME
from holdfastd.store.memory import Disk, MemoryStore
from holdfastd.store.schema import SCHEMA_VERSION
from holdfastd.store.sqlite import SqliteStore

Q = QueueKey(1)
COUNTS = (0, 1, 2, 3, 0, 4, 5, 0)
OPTIONS = JobOptions(
    5, 2, Backoff(BackoffKind.EXPONENTIAL, (1000,), 3.0, 60_000, Jitter.FULL), ("eu",)
)
SETTINGS = QueueSettings(3, Rate(10, 1000, 2), Retention(Keep(None, 5), Keep(7, None)))


class Case:
    """A store that can be opened again, as after a restart of the daemon."""

    def __init__(self, kind: str, directory: Path):
        self.kind = kind
        self.directory = directory
        self.disk = Disk()
        self.number = 0
        self.store: Any = None

    async def open(self) -> Any:
        if self.kind == "memory":
            self.store = MemoryStore(self.disk)
        else:
            self.store = SqliteStore(self.directory, reserve_bytes=0)
        recovered = await self.store.open()
        self.number = recovered.batch
        return recovered

    async def reopen(self) -> Any:
        await self.store.close()
        return await self.open()

    async def write(self, **changes: Any) -> None:
        self.number += 1
        await self.store.apply(Batch(number=self.number, **changes))


@pytest_asyncio.fixture(params=["memory", "sqlite"])
async def case(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Case]:
    case = Case(request.param, tmp_path / "data")
    await case.open()
    yield case
    await case.store.close()


def added(seq: int, **changes: Any) -> AddedRow:
    row = AddedRow(
        seq=Seq(seq),
        queue=Q,
        id=f"job-{seq}",
        name="resize",
        state=State.WAITING,
        priority=0,
        order=seq,
        run_at_ms=0,
        created_at_ms=1_000 + seq,
        options=DEFAULT_OPTIONS,
        payload=b"payload %d" % seq,
        token=Token(0),
        session=SessionKey(0),
        started_at_ms=0,
    )
    return row._replace(**changes)


def rewritten(seq: int, **changes: Any) -> RewrittenRow:
    row = RewrittenRow(
        Seq(seq), State.FAILED, 7, -seq, 5, 1, 2, 3, Token(9), SessionKey(0), 11, 12,
        FailReason.CRASHED, None, b"half", 4,
    )  # fmt: skip
    return row._replace(**changes)


async def page(case: Case, read: Any) -> Any:
    (answer,) = await case.store.read([read])
    return answer


async def test_an_added_job_comes_back_as_it_was_written(case: Case) -> None:
    active = {"state": State.ACTIVE, "token": Token(5), "session": SessionKey(2)}
    await case.write(
        added=[
            added(1),
            added(2, options=OPTIONS, priority=-3, order=-2),
            added(3, state=State.DELAYED, run_at_ms=99),
            added(4, **active, started_at_ms=77),
            added(5, **active, started_at_ms=78, options=OPTIONS, payload=b"x" * 1_000_000),
        ]
    )
    await case.reopen()
    rows = (await page(case, JobsBySeq(tuple(map(Seq, range(1, 6))), 10**7))).rows
    assert [row.seq for row in rows] == [1, 2, 3, 4, 5]
    assert (rows[0].id, rows[0].name, rows[0].created_at_ms) == ("job-1", "resize", 1001)
    assert (rows[1].options, rows[1].priority, rows[1].order) == (OPTIONS, -3, -2)
    assert (rows[2].state, rows[2].run_at_ms) == (State.DELAYED, 99)
    assert (rows[3].token, rows[3].session, rows[3].started_at_ms) == (5, 2, 77)
    assert (len(rows[4].payload), rows[4].started_at_ms) == (1_000_000, 78)
    assert not any(row.is_damaged for row in rows)


async def test_a_life_from_waiting_over_leased_to_completed(case: Case) -> None:
    await case.write(added=[added(seq) for seq in range(1, 4)])
    leases = [LeasedRow(Seq(seq), Token(seq), SessionKey(1), 50) for seq in (1, 2, 3)]
    await case.write(leased=leases)
    recovered = await case.reopen()
    assert [(row.seq, row.token, row.payload) for row in recovered.active] == [
        (1, 1, None),
        (2, 2, None),
        (3, 3, None),
    ]
    done = [CompletedRow(Seq(1), 60, None), CompletedRow(Seq(2), 60, b"ok")]
    await case.write(completed=[*done, CompletedRow(Seq(3), 61, None)])
    assert (await case.reopen()).active == []
    detail = await case.store.job(Q, "job-2")
    assert (detail.row.state, detail.row.result) == (State.COMPLETED, b"ok")
    assert (detail.row.session, detail.row.token) == (0, 2)
    finished = await page(case, FinishedPage(Q, State.COMPLETED, 61, 10))
    assert (finished.seqs, finished.has_more) == ((1, 2), False)


async def test_a_rewrite_changes_everything_but_the_payload(case: Case) -> None:
    await case.write(added=[added(1)], rewritten=[rewritten(1)])
    row = (await page(case, JobsBySeq((Seq(1),), 100))).rows[0]
    found = {name: getattr(row, name) for name in RewrittenRow._fields}
    assert found == rewritten(1)._asdict()
    assert row.payload == b"payload 1"


async def test_a_moved_and_an_edited_job_are_whole(case: Case) -> None:
    await case.write(added=[added(seq) for seq in range(1, 5)])
    other = QueueKey(2)
    await case.write(
        rewritten=[rewritten(seq, state=State.WAITING) for seq in (1, 2, 3)],
        moved=[MovedRow(Seq(1), other), MovedRow(Seq(3), other)],
        edited=[EditedRow(Seq(2), b"new"), EditedRow(Seq(3), b"newer")],
    )
    await case.reopen()
    rows = (await page(case, JobsBySeq(tuple(map(Seq, range(1, 5))), 10**6))).rows
    assert [(row.queue, row.payload) for row in rows] == [
        (other, b"payload 1"),
        (Q, b"new"),
        (other, b"newer"),
        (Q, b"payload 4"),
    ]
    assert not any(row.is_damaged for row in rows)
    assert await case.store.job(Q, "job-1") is None
    assert (await case.store.job(other, "job-1")).row.seq == 1


def attempt_of(seq: int, number: int, traceback: str = "") -> AttemptRow:
    outcome = AttemptOutcome.FAILED
    return AttemptRow(Seq(seq), Token(number), number, 1, 2, outcome, "E", "no", traceback, "w")


async def test_only_the_last_attempts_of_a_job_are_kept(case: Case) -> None:
    last = ATTEMPTS_KEPT + 5
    await case.write(added=[added(1), added(2)], attempts=[attempt_of(2, 1)])
    for number in range(1, last + 1):
        await case.write(attempts=[attempt_of(1, number)])
    detail = await case.store.job(Q, "job-1")
    assert [attempt.attempt for attempt in detail.attempts] == [*range(6, last + 1)]
    assert (await case.store.job(Q, "job-2")).attempts == [attempt_of(2, 1)]


async def test_a_job_is_read_with_the_newest_attempts_and_logs_that_fit(case: Case) -> None:
    long = "ä" * (DETAIL_BYTES_MAX // 10)
    attempts = [attempt_of(1, number, long) for number in range(1, 10)]
    logs = [LogRow(Seq(1), number, 5, long) for number in range(1, 10)]
    await case.write(added=[added(1)], attempts=attempts, logs=logs)
    detail = await case.store.job(Q, "job-1")
    assert (detail.attempts, detail.logs) == (attempts[-4:], logs[-4:])


async def test_removing_a_job_takes_its_attempts_and_logs_along(case: Case) -> None:
    attempt = AttemptRow(
        Seq(1), Token(1), 1, 2, 3, AttemptOutcome.FAILED, "E", "message", "trace", "w"
    )
    await case.write(added=[added(1), added(2)], attempts=[attempt])
    await case.write(logs=[LogRow(Seq(1), 2, 5, "b"), LogRow(Seq(1), 1, 4, "a")])
    detail = await case.store.job(Q, "job-1")
    assert detail.attempts == [attempt]
    assert [log.text for log in detail.logs] == ["a", "b"]
    await case.write(removed=[Seq(1)])
    assert await case.store.job(Q, "job-1") is None
    await case.write(added=[added(3, id="job-1")])
    assert (await case.store.job(Q, "job-1")).attempts == []


async def test_queues_and_sessions_are_kept_and_removed(case: Case) -> None:
    clearing = Clearing((State.WAITING, State.DELAYED), Seq(7), False)
    queue = QueueRow(Q, "mail", True, SETTINGS, 123, COUNTS, clearing)
    plain = QueueRow(QueueKey(2), "other", False, QueueSettings(), 0, COUNTS)
    session = SessionRow(SessionKey(1), "abc", "worker-1", 41, 39, 1_000, True)
    await case.write(queues=[queue, plain], sessions=[session], next_seq=Seq(9))
    await case.write(sessions=[session._replace(last_request=42)], next_seq=Seq(9))
    recovered = await case.reopen()
    assert recovered.queues == [queue, plain]
    assert recovered.sessions == [session._replace(last_request=42)]
    assert recovered.next_seq == 9
    await case.write(queues_removed=[Q], sessions_removed=[SessionKey(1)])
    recovered = await case.reopen()
    assert (recovered.queues, recovered.sessions) == ([plain], [])


async def test_a_queue_or_session_comes_back_by_its_name_in_the_batch_that_removes_it(
    case: Case,
) -> None:
    queue = QueueRow(Q, "mail", False, QueueSettings(), 0, COUNTS)
    session = SessionRow(SessionKey(1), "abc", "", 1, 0, 1_000)
    await case.write(queues=[queue], sessions=[session])
    again = queue._replace(key=QueueKey(2)), session._replace(key=SessionKey(2))
    await case.write(
        queues=[again[0]],
        sessions=[again[1]],
        queues_removed=[Q],
        sessions_removed=[SessionKey(1)],
    )
    recovered = await case.reopen()
    assert (recovered.queues, recovered.sessions) == ([again[0]], [again[1]])


def schedule(id: str, **changes: Any) -> Schedule:
    spec = ScheduleSpec("q", id, Every(60_000), "resize", b"data")
    made = Schedule(Q, spec, False, 1_000, 61_000, None, None, 0, 0, 0, 1_234, 1_234)
    return made._replace(**changes)


SPEC = ScheduleSpec(
    "q", "nightly", Cron("30 2 * * 1-5", "Europe/Berlin"), "n", b"\0", -3, True, OPTIONS,
    Missed.SKIP, Overlap.SKIP, Origin.DASHBOARD,
)  # fmt: skip


async def test_schedules_come_back_as_they_were_written_last(case: Case) -> None:
    whole = schedule(
        "nightly", spec=SPEC, is_paused=True, next_at_ms=None, last_due_at_ms=5,
        last_job_id="nightly@1970-01-01T00:00:00.005Z", fired=7, missed=8, skipped=9,
        changed_at_ms=2_345,
    )  # fmt: skip
    await case.write(queues=[QueueRow(Q, "q", False, SETTINGS, 0, COUNTS)])
    await case.write(schedules=[schedule("a"), schedule("b"), schedule("nightly")])
    await case.write(schedules=[whole, schedule("a", fired=1)])
    recovered = await case.reopen()
    found = {each.spec.id: each for each in recovered.schedules}
    assert found == {"a": schedule("a", fired=1), "b": schedule("b"), "nightly": whole}
    await case.write(schedules_removed=[(Q, "a"), (Q, "b")], schedules=[schedule("b", fired=5)])
    recovered = await case.reopen()
    assert {each.spec.id: each.fired for each in recovered.schedules} == {"b": 5, "nightly": 7}


async def test_a_damaged_schedule_is_noticed(tmp_path: Path) -> None:
    case = Case("sqlite", tmp_path)
    await case.open()
    await case.write(
        queues=[QueueRow(Q, "q", False, SETTINGS, 0, COUNTS)], schedules=[schedule("a")]
    )
    await case.store.close()
    with closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as connection:
        connection.execute("UPDATE schedule SET spec = CAST(replace(spec, 'dat', 'dbt') AS BLOB)")
        connection.commit()
    with pytest.raises(StoreBroken, match=r"schedule a of queue q is damaged\): restore a backup"):
        await case.open()


async def test_a_batch_that_does_not_follow_is_refused_and_changes_nothing(case: Case) -> None:
    await case.write(added=[added(1)])
    for number in (case.number, case.number + 2):
        with pytest.raises(StoreDeposed):
            await case.store.apply(Batch(number=number, added=[added(2)]))
    assert await case.store.last_batch() == case.number
    assert await case.store.job(Q, "job-2") is None
    await case.write(added=[added(2)])


async def test_each_open_raises_the_epoch(case: Case) -> None:
    first = (await case.reopen()).epoch
    assert (await case.reopen()).epoch == first + 1


async def test_waiting_pages_follow_priority_and_order_without_gaps(case: Case) -> None:
    await case.write(added=[added(seq, priority=seq % 3, order=-seq) for seq in range(1, 31)])
    await case.write(added=[added(99, queue=QueueKey(2))])
    seen: list[tuple[int, int]] = []
    after, has_more = None, True
    while has_more:
        answer = await page(case, WaitingPage(Q, after, 7, 10**6))
        seen += [(row.priority, row.order) for row in answer.rows]
        after, has_more = seen[-1], answer.has_more
        assert all(row.payload for row in answer.rows)
    assert seen == sorted((seq % 3, -seq) for seq in range(1, 31))


async def test_pages_are_cut_by_bytes_after_one_row_at_least(case: Case) -> None:
    await case.write(added=[added(seq, payload=b"x" * 100) for seq in range(1, 6)])
    answer = await page(case, WaitingPage(Q, None, 10, 150))
    assert (len(answer.rows), answer.has_more) == (2, True)
    answer = await page(case, JobsBySeq((Seq(5), Seq(3), Seq(77), Seq(1)), 250))
    assert ([row.seq for row in answer.rows], answer.has_more) == ([5, 3], True)


async def test_no_more_is_read_than_a_page_may_hold(case: Case) -> None:
    """The largest payloads: a page of 2,000 of them would be 2 GB before it was cut."""
    megabyte = b"x" * 1_000_000
    for seq in range(1, 41):
        await case.write(added=[added(seq, payload=megabyte)])
    tracemalloc.start()
    try:
        answer = await page(case, WaitingPage(Q, None, 2_000, 2_000_000))
        assert (len(answer.rows), answer.has_more) == (2, True)
        rows, cursor = await case.store.jobs(Q, State.WAITING, None, 1_000, 2_000_000)
        assert (len(rows), cursor is not None) == (2, True)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 10_000_000


async def test_delayed_pages_go_over_all_queues_by_due_time(case: Case) -> None:
    delayed = [
        added(seq, state=State.DELAYED, run_at_ms=100 - seq, queue=QueueKey(seq % 2 + 1))
        for seq in range(1, 6)
    ]
    await case.write(added=delayed)
    answer = await page(case, DelayedPage((96, 4), 2))
    assert ([row.seq for row in answer.rows], answer.has_more) == ([3, 2], True)


async def test_jobs_are_found_by_id(case: Case) -> None:
    await case.write(added=[added(1), added(2), added(3, id='a "quoted" ü')])
    await case.write(rewritten=[rewritten(2)])
    answer = await page(case, JobsById(Q, ("job-1", 'a "quoted" ü', "nope")))
    assert [(row.seq, row.payload) for row in answer.rows] == [(1, None), (3, None)]


@pytest.mark.parametrize("state", [State.WAITING, State.DELAYED, State.ACTIVE, State.FAILED])
async def test_a_queue_is_paged_state_by_state(case: Case, state: State) -> None:
    await case.write(added=[added(seq) for seq in range(1, 8)])
    await case.write(added=[added(8, queue=QueueKey(2))])
    rows = [
        rewritten(
            seq, state=state, priority=0, order=seq, run_at_ms=seq, token=Token(seq),
            finished_at_ms=seq // 2,
        )
        for seq in range(1, 7)
    ]  # fmt: skip
    await case.write(rewritten=[*rows, rewritten(8, state=state, token=Token(8))])
    seen: list[int] = []
    after = None
    while True:
        answer = await page(case, QueuePage(Q, state, after, 2))
        seen += [row.seq for row in answer.rows]
        if not answer.has_more:
            break
        after = key_of(state, answer.rows[-1])
    assert seen == [1, 2, 3, 4, 5, 6, *([7] if state is State.WAITING else [])]


@pytest.mark.parametrize("state", [State.WAITING, State.DELAYED, State.ACTIVE, State.FAILED])
async def test_listings_page_without_gaps_or_repeats(case: Case, state: State) -> None:
    await case.write(added=[added(seq) for seq in range(1, 24)])
    rows = [
        rewritten(
            seq, state=state, priority=0, order=seq, run_at_ms=seq, token=Token(seq),
            finished_at_ms=seq // 2,
        )
        for seq in range(1, 24)
    ]  # fmt: skip
    await case.write(rewritten=rows)
    seen: list[int] = []
    after: JobCursor | None = None
    while True:
        found, after = await case.store.jobs(Q, state, after, 5, 10**6)
        seen += [row.seq for row in found]
        if after is None:
            break
    expected = list(range(1, 24))
    assert seen == (expected[::-1] if state is State.FAILED else expected)


# ---- SQLite alone --------------------------------------------------------------------------------


async def test_a_flipped_byte_of_a_payload_is_noticed(tmp_path: Path) -> None:
    case = Case("sqlite", tmp_path)
    await case.open()
    await case.write(added=[added(1, payload=b"precious-" * 20), added(2)])
    await case.store.close()
    path = tmp_path / DATABASE_NAME
    content = bytearray(path.read_bytes())
    content[content.index(b"precious-precious-") + 20] ^= 1
    path.write_bytes(content)
    await case.open()
    rows = (await page(case, JobsBySeq((Seq(1), Seq(2)), 10**6))).rows
    assert [row.is_damaged for row in rows] == [True, False]
    await case.write(moved=[MovedRow(Seq(seq), QueueKey(2)) for seq in (1, 2)])
    rows = (await page(case, JobsBySeq((Seq(1), Seq(2)), 10**6))).rows
    assert [row.is_damaged for row in rows] == [True, False], "moving makes nothing good"
    await case.write(edited=[EditedRow(Seq(1), b"precious again")])
    rows = (await page(case, JobsBySeq((Seq(1), Seq(2)), 10**6))).rows
    assert [row.is_damaged for row in rows] == [False, False]
    await case.store.close()


async def test_the_tags_of_a_job_are_rows_for_as_long_as_it_is_there(tmp_path: Path) -> None:
    def tags() -> list[tuple[str, int]]:
        with closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as connection:
            return connection.execute("SELECT tag, seq FROM tag ORDER BY tag, seq").fetchall()

    case = Case("sqlite", tmp_path)
    await case.open()
    tagged = JobOptions(tags=("vip", "eu"))
    await case.write(added=[added(1, options=tagged), added(2), added(3, options=OPTIONS)])
    assert tags() == [("eu", 1), ("eu", 3), ("vip", 1)]
    await case.write(removed=[Seq(1)])
    assert tags() == [("eu", 3)]
    await case.write(removed=[Seq(2), Seq(3)])
    assert tags() == []
    await case.store.close()


async def refused(directory: Path) -> str:
    with pytest.raises(StoreRefused) as error:
        await SqliteStore(directory, reserve_bytes=0).open()
    return str(error.value)


async def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / DATABASE_NAME) as connection:
        connection.execute("CREATE TABLE other (x)")
    connection.close()
    assert "is a database, but not one of Holdfast" in await refused(tmp_path)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / DATABASE_NAME).write_bytes(b"not a database " * 1000)
    assert "cannot be opened as a database" in await refused(tmp_path)


async def test_a_newer_schema_is_refused_unread(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path, reserve_bytes=0)
    await store.open()
    await store.close()
    with sqlite3.connect(tmp_path / DATABASE_NAME) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert f"has schema 99, this holdfastd knows up to {SCHEMA_VERSION}" in await refused(tmp_path)


async def test_a_second_store_on_the_directory_is_refused_naming_the_pid(tmp_path: Path) -> None:
    import os

    store = SqliteStore(tmp_path, reserve_bytes=0)
    await store.open()
    assert f"another holdfastd (pid {os.getpid()}) has" in await refused(tmp_path)
    await store.close()


async def test_what_was_applied_survives_a_store_that_is_never_closed(tmp_path: Path) -> None:
    case = Case("sqlite", tmp_path / "a")
    await case.open()
    await case.write(added=[added(1)])
    for name in (DATABASE_NAME, f"{DATABASE_NAME}-wal", "holdfast.unclean"):
        target = tmp_path / "b" / name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes((tmp_path / "a" / name).read_bytes())
    await case.store.close()
    copy = Case("sqlite", tmp_path / "b")
    assert (await copy.open()).batch == 1
    assert (await copy.store.job(Q, "job-1")).row.payload == b"payload 1"
    await copy.store.close()


# ---- history -------------------------------------------------------------------------------------


def history_row(at_ms: int, queue: str, name: str, **changes: Any) -> HistoryRow:
    row = HistoryRow(
        MINUTE_MS, at_ms, queue, name, 5, 3, 1, 2, 1, 700, {0: 2, 40: 1}, {7: 3, 127: 2**40}
    )
    return row._replace(**changes)


async def test_history_comes_back_as_it_was_written_last(case: Case) -> None:
    first, second = history_row(60_000, "q", "work"), history_row(120_000, "q", "work", waits={})
    other = history_row(60_000, "q", 'Grüße \'n "quotes"')
    await case.write(history=[first._replace(added=1), other, second])
    await case.write(history=[first])
    await case.reopen()
    places = [(MINUTE_MS, at_ms) for at_ms in (0, 60_000, 120_000)] + [(HOUR_MS, 0)]
    assert sorted(await case.store.history("q", "work", places)) == [first, second]
    assert await case.store.history("q", other.name, places) == [other]
    assert await case.store.history("Q", "work", places) == []
    assert await case.store.history("q", "work", []) == []


async def test_a_minute_is_read_with_its_hour_without_the_sums(case: Case) -> None:
    minute = history_row(HOUR_MS + MINUTE_MS, "q", "work")
    hour = history_row(HOUR_MS, "q", "work", step_ms=HOUR_MS)
    others = [
        minute._replace(at_ms=HOUR_MS),
        hour._replace(at_ms=0),
        minute._replace(name=ALL),
        minute._replace(queue=ALL, name=ALL),
        hour._replace(name=ALL),
    ]
    await case.write(history=[minute, hour, *others])
    found = (await page(case, HistoryPage(HOUR_MS + MINUTE_MS, HOUR_MS))).history
    assert sorted(found) == [minute, hour]


async def test_history_is_cut_from_its_oldest_end_a_step_at_a_time(case: Case) -> None:
    rows = [history_row(at * MINUTE_MS, "q", name) for at in range(4) for name in ("a", "b")]
    hour = history_row(0, "q", "a", step_ms=HOUR_MS)
    await case.write(history=[*rows, hour])
    places = [(MINUTE_MS, at * MINUTE_MS) for at in range(4)] + [(HOUR_MS, 0)]

    async def left() -> list[int]:
        found = [await case.store.history("q", name, places) for name in ("a", "b")]
        return [len(part) for part in found]

    await case.write(history_cuts=[HistoryCut(MINUTE_MS, 2 * MINUTE_MS, 3)])
    assert await left() == [1 + 2, 3]
    await case.write(history_cuts=[HistoryCut(MINUTE_MS, 2 * MINUTE_MS, 3)])
    assert await left() == [1 + 2, 2]
    await case.write(history_cuts=[HistoryCut(MINUTE_MS, 2 * MINUTE_MS, 3)])
    assert await left() == [1 + 2, 2]
    await case.write(history_cuts=[HistoryCut(HOUR_MS, 1, 3)])
    assert await left() == [2, 2]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (HistoryOrder.FAILED, ["bad", "slow", "work"]),
        (HistoryOrder.ENDED, ["work", "bad", "slow"]),
        (HistoryOrder.MEAN_RUN, ["slow", "bad", "work"]),
    ],
)
async def test_pairs_are_ordered_by_their_sums(
    case: Case, order: HistoryOrder, expected: list[str]
) -> None:
    def rows(name: str, completed: int, failed: int, run_ms: int) -> list[HistoryRow]:
        row = history_row(0, "q", name, completed=completed, failed=failed, run_ms=run_ms)
        return [row, row._replace(at_ms=MINUTE_MS), row._replace(name=ALL)]

    outside = history_row(5 * MINUTE_MS, "q", "outside", failed=10**6)
    hour = history_row(0, "q", "hour", step_ms=HOUR_MS)
    await case.write(history=[outside, hour])
    for name, completed, failed, run_ms in (
        ("work", 100, 1, 1_000),
        ("bad", 20, 30, 1_000),
        ("slow", 5, 2, 9_000),
        ("idle", 0, 0, 0),
    ):
        await case.write(history=rows(name, completed, failed, run_ms))
    found = await case.store.history_top(order, MINUTE_MS, 0, 2 * MINUTE_MS, 10)
    assert [pair.name for pair in found] == expected
    work = found[expected.index("work")]
    assert work[:4] == ("q", "work", 200, 2)
    assert list(work.runs) == [{7: 3, 127: 2**40}] * 2
    shorter = await case.store.history_top(order, MINUTE_MS, 0, 2 * MINUTE_MS, 1)
    assert [pair.name for pair in shorter] == expected[:1]
