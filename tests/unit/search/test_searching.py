"""Searches on a real database: what they find, page by page, and when time is up."""

import random
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfastd.engine.model import FINISHED, FailReason, State
from holdfastd.search import paths
from holdfastd.search.found import BadCursor, Found
from holdfastd.search.process import connect
from holdfastd.search.query import parse
from holdfastd.search.searching import Searching
from support.shelf import NOW_MS, Shelf, Shelved

HOUR_MS = 3_600_000
QUEUES = ["mail", "mail.eu", "sms", "images", "never"]
NAMES = ["send", "resize", "send_late", "a b"]
ERRORS = [
    ("TimeoutError", "timed out", "w1"),
    ("ValueError", "100% wrong", "w2"),
    ("OSError", "", ""),
]


def no_sleep(seconds: float) -> None:
    """Of a search, between two windows."""


class StillClock:
    def __call__(self) -> float:
        return 0.0


class RunningClock:
    """Each look at it takes so many seconds."""

    def __init__(self, step_s: float):
        self.step_s = step_s
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    shelf = Shelf(tmp_path)
    yield shelf
    shelf.close()


@pytest.fixture
def reader(shelf: Shelf, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = connect(tmp_path)
    yield connection
    connection.close()


@pytest.fixture
def searching(reader: sqlite3.Connection) -> Searching:
    return Searching(reader, StillClock(), no_sleep)


def ids(found: Found) -> list[str]:
    return [job.row.id for job in found.jobs]


def find(searching: Searching, text: str, limit: int = 1000) -> list[str]:
    return ids(searching.page(parse(text, NOW_MS), None, None, limit))


def through(
    searching: Searching, text: str, limit: int, allows: Callable[[str], bool] | None = None,
    between: Callable[[], object] = lambda: None,
) -> list[str]:  # fmt: skip
    """All pages, one after the other."""
    query, after, found = parse(text, NOW_MS), None, list[str]()
    while True:
        page = searching.page(query, allows, after, limit)
        assert len(page.jobs) <= limit
        found += ids(page)
        after = page.next
        if after is None:
            return found
        between()


# ---- against a plain description -----------------------------------------------------------------


def many_jobs(count: int, seed: int) -> list[Shelved]:
    dice = random.Random(seed)
    return [_job(dice, number) for number in range(count)]


def _job(dice: random.Random, number: int) -> Shelved:
    state = dice.choice([state for state in State if state is not State.BLOCKED])
    created_at_ms = NOW_MS - 1_000 * HOUR_MS + number * HOUR_MS * 3 // 2
    errors = tuple(dice.choices(ERRORS, k=dice.choice([0, 0, 0, 1, 3])))
    has_run = state in FINISHED or state is State.ACTIVE
    return Shelved(
        queue=dice.choice(QUEUES[:4]),
        id=f"{'yx'[number % 2]}-{number}",
        name=dice.choice(NAMES),
        state=state,
        data=dice.choice(
            [
                None,
                {"user_id": dice.randrange(5)},
                {"user_id": "3", "tags": ["eu", 7]},
                [1, {"a": 2.5}],
            ]
        ),
        tags=tuple(dice.sample(["eu", "vip", "a b"], dice.choice([0, 0, 1, 2]))),
        priority=dice.choice([-1, 0, 0, 0, 5]),
        created_at_ms=created_at_ms,
        run_at_ms=NOW_MS + dice.randrange(100) * HOUR_MS if state is State.DELAYED else 0,
        started_at_ms=created_at_ms + 5 if has_run else 0,
        finished_at_ms=created_at_ms + dice.randrange(5) * HOUR_MS if state in FINISHED else 0,
        failures=len(errors),
        crashes=dice.choice([0, 0, 1]),
        reason=dice.choice([FailReason.ERROR, FailReason.CRASHED])
        if state is State.FAILED
        else FailReason.NONE,
        worker=dice.choice(["w1", "w2"]) if state is State.ACTIVE else "",
        errors=errors,
    )


def has_user(job: Shelved, user: int) -> bool:
    return isinstance(job.data, dict) and str(job.data.get("user_id")) == str(user)


QUERIES: dict[str, Callable[[Shelved], bool]] = {
    "": lambda job: True,
    "state:failed": lambda job: job.state is State.FAILED,
    "state:waiting": lambda job: job.state is State.WAITING,
    "state:delayed": lambda job: job.state is State.DELAYED,
    "state:active": lambda job: job.state is State.ACTIVE,
    "state:blocked": lambda job: False,
    "-state:completed,failed": lambda job: job.state not in (State.COMPLETED, State.FAILED),
    "state:failed,waiting,cancelled": lambda job: job.state
    in (State.FAILED, State.WAITING, State.CANCELLED),
    "state:failed -state:failed": lambda job: False,
    "queue:mail": lambda job: job.queue == "mail",
    "queue:mail*,sms": lambda job: job.queue != "images",
    "-queue:mail": lambda job: job.queue != "mail",
    "queue:nowhere": lambda job: False,
    "queue:sms state:completed": lambda job: job.queue == "sms" and job.state is State.COMPLETED,
    "queue:sms state:delayed": lambda job: job.queue == "sms" and job.state is State.DELAYED,
    "name:send": lambda job: job.name == "send",
    'name:send*,"a b"': lambda job: job.name != "resize",
    "-task:send_late": lambda job: job.name != "send_late",
    "id:x-7": lambda job: job.id == "x-7",
    "id:x-7,y-8,y-9": lambda job: job.id in ("x-7", "y-8", "y-9"),
    "id:x-1*": lambda job: job.id.startswith("x-1"),
    "id:*7": lambda job: job.id.endswith("7"),
    "id:x-1* state:failed queue:sms": lambda job: job.id.startswith("x-1")
    and (job.state, job.queue) == (State.FAILED, "sms"),
    "tag:eu": lambda job: "eu" in job.tags,
    'tag:eu tag:"a b"': lambda job: {"eu", "a b"} <= set(job.tags),
    "tag:eu,vip": lambda job: bool({"eu", "vip"} & set(job.tags)),
    "tag:e*": lambda job: "eu" in job.tags,
    "-tag:eu state:failed": lambda job: "eu" not in job.tags and job.state is State.FAILED,
    "tag:eu queue:mail state:waiting": lambda job: "eu" in job.tags
    and (job.queue, job.state) == ("mail", State.WAITING),
    "worker:w1": lambda job: job.worker == "w1" or any(error[2] == "w1" for error in job.errors),
    "worker:w* state:active": lambda job: job.state is State.ACTIVE,
    "error:TIMED": lambda job: any("timed" in error[1] for error in job.errors),
    "error:valueerror,oserr": lambda job: any(error[0][0] in "VO" for error in job.errors),
    "error:100%": lambda job: any("100%" in error[1] for error in job.errors),
    "error:* state:failed": lambda job: bool(job.errors) and job.state is State.FAILED,
    "-error:* queue:sms": lambda job: not job.errors and job.queue == "sms",
    "reason:crashed": lambda job: job.reason is FailReason.CRASHED,
    "-reason:crashed": lambda job: job.reason is not FailReason.CRASHED,
    "priority<0": lambda job: job.priority < 0,
    "priority:0..5 name:send": lambda job: job.priority >= 0 and job.name == "send",
    "attempts>=3": lambda job: job.failures + job.crashes + (job.state is not State.FAILED) >= 3,
    "created>=-500h": lambda job: job.created_at_ms >= NOW_MS - 500 * HOUR_MS,
    "created:-600h..-500h": lambda job: NOW_MS - 600 * HOUR_MS
    <= job.created_at_ms
    <= NOW_MS - 500 * HOUR_MS,
    "age>500h queue:mail": lambda job: job.created_at_ms < NOW_MS - 500 * HOUR_MS
    and job.queue == "mail",
    "started<=-900h": lambda job: 0 < job.started_at_ms <= NOW_MS - 900 * HOUR_MS,
    "finished>=-900h": lambda job: job.finished_at_ms >= NOW_MS - 900 * HOUR_MS,
    "-finished>=-900h": lambda job: job.finished_at_ms < NOW_MS - 900 * HOUR_MS,
    "due:50h": lambda job: 0 < job.run_at_ms <= NOW_MS + 50 * HOUR_MS,
    "due>+50h queue:mail": lambda job: job.run_at_ms > NOW_MS + 50 * HOUR_MS
    and job.queue == "mail",
    "send": lambda job: "send" in job.name,
    "X-7": lambda job: "x-7" in job.id,
    "x-7": lambda job: "x-7" in job.id,
    "-send_": lambda job: "send_" not in job.name,
    "data.user_id:3": lambda job: has_user(job, 3),
    'data.user_id:"3"': lambda job: isinstance(job.data, dict) and job.data["user_id"] == "3",
    "data.user_id:*": lambda job: isinstance(job.data, dict),
    "-data.user_id:3 state:failed": lambda job: not has_user(job, 3)
    and job.state is State.FAILED,
    "data.user_id>2": lambda job: isinstance(job.data, dict) and job.data["user_id"] in (3, 4),
    "data.tags:eu": lambda job: isinstance(job.data, dict) and "tags" in job.data,
    "data.1.a:2..3": lambda job: isinstance(job.data, list),
    "queue:mail data.user_id:1,2": lambda job: job.queue == "mail"
    and (has_user(job, 1) or has_user(job, 2)),
}  # fmt: skip


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shelf, Searching]]:
    directory = tmp_path_factory.mktemp("full")
    shelf = Shelf(directory)
    shelf.put(*many_jobs(600, seed=7))
    connection = connect(directory)
    yield shelf, Searching(connection, StillClock(), no_sleep)
    connection.close()
    shelf.close()


