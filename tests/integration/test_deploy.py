"""A daemon that is restarted under load, as a deploy does it: nobody notices but by the clock."""

import asyncio
import logging
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from holdfast import Worker, aio
from holdfast.active import ActiveJob
from support import sabotaged_daemon
from support.daemon import DaemonProcess

PRODUCERS: Final = 8
WORKERS: Final = 50
RESTARTS: Final = 3
PAUSE_S: Final = 0.02
"""Between two jobs of a producer: fewer than the workers can do."""
RUN_S_MAX: Final = 0.3
"""Of a handler: at each restart about a hundred run."""


class Deploy:
    """Producers and workers of a daemon, and what they noticed.

    Attributes: added: ids of confirmed jobs. runs: of each id. troubles: what was raised, told or
    logged.
    """

    def __init__(self, daemon: DaemonProcess):
        self.daemon = daemon
        self.added: list[str] = []
        self.runs: Counter[str] = Counter()
        self.troubles: list[str] = []
        self._is_over = threading.Event()
        self._producers = [
            threading.Thread(target=lambda: asyncio.run(self._produce())) for _ in range(PRODUCERS)
        ]
        self._workers = [
            Worker("q", self._handle, url=daemon.url, concurrency=2, name=f"worker-{number}")
            for number in range(WORKERS)
        ]
        for worker in self._workers:
            worker.on("error", lambda error: self.troubles.append(f"told: {error!r}"))
            worker.on("lost", lambda job: self.troubles.append(f"lost: {job.id}"))

    async def _produce(self) -> None:
        """On a loop, and so on a connection, of its own."""
        async with aio.Queue("q", url=self.daemon.url, timeout=20) as queue:
            while not self._is_over.is_set():
                try:
                    self.added.append((await queue.add("n")).id)
                except Exception as error:
                    self.troubles.append(f"raised: {error!r}")
                await asyncio.sleep(PAUSE_S)

    async def _handle(self, job: ActiveJob) -> None:
        self.runs[job.id] += 1
        await asyncio.sleep(random.random() * RUN_S_MAX)

    async def run(self, restarts: int, *, is_killed: bool = False) -> None:
        """Everything, until all that was added is done."""
        working = [asyncio.create_task(worker.run_async()) for worker in self._workers]
        for thread in self._producers:
            thread.start()
        try:
            for _ in range(restarts):
                await self._until_more_run(150)
                if is_killed:
                    self.daemon.kill()
                else:
                    assert await asyncio.to_thread(self.daemon.stop) == 0
                await asyncio.to_thread(self.daemon.start)
            await self._until_more_run(150)
        finally:
            self._is_over.set()
            for thread in self._producers:
                await asyncio.to_thread(thread.join)
        async with asyncio.timeout(30):
            while len(self.runs) < len(self.added):
                await asyncio.sleep(0.01)
        for worker in self._workers:
            worker.stop()
        await asyncio.gather(*working)

    async def _until_more_run(self, count: int) -> None:
        goal = self.runs.total() + count
        async with asyncio.timeout(30):
            while self.runs.total() < goal:
                await asyncio.sleep(0.01)

    @property
    def run_again(self) -> list[str]:
        return [id for id, count in self.runs.items() if count > 1]


class _Listening(logging.Handler):
    def __init__(self, deploy: Deploy):
        super().__init__(logging.WARNING)
        self._deploy = deploy

    def emit(self, record: logging.LogRecord) -> None:
        self._deploy.troubles.append(f"logged: {record.getMessage()}")


@contextmanager
def deploy_of(daemon: DaemonProcess) -> Iterator[Deploy]:
    with daemon:
        deploy = Deploy(daemon)
        listening = _Listening(deploy)
        logging.getLogger().addHandler(listening)
        try:
            yield deploy
        finally:
            logging.getLogger().removeHandler(listening)


@pytest.mark.slow
async def test_restarts_under_load_show_no_error_and_run_no_job_again(tmp_path: Path) -> None:
    with deploy_of(DaemonProcess(tmp_path / "data")) as deploy:
        await deploy.run(RESTARTS)
        assert deploy.troubles == []
        assert deploy.run_again == []
        assert sorted(deploy.runs) == sorted(deploy.added)
        async with aio.Queue("q", url=deploy.daemon.url) as queue:
            counts = await queue.counts()
        assert (counts["completed"], counts["failed"]) == (len(deploy.added), 0)
        assert "ERROR" not in deploy.daemon.log()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "is_killed"), [("keeps_all", True), ("no_goaway", False)], ids=["kill", "no-goaway"]
)
async def test_a_restart_without_a_word_is_found_out(
    tmp_path: Path, rule: str, is_killed: bool
) -> None:
    daemon = DaemonProcess(tmp_path / "data")
    daemon.program = [sabotaged_daemon.__file__, rule]
    with deploy_of(daemon) as deploy:
        await deploy.run(1, is_killed=is_killed)
        assert any("has lost the server" in trouble for trouble in deploy.troubles)
        assert deploy.run_again == [], "leases survive that too"


@pytest.mark.slow
async def test_a_restart_that_forgets_leases_is_found_out(tmp_path: Path) -> None:
    daemon = DaemonProcess(tmp_path / "data")
    daemon.program = [sabotaged_daemon.__file__, "forgets_leases"]
    with deploy_of(daemon) as deploy:
        await deploy.run(1)
        assert deploy.run_again
