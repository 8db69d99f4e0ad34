"""What the doctor makes of what it sees; the command itself is run in tests/integration."""

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from holdfastd.backups import name_at
from holdfastd.config import Backup, from_tree
from holdfastd.doctor import database, disk, examination, machine, software
from holdfastd.doctor.disk import Latency, Mount
from holdfastd.doctor.machine import STA_UNSYNC, Reading
from holdfastd.doctor.report import Finding, Status, as_json, worst
from holdfastd.store.files import DATABASE_NAME
from holdfastd.store.schema import BACKUP_APPLICATION_ID, SCHEMA_VERSION, migrate
from support.certificates import Authority

NOW_MS = 1_800_000_000_000
GIB = 1024**3


# ---- software ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "is_affected"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 54, 1), False),
    ],
)
def test_the_wal_reset_bug_is_known_by_the_version(
    version: tuple[int, ...], is_affected: bool
) -> None:
    found = software.sqlite(version)
    assert found.facts["has_wal_reset_bug"] is is_affected
    assert found.status is (Status.WARN if is_affected else Status.OK)


def test_all_versions_are_named() -> None:
    facts = software.versions().facts
    assert list(facts) == [
        "holdfast",
        "python",
        "uvloop",
        "msgpack",
        "aiosqlite",
        "protocol",
        "schema",
    ]
    assert "none" not in facts.values()


# ---- disk ----------------------------------------------------------------------------------------