@pytest.mark.parametrize("text", list(QUERIES))
def test_a_query_finds_what_it_says_and_each_job_once(
    full: tuple[Shelf, Searching], text: str
) -> None:
    shelf, searching = full
    expected = sorted(job.id for job in shelf.jobs if QUERIES[text](job))
    assert sorted(find(searching, text)) == expected
    assert sorted(through(searching, text, 7)) == expected
    assert text in ("state:blocked", "queue:nowhere", "state:failed -state:failed") or expected


@pytest.mark.parametrize("text", list(QUERIES))
def test_a_query_that_is_cut_goes_on_to_the_end(
    full: tuple[Shelf, Searching], text: str, reader_of_full: sqlite3.Connection
) -> None:
    """Time is up after each window, and windows are small."""
    shelf, _ = full
    cut = Searching(reader_of_full, RunningClock(1.0), no_sleep)
    expected = sorted(job.id for job in shelf.jobs if QUERIES[text](job))
    assert sorted(through(cut, text, 200)) == expected


@pytest.fixture
def reader_of_full(
    full: tuple[Shelf, Searching], monkeypatch: pytest.MonkeyPatch
) -> sqlite3.Connection:
    for name in ("ROWS", "ROWS_WITH_DATA"):
        monkeypatch.setattr(f"holdfastd.search.searching.{name}", 40)
    monkeypatch.setattr("holdfastd.search.paths.STREAM_ROWS_MIN", 2)
    monkeypatch.setattr("holdfastd.search.walking.OVERTIME_S", 1e9)
    return full[1]._connection


