"""How far a restore raises the epoch; the whole of it is tried in tests/crash/test_backup.py."""

from collections import Counter

import pytest

from holdfastd.engine.model import TOKEN_COUNTER_BITS
from holdfastd.store.backup import BackupError, Contents
from holdfastd.store.restore import EPOCH_MAX, START_MS, STARTS_SPARE, raised_epoch

TAKEN_MS = 1_700_000_000_000


def contents(epoch: int) -> Contents:
    return Contents(TAKEN_MS, epoch, 1, 1, Counter(), [], 0)


def test_the_epoch_is_raised_beyond_as_many_starts_as_there_can_have_been() -> None:
    hours_ms = 5 * 3_600_000
    raised = raised_epoch(contents(7), 0, TAKEN_MS + hours_ms)
    assert raised >= 7 + STARTS_SPARE + hours_ms // START_MS


def test_the_epoch_of_the_database_that_is_replaced_counts_if_it_can_be_read() -> None:
    assert raised_epoch(contents(7), 5_000_000, TAKEN_MS) > 5_000_000


def test_a_second_restore_of_a_backup_gets_a_later_epoch() -> None:
    first = raised_epoch(contents(7), 0, TAKEN_MS)
    assert raised_epoch(contents(7), 0, TAKEN_MS + 2 * START_MS) > first + 1


def test_a_clock_that_was_set_back_does_not_lower_it() -> None:
    assert raised_epoch(contents(7), 0, TAKEN_MS - 10**9) == 7 + STARTS_SPARE


def test_a_token_of_the_last_epoch_still_fits_the_file() -> None:
    assert (EPOCH_MAX << TOKEN_COUNTER_BITS) + 2**TOKEN_COUNTER_BITS - 1 == 2**63 - 1
    with pytest.raises(BackupError, match="used up"):
        raised_epoch(contents(EPOCH_MAX - STARTS_SPARE), 0, TAKEN_MS)
