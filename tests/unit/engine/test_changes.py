"""changes.py: rows, batches, and the keys of what is read."""

from typing import Any

import pytest

from holdfastd.engine.changes import Batch, FinishedPage, JobRow, QueuePage, key_of
from holdfastd.engine.model import (
    DEFAULT_OPTIONS,
    NO_SESSION,
    FailReason,
    QueueKey,
    Seq,
    State,
    Token,
)

KEPT_NUMBERS = {"number", "next_seq", "next_queue", "next_session"}
IN_REWRITTEN = {"moved", "edited"}


def a_row(state: State) -> JobRow:
    """Whose numbers are all different."""
    lease: Any = (Token(60), NO_SESSION, 70, 80)
    rest: Any = (DEFAULT_OPTIONS, 1, 2, 3, *lease, FailReason.NONE, None, 0, None, None, False)
    return JobRow(Seq(10), QueueKey(1), "a", "n", state, 20, 30, 40, 50, *rest)


@pytest.mark.parametrize(
    ("state", "key"),
    [
        (State.WAITING, (20, 30)),
        (State.DELAYED, (40, 10)),
        (State.ACTIVE, (60, 10)),
        (State.COMPLETED, (80, 10)),
        (State.FAILED, (80, 10)),
        (State.CANCELLED, (80, 10)),
        (State.BLOCKED, (80, 10)),
    ],
)
def test_a_row_stands_among_those_of_its_state_as_the_index_has_them(
    state: State, key: tuple[int, int]
) -> None:
    assert key_of(state, a_row(state)) == key


def test_reads_of_two_kinds_are_never_taken_for_one() -> None:
    """They are the keys of what is wanted; as named tuples these two would be equal."""
    old = FinishedPage(QueueKey(1), State.COMPLETED, None, 10)
    wanted = {old: 1, QueuePage(QueueKey(1), State.COMPLETED, None, 10): 2}
    assert (len(wanted), wanted[old]) == (2, 1)


def test_a_batch_with_anything_to_write_is_not_empty() -> None:
    assert Batch(number=5, next_seq=Seq(9)).is_empty
    fields = set(Batch.__slots__) - KEPT_NUMBERS - IN_REWRITTEN
    assert len(fields) >= 13
    for name in fields:
        batch: Any = Batch()
        getattr(batch, name).append(None)
        assert not batch.is_empty, name


def test_a_row_tells_the_attempt_that_is_on_or_comes_next_and_of_a_failed_job_the_last() -> None:
    assert [a_row(state).attempt for state in (State.WAITING, State.ACTIVE)] == [4, 4]
    assert a_row(State.FAILED).attempt == 3
