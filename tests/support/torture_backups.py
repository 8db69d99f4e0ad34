"""Backups in the midst of the torture campaign: made, killed, and made while the daemon dies."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from support.backups import begin_backup, partials, payloads_in
from support.daemon import DaemonProcess
from support.history import Backup, History

if TYPE_CHECKING:
    import subprocess


class Backups:
    def __init__(self, daemon: DaemonProcess, history: History, folder: Path, pruned: str):
        """pruned: prefix of the serials of jobs that the server may have removed since."""
        self._daemon = daemon
        self._history = history
        self._folder = folder
        self._pruned = pruned
        folder.mkdir()

    async def make(self, amount: float) -> None:
        confirmed, process = await self._begin()
        await self._judge(confirmed, process)

    async def kill(self, amount: float) -> None:
        """The next one that is made finds what it left, and removes it."""
        _, process = await self._begin()
        await asyncio.sleep(amount / 5)
        process.kill()
        await asyncio.to_thread(process.communicate)
        for path in self._folder.glob("*.db"):  # it was done before
            payloads_in(path)
            path.unlink()

    async def make_while_the_daemon_dies(self, amount: float) -> None:
        confirmed, process = await self._begin()
        await asyncio.sleep(amount / 10)
        self._daemon.kill()
        await asyncio.to_thread(self._daemon.start)
        await self._judge(confirmed, process)

    async def _begin(self) -> tuple[set[str], "subprocess.Popen[str]"]:
        """Returns what was confirmed before."""
        kept = {serial for serial in self._history.confirmed if not serial.startswith(self._pruned)}
        path = self._folder / "backup.db"
        return kept, await asyncio.to_thread(begin_backup, self._daemon, path)

    async def _judge(self, confirmed: set[str], process: "subprocess.Popen[str]") -> None:
        _, complaint = await asyncio.to_thread(process.communicate)
        if process.returncode != 0:
            raise RuntimeError(f"a backup failed with {process.returncode}: {complaint}")
        path = self._folder / "backup.db"
        held = {data["serial"] for data in await asyncio.to_thread(payloads_in, path)}
        self._history.backups.append(Backup(len(confirmed), frozenset(confirmed - held)))
        path.unlink()
        if left := partials(self._folder):
            raise RuntimeError(f"a backup left {left}")
