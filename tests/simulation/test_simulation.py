"""The whole daemon in virtual time: a slice of `make simulate`, and what it must find out."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from support.simulation.sabotage import SABOTAGES, sabotaged
from support.simulation.world import simulate

SEEDS = (1, 2, 3, 6, 8)
"""Of those that take a second or two each."""
SABOTAGE_SEEDS = range(13, 25)
"""Among them each sabotage must be found. The rarest are found by each fifth seed; these begin with
some that do."""
SQLITE_SEED = 10
TESTS = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_no_fault_in_any_order_breaks_a_promise() -> None:
    seen: Counter[str] = Counter()
    hours = 0.0
    for seed in SEEDS:
        outcome = simulate(seed)
        assert outcome.wrong == [], f"SEED={seed} make simulate"
        seen += outcome.seen
        hours += outcome.simulated_s / 3600
    assert hours > 1
    assert seen["jobs confirmed"] > 300 * len(SEEDS)
    assert seen["kills"] > len(SEEDS)
    assert seen["compared memory and disk"] > 500 * len(SEEDS)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_same_holds_on_sqlite_whose_disk_loses_what_was_not_synced() -> None:
    outcome = simulate(SQLITE_SEED)
    assert outcome.wrong == [], f"SEED={SQLITE_SEED} make simulate"
    assert outcome.seen["disks compared with the model"] > 1


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", SABOTAGES)
def test_a_broken_rule_is_found_out(name: str) -> None:
    with sabotaged(name):
        assert any(simulate(seed).wrong for seed in SABOTAGE_SEEDS)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_seed_gives_the_same_run_byte_for_byte_in_any_process() -> None:
    program = "from support.simulation.world import simulate; print(simulate(6).trace)"
    traces = {
        subprocess.check_output(
            [sys.executable, "-c", program],
            cwd=TESTS,
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(TESTS)},
            text=True,
        )
        for hash_seed in ("1", "2")
    }
    assert len(traces) == 1
    assert simulate(8).trace not in traces
