"""Searches on a real database: what they find, page by page, and when time is up."""

import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfastd.engine.model import FINISHED, FailReason, State
from holdfastd.search.found import Found
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
    return Searching(reader, StillClock())


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
    yield shelf, Searching(connection, StillClock())
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
    cut = Searching(reader_of_full, RunningClock(1.0))
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
