"""A backup becomes a database again: what is refused, what changes, and that all can go on."""

import asyncio
import random
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from holdfast import aio
from holdfast.active import ActiveJob
from holdfast.worker import Worker
from holdfastd.clock import SystemClock
from holdfastd.store import backup as backup_module
from holdfastd.store import restore as restore_module
from holdfastd.store.backup import BackupError, Contents, back_up
from holdfastd.store.base import StoreError
from holdfastd.store.files import RESTORING_NAME
from holdfastd.store.restore import restore
from holdfastd.store.schema import BACKUP_APPLICATION_ID, SCHEMA_VERSION
from support.backups import make_backup
from support.daemon import DaemonProcess
from support.engine import P, W
from support.history import Done, History, Run, Stored, judge
from support.sqlite_driver import SqliteDriver

FLIPS = 120
JOBS = 200
TAKEN_MS = 1_700_000_000_000

pytestmark = pytest.mark.slow


def restored(backup: Path, directory: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "holdfastd", "restore", str(backup), "--data", str(directory)]
    return subprocess.run(
        [*command, *flags], capture_output=True, text=True, timeout=60, check=False
    )


def backup_of(daemon: DaemonProcess, path: Path) -> Path:
    done = make_backup(daemon, path)
    assert done.returncode == 0, done.stderr
    return path


async def add(daemon: DaemonProcess, *ids: str) -> None:
    async with aio.Queue("q", url=daemon.url) as queue:
        await queue.add_many([("n", id, {"id": id}) for id in ids])


def ids_of(daemon: DaemonProcess) -> set[str]:
    async def read() -> set[str]:
        async with aio.Queue("q", url=daemon.url) as queue:
            return {job.id async for job in queue.jobs("waiting")}

    return asyncio.run(read())


# ---- what is refused -----------------------------------------------------------------------------


def refused(done: subprocess.CompletedProcess[str], words: str) -> None:
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_directory_where_a_daemon_runs_is_refused(daemon: DaemonProcess, tmp_path: Path) -> None:
    path = backup_of(daemon, tmp_path / "b.db")
    refused(
        restored(path, daemon.directory, "--move-aside"), f"another holdfastd (pid {daemon.pid})"
    )


def test_a_database_that_is_there_is_moved_aside_only_when_asked_for(
    daemon: DaemonProcess, tmp_path: Path
) -> None:
    asyncio.run(add(daemon, "before"))
    path = backup_of(daemon, tmp_path / "b.db")
    asyncio.run(add(daemon, "after"))
    daemon.kill()
    refused(restored(path, daemon.directory), "has a database already: say --move-aside")
    daemon.start()
    assert ids_of(daemon) == {"before", "after"}
    daemon.kill()
    done = restored(path, daemon.directory, "--move-aside")
    assert done.returncode == 0, done.stderr
    assert "1 job (1 waiting)" in done.stdout
    daemon.start()
    assert ids_of(daemon) == {"before"}
    daemon.kill()
    (aside,) = daemon.directory.glob("before-restore-*")
    old = DaemonProcess(aside).start()  # with its log: nothing is lost of it
    assert ids_of(old) == {"before", "after"}
    old.kill()


@pytest.fixture
def small_backup(daemon: DaemonProcess, tmp_path: Path) -> Path:
    asyncio.run(add(daemon, *[f"j{number}" for number in range(JOBS)]))
    path = backup_of(daemon, tmp_path / "small.db")
    daemon.kill()
    return path


