"""Where the demo plays: real processes on free ports of loopback, all their files in one temporary
directory. When it is struck, no process runs any more and no file is left.
"""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import fsspec

from examples.photo_upload.demo.mailbox import Mailbox

START_S: Final = 30.0
STOP_S: Final = 10.0
"""The daemon and a worker leave within this after SIGTERM; then they are killed."""


class Stage:
    """A daemon, a web application, two workers and a mailbox.

    Attributes:
        web, http: base URLs of the web application and of the daemon's own pages.
        queue_url: of the daemon's TCP port.
        database: path of the application's database.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="holdfast-demo-"))
        self.mailbox = Mailbox()
        self.database = self.folder / "application.db"
        self.web = self.http = self.queue_url = ""
        given = os.environ.get("STORAGE_URL", str(self.folder))
        self._storage_url = f"{given.rstrip('/')}/{self.folder.name}"
        self._environment = {
            **os.environ,
            "STORAGE_URL": self._storage_url,
            "APP_DATABASE": str(self.database),
            "SMTP_SERVER": self.mailbox.address,
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    async def set_up(self) -> None:
        addresses = ("--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")
        self._start("holdfastd", "holdfastd", "serve", "--data", f"{self.folder}/queue", *addresses)
        ready = await self._said("holdfastd", r"listening on (\S+), http on ([^\s,]+)")
        self.queue_url, self.http = f"holdfast://{ready[1]}", f"http://{ready[2]}"
        self._environment["HOLDFAST_URL"] = self.queue_url
        self._start("worker-1", "examples.photo_upload.worker")
        self._start("worker-2", "examples.photo_upload.worker")
        app = "examples.photo_upload.app_fastapi:app"
        self._start("web", "uvicorn", app, "--port", "0", "--no-access-log")
        self.web = (await self._said("web", r"running on (http://\S+)"))[1]

    def kill(self, pid: int) -> str:
        """SIGKILL: it can say nothing to anyone any more. Returns which one it was."""
        (name,) = [name for name, process in self._processes.items() if process.pid == pid]
        self._processes[name].kill()
        self._processes[name].wait()
        return name

    def strike(self) -> None:
        """End every process, the daemon last so that the others can take their leave; remove every
        file. May be called at any time."""
        self._end("worker-1", "worker-2", "web")
        self._end("holdfastd")
        self.mailbox.close()
        filesystem, path = fsspec.url_to_fs(self._storage_url)
        if filesystem.exists(path):
            filesystem.rm(path, recursive=True)
        shutil.rmtree(self.folder)

    def last_words(self, lines_max: int = 15) -> str:
        """The end of every process's log, for when something went wrong."""
        return "\n".join(
            "\n".join([f"---- {log.name}", *log.read_text().splitlines()[-lines_max:]])
            for log in sorted(self.folder.glob("*.log"))
        )

    def _start(self, name: str, *module_and_arguments: str) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", *module_and_arguments],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C in the terminal is for the demo, which ends them
            )

    async def _said(self, name: str, pattern: str) -> re.Match[str]:
        """Wait until a process has logged this."""
        log = self.folder / f"{name}.log"
        deadline = time.monotonic() + START_S
        while self._processes[name].poll() is None and time.monotonic() < deadline:
            found = re.search(pattern, log.read_text())
            if found:
                return found
            await asyncio.sleep(0.05)
        raise RuntimeError(f"{name} did not start")

    def _end(self, *names: str) -> None:
        processes = [self._processes[name] for name in names if name in self._processes]
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + STOP_S
        for process in processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
