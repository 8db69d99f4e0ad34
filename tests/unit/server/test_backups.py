"""The daemon's schedule of backups: when one is due, and which ones go."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from holdfastd.backups import RETRY_MS, due_in_ms, made_in, name_at, too_many

DAY_MS = 86_400_000
NOON_MS = int(datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("last_at_ms", "has_failed", "due_ms"),
    [
        (None, False, 0),
        (NOON_MS, False, DAY_MS),
        (NOON_MS - DAY_MS + 5, False, 5),
        (NOON_MS - 10 * DAY_MS, False, 0),
        (NOON_MS + 10 * DAY_MS, False, DAY_MS),  # the clock was set back
        (None, True, RETRY_MS),
        (NOON_MS, True, RETRY_MS),
    ],
)
def test_a_backup_is_due_a_period_after_the_last_or_soon_after_a_failure(
    last_at_ms: int | None, has_failed: bool, due_ms: int
) -> None:
    assert due_in_ms(last_at_ms, DAY_MS, NOON_MS, has_failed=has_failed) == due_ms


def test_a_short_period_is_not_waited_out_longer_after_a_failure() -> None:
    assert due_in_ms(None, 5_000, NOON_MS, has_failed=True) == 5_000


def test_a_name_tells_its_time_to_the_millisecond(tmp_path: Path) -> None:
    assert name_at(NOON_MS + 7) == "holdfast-auto-20261125T120000007Z.db"
    (tmp_path / name_at(NOON_MS + 7)).touch()
    assert [made.at_ms for made in made_in(tmp_path)] == [NOON_MS + 7]


def test_only_the_oldest_of_its_own_files_are_removed(tmp_path: Path) -> None:
    mine = [tmp_path / name_at(NOON_MS + hour * 3_600_000) for hour in (3, 1, 2, 0)]
    others = [
        tmp_path / "holdfast-20200101T000000Z.db",  # made by hand
        tmp_path / "holdfast-auto-20200101T000000000Z.db.gz",
        tmp_path / "letters.db",
    ]
    for path in mine + others:
        path.touch()
    (tmp_path / name_at(1)).mkdir()
    (tmp_path / name_at(2)).symlink_to(others[2])
    made = made_in(tmp_path)
    assert {each.path for each in made} == set(mine)
    assert too_many(made, 2) == [mine[3], mine[1]]
    assert too_many(made, 4) == too_many(made, 9) == []


def test_a_directory_that_is_not_there_has_no_backups(tmp_path: Path) -> None:
    assert made_in(tmp_path / "none") == []
