"""A database of every schema that was ever released is served by today's daemon."""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from holdfast import aio
from holdfast.active import ActiveJob
from holdfast.models import JobInfo
from holdfast.worker import Worker
from holdfastd.store.files import DATABASE_NAME
from holdfastd.store.schema import SCHEMA_VERSION
from support.daemon import DaemonProcess
from support.fixture import data_of, make, path_of

SCHEMAS = range(1, SCHEMA_VERSION + 1)
BEFORE = {
    "waiting": ["first", "given-back", "second", "last"],  # in the order in which they run
    "delayed": ["tomorrow"],  # "due" and "retrying" were long overdue
    "active": ["running"],
    "completed": ["done"],
    "failed": ["broken", "crashed"],
}


@pytest.fixture(params=SCHEMAS)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DaemonProcess]:
    """Today's daemon on an old database, with no patience for the worker that is gone."""
    data = tmp_path / "data"
    data.mkdir()
    shutil.copyfile(path_of(request.param), data / DATABASE_NAME)
    environment = {**os.environ, "HOLDFAST_LEASES_GRACE_MS": "500"}
    with DaemonProcess(data, environment=environment) as daemon:
        yield daemon


@asynccontextmanager
async def queue_of(daemon: DaemonProcess, name: str) -> AsyncIterator[aio.Queue]:
    async with aio.Queue(name, url=daemon.url, timeout=10) as queue:
        yield queue


async def ids_in(queue: aio.Queue, state: str) -> list[str]:
    return [job.id async for job in queue.jobs(state)]


def facts(job: JobInfo) -> tuple[object, ...]:
    return job.state, job.reason, job.attempt, job.failures, job.crashes, job.releases


async def test_every_job_is_there_as_it_was(old: DaemonProcess) -> None:
    assert old.jobs_recovered == 12
    async with queue_of(old, "mail") as queue:
        assert await ids_in(queue, "delayed") == BEFORE["delayed"]
        assert sorted(await ids_in(queue, "completed")) == BEFORE["completed"]
        assert sorted(await ids_in(queue, "failed")) == BEFORE["failed"]
        done = await queue.get("done")
        assert (done.result, done.progress, done.logs) == ({"ok": True}, 100, ["connected", "sent"])
        broken = await queue.get("broken")
        assert facts(broken) == ("failed", "error", 1, 1, 0, 0)
        (error,) = broken.errors
        assert (error.outcome, error.type, error.message) == (
            "failed",
            "OSError",
            "mailbox unknown",
        )
        assert error.worker == "worker-1"
        assert facts(await queue.get("crashed")) == ("failed", "crashed", 1, 0, 1, 0)
        assert facts(await queue.get("given-back")) == ("waiting", "", 1, 0, 0, 1)
        for id in ("done", "first", "tomorrow", "crashed"):
            assert (await queue.get(id)).data == data_of(id)


async def test_a_jobs_tags_are_there_since_schema_2(old: DaemonProcess) -> None:
    with closing(sqlite3.connect(f"file:{old.directory / DATABASE_NAME}?mode=ro", uri=True)) as db:
        stored = db.execute("SELECT id, tag FROM tag JOIN job USING (seq) ORDER BY tag").fetchall()
    async with queue_of(old, "mail") as queue:
        assert [("second", tag) for tag in (await queue.get("second")).tags] == stored
        assert (await queue.get("first")).tags == []
    assert stored in ([], [("second", "eu"), ("second", "vip")])


async def test_a_schedule_is_there_since_schema_4(old: DaemonProcess) -> None:
    async with queue_of(old, "archive") as queue:
        found = [schedule async for schedule in queue.schedules()]
        assert await ids_in(queue, "waiting") == ["kept"]
    told = [(each.id, each.cron, each.tz, each.fired, each.options["tags"]) for each in found]
    assert told in ([], [("leap-day", "0 0 29 2 *", "Europe/Berlin", 0, ["eu", "vip"])])
    assert all(each.missed and each.data == {"id": "leap-day"} for each in found)


async def test_a_queues_settings_hold(old: DaemonProcess) -> None:
    async with queue_of(old, "mail") as queue, queue_of(old, "archive") as archive:
        info = await queue.info()
        assert (info["settings"]["concurrency"], info["paused"]) == (5, False)
        assert (await archive.info())["paused"] is True
        assert await ids_in(archive, "waiting") == ["kept"]


async def test_every_job_that_is_not_done_is_run_once_in_its_order(old: DaemonProcess) -> None:
    ran: list[tuple[str, int]] = []

    async def handle(job: ActiveJob) -> str:
        assert job.data == data_of(job.id)
        ran.append((job.id, job.attempt))
        return job.id

    async with queue_of(old, "mail") as queue, queue_of(old, "archive") as archive:
        running = Worker(["mail", "archive"], handle, url=old.url)
        task = asyncio.create_task(running.run_async())
        for id in ("first", "given-back", "second", "last", "due", "retrying", "running"):
            assert await (await queue.get(id)).wait(10) == id
        await archive.resume()
        assert await (await archive.get("kept")).wait(10) == "kept"
        await queue.retry("broken", "crashed", state="failed")
        await queue.promote("tomorrow")
        for id in ("broken", "crashed", "tomorrow"):
            assert await (await queue.get(id)).wait(10) == id
        assert (await queue.counts())["completed"] == 11
        running.stop()
        await task
    assert len(ran) == len({id for id, _ in ran}) == 11
    order = [id for id, _ in ran if id in BEFORE["waiting"]]
    assert order == BEFORE["waiting"]
    again = {id for id, attempt in ran if attempt != 1}
    assert again == {"retrying"}, "a lease that a restart ended was counted"


def test_there_is_a_fixture_of_every_schema() -> None:
    assert [path_of(schema).name for schema in SCHEMAS if not path_of(schema).is_file()] == [], (
        "make it: see tests/support/fixture.py"
    )


def test_no_released_migration_was_edited(tmp_path: Path) -> None:
    """What a new database looks like is what the fixture of its schema looks like."""

    def look_of(database: Path) -> list[tuple[str, str]]:
        with closing(sqlite3.connect(f"file:{database}?mode=ro&immutable=1", uri=True)) as opened:
            return opened.execute(
                "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name"
            ).fetchall()

    assert look_of(make(tmp_path)) == look_of(path_of(SCHEMA_VERSION))
