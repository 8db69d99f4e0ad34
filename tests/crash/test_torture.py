"""A slice of `make torture`, and that it finds out a daemon with a broken rule."""

from pathlib import Path

import pytest

from support import sabotaged_daemon
from support.torture import Torture, schedule

SECONDS = 60
PAUSE_S = 0.8
"""A load that two cores work off beside the faults."""


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_no_fault_loses_doubles_or_re_runs_what_it_must_not(tmp_path: Path) -> None:
    torture = Torture(tmp_path, 1, SECONDS, pause_s=PAUSE_S)
    verdict = await torture.run()
    assert verdict.wrong == {}, torture.report(verdict)
    assert len(torture.done_faults) >= len(torture.faults) - 2
    assert len(torture.history.confirmed) > 2_000


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_daemon_that_speaks_before_it_writes_is_found_out(tmp_path: Path) -> None:
    program = [sabotaged_daemon.__file__, "says_first"]
    torture = Torture(tmp_path, 1, 8, pause_s=PAUSE_S / 2, program=program)
    verdict = await torture.run(["kill daemon"])
    assert verdict.wrong, torture.report(verdict)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_stubborn_workers_harm_no_daemon(tmp_path: Path) -> None:
    """They do not let go of leases that they lost, and ack late."""
    torture = stubborn_torture(tmp_path, 1, "keeps_all")
    verdict = await torture.run(["pause worker"])
    assert verdict.wrong == {}, torture.report(verdict)


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_daemon_without_a_fence_is_found_out_by_them_within_five_seeds(
    tmp_path: Path,
) -> None:
    for seed in range(1, 6):
        folder = tmp_path / str(seed)
        folder.mkdir()
        verdict = await stubborn_torture(folder, seed, "no_fence").run(["pause worker"])
        if verdict.wrong:
            return
    raise AssertionError("it was not found out")


def stubborn_torture(folder: Path, seed: int, rule: str) -> Torture:
    program = [sabotaged_daemon.__file__, rule]
    return Torture(folder, seed, 4, pause_s=5 * PAUSE_S, program=program, worker_mode="stubborn")


def test_a_schedule_is_made_from_the_seed_alone() -> None:
    faults = ["a", "b", "c"]
    assert schedule(7, 60, faults) == schedule(7, 60, faults)
    assert schedule(7, 60, faults) != schedule(8, 60, faults)
