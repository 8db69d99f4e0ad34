"""The daemon's own backups: one every so often, made by `holdfastd backup` in a process of its own.

A backup that fails harms nothing: it is logged and counted, older ones stay, and it is tried again.
What it does while the daemon works is told in `store.backup`.
"""

import asyncio
import json
import logging
import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from holdfastd import logs, ownprocess
from holdfastd.clock import Clock
from holdfastd.observed import Observed

log = logging.getLogger(__name__)

RETRY_MS: Final = 600_000
"""After a failure, unless the next is due sooner. Arbitrary."""
STAMP: Final = "%Y%m%dT%H%M%S"
NAME: Final = re.compile(r"holdfast-auto-(\d{8}T\d{6})(\d{3})Z\.db")
"""Of the files that the schedule makes, and may remove: date, time and milliseconds in UTC."""


def name_at(now_ms: int) -> str:
    at = datetime.fromtimestamp(now_ms // 1000, UTC)
    return f"holdfast-auto-{at:{STAMP}}{now_ms % 1000:03}Z.db"


class Made(NamedTuple):
    """A backup in the directory, told by its name alone."""

    at_ms: int
    path: Path


def made_in(directory: Path) -> list[Made]:
    """The schedule's own backups, the oldest first; whatever else is there is left alone."""
    found = []
    with suppress(FileNotFoundError):
        for path in directory.iterdir():
            match = NAME.fullmatch(path.name)
            if match is not None and path.is_file() and not path.is_symlink():
                found.append(Made(_at_ms(match), path))
    return sorted(found)


def _at_ms(match: re.Match[str]) -> int:
    """0 for a date that there is not: the first to go."""
    with suppress(ValueError):
        at = datetime.strptime(match[1], STAMP).replace(tzinfo=UTC)
        return int(at.timestamp()) * 1000 + int(match[2])
    return 0


def too_many(made: list[Made], keep: int) -> list[Path]:
    return [each.path for each in made[: max(0, len(made) - keep)]]


def due_in_ms(last_at_ms: int | None, every_ms: int, now_ms: int, *, has_failed: bool) -> int:
    """Until the next backup, from 0 to every_ms: a clock that was set back delays none for ever."""
    if has_failed:
        return min(RETRY_MS, every_ms)
    if last_at_ms is None:
        return 0
    return min(max(0, last_at_ms + every_ms - now_ms), every_ms)


class Backups:
    """Makes one whenever it is due, until it is cancelled."""

    def __init__(
        self,
        data: Path,
        directory: Path,
        every_ms: int,
        keep: int,
        clock: Clock,
        observed: Observed,
    ):
        self._data = data
        self._directory = directory
        self._every_ms = every_ms
        self._keep = keep
        self._clock = clock
        self._observed = observed
        self._last_at_ms: int | None = None
        self._has_failed = False
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Make one now, by the schedule or not; while one is being made, that is it."""
        self._asked.set()

    async def run(self) -> None:
        with suppress(OSError):  # then there are none; the first attempt will say what is wrong
            made = await asyncio.to_thread(made_in, self._directory)
            self._last_at_ms = self._observed.backup_at_ms = made[-1].at_ms if made else None
        while True:
            now_ms = self._clock.now_ms()
            wait_ms = due_in_ms(
                self._last_at_ms, self._every_ms, now_ms, has_failed=self._has_failed
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_ms / 1000):
                    await self._asked.wait()
            await self._try_one()
            self._asked.clear()

    async def _try_one(self) -> None:
        """Whatever goes wrong: the daemon goes on."""
        self._observed.is_backing_up = True
        try:
            await self._make_one()
        except Exception as error:
            self._has_failed = True
            self._observed.backups_failed += 1
            text = f"no backup was made: {error}"
            logs.event(log, logging.ERROR, "backup_failed", text, error=str(error))
        else:
            self._has_failed = False
            self._observed.backups_ok += 1
        finally:
            self._observed.is_backing_up = False

    async def _make_one(self) -> None:
        at_ms = self._clock.now_ms()
        path = self._directory / name_at(at_ms)
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        logs.event(log, logging.INFO, "backup_started", f"backup to {path}", path=path)
        made = await _run_backup(path, self._data)
        self._note(at_ms, made)
        for old in too_many(made_in(self._directory), self._keep):
            old.unlink(missing_ok=True)
            logs.event(log, logging.INFO, "backup_removed", f"removed {old}", path=old)

    def _note(self, at_ms: int, made: dict[str, Any]) -> None:
        self._last_at_ms = self._observed.backup_at_ms = at_ms
        self._observed.backup_seconds = made["seconds"]
        self._observed.backup_bytes = made["bytes"]
        jobs, damaged = sum(made["jobs"].values()), made["damaged_count"]
        text = f"backup {made['path']}: {jobs:,} jobs, {made['bytes']:,} bytes, {made['seconds']} s"
        level = logging.INFO
        if damaged:
            level = logging.WARNING
            text += f"; {damaged:,} of the jobs are damaged: {', '.join(made['damaged'])}"
        logs.event(log, level, "backup_done", text, **made)


async def _run_backup(path: Path, data: Path) -> dict[str, Any]:
    """Returns what it says of itself. Raises RuntimeError with its last words."""
    ended = await ownprocess.run("backup", str(path), "--data", str(data), "--json")
    if ended.code != 0:
        raise RuntimeError(ended.last_words)
    facts: dict[str, Any] = json.loads(ended.said)
    return facts
