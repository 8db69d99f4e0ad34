"""The daemon's own backups: made when due, kept so many, and a failure seen and survived."""

import asyncio
import json
import re
import time
import urllib.request
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from holdfast import aio
from holdfastd.backups import made_in
from support.backups import payloads_in
from support.daemon import DaemonProcess

KEEP = 2
EVERY_MS = 1_000

pytestmark = pytest.mark.slow


def scheduled(tmp_path: Path, directory: Path) -> DaemonProcess:
    config = tmp_path / "config.toml"
    config.write_text(
        f'[backup]\ndir = "{directory}"\nevery_ms = {EVERY_MS}\nkeep = {KEEP}\n'
        '[log]\nformat = "json"\n'
    )
    return JsonDaemon(tmp_path / "data", "--config", str(config))


class JsonDaemon(DaemonProcess):
    def events(self, name: str) -> list[dict[str, Any]]:
        whole = self.log().rpartition("\n")[0]
        return [line for line in map(json.loads, whole.splitlines()) if line["event"] == name]


def until(is_true: Callable[[], Any], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.05)  # what is waited for is in another process


def metrics_of(daemon: DaemonProcess) -> dict[str, float]:
    with urllib.request.urlopen(f"http://{daemon.http_address}/metrics", timeout=5) as answer:
        found = re.findall(r"^(holdfast_backup\S+) (\S+)$", answer.read().decode(), re.M)
    return {name: float(value) for name, value in found}


def test_backups_are_made_when_due_and_the_newest_stay(tmp_path: Path) -> None:
    directory = tmp_path / "backups"
    directory.mkdir()
    (directory / "holdfast-20200101T000000Z.db").write_text("made by hand")
    with scheduled(tmp_path, directory) as daemon:
        assert isinstance(daemon, JsonDaemon)
        asyncio.run(add_one(daemon))
        until(lambda: len(daemon.events("backup_removed")) >= 2)
        made = made_in(directory)
        assert KEEP <= len(made) <= KEEP + 1  # the next one may have come
        assert payloads_in(made[-1].path) == ["saved"]
        done = daemon.events("backup_done")
        assert len(daemon.events("backup_started")) >= len(done) > KEEP
        assert done[-1]["jobs"] == {"waiting": 1}
        time_between_ms = [b["at_ms"] - a["at_ms"] for a, b in pairwise(done)]
        assert min(time_between_ms) > EVERY_MS / 2
        seen = metrics_of(daemon)
        assert seen["holdfast_backup_last_success_timestamp_seconds"] > done[0]["at_ms"] / 1000
        assert seen["holdfast_backup_last_size_bytes"] > 0
        assert seen["holdfast_backup_last_duration_seconds"] > 0
        assert seen['holdfast_backups_total{result="ok"}'] > KEEP
        assert daemon.stop() == 0
    assert (directory / "holdfast-20200101T000000Z.db").read_text() == "made by hand"


async def add_one(daemon: DaemonProcess) -> None:
    async with aio.Queue("q", url=daemon.url) as queue:
        await queue.add("n", "saved")


def test_a_backup_that_fails_is_told_and_counted_and_harms_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "backups"
    directory.write_text("a file, where a directory should be")
    with scheduled(tmp_path, directory) as daemon:
        assert isinstance(daemon, JsonDaemon)
        until(lambda: len(daemon.events("backup_failed")) >= 2)
        assert "File exists" in daemon.events("backup_failed")[0]["error"]
        asyncio.run(add_one(daemon))
        seen = metrics_of(daemon)
        assert seen['holdfast_backups_total{result="failed"}'] >= 2
        assert "holdfast_backup_last_success_timestamp_seconds" not in seen
        directory.unlink()  # mended
        until(lambda: daemon.events("backup_done"))
        assert daemon.stop() == 0


def test_a_restart_does_not_bring_the_next_backup_forward(tmp_path: Path) -> None:
    directory = tmp_path / "backups"
    config = tmp_path / "config.toml"
    config.write_text(f'[backup]\ndir = "{directory}"\n[log]\nformat = "json"\n')
    daemon = JsonDaemon(tmp_path / "data", "--config", str(config))
    with daemon:
        until(lambda: daemon.events("backup_done"))
        first_s = metrics_of(daemon)["holdfast_backup_last_success_timestamp_seconds"]
        assert daemon.stop() == 0
        daemon.start()
        until(
            lambda: (
                metrics_of(daemon).get("holdfast_backup_last_success_timestamp_seconds") == first_s
            )
        )
        assert daemon.events("backup_started") == []
        assert daemon.stop() == 0
    assert len(made_in(directory)) == 1
