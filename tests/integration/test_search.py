"""Searches of a real daemon: over TCP, from the command line, and what becomes of its process."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

import holdfast
from holdfast import AccessDenied, Queue, Refused, aio
from holdfastd.access.rights import Role
from holdfastd.engine.model import State
from holdfastd.search import finder as finder_module
from holdfastd.search.finder import Finder
from holdfastd.search.found import BadCursor, SearchBroken, SearchBusy
from holdfastd.search.query import parse
from support.daemon import DaemonProcess
from support.keys import new_key
from support.shelf import NOW_MS, Shelf, Shelved

WAIT_S = 10.0


def command(daemon: DaemonProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The `holdfast` command."""
    line = [sys.executable, "-m", "holdfast", "--url", daemon.url, *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=30, check=False)


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)  # of another process there is nothing to wait on


def searchers(daemon: DaemonProcess) -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process(daemon.pid).children()
        if child.status() != psutil.STATUS_ZOMBIE
        and any("holdfastd.search.process" in part for part in child.cmdline())
    ]


def fill(daemon: DaemonProcess) -> DaemonProcess:
    """Jobs in two queues."""
    with Queue("mail", url=daemon.url) as mail, Queue("sms", url=daemon.url) as sms:
        mail.add("welcome", {"user_id": 42, "to": {"city": "Oslo"}}, id="m1", tags=["eu"])
        mail.add("welcome", {"user_id": 7}, id="m2", delay=3600)
        sms.add("code", {"user_id": 42}, id="s1", priority=5)
    return daemon


@pytest.fixture
def served(daemon: DaemonProcess) -> DaemonProcess:
    return fill(daemon)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """The same for tests that only look."""
    with DaemonProcess(tmp_path_factory.mktemp("shop") / "data") as daemon:
        yield fill(daemon)


# ---- clients -------------------------------------------------------------------------------------


def found(daemon: DaemonProcess, query: str) -> list[str]:
    return sorted(job.id for job in holdfast.search(query, url=daemon.url))


def test_a_client_finds_jobs_of_all_queues(shop: DaemonProcess) -> None:
    assert found(shop, "") == ["m1", "m2", "s1"]
    assert found(shop, "data.user_id:42") == ["m1", "s1"]
    assert found(shop, "data.to.city:Oslo tag:eu") == ["m1"]
    assert found(shop, "state:delayed due:2h") == ["m2"]
    assert found(shop, "created:1h -queue:mail") == ["s1"]
    (job,) = holdfast.search("id:s1", url=shop.url)
    assert (job.queue, job.name, job.state, job.priority) == ("sms", "code", "waiting", 5)
    assert job.data is None
    assert job.refresh().data == {"user_id": 42}


def test_a_queue_finds_its_own_jobs(shop: DaemonProcess) -> None:
    with Queue("sms", url=shop.url) as sms:
        assert [job.id for job in sms.search("data.user_id:42")] == ["s1"]
        assert [job.id for job in sms.search("queue:mail")] == []


async def test_the_asyncio_client_does_the_same(shop: DaemonProcess) -> None:
    jobs = [job async for job in aio.search("tag:eu", url=shop.url)]
    assert [job.id for job in jobs] == ["m1"]
    assert (await jobs[0].refresh()).data["user_id"] == 42


def test_what_is_no_query_is_refused_with_its_place(shop: DaemonProcess) -> None:
    with pytest.raises(Refused, match="state:deed is no state: did you mean dead") as caught:
        found(shop, "queue:mail state:deed")
    assert caught.value.details["at"] == 17


def test_a_key_finds_what_is_in_its_queues_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    operator = new_key(data, "anna", Role.OPERATOR, queues=("mail*",))
    worker = new_key(data, "w", Role.WORKER)
    admin = new_key(data, "root")
    with DaemonProcess(data) as daemon:
        for name in ("mail", "mail.eu", "sms"):
            with Queue(name, url=daemon.url, key=admin) as queue:
                queue.add("n", {"a": 1}, id=f"in-{name}")

        def seen(query: str, key: str) -> list[str]:
            jobs = holdfast.search(query, url=daemon.url, key=key)
            return sorted(job.id for job in jobs)

        assert seen("", admin) == ["in-mail", "in-mail.eu", "in-sms"]
        for query in ("", "data.a:1", "in-", "in-sms", "id:in*", "state:waiting", "-queue:mail.eu"):
            assert "in-sms" not in seen(query, operator)
            assert "in-mail" in seen(query, operator) or query == "in-sms"
        with pytest.raises(AccessDenied, match="SEARCH is for"):
            seen("", worker)


def test_the_command_line_lists_and_points_at_what_is_wrong(shop: DaemonProcess) -> None:
    done = command(shop, "jobs", "state:waiting", "queue:sms")
    assert (done.returncode, done.stdout) == (0, "s1  code  attempt 1/1  sms  waiting\n")
    (line,) = command(
        shop, "jobs", "--json", "--limit", "1", "--", "-queue:sms"
    ).stdout.splitlines()
    assert json.loads(line)["id"] == "m1"
    wrong = command(shop, "jobs", "queue:sms state:deed")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    query, caret, message = wrong.stderr.splitlines()
    assert query[caret.index("^") :] == "deed"
    assert "did you mean dead?" in message


def test_more_jobs_than_a_page_has_are_found_once_each(shop: DaemonProcess) -> None:
    """The last test of this daemon: it adds to it."""
    with Queue("bulk", url=shop.url) as bulk:
        ids = sorted(job.id for job in bulk.add_many([("n", number) for number in range(450)]))
        assert sorted(job.id for job in bulk.search("state:waiting")) == ids
    assert found(shop, "queue:bulk") == ids
    assert len(list(holdfast.search("", limit=120, url=shop.url))) == 120


