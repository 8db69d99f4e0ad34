"""An older database is migrated: whole or not at all, and never without a backup.

There is one schema so far, so a second migration is put in (`support.migrations`). It is made to
fail, and killed, at every operation on the disk, and the power goes; what is left must open.
"""

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from holdfastd.store import backup, sqlite
from holdfastd.store.backup import back_up
from holdfastd.store.base import StoreBroken, StoreError, StoreRefused
from holdfastd.store.files import DATABASE_NAME
from holdfastd.store.restore import restore
from holdfastd.store.schema import APPLICATION_ID, SCHEMA_VERSION
from holdfastd.store.sqlite import SqliteStore
from holdfastd.store.upgrade import Upgrade, Upgrading
from support import migrating_daemon
from support.crashdisk import CrashDisk, Entry, Kind, Plan, Recorder, write_image
from support.daemon import DaemonProcess
from support.fixture import make, path_of
from support.migrations import MIGRATION, NEXT, TORN, Contents, contents_of, injected, schema_of
from support.smalldisk import SmallDisk, can_mount
from support.vfs import Fault, installed

NOW_MS: Final = 1_764_039_600_000
NAME: Final = f"holdfast-schema-{SCHEMA_VERSION}-before-upgrade-to-{NEXT}-20251125T030000Z.db"
MIGRATING: Final = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
"""The environment of a `migrating_daemon`."""


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of today's schema as a killed daemon leaves it: with most of it in the log."""
    return make(tmp_path_factory.mktemp("old"), is_clean=False).parent


@pytest.fixture(scope="module")
def wanted(old: Path, tmp_path_factory: pytest.TempPathFactory) -> Contents:
    copy = copy_of(old, tmp_path_factory.mktemp("copy") / "data")
    return contents_of(copy / DATABASE_NAME)


def copy_of(directory: Path, to: Path) -> Path:
    shutil.copytree(directory, to, ignore=shutil.ignore_patterns("*-shm", "*.lock"))
    return to


def open_store(directory: Path, backups: Path | None = None) -> list[Upgrade]:
    """Open it and leave it as a killed process does. Returns the upgrades that began."""
    begun: list[Upgrade] = []

    async def opened() -> None:
        store = SqliteStore(directory, 0, Upgrading(backups, lambda: NOW_MS, begun.append))
        await store.open()
        with suppress(sqlite3.Error):
            await store._close_connections()
        store._lock.release()

    asyncio.run(opened())
    return begun


def backups_in(directory: Path) -> list[str]:
    """Raises BackupError: one is not whole."""
    found = sorted(directory.glob("holdfast-schema-*"))
    for path in found:
        assert backup.check(path, path, "").damaged_count == 0
        assert schema_of(path) == SCHEMA_VERSION
    return [path.name for path in found]


# ---- as it should be -----------------------------------------------------------------------------


def test_an_older_database_is_backed_up_and_migrated(
    old: Path, wanted: Contents, tmp_path: Path
) -> None:
    data = copy_of(old, tmp_path / "data")
    with injected():
        begun = open_store(data)
        assert begun == [Upgrade(SCHEMA_VERSION, NEXT, data / NAME, is_made=False)]
        assert open_store(data) == [], "it is no older one any more"
    assert schema_of(data / DATABASE_NAME) == NEXT
    assert contents_of(data / DATABASE_NAME) == wanted
    assert backups_in(data) == [NAME]
    assert contents_of(data / NAME) == wanted


def test_the_backup_goes_where_backups_go(old: Path, tmp_path: Path) -> None:
    data, backups = copy_of(old, tmp_path / "data"), tmp_path / "not" / "there yet"
    with injected():
        open_store(data, backups)
    assert (backups_in(backups), backups_in(data)) == ([NAME], [])