@pytest.mark.parametrize("text", list(QUERIES))
def test_counts_are_those_of_the_jobs(full: tuple[Shelf, Searching], text: str) -> None:
    shelf, searching = full
    jobs = [job for job in shelf.jobs if QUERIES[text](job)]
    facets = searching.count(parse(text, NOW_MS), None)
    assert (facets.total, facets.is_exact, facets.is_sampled) == (len(jobs), True, False)
    found = {facet: dict(values) for facet, values in facets.by.items()}
    assert found == {
        "state": Counter(job.state.name.lower() for job in jobs),
        "queue": Counter(job.queue for job in jobs),
        "name": Counter(job.name for job in jobs),
        "tag": Counter(tag for job in jobs for tag in job.tags),
        "worker": Counter(job.worker for job in jobs if job.worker),
    }


# ---- order and pages -----------------------------------------------------------------------------


def test_jobs_of_a_queue_come_by_what_becomes_of_them(shelf: Shelf, searching: Searching) -> None:
    shelf.put(
        Shelved(id="done", state=State.COMPLETED, finished_at_ms=1),
        Shelved(id="broken", state=State.FAILED, finished_at_ms=2),
        Shelved(id="later", state=State.DELAYED, run_at_ms=20),
        Shelved(id="soon", state=State.DELAYED, run_at_ms=10),
        Shelved(id="last", priority=5),
        Shelved(id="next", priority=-5),
        Shelved(id="running", state=State.ACTIVE, worker="w"),
        Shelved(id="elsewhere", queue="sms"),
    )
    expected = ["running", "next", "last", "soon", "later", "broken", "done"]
    assert find(searching, "queue:mail") == expected
    assert through(searching, "queue:mail", 2) == expected
    assert find(searching, "")[0] == "elsewhere"  # all jobs: the newest first