def test_what_is_no_backup_is_refused_and_leaves_no_directory(
    small_backup: Path, tmp_path: Path
) -> None:
    letters = tmp_path / "letters"
    letters.write_bytes(b"these are somebody's letters" * 100)
    foreign = tmp_path / "foreign.db"
    with closing(sqlite3.connect(foreign)) as theirs:
        theirs.execute("CREATE TABLE letters (text)")
    newer = Path(shutil.copy(small_backup, tmp_path / "newer.db"))
    with closing(sqlite3.connect(newer)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    cut = tmp_path / "cut.db"
    cut.write_bytes(small_backup.read_bytes()[:50_000])
    in_use = Path(shutil.copy(small_backup, tmp_path / "in_use.db"))
    (tmp_path / "in_use.db-wal").write_bytes(b"frames")
    for path, words in (
        (letters, "is damaged (file is not a database)"),
        (foreign, "is none of Holdfast's"),
        (newer, f"has schema {SCHEMA_VERSION + 1}"),
        (cut, "is damaged"),
        (in_use, "is a database in use"),
        (tmp_path / "none.db", "there is no backup"),
    ):
        refused(restored(path, tmp_path / "new"), words)
        assert not (tmp_path / "new").exists(), words


def test_no_daemon_starts_on_a_backup_put_there_by_hand(small_backup: Path, tmp_path: Path) -> None:
    """Its epoch would be that of the old daemon, and so would its tokens."""
    (tmp_path / "new").mkdir()
    shutil.copy(small_backup, tmp_path / "new" / "holdfast.db")
    with pytest.raises(RuntimeError, match="is a backup: make a database of it with holdfastd"):
        DaemonProcess(tmp_path / "new").start()


def test_a_restore_that_was_cut_short_is_finished_by_the_next(
    small_backup: Path, daemon: DaemonProcess
) -> None:
    """As it is after the old files were moved, and before the new one took their place."""
    directory = daemon.directory
    (directory / "holdfast.db").rename(directory / RESTORING_NAME)
    with pytest.raises(RuntimeError, match="a restore was cut short"):
        daemon.start()
    assert restored(small_backup, directory, "--move-aside").returncode == 0
    daemon.start()
    assert len(ids_of(daemon)) == JOBS


# ---- damaged backups -----------------------------------------------------------------------------


def sound_backup(folder: Path) -> tuple[bytes, dict[str, bytes]]:
    """The bytes of a backup of JOBS jobs, and their payloads."""
    from holdfastd.engine import commands
    from support.engine import new_job

    driver = SqliteDriver(folder / "sound")
    driver.attach(P, "producer")
    rng = random.Random(1)
    payloads = {f"j{number}": rng.randbytes(300) for number in range(JOBS)}
    jobs = [new_job(id)._replace(payload=payload) for id, payload in payloads.items()]
    driver.ask(P, commands.Enqueue("q", list(enumerate(jobs)), []))
    made = back_up(folder / "sound", folder / "sound.db", TAKEN_MS)
    driver.close()
    return made.path.read_bytes(), payloads


def outcome_of_flip(data: bytes, payloads: dict[str, bytes], bit: int, folder: Path) -> str:
    """Restore it, have every job delivered, and say what came of it. Raises AssertionError: a wrong
    payload was delivered, or a job is missing without a word."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "b.db").write_bytes(changed)
    try:
        told = restore(folder / "b.db", folder / "new", TAKEN_MS, moves_aside=False)
    except BackupError:
        assert not (folder / "new").exists()
        return "refused"
    driver = SqliteDriver(folder / "new")
    try:
        driver.attach(W, "worker", worker="w")
        driver.subscribe(W, "q", credit=10 * JOBS)
        delivered = {item[2]: item[4] for item in driver.take(W)}
    finally:
        driver.abandon()
    wrong = [id for id, payload in delivered.items() if payloads.get(id) != payload]
    assert not wrong, f"delivered with a wrong payload or id: {wrong}"
    assert len(delivered) + told.contents.damaged_count == JOBS, "missing without a word"
    return "told" if told.contents.damaged_count else "harmless"


def flip_all_over(tmp_path: Path) -> Counter[str]:
    data, payloads = sound_backup(tmp_path)
    rng = random.Random(2)
    bits = [rng.randrange(8 * len(data)) for _ in range(FLIPS)]
    return Counter(outcome_of_flip(data, payloads, bit, tmp_path / "flipped") for bit in bits)


@pytest.mark.timeout(120)
def test_no_flipped_bit_of_a_backup_delivers_a_wrong_payload(tmp_path: Path) -> None:
    outcomes = flip_all_over(tmp_path)
    assert outcomes["told"] > FLIPS // 10
    assert outcomes["refused"] > FLIPS // 20


@pytest.mark.timeout(120)
def test_without_the_checks_jobs_are_wrong_or_missing_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unchecked(path: Path, shown: Path, advice: str) -> Contents:
        return Contents(TAKEN_MS, 1, 1, 1, Counter(), [], 0)

    monkeypatch.setattr(restore_module, "check", unchecked)
    monkeypatch.setattr(backup_module, "check", unchecked)
    with pytest.raises((AssertionError, StoreError)):
        flip_all_over(tmp_path)


# ---- going on ------------------------------------------------------------------------------------


class Life:
    """A producer and a worker that live on while the server is restored under them."""

    def __init__(self, daemon: DaemonProcess):
        self.daemon = daemon
        self.history = History()
        self.tokens: list[int] = []
        """Of every lease, in order."""
        self.may_end = asyncio.Event()
        self._serial = 0

    async def add(self, queue: aio.Queue, count: int) -> set[str]:
        serials = [f"s{self._serial + number}" for number in range(count)]
        self._serial += count
        self.history.attempted.update((serial, serial.encode()) for serial in serials)
        await queue.add_many([("n", serial.encode(), {"id": serial}) for serial in serials])
        return set(serials)

    async def handle(self, job: ActiveJob) -> None:
        self.tokens.append(job.token)
        self.history.runs.append(Run(job.id, job.token, job.data, "worker"))
        await self.may_end.wait()

    async def until(self, runs: int) -> None:
        async with asyncio.timeout(30):
            while len(self.tokens) < runs:
                await asyncio.sleep(0.01)

    async def run(self, folder: Path) -> int:
        """Returns the highest token from before. The history is of the time after."""
        daemon, history = self.daemon, self.history
        worker = Worker("q", self.handle, url=daemon.url, concurrency=20)
        worker.on("completed", lambda job, _: history.done.append(Done(job.id, job.token)))
        async with aio.Queue("q", url=daemon.url, timeout=30) as queue:
            working = asyncio.create_task(worker.run_async())
            saved = await self.add(queue, 50)
            await self.until(20)
            await asyncio.to_thread(backup_of, daemon, folder / "b.db")
            await asyncio.to_thread(daemon.kill)
            await asyncio.to_thread(daemon.start)  # an epoch that the backup does not know
            self.may_end.set()
            await self.add(queue, 50)  # confirmed, and lost with the old database
            await self.until(100)
            self.may_end.clear()
            await self.add(queue, 50)
            await self.until(120)
            await asyncio.to_thread(daemon.kill)
            shutil.rmtree(daemon.directory)  # so that nothing is known of it but the backup
            before = len(self.tokens)
            highest = max(self.tokens)
            now_ms = SystemClock().now_ms()
            restore(folder / "b.db", daemon.directory, now_ms, moves_aside=False)
            history.runs.clear()
            history.done.clear()
            await asyncio.to_thread(daemon.start)
            self.may_end.set()  # handlers of old leases end now, and their acks are refused
            history.confirmed = saved | await self.add(queue, 50)
            await self.drained(queue)
            self.tokens = self.tokens[before:]
            async for job in queue.jobs("completed"):
                reruns = job.failures + job.crashes + job.releases
                history.stored.append(Stored(job.id, job.state, reruns))
            worker.stop()
            await working
        return highest

    async def drained(self, queue: aio.Queue) -> None:
        async with asyncio.timeout(30):
            while (counts := await queue.counts()) and counts["waiting"] + counts["active"]:
                await asyncio.sleep(0.05)


async def test_clients_go_on_after_a_restore_and_no_old_lease_is_taken_for_a_new_one(
    daemon: DaemonProcess, tmp_path: Path
) -> None:
    life = Life(daemon)
    highest = await life.run(tmp_path)
    assert judge(life.history).wrong == {}
    assert min(life.tokens) > highest
    assert len(life.history.stored) == 100


async def test_without_a_raised_epoch_old_tokens_come_again(
    daemon: DaemonProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def same(contents: Contents, known_epoch: int, now_ms: int) -> int:
        return contents.epoch

    monkeypatch.setattr(restore_module, "raised_epoch", same)
    life = Life(daemon)
    highest = await life.run(tmp_path)
    assert min(life.tokens) <= highest


def test_running_jobs_of_a_backup_wait_again_and_the_counts_are_right(
    daemon: DaemonProcess, tmp_path: Path
) -> None:
    async def scene() -> None:
        never = asyncio.Event()

        async def handle(job: ActiveJob) -> None:
            await never.wait()

        worker = Worker("q", handle, url=daemon.url, concurrency=3)
        async with aio.Queue("q", url=daemon.url) as queue:
            working = asyncio.create_task(worker.run_async())
            await queue.add_many([("n", number) for number in range(5)])
            async with asyncio.timeout(20):
                while (await queue.counts())["active"] < 3:
                    await asyncio.sleep(0.01)
            await asyncio.to_thread(backup_of, daemon, tmp_path / "b.db")
            never.set()
            worker.stop()
            await working

    asyncio.run(scene())
    done = restored(tmp_path / "b.db", tmp_path / "new")
    assert "5 jobs (2 waiting, 3 active)" in done.stdout
    assert "3 of the jobs were running then: they wait again" in done.stdout
    with DaemonProcess(tmp_path / "new") as again:
        assert len(ids_of(again)) == 5
        assert asyncio.run(counts(again)) == Counter(waiting=5)


async def counts(daemon: DaemonProcess) -> Counter[str]:
    async with aio.Queue("q", url=daemon.url) as queue:
        return +Counter(await queue.counts())


@pytest.mark.parametrize("ids", [set(), {"a"}])
def test_a_plain_database_file_can_be_restored_as_replicas_are(
    daemon: DaemonProcess, tmp_path: Path, ids: set[str]
) -> None:
    asyncio.run(add(daemon, *ids))
    assert daemon.stop() == 0
    replica = Path(shutil.copy(daemon.directory / "holdfast.db", tmp_path / "replica.db"))
    with closing(sqlite3.connect(replica)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone()[0] != BACKUP_APPLICATION_ID
    assert restored(replica, tmp_path / "new").returncode == 0
    with DaemonProcess(tmp_path / "new") as again:
        assert again.jobs_recovered == len(ids)
