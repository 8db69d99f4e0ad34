"""The judge must reject forged histories, each for what is wrong with it, and take true ones."""

from dataclasses import replace

import pytest

from support.history import Backup, Done, History, Run, Stored, judge


def good() -> History:
    """A crashed once and completed; b was never confirmed; c failed for ever."""
    return History(
        attempted={"a": b"1", "b": b"2", "c": b"3", "d": b"4"},
        confirmed={"a", "c"},
        runs=[
            Run("a", 2, b"1", "w1"),
            Run("a", 5, b"1", "w2"),
            Run("b", 3, b"2", "w1"),
            Run("c", 4, b"3", "w1"),
        ],
        done=[Done("a", 5), Done("a", 5), Done("b", 3)],
        stored=[
            Stored("a", "completed", 1),
            Stored("b", "completed", 0),
            Stored("c", "failed", 1),
        ],
    )


def test_a_true_history_has_nothing_wrong_and_counts_what_was_recovered() -> None:
    verdict = judge(good())
    assert verdict.wrong == {}
    assert verdict.recovered == {"b"}


A, B, C = good().stored
RUNS = good().runs


@pytest.mark.parametrize(
    ("forged", "wrong"),
    [
        (replace(good(), stored=[A, B]), {"lost": {"c"}}),
        (replace(good(), stored=[A, B, Stored("c", "waiting", 1)]), {"lost": {"c"}}),
        (replace(good(), runs=[*RUNS, Run("x", 9, b"", "w1")]), {"unexpected": {"x"}}),
        (replace(good(), stored=[A, B, C, C]), {"doubled": {"c"}}),
        (replace(good(), runs=[*RUNS[:3], Run("c", 4, b"?", "w1")]), {"damaged": {"c"}}),
        (replace(good(), done=[Done("a", 2), Done("a", 5)]), {"completed_twice": {"a"}}),
        (replace(good(), runs=[*RUNS, Run("b", 3, b"2", "w2")]), {"shared": {"b"}}),
        (replace(good(), done=[Done("a", 2)]), {"ran_after_done": {"a"}}),
        (replace(good(), stored=[A._replace(reruns=0), B, C]), {"unexplained": {"a"}}),
        (replace(good(), backups=[Backup(2, frozenset("c"))]), {"not_backed_up": {"c"}}),
        (replace(good(), stored=[A, B._replace(state="failed", reruns=1), C]), {"untrue": {"b"}}),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
)
def test_a_forged_history_is_rejected(forged: History, wrong: dict[str, set[str]]) -> None:
    assert judge(forged).wrong == wrong