def test_the_older_version_goes_on_from_the_backup(
    old: Path, wanted: Contents, tmp_path: Path
) -> None:
    data = copy_of(old, tmp_path / "data")
    with injected():
        open_store(data)
    with pytest.raises(StoreRefused, match=f"has schema {NEXT}, this holdfastd knows up to"):
        open_store(data)
    restore(data / NAME, data, NOW_MS, moves_aside=True)
    open_store(data)
    found = contents_of(data / DATABASE_NAME)
    assert [row[2] for row in found["job"]] == [row[2] for row in wanted["job"]]


def test_a_backup_of_an_older_version_is_restored_and_migrated(old: Path, tmp_path: Path) -> None:
    path = tmp_path / "backup.db"
    back_up(copy_of(old, tmp_path / "data"), path, NOW_MS)
    with injected():
        restore(path, tmp_path / "new", NOW_MS, moves_aside=False)
        assert open_store(tmp_path / "new") == []
    contents_of(tmp_path / "new" / DATABASE_NAME)


def test_a_new_database_needs_no_backup(tmp_path: Path) -> None:
    with injected():
        assert open_store(tmp_path / "data") == []
    assert schema_of(tmp_path / "data" / DATABASE_NAME) == NEXT
    assert backups_in(tmp_path / "data") == []


# ---- refused -------------------------------------------------------------------------------------


def files_of(directory: Path) -> dict[str, bytes]:
    """But SQLite's index of the log, which any reader makes, and what a reader of no log makes."""
    return {
        path.name: path.read_bytes()
        for path in directory.iterdir()
        if not path.name.endswith(("-shm", ".lock")) and path.stat().st_size
    }


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_a_newer_database_is_refused_unread_and_unchanged(tmp_path: Path, mode: str) -> None:
    """Not even its journal mode is."""
    database = tmp_path / DATABASE_NAME
    with closing(sqlite3.connect(database)) as newer:
        newer.execute(f"PRAGMA journal_mode = {mode}")
        newer.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        newer.execute("CREATE TABLE part (of_the_future)")
        newer.execute(f"PRAGMA user_version = {NEXT}")
        before = files_of(tmp_path)
    after_close = files_of(tmp_path)
    with pytest.raises(StoreRefused) as error:
        open_store(tmp_path)
    assert str(error.value) == (
        f"{database} has schema {NEXT}, this holdfastd knows up to {SCHEMA_VERSION}: start the "
        "newer version again; nothing was read or changed"
    )
    assert files_of(tmp_path) == after_close
    assert mode == "WAL" or before == after_close


def test_a_newer_log_is_refused_and_stays(old: Path, tmp_path: Path) -> None:
    """The newer daemon was killed: what says that it is newer stands in the log alone."""
    data = tmp_path / "data"
    with injected():
        killed_at_the_end(old, data)
    before = files_of(data)
    assert f"{DATABASE_NAME}-wal" in before
    with pytest.raises(StoreRefused, match=f"has schema {NEXT}"):
        open_store(data)
    assert files_of(data) == before


def killed_at_the_end(old: Path, data: Path) -> None:
    """Migrate a copy, with all that was written still in the log."""
    copy = copy_of(old, data.with_name("before"))
    recorder = Recorder()
    with installed(recorder):
        open_store(copy, data.with_name("backups"))
    log = recorder.log[: recorder.log.index(closing_of(recorder.log, copy))]
    data.mkdir()
    write_image(last_image(log, files_at(old, copy), copy), data)


def closing_of(log: list[Entry], directory: Path) -> Entry:
    """The first operation of the checkpoint that SQLite makes when it closes."""
    database = str(directory / DATABASE_NAME)
    return next(entry for entry in log if getattr(entry, "path", "") == database)


def files_at(directory: Path, other: Path) -> dict[str, bytes]:
    """Of a directory, as if they were in the other."""
    return {str(other / name): content for name, content in files_of(directory).items()}


def last_image(log: list[Entry], durable: dict[str, bytes], directory: Path) -> dict[str, bytes]:
    disk = CrashDisk(log, durable)
    for _ in disk.points():
        pass
    return database_in(disk.image(Kind.ALL, random.Random(1)), directory)