# ---- the process ---------------------------------------------------------------------------------


def test_the_process_is_there_with_the_first_search_and_goes_with_the_daemon(
    served: DaemonProcess,
) -> None:
    assert searchers(served) == []
    found(served, "")
    (process,) = searchers(served)
    assert process.nice() > psutil.Process(served.pid).nice()
    found(served, "")
    assert searchers(served) == [process]
    assert served.stop() == 0
    assert not process.is_running()


def test_a_daemon_that_is_killed_leaves_no_process_behind(served: DaemonProcess) -> None:
    found(served, "")
    (process,) = searchers(served)
    served.kill()
    wait_until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


def test_a_process_that_was_killed_is_started_again(served: DaemonProcess) -> None:
    found(served, "")
    (process,) = searchers(served)
    process.kill()
    wait_until(lambda: not psutil.pid_exists(process.pid))  # the daemon has noticed
    assert found(served, "tag:eu") == ["m1"]


# ---- the finder ----------------------------------------------------------------------------------


@pytest.fixture
async def finder(tmp_path: Path) -> "Finder":
    return Finder(tmp_path)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    shelf = Shelf(tmp_path)
    shelf.put(*(Shelved(state=State.FAILED, finished_at_ms=NOW_MS + at) for at in range(30)))
    yield shelf
    shelf.close()


ALL = parse("", 0)


async def test_pages_and_counts_come_over_the_pipe_as_they_are(
    shelf: Shelf, finder: Finder
) -> None:
    page = await finder.page(parse("state:failed", 0), limit=20)
    assert [job.row.id for job in page.jobs] == [f"job-{30 - at}" for at in range(20)]
    assert page.jobs[0].row.state is State.FAILED
    rest = await finder.page(parse("state:failed", 0), after=page.next, limit=20)
    assert (len(rest.jobs), rest.next) == (10, None)
    facets = await finder.count(ALL)
    assert (facets.total, facets.by["state"]) == (30, [("failed", 30)])
    assert (await finder.count(ALL, ["s*"])).total == 0
    await finder.close()


async def test_who_waits_for_a_process_that_dies_gets_an_error_and_the_next_an_answer(
    shelf: Shelf, finder: Finder
) -> None:
    await finder.page(ALL)
    assert finder.pid is not None
    os.kill(finder.pid, signal.SIGSTOP)  # in the middle of the next search
    asking = asyncio.create_task(finder.page(ALL))
    for _ in range(5):
        await asyncio.sleep(0)  # it has written its request, and waits
    os.kill(finder.pid, signal.SIGKILL)
    with pytest.raises(SearchBroken, match="search again"):
        await asking
    assert len((await finder.page(ALL)).jobs) == 30
    await finder.close()


async def test_a_process_that_hangs_is_ended(
    shelf: Shelf, finder: Finder, monkeypatch: pytest.MonkeyPatch
) -> None:
    await finder.page(ALL)
    assert finder.pid is not None
    os.kill(finder.pid, signal.SIGSTOP)
    monkeypatch.setattr(finder_module, "ANSWER_S", 0.1)
    monkeypatch.setattr(finder_module, "STOP_S", 0.1)
    with pytest.raises(SearchBroken, match="did not answer"):
        await finder.page(ALL)
    monkeypatch.undo()
    assert len((await finder.page(ALL)).jobs) == 30
    await finder.close()


async def test_searches_are_answered_one_after_the_other_up_to_a_bound(
    shelf: Shelf, finder: Finder
) -> None:
    asked = [finder.page(ALL) for _ in range(finder_module.WAITING_MAX + 5)]
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(result, SearchBusy) for result in results) == 5
    assert not [
        each for each in results if isinstance(each, Exception) and type(each) is not SearchBusy
    ]
    await finder.close()


async def test_who_does_not_wait_for_an_answer_leaves_none_to_the_next(
    shelf: Shelf, finder: Finder
) -> None:
    await finder.page(ALL)
    given_up = asyncio.create_task(finder.page(ALL))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    given_up.cancel()
    assert (await finder.count(ALL)).total == 30
    await finder.close()


async def test_the_process_ends_after_some_time_without_a_search(
    shelf: Shelf, tmp_path: Path
) -> None:
    finder = Finder(tmp_path, idle_s=0.05)
    await finder.page(ALL)
    async with asyncio.timeout(WAIT_S):
        while finder.pid is not None:
            await asyncio.sleep(0.01)
    assert len((await finder.page(ALL)).jobs) == 30
    await finder.close()


async def test_a_closed_finder_starts_nothing(shelf: Shelf, finder: Finder) -> None:
    await finder.close()
    with pytest.raises(SearchBroken, match="going down"):
        await finder.page(ALL)
    assert finder.pid is None


@pytest.mark.parametrize(
    "after",
    [
        "",
        "x",
        "seq",
        "seq.1.2.3",
        "seq.99999999999999999999",
        "finished.1",
        "seq.1;DROP",
        "nope.1",
        "seq.-1\n",
    ],
)
async def test_a_cursor_that_no_page_gave_is_refused(
    shelf: Shelf, finder: Finder, after: str
) -> None:
    if after == "seq":
        assert (await finder.page(ALL, after=after)).jobs  # the beginning of a path
    else:
        with pytest.raises(BadCursor, match="begin with the first page"):
            await finder.page(ALL, after=after)
    await finder.close()
