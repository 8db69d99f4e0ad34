"""The benchmarks work: each question on a tiny scale, with figures that can be true."""

from pathlib import Path
from typing import Any

import pytest
from bench.lab import Figures, Lab
from bench.peers import OURS
from bench.peers.asking import Sizes, ask_all, ask_memory
from bench.processes import LoadFailed, role, run_together
from bench.published import products
from bench.questions import QUESTIONS
from bench.tables import table

TINY = 0.002
TINY_SIZES = Sizes(0.1, 0.1, 0.2, 0.2, 5, 0.2, 1_000, 2)


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_question_is_answered_with_figures(name: str, tmp_path: Path) -> None:
    figures: Figures = QUESTIONS[name](Lab(tmp_path, TINY, (200,), 0.2, 2))
    assert figures
    assert all(value >= 0 for value in figures.values())
    rates = [value for figure, value in figures.items() if "/s" in figure]
    assert all(0 < value < 10_000_000 for value in rates)


def test_a_load_process_that_fails_is_told_with_its_words() -> None:
    with pytest.raises(LoadFailed, match="ConnectionRefusedError"):
        run_together(role("add", port=1, queues=["q"], jobs=1, per_call=1, in_flight=1))


@pytest.mark.parametrize("name", OURS)
def test_holdfast_is_asked_what_its_peers_are(name: str, tmp_path: Path) -> None:
    peer = OURS[name]()
    figures = ask_all(peer, tmp_path, TINY_SIZES)
    assert all(0 < value < 10_000_000 for value in figures.values())
    memory = ask_memory(peer, tmp_path, TINY_SIZES)
    assert memory["server MB, with these waiting"] >= memory["server MB, empty"] > 1


def _result(date: str, **rates: float) -> dict[str, Any]:
    columns = ("add one by one /s", "add in bulk /s", "add by 8 producers /s", "drain /s")
    return {
        "machine": {"date": date},
        "peers": {
            name: {
                "title": name,
                "promise": "fsync",
                "figures": {**{column: [1.0] for column in columns}, "end to end /s": [rate] * 3},
            }
            for name, rate in rates.items()
        },
    }


def test_the_table_takes_the_newest_run_of_each_and_marks_another_hour() -> None:
    old = _result("2026-11-25 02:30", holdfast=1.0, **{"holdfast-python": 30_000.0}, other=1_000.0)
    new = _result("2026-11-25 04:00", holdfast=1.0, **{"holdfast-python": 40_000.0}, third=20_000.0)
    lines = {line.split()[1]: line for line in table(products([old, new]))[2:]}
    assert "40,000 |" in lines["holdfast-python"]
    assert "1,000 (40.0x)" in lines["other†"]
    assert "20,000 (2.0x)" in lines["third"]