def database_in(image: dict[str, bytes], directory: Path) -> dict[str, bytes]:
    """Without what is written of the backup."""
    prefix = str(directory / DATABASE_NAME)
    return {path: data for path, data in image.items() if path.startswith(prefix)}


def test_without_a_place_for_the_backup_nothing_is_migrated(old: Path, tmp_path: Path) -> None:
    data = copy_of(old, tmp_path / "data")
    (tmp_path / "file").write_text("in the way")
    before = files_of(data)
    with injected(), pytest.raises(StoreRefused) as error:
        open_store(data, tmp_path / "file")
    text = str(error.value)
    assert f"has schema {SCHEMA_VERSION} and is not migrated to {NEXT} without a backup" in text
    assert text.endswith("nothing was changed")
    assert "\n" not in text
    assert files_of(data) == before


@pytest.mark.skipif(not can_mount(), reason="needs user namespaces")
def test_without_room_for_the_backup_nothing_is_migrated(old: Path, tmp_path: Path) -> None:
    """The daemon says so in one line; with backup.dir on another disk it goes on."""
    with_room = tmp_path / "elsewhere"
    config = tmp_path / "config.toml"
    config.write_text(f'[backup]\ndir = "{with_room}"\nevery_ms = 86_400_000\n')
    small = SmallDisk(tmp_path / "data", 40)
    small.environment = MIGRATING
    small.program = [migrating_daemon.__file__, "-1"]
    shutil.copyfile(path_of(SCHEMA_VERSION), small.seen_from_here / DATABASE_NAME)
    before = (small.seen_from_here / DATABASE_NAME).read_bytes()
    done = subprocess.run(
        small.command(), capture_output=True, text=True, timeout=30, check=False, env=MIGRATING
    )
    assert (done.returncode, done.stderr.count("not_started")) == (1, 1)
    assert "without a backup, which could not be made: a backup needs" in done.stderr
    assert (small.seen_from_here / DATABASE_NAME).read_bytes() == before
    small.arguments = ("--config", str(config))
    with small:
        assert small.jobs_recovered == 12
        assert small.stop() == 0
    assert len(backups_in(with_room)) == 1


# ---- at every operation --------------------------------------------------------------------------


@dataclass
class Found:
    """What came of many attempts, each of which was cut short."""

    schemas: Counter[int] = field(default_factory=Counter)
    """Which schema the database had then."""
    errors: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def judge(found: Found, directory: Path, wanted: Contents, backups: Path, where: str) -> None:
    """It opens as what it is, and then as the newer one, with all that was in it, and there is one
    backup if it is or was migrated."""
    try:
        version = schema_of(directory / DATABASE_NAME)
        found.schemas[version] += 1
        if version == SCHEMA_VERSION:
            open_store(copy_of(directory, directory.with_name("as old")))
            assert contents_of(directory.with_name("as old") / DATABASE_NAME) == wanted
        else:
            assert backups_in(backups) == [NAME], "it was migrated without a backup"
        with injected():
            open_store(directory, backups)
        assert schema_of(directory / DATABASE_NAME) == NEXT
        assert contents_of(directory / DATABASE_NAME) == wanted
        assert backups_in(backups) == [NAME]
        assert not list(backups.glob("*.holdfast-partial*"))
    except (AssertionError, StoreError, sqlite3.Error) as error:
        found.wrong.append(f"{where}: {error}"[:300])
    finally:
        shutil.rmtree(directory.with_name("as old"), ignore_errors=True)