MOUNTINFO = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:26 / /var/lib rw - nfs4 server:/export rw
31 22 0:27 / /var/lib/holdfast rw shared:1 - xfs /dev/vdb rw
32 22 0:28 / /var/lib/holdfast/over rw - btrfs /dev/vdc rw
33 22 0:29 / /var/lib/holdfast/over rw - tmpfs tmpfs rw
34 22 0:30 / /mnt/with\\040blank rw - cifs //server/share rw
"""


@pytest.mark.parametrize(
    ("path", "mount"),
    [
        ("/home/data", Mount("/", "ext4")),
        ("/var/lib/other", Mount("/var/lib", "nfs4")),
        ("/var/lib/holdfast", Mount("/var/lib/holdfast", "xfs")),
        ("/var/lib/holdfast/over/x", Mount("/var/lib/holdfast/over", "tmpfs")),
        ("/var/lib/holdfast-2", Mount("/var/lib", "nfs4")),
        ("/mnt/with blank/x", Mount("/mnt/with blank", "cifs")),
    ],
)
def test_the_mount_of_a_path_is_the_last_of_the_longest(path: str, mount: Mount) -> None:
    assert disk.mount_of(Path(path), MOUNTINFO) == mount


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("ext4", Status.OK),
        ("xfs", Status.OK),
        ("fuseblk", Status.OK),
        ("nfs", Status.WARN),
        ("nfs4", Status.WARN),
        ("smb3", Status.WARN),
        ("9p", Status.WARN),
        ("fuse.sshfs", Status.WARN),
        ("tmpfs", Status.WARN),
        ("overlay", Status.WARN),
    ],
)
def test_file_systems_that_do_not_keep_a_promise_are_warned_of(
    tmp_path: Path, kind: str, status: Status
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"22 1 254:0 / / rw - {kind} device rw\n")
    found = disk.file_system(tmp_path / "not" / "yet", mounts)
    assert (found.status, found.facts["kind"]) == (status, kind)
    assert bool(found.advice) is (status is Status.WARN)


def test_without_the_kernels_list_the_file_system_is_unknown(tmp_path: Path) -> None:
    assert disk.file_system(tmp_path, tmp_path / "none").status is Status.UNKNOWN


@pytest.mark.parametrize(
    ("median_ms", "p99_ms", "status"),
    [
        (0.3, 5.0, Status.OK),
        (9.0, 90.0, Status.OK),
        (11.0, 20.0, Status.WARN),
        (0.3, 101.0, Status.WARN),
        (0.001, 0.002, Status.WARN),
    ],
)
def test_a_disk_that_is_slow_or_faster_than_any_is_warned_of(
    median_ms: float, p99_ms: float, status: Status
) -> None:
    assert disk.judge_latency(Latency(100, median_ms, p99_ms)).status is status


def test_the_latency_is_measured_on_a_file_that_is_gone_afterwards(tmp_path: Path) -> None:
    found = disk.measure(tmp_path)
    assert 0 < found.probes <= disk.PROBES
    assert 0 < found.median_ms <= found.p99_ms
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("free_bytes", "is_held", "status"),
    [
        (GIB, False, Status.OK),
        (140_000_000, False, Status.WARN),
        (140_000_000, True, Status.OK),
        (40_000_000, True, Status.WARN),
        (30_000_000, True, Status.BAD),
    ],
)
def test_space_must_suffice_for_the_log_and_a_reserve_that_is_not_taken_yet(
    free_bytes: int, is_held: bool, status: Status
) -> None:
    assert disk.judge_space(free_bytes, 64 * 2**20, None, is_held=is_held).status is status


def test_a_disk_without_inodes_is_full_too() -> None:
    assert disk.judge_space(GIB, 0, 3, is_held=True).status is Status.BAD


@pytest.mark.parametrize(("mode", "status"), [(0o700, Status.OK), (0o755, Status.WARN)])
def test_a_directory_that_others_can_read_is_warned_of(
    tmp_path: Path, mode: int, status: Status
) -> None:
    tmp_path.chmod(mode)
    assert disk.directory(tmp_path).status is status


# ---- clock and limits ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wall_ms", "written_at_ms", "status", "words"),
    [
        (1_000, NOW_MS, Status.OK, "agree within 0.0 ms"),
        (1_040, None, Status.OK, "agree within 40.0 ms"),
        (1_060, None, Status.WARN, "moved by +60 ms"),
        (-2_000, None, Status.WARN, "moved by -3,000 ms"),
        (1_000, NOW_MS + 60_000, Status.WARN, "the clock was set back"),
        (-NOW_MS, None, Status.BAD, "before this version was made"),
    ],
)
def test_a_wall_clock_that_moves_by_itself_is_found(
    wall_ms: int, written_at_ms: int | None, status: Status, words: str
) -> None:
    before, after = Reading(NOW_MS, 5_000.0), Reading(NOW_MS + wall_ms, 6_000.0)
    found = machine.clock(before, after, written_at_ms)
    assert found.status is status
    assert words in found.text


@pytest.mark.parametrize(
    ("told", "status"),
    [(None, Status.UNKNOWN), ((STA_UNSYNC, 16_000_000), Status.WARN), ((0x2001, 900), Status.OK)],
)
def test_whether_the_clock_is_synchronised_is_as_the_kernel_says(
    told: tuple[int, int] | None, status: Status
) -> None:
    assert machine.ntp(told).status is status


def test_the_kernel_is_asked_and_what_it_says_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    told = machine.kernel_clock()
    if told is not None:
        status, error_us = told
        assert 0 <= status < 2**16
        assert error_us >= 0
    monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: object())
    assert machine.kernel_clock() is None


def test_the_limit_of_open_files_is_that_of_the_daemon_if_it_can_be_seen() -> None:
    limit = machine.limit_of(os.getpid())
    assert limit is not None
    found = machine.open_files(os.getpid(), 1, 64)
    assert (found.status, found.facts["limit"]) == (Status.OK, limit)
    assert machine.open_files(os.getpid(), limit, 64).status is Status.WARN
    assert "this shell's" in machine.open_files(None, 1, 64).text


# ---- database and backups ------------------------------------------------------------------------


def make_database(directory: Path, *pragmas: str) -> None:
    path = directory / DATABASE_NAME
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection, path)
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}")
    connection.close()


@pytest.mark.parametrize(
    ("pragmas", "status", "words"),
    [
        ([], Status.OK, f"schema {SCHEMA_VERSION}, epoch 0"),
        ([f"user_version = {SCHEMA_VERSION + 1}"], Status.BAD, "newer than this holdfastd knows"),
        ([f"application_id = {BACKUP_APPLICATION_ID}"], Status.BAD, "is a backup"),
        (["application_id = 7"], Status.BAD, "is not one of Holdfast"),
    ],
)
def test_a_database_on_which_no_daemon_would_start_is_bad(
    tmp_path: Path, pragmas: list[str], status: Status, words: str
) -> None:
    make_database(tmp_path, *pragmas)
    found = database.database(tmp_path, is_shared=False)
    assert found.status is status
    assert words in found.text


def test_a_file_that_is_no_database_is_bad(tmp_path: Path) -> None:
    (tmp_path / DATABASE_NAME).write_bytes(b"no database" * 100)
    assert database.database(tmp_path, is_shared=False).status is Status.BAD


@pytest.mark.parametrize(
    ("hours", "status"), [(1, Status.OK), (47, Status.OK), (49, Status.WARN), (None, Status.WARN)]
)
def test_a_backup_that_is_overdue_is_warned_of(
    tmp_path: Path, hours: int | None, status: Status
) -> None:
    if hours is not None:
        (tmp_path / name_at(NOW_MS - hours * database.HOUR_MS)).touch()
    found = database.backup(Backup(dir=tmp_path, every_ms=24 * database.HOUR_MS), NOW_MS)
    assert found.status is status


def test_no_backups_at_all_are_warned_of() -> None:
    assert database.backup(Backup(), NOW_MS).status is Status.WARN


# ---- the whole -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "status"), [(30, Status.OK), (13, Status.WARN), (-1, Status.BAD)])
def test_a_certificate_is_judged_by_its_end(tmp_path: Path, days: float, status: Status) -> None:
    file = Authority(tmp_path).issue("server.pem", days=days)
    settings = from_tree({"tls": {"cert_file": str(file)}})
    assert examination.certificate(settings, now_ms()).status is status


def now_ms() -> int:
    from holdfastd.clock import SystemClock

    return SystemClock().now_ms()


def test_a_configuration_that_lays_the_daemon_open_is_bad() -> None:
    settings: Any = from_tree({"tcp": {"listen": "0.0.0.0:4653"}})
    assert examination.configuration(settings).status is Status.BAD


def test_what_cannot_be_looked_at_is_unknown_and_no_end() -> None:
    def look() -> Finding:
        raise PermissionError(13, "Permission denied", "/data")

    found = examination.looked_at("database", look)
    assert (found.name, found.status) == ("database", Status.UNKNOWN)
    assert "Permission denied: /data" in found.text


def test_the_whole_is_as_bad_as_its_worst_part() -> None:
    findings = [Finding(each.value, each, "text") for each in Status]
    assert worst(findings) is Status.BAD
    assert worst(findings[:2]) is Status.UNKNOWN
    assert worst([]) is Status.OK
    assert as_json(findings)["status"] == "bad"
