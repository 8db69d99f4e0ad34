"""The benchmarks work: each question on a tiny scale, with figures that can be true."""

from pathlib import Path

import pytest
from bench.lab import Figures, Lab
from bench.processes import LoadFailed, role, run_together
from bench.questions import QUESTIONS

TINY = 0.002


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_question_is_answered_with_figures(name: str, tmp_path: Path) -> None:
    figures: Figures = QUESTIONS[name](Lab(tmp_path, TINY, backlogs=(200,), idle_s=0.2))
    assert figures
    assert all(value >= 0 for value in figures.values())
    rates = [value for figure, value in figures.items() if "/s" in figure]
    assert all(0 < value < 10_000_000 for value in rates)


def test_a_load_process_that_fails_is_told_with_its_words() -> None:
    with pytest.raises(LoadFailed, match="ConnectionRefusedError"):
        run_together(role("add", port=1, queues=["q"], jobs=1, per_call=1, in_flight=1))