def test_queues_and_states_are_merged_in_the_order_of_their_ends(
    shelf: Shelf, searching: Searching
) -> None:
    """A hundred queues, of very different length."""
    dice = random.Random(3)
    jobs = [
        Shelved(
            queue=f"q{min(int(dice.expovariate(0.1)), 99)}",
            state=dice.choice([State.FAILED, State.COMPLETED]),
            finished_at_ms=dice.randrange(1000),
        )
        for _ in range(3000)
    ]
    shelf.put(*jobs)
    for text in ("state:failed,completed", "state:failed", "-queue:q0 state:failed"):
        states = {State.FAILED} | ({State.COMPLETED} if "completed" in text else set())
        kept = [
            job
            for job in shelf.jobs
            if job.state in states and not ("-queue:q0" in text and job.queue == "q0")
        ]
        kept.sort(key=lambda job: (job.finished_at_ms, job.seq), reverse=True)
        assert through(searching, text, 333) == [job.id for job in kept]


def test_with_too_many_queues_to_merge_the_newest_come_first(
    shelf: Shelf, searching: Searching, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.put(*(Shelved(queue=f"q{at % 50}", id=f"j{at}") for at in range(200)))
    query = parse("state:waiting", NOW_MS)
    first = searching.page(query, None, None, 60)
    monkeypatch.setattr(paths, "STREAMS_MAX", 20)
    assert through(searching, "state:waiting", 60) == [f"j{at}" for at in reversed(range(200))]
    # A search that began the other way ends that way.
    rest = searching.page(query, None, first.next, 1000)
    assert sorted(ids(first) + ids(rest)) == sorted(job.id for job in shelf.jobs)


def test_jobs_that_change_between_pages_do_not_disturb_the_others(
    shelf: Shelf, searching: Searching
) -> None:
    put = shelf.put(*(Shelved(state=State.FAILED, finished_at_ms=at) for at in range(60)))
    moving = iter(put[::7])

    def retry() -> None:
        for job in (next(moving, None), next(moving, None)):
            if job is not None:
                shelf.change(job, state=State.WAITING, finished_at_ms=0)
        shelf.put(Shelved(state=State.FAILED, finished_at_ms=1_000))  # before the first page

    found = through(searching, "state:failed", 9, between=retry)
    assert len(set(found)) == len(found)
    assert {job.id for job in put} - {job.id for job in put[::7]} <= set(found)
    assert set(found) <= {job.id for job in put}


def test_the_first_page_of_a_last_one_has_no_next(shelf: Shelf, searching: Searching) -> None:
    shelf.put(*(Shelved() for _ in range(10)))
    for limit, is_more in ((9, True), (10, False), (11, False)):
        page = searching.page(parse("state:waiting", NOW_MS), None, None, limit)
        assert (page.next is not None, page.was_cut) == (is_more, False)


def test_an_empty_database_has_no_jobs(shelf: Shelf, searching: Searching) -> None:
    for text in QUERIES:
        assert searching.page(parse(text, NOW_MS), None, None, 10) == Found([], None, False, 0)
        assert searching.count(parse(text, NOW_MS), None).total == 0


def test_only_allowed_queues_are_seen(shelf: Shelf, searching: Searching) -> None:
    shelf.put(*many_jobs(200, seed=5))

    def allows(name: str) -> bool:
        return name == "sms"

    for text, fits in QUERIES.items():
        expected = sorted(job.id for job in shelf.jobs if job.queue == "sms" and fits(job))
        assert sorted(through(searching, text, 13, allows)) == expected
        facets = searching.count(parse(text, NOW_MS), allows)
        assert facets.total == len(expected)
        assert {name for name, _ in facets.by["queue"]} <= {"sms"}


def test_a_job_is_shown_with_its_worker_and_its_last_error(
    shelf: Shelf, searching: Searching
) -> None:
    errors = (("A", "first", ""), ("B", "last", ""))
    shelf.put(
        Shelved(id="a", state=State.ACTIVE, worker="w7", errors=errors, failures=2),
        Shelved(id="b", state=State.FAILED, errors=(("OnlyType", "", ""),), failures=1),
    )
    shown = {
        job.row.id: (job.queue, job.worker, job.error)
        for job in searching.page(parse("", NOW_MS), None, None, 10).jobs
    }
    assert shown == {"a": ("mail", "w7", "last"), "b": ("mail", "", "OnlyType")}


def test_jobs_whose_times_do_not_rise_with_their_numbers_are_found_all_the_same(
    shelf: Shelf, searching: Searching
) -> None:
    """The clock was set back now and then, by less than an hour."""
    dice = random.Random(2)
    times = [at * 600_000 + dice.randrange(3_500_000) for at in range(300)]
    shelf.put(*(Shelved(created_at_ms=NOW_MS - 10**9 + time) for time in times))
    for _ in range(20):
        low, high = sorted(dice.sample(range(180_000_000), 2))
        low_ms, high_ms = NOW_MS - 10**9 + low, NOW_MS - 10**9 + high
        text = f"created:-{NOW_MS - low_ms}ms..-{NOW_MS - high_ms}ms"
        expected = [job.id for job in shelf.jobs if low_ms <= job.created_at_ms <= high_ms]
        assert sorted(through(searching, text, 40)) == sorted(expected)


# ---- time ----------------------------------------------------------------------------------------


def test_a_search_that_runs_out_of_time_says_so(shelf: Shelf, reader: sqlite3.Connection) -> None:
    shelf.put(*(Shelved(name=f"n{at}") for at in range(3000)))
    cut = Searching(reader, RunningClock(0.001), no_sleep)
    query = parse("name:n5", NOW_MS)
    page = cut.page(query, None, None, 10, seconds=0)
    assert (ids(page), page.was_cut, page.looked_at) == ([], True, 200)
    assert page.next is not None
    facets = cut.count(query, None, seconds=0)
    assert (facets.total, facets.is_exact, facets.looked_at) == (0, False, 2000)
    whole = cut.count(parse("state:waiting", NOW_MS), None, seconds=0)
    assert (whole.total, whole.is_exact, whole.is_sampled) == (3000, True, True)


def test_a_window_that_takes_far_too_long_is_given_up(
    shelf: Shelf, reader: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.put(*(Shelved(name=f"n{at}") for at in range(3000)))
    monkeypatch.setattr("holdfastd.search.searching.STEPS_BETWEEN_LOOKS", 10)
    late = Searching(reader, RunningClock(1.0), no_sleep)
    page = late.page(parse("name:n5", NOW_MS), None, None, 10)
    assert (page.jobs, page.was_cut, page.looked_at) == ([], True, 0)
    assert page.next == "seq"  # as if it had not begun
    assert find(Searching(reader, StillClock(), no_sleep), "name:n5") == ["job-6"]


# ---- what is damaged -----------------------------------------------------------------------------


def test_damaged_rows_do_not_keep_the_others_from_being_found(
    shelf: Shelf, searching: Searching
) -> None:
    shelf.put(*(Shelved(id=f"j{at}", data={"a": at}, tags=("t",)) for at in range(8)))
    for damage in (
        "payload = X'C1' WHERE seq = 1",
        "state = 99 WHERE seq = 2",
        "options = X'C1FF' WHERE seq = 3",
        "name = CAST(X'FFFE' AS TEXT) WHERE seq = 4",
        "fail_reason = 77 WHERE seq = 5",
    ):
        shelf.connection.execute(f"UPDATE job SET {damage}")
    assert find(searching, "data.a:*") == ["j7", "j6", "j5", "j3"]
    assert {"j5", "j6", "j7"} <= set(find(searching, ""))
    assert {"j5", "j6", "j7"} <= set(find(searching, "queue:mail"))
    assert searching.count(parse("name:*", NOW_MS), None).total == 8


def test_a_cursor_of_another_query_is_refused(shelf: Shelf, searching: Searching) -> None:
    shelf.put(*(Shelved() for _ in range(10)))
    page = searching.page(parse("state:waiting", NOW_MS), None, None, 3)
    with pytest.raises(BadCursor, match="another query"):
        searching.page(parse("state:delayed", NOW_MS), None, page.next, 3)


# ---- how rows are found --------------------------------------------------------------------------


def steps_of(reader: sqlite3.Connection, text: str) -> list[str]:
    """Of the plans of all statements for the first and the second window of a query."""
    statements: list[str] = []
    searching = Searching(reader, StillClock(), no_sleep)
    reader.set_trace_callback(statements.append)
    first = searching.page(parse(text, NOW_MS), None, None, 40)
    searching.page(parse(text, NOW_MS), None, first.next, 40)
    reader.set_trace_callback(None)
    return [
        f"{row[3]} {'LIMIT' if 'LIMIT 1' in statement else ''}".strip()
        for statement in statements
        if not statement.startswith(("BEGIN", "ROLLBACK", "--"))
        for row in reader.execute(f"EXPLAIN QUERY PLAN {statement}")
    ]


def wrong(steps: list[str]) -> list[str]:
    """Steps that read a table from end to end, but for one row of it. A few ids are sorted."""
    has_ids = any("job_by_id" in step for step in steps)
    return [
        step
        for step in steps
        if (re.match(r"SCAN (job|tag|attempt|mark|past)\b", step) and "LIMIT" not in step)
        or ("TEMP B-TREE" in step and not has_ids)
    ]


@pytest.mark.parametrize("text", [text for text in QUERIES if text])
def test_no_window_is_sorted_or_scanned_for(reader_of_full: sqlite3.Connection, text: str) -> None:
    found = wrong(steps_of(reader_of_full, text))
    # All active jobs are looked at: there are as many as workers can run.
    assert [step for step in found if "job_active" not in step] == []


def test_a_plan_that_scans_is_seen(reader_of_full: sqlite3.Connection) -> None:
    plan = reader_of_full.execute("EXPLAIN QUERY PLAN SELECT id FROM job ORDER BY name")
    assert len(wrong([row[3] for row in plan])) == 2


# ---- how much is read ----------------------------------------------------------------------------


MANY = 6_000
BOUNDED = [
    *("name:none", "created:-3000s..-2000s name:none", "created:-3000s.. name:none"),
    *("finished:-3000s..-2000s name:none", "state:completed finished:..-3000s name:none"),
    *("due:1000s..+2000s name:none", "queue:q1 due>=+1500s name:none", "tag:t state:blocked"),
    *("tag:t name:none", "error:none", "error:* state:blocked,failed name:none", "worker:none"),
    *("state:waiting name:none", "queue:q1 name:none", "id:* name:none", "none", "data.x:none"),
]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    directory = tmp_path_factory.mktemp("wide")
    shelf = Shelf(directory)
    shelf.put(*(_wide_job(number) for number in range(MANY)))
    connection = connect(directory)
    yield connection
    connection.close()
    shelf.close()


def _wide_job(number: int) -> Shelved:
    at_ms = NOW_MS - (MANY - number) * 1000
    job = Shelved(queue=f"q{number % 3}", created_at_ms=at_ms, tags=("t",), data={"x": "y"})
    if number % 3 == 0:
        return job._replace(state=State.COMPLETED, finished_at_ms=at_ms, errors=(("E", "m", "w"),))
    if number % 3 == 1:
        return job._replace(state=State.DELAYED, run_at_ms=NOW_MS + number * 1000)
    return job


def steps_for_a_window(reader: sqlite3.Connection, text: str) -> int:
    """Of SQLite's machine, in hundreds, for the second window of a search."""
    cut = Searching(reader, RunningClock(0.001), no_sleep)
    query = parse(text.replace("due:1000s..", "due:+1000s.."), NOW_MS)
    first = cut.page(query, None, None, 10, seconds=0)
    assert first.jobs == []
    return counted(reader, lambda: cut.page(query, None, first.next, 10, seconds=0))


def counted(reader: sqlite3.Connection, read: Callable[[], object]) -> int:
    statements: list[str] = []
    reader.set_trace_callback(statements.append)
    read()
    reader.set_trace_callback(None)
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    reader.set_progress_handler(step, 100)
    for statement in statements:
        if statement.startswith("SELECT"):
            reader.execute(statement).fetchall()
    reader.set_progress_handler(None, 0)
    return steps


@pytest.mark.parametrize("text", BOUNDED)
def test_a_window_reads_a_window(
    wide: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Some 40 rows of 6,000, each at 50 steps or less, beside what finds the paths."""
    for name in ("ROWS", "ROWS_WITH_DATA"):
        monkeypatch.setattr(f"holdfastd.search.searching.{name}", 40)
    assert steps_for_a_window(wide, text) < 60


def test_who_reads_everything_is_seen(wide: sqlite3.Connection) -> None:
    query = "SELECT seq FROM job NOT INDEXED WHERE seq >= 1 AND seq >= 5000 AND name = 'none'"
    assert counted(wide, lambda: wide.execute(query).fetchall()) > 100


def test_a_page_behind_jobs_that_have_all_gone_is_empty(shelf: Shelf, searching: Searching) -> None:
    put = shelf.put(*(Shelved(state=State.FAILED, finished_at_ms=at) for at in range(9)))
    page = searching.page(parse("state:failed", NOW_MS), None, None, 3)
    for job in put:
        shelf.change(job, state=State.WAITING, finished_at_ms=0)
    rest = searching.page(parse("state:failed", NOW_MS), None, page.next, 3)
    assert rest == Found([], None, False, 0)
