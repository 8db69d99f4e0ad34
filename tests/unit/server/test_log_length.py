"""The write-ahead log is begun anew at about its usual length, whatever a commit holds."""

from contextlib import closing
from pathlib import Path

import pytest

from holdfastd.store.files import CHECKPOINT_BYTES
from support.engine import P
from support.sqlite_driver import SqliteDriver


@pytest.mark.parametrize(("jobs", "commits"), [(1, 3_000), (200, 400)])
def test_a_log_of_small_or_large_commits_is_no_longer_than_it_should_be(
    tmp_path: Path, jobs: int, commits: int
) -> None:
    checkpoints = 0
    with closing(SqliteDriver(tmp_path)) as driver:
        assert driver.sqlite is not None
        driver.attach(P, "producer")
        for number in range(commits):
            driver.add(P, "q", *(f"{number}-{job}" for job in range(jobs)))
            if driver.sqlite.needs_checkpoint():
                driver.loop.run_until_complete(driver.sqlite.checkpoint())
                checkpoints += 1
        log_bytes = (tmp_path / "holdfast.db-wal").stat().st_size
    assert checkpoints
    assert CHECKPOINT_BYTES / 2 < log_bytes < CHECKPOINT_BYTES * 3 / 2
