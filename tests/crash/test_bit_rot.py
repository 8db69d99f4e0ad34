"""One flipped bit, or a file cut short: no wrong payload is delivered, one damaged job harms no
other, nothing is missing in silence, and what cannot be read is refused in one line."""

import random
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from holdfastd.engine import commands
from holdfastd.engine.model import FailReason, State
from holdfastd.store import reading, sqlite
from holdfastd.store.base import StoreError
from holdfastd.store.files import DATABASE_NAME
from support.engine import P, W, new_job
from support.sqlite_driver import SqliteDriver

JOBS = 120
PER_COMMIT = 10
FLIPS = 400
CUTS = 60


class Stored(NamedTuple):
    files: dict[str, bytes]
    payloads: dict[str, bytes]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """A database and a log beside it, as a SIGKILL leaves them; jobs in both."""
    folder = tmp_path_factory.mktemp("sound")
    driver = SqliteDriver(folder)
    driver.attach(P, "producer")
    rng = random.Random(1)
    payloads = {f"j{number}": rng.randbytes(300) for number in range(JOBS)}
    jobs = [new_job(id)._replace(payload=payload) for id, payload in payloads.items()]
    for start in range(0, JOBS, PER_COMMIT):
        if start == JOBS // 2:
            assert driver.sqlite is not None
            driver.loop.run_until_complete(driver.sqlite.checkpoint())
        driver.ask(P, commands.Enqueue("q", list(enumerate(jobs[start : start + PER_COMMIT])), []))
    files = {
        path.name: path.read_bytes() for path in folder.iterdir() if path.name.startswith("holdf")
    }
    driver.close()
    return Stored(files, payloads)


def outcome_of(folder: Path, stored: Stored) -> str:
    """Open it, have every job delivered, and say what came of it.

    Raises AssertionError: something was delivered that was never added, or a job is missing without
    a word.
    """
    try:
        driver = SqliteDriver(folder)
    except StoreError as error:
        return refused(error)
    try:
        driver.attach(W, "worker", worker="w")
        driver.subscribe(W, "q", credit=10 * JOBS)
        delivered = {item[2]: item[4] for item in driver.take(W)}
        rows = driver.rows()
    except StoreError as error:
        return refused(error)
    finally:
        driver.abandon()
    wrong = [id for id, payload in delivered.items() if stored.payloads.get(id) != payload]
    assert not wrong, f"delivered with a wrong payload or id: {wrong}"
    quarantined = [row for row in rows if row.fail_reason is FailReason.DAMAGED]
    assert all(row.state is State.FAILED for row in quarantined)
    missing = len(stored.payloads) - len(delivered)
    if not missing:
        return "harmless"
    if missing == PER_COMMIT and not quarantined:
        return "last commit missing"
    assert len(quarantined) == missing, f"{missing} missing, {len(quarantined)} quarantined"
    return "quarantined"


def refused(error: StoreError) -> str:
    text = str(error)
    assert "restore a backup with holdfastd restore" in text, text
    assert "\n" not in text
    return "refused"


def write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data)


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def flip_all_over(stored: Stored, folder: Path, name: str, flips: int) -> Counter[str]:
    rng = random.Random(2)
    outcomes: Counter[str] = Counter()
    for _ in range(flips):
        bit = rng.randrange(8 * len(stored.files[name]))
        write(folder, {**stored.files, name: flipped(stored.files[name], bit)})
        try:
            outcomes[outcome_of(folder, stored)] += 1
        except AssertionError as error:
            raise AssertionError(f"bit {bit} of {name}: {error}") from None
    return outcomes


@pytest.mark.slow
def test_no_flipped_bit_of_the_database_delivers_a_wrong_payload(
    stored: Stored, tmp_path: Path
) -> None:
    outcomes = flip_all_over(stored, tmp_path / "flipped", DATABASE_NAME, FLIPS)
    assert outcomes["quarantined"] > FLIPS // 10
    assert outcomes["refused"] > 0


@pytest.mark.slow
def test_without_the_checksum_wrong_payloads_are_delivered(
    stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "checksum", _Any())
    with pytest.raises(AssertionError, match="wrong payload"):
        flip_all_over(stored, tmp_path / "flipped", DATABASE_NAME, FLIPS)


class _Any:
    """A checksum that every row has."""

    def __call__(self, *fields: Any) -> "_Any":
        return self

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]  # it equals everything


@pytest.mark.slow
def test_a_flipped_bit_of_the_log_forgets_the_last_commit_at_most(
    stored: Stored, tmp_path: Path
) -> None:
    """SQLite alone would drop all commits from the damage on, in silence. That the last one is
    missing cannot be told from a crash before it was confirmed."""
    outcomes = flip_all_over(stored, tmp_path / "flipped", f"{DATABASE_NAME}-wal", FLIPS)
    assert outcomes["refused"] > FLIPS // 2
    assert outcomes["last commit missing"] < FLIPS // 5


@pytest.mark.slow
def test_without_the_check_of_the_log_commits_are_lost_in_silence(
    stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "is_damaged", lambda wal, used, database: False)
    with pytest.raises(AssertionError, match="missing, 0 quarantined"):
        flip_all_over(stored, tmp_path / "flipped", f"{DATABASE_NAME}-wal", FLIPS)


@pytest.mark.slow
def test_no_cut_database_loses_a_job_without_a_word(stored: Stored, tmp_path: Path) -> None:
    rng = random.Random(3)
    name = DATABASE_NAME
    for _ in range(CUTS):
        size = rng.randrange(1, len(stored.files[name]))
        write(tmp_path / "cut", {**stored.files, name: stored.files[name][:size]})
        assert outcome_of(tmp_path / "cut", stored) in ("refused", "harmless", "quarantined")
