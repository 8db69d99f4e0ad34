"""Power loss, I/O errors, failed fsyncs under the real store. Each zero has a twin that fails."""

import random
from collections import Counter
from pathlib import Path

import pytest

from holdfastd.store import sqlite
from holdfastd.store.base import StoreBroken
from support.crashdisk import Plan, Recorder
from support.diskfaults import (
    Report,
    Run,
    StaysFull,
    count_operations,
    fail_operation,
    fail_sync,
    lose_power,
    run,
)
from support.vfs import Fault

STEPS = 150
IMAGES = 3_000
CONTROL_IMAGES = 300


def images_of(done: Run, tmp_path: Path, count: int) -> Report:
    folder = tmp_path / "image"
    folder.mkdir()
    return lose_power(done, 1, count, folder)


def recorded(tmp_path: Path, seed: int, *, says_first: bool = False) -> Run:
    folder = tmp_path / "data"
    folder.mkdir()
    return run(seed, STEPS, folder, says_first=says_first)


# ---- power loss ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_no_power_loss_takes_what_was_confirmed(tmp_path: Path) -> None:
    report = images_of(recorded(tmp_path, seed=1), tmp_path, IMAGES)
    assert (report.lost, report.wrong) == (0, 0), report.examples
    assert report.total == IMAGES
    assert min(report.images.values()) > IMAGES // 10
    assert report.in_doubt > IMAGES // 100


def test_a_store_that_does_not_sync_loses_to_a_power_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pragmas = [
        ("synchronous", "NORMAL", 1) if pragma[0] == "synchronous" else pragma
        for pragma in sqlite.PRAGMAS
    ]
    monkeypatch.setattr(sqlite, "PRAGMAS", pragmas)
    report = images_of(recorded(tmp_path, seed=1), tmp_path, CONTROL_IMAGES)
    assert report.lost + report.wrong > CONTROL_IMAGES // 2


def test_a_daemon_that_speaks_before_it_writes_loses_to_a_power_loss(tmp_path: Path) -> None:
    report = images_of(recorded(tmp_path, seed=1, says_first=True), tmp_path, CONTROL_IMAGES)
    assert report.lost + report.wrong > CONTROL_IMAGES // 2


# ---- I/O errors ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_header_of_the_log_that_was_half_written_is_no_damage() -> None:
    """At the operations of a run, found by failing all of them, that begin the log anew."""
    report = Report()
    for seed, at in ((12, 159), (13, 77), (13, 191), (16, 424)):
        fail_operation(seed, 30, Plan(at, Fault.SHORT, False), report)
    assert (report.lost, report.wrong) == (0, 0), report.examples


@pytest.mark.parametrize("forever", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize("fault", list(Fault))
def test_an_error_of_the_disk_confirms_nothing_and_loses_nothing(
    fault: Fault, forever: bool
) -> None:
    """At operations all over a run, those of the first opening among them."""
    steps = 30
    count = count_operations(1, steps)
    rng = random.Random(1)
    report = Report()
    errors: Counter[type] = Counter()
    for at in [*range(0, 40, 4), *rng.sample(range(40, count), 30)]:
        done = fail_operation(1, steps, Plan(at, fault, forever), report)
        assert done.recorder.has_failed
        errors[type(done.error)] += 1
    assert (report.lost, report.wrong) == (0, 0), report.examples
    if fault is not Fault.ENOSPC:
        assert errors[StoreBroken] >= 25
        assert errors[type(None)] < 5  # a truncation that only saves space may fail unheard
    else:
        assert errors[StaysFull if forever else type(None)] > 10


# ---- fsyncs that fail ----------------------------------------------------------------------------


def after_failed_syncs(tmp_path: Path, *, evicts: bool) -> Report:
    whole = Report()
    folder = tmp_path / "data"
    folder.mkdir()
    for at in range(8, 40, 8):
        whole.add(fail_sync(at, 60, at, CONTROL_IMAGES // 2, folder, evicts=evicts))
    return whole


@pytest.mark.slow
def test_what_is_confirmed_after_a_failed_fsync_survives_a_power_loss(tmp_path: Path) -> None:
    report = after_failed_syncs(tmp_path, evicts=True)
    assert (report.lost, report.wrong) == (0, 0), report.examples


@pytest.mark.slow
def test_a_store_that_reopens_what_the_kernel_holds_loses_it(tmp_path: Path) -> None:
    report = after_failed_syncs(tmp_path, evicts=False)
    assert report.lost + report.wrong > report.total // 10


def test_a_watched_run_is_a_run_like_any_other(tmp_path: Path) -> None:
    done = recorded(tmp_path, seed=3)
    assert done.error is None
    assert isinstance(done.recorder, Recorder)
    assert done.confirmed > STEPS // 2