def fail_at(at: int, fault: Fault, old: Path, wanted: Contents, folder: Path, found: Found) -> bool:
    """Returns whether there was such an operation."""
    data, backups = copy_of(old, folder / "data"), folder / "backups"
    recorder = Recorder(Plan(at, fault, forever=True))
    with installed(recorder), injected():
        try:
            open_store(data, backups)
        except (StoreRefused, StoreBroken) as error:
            found.errors[type(error).__name__] += 1
    if recorder.has_failed:
        judge(found, data, wanted, backups, f"{fault.value} at operation {at}")
    shutil.rmtree(data)
    shutil.rmtree(backups, ignore_errors=True)
    return recorder.has_failed


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_an_error_at_any_operation_leaves_the_old_or_the_new_database(
    old: Path, wanted: Contents, tmp_path: Path
) -> None:
    found = Found()
    faults = list(Fault)
    at = 0
    while fail_at(at, faults[at % len(faults)], old, wanted, tmp_path, found):
        at += 1
    assert found.wrong == []
    assert found.schemas[SCHEMA_VERSION] > 20
    assert found.schemas[NEXT] > 2
    assert found.errors.total() > 20


def cut_short(
    old: Path, wanted: Contents, folder: Path, text: str = MIGRATION, wrong_max: int = 10
) -> Found:
    """Every operation on the database is the last: the process is killed, or the power goes.

    wrong_max: it ends when so much is wrong.
    """
    data, backups = copy_of(old, folder / "data"), folder / "backups"
    recorder = Recorder()
    with installed(recorder), injected(text):
        open_store(data, backups)
    found = Found()
    disk = CrashDisk(recorder.log, files_at(old, data))
    rng = random.Random(1)
    backup_file = (backups / NAME).read_bytes()
    for point in disk.points():
        if str(backups) in getattr(recorder.log[point], "path", ""):
            continue
        if len(found.wrong) >= wrong_max:
            break
        for kind in (Kind.ALL, rng.choice(list(Kind))):
            write_image(database_in(disk.image(kind, rng), data), data)
            assert (backups / NAME).read_bytes() == backup_file, "a backup never changes"
            judge(found, data, wanted, backups, f"operation {point}, {kind.value}")
    return found


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_kill_or_power_loss_at_any_operation_leaves_the_old_or_the_new_database(
    old: Path, wanted: Contents, tmp_path: Path
) -> None:
    found = cut_short(old, wanted, tmp_path)
    assert found.wrong == []
    assert found.schemas[SCHEMA_VERSION] > 20
    assert found.schemas[NEXT] > 10


def test_a_migration_in_several_transactions_is_found(
    old: Path, wanted: Contents, tmp_path: Path
) -> None:
    found = cut_short(old, wanted, tmp_path, TORN)
    assert len(found.wrong) >= 10


def test_a_migration_without_a_backup_is_found(
    old: Path, wanted: Contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "make_backup", lambda *ignored: None)
    data, found = copy_of(old, tmp_path / "data"), Found()
    with injected():
        open_store(data, tmp_path / "backups")
    judge(found, data, wanted, tmp_path / "backups", "without a fault")
    assert "migrated without a backup" in found.wrong[0]


# ---- the daemon ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_daemon_that_is_killed_while_it_migrates_starts_again(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    shutil.copyfile(path_of(SCHEMA_VERSION), data / DATABASE_NAME)
    daemon = DaemonProcess(data, environment=MIGRATING)
    for killed_at in (0, 9, 15):
        daemon.program = [migrating_daemon.__file__, str(killed_at)]
        with pytest.raises(RuntimeError, match="the database is migrated from schema"), daemon:
            pass
        assert daemon.process is not None
        assert daemon.process.returncode == -signal.SIGKILL
        assert schema_of(data / DATABASE_NAME) == SCHEMA_VERSION
        assert len(backups_in(data)) == 1
    daemon.program = [migrating_daemon.__file__, "-1"]
    with daemon:
        assert daemon.jobs_recovered == 12
        assert "it was backed up before to" in daemon.log()
        assert daemon.stop() == 0
    assert schema_of(data / DATABASE_NAME) == NEXT
    assert len(backups_in(data)) == 1
