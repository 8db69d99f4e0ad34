"""The judge must reject forged histories."""

from dataclasses import replace

import pytest

from support.history import History, judge

PAYLOADS = {"a": b"1", "b": b"2"}


def good() -> History:
    return History(
        attempted={"a", "b"},
        confirmed={"a"},
        runs=[("a", 1, b"1"), ("a", 2, b"1"), ("b", 3, b"2")],
        acks=[("a", 2), ("b", 3)],
    )


def test_a_true_history_is_valid_and_counts_what_was_recovered() -> None:
    verdict = judge(good(), PAYLOADS)
    assert verdict.is_valid
    assert verdict.recovered == {"b"}


@pytest.mark.parametrize(
    ("forged", "where"),
    [
        (replace(good(), acks=[("b", 3)]), "lost"),
        (replace(good(), attempted={"a"}), "unexpected"),
        (replace(good(), acks=[("a", 1), ("a", 2)]), "completed_twice"),
        (replace(good(), runs=[("a", 2, b"1"), ("a", 1, b"1")]), "tokens_fell"),
        (replace(good(), runs=[("a", 2, b"?")]), "damaged"),
    ],
)
def test_a_forged_history_is_rejected(forged: History, where: str) -> None:
    verdict = judge(forged, PAYLOADS)
    assert not verdict.is_valid
    assert getattr(verdict, where)
