"""A worker process of the torture campaign: `torture_worker.py MODE URL LOG QUEUE…`.

MODE is honest, or stubborn: works on when a lease is taken back, for long, and acks late.
What it sees goes to LOG, a line per event, unbuffered: it is there when the process is killed.
"""

import asyncio
import os
import sys
import time
from typing import Any

from holdfast import Release, Retry, Worker
from holdfast.active import ActiveJob

CONCURRENCY = 20
STUBBORN_S = 3.0
"""Of a slow job of a stubborn worker: longer than a lease of the campaign."""


class Handlers:
    def __init__(self, log: str, slow_s: float):
        """slow_s: length of a slow job at most."""
        self._slow_s = slow_s
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def say(self, *words: object) -> None:
        os.write(self._log, (" ".join(str(word) for word in words) + "\n").encode())

    def _started(self, job: ActiveJob) -> None:
        self.say("run", job.data["serial"], job.token, job.data["pad"].hex() or "-", os.getpid())

    def completed(self, job: ActiveJob, result: Any) -> None:
        self.say("done", job.data["serial"], job.token)

    async def fast(self, job: ActiveJob) -> None:
        self._started(job)

    async def slow(self, job: ActiveJob) -> str:
        self._started(job)
        job.progress(50)
        await asyncio.sleep(self._slow_s * job.data["pad"][0] / 255)
        return "slow"

    async def fails(self, job: ActiveJob) -> None:
        """The first time."""
        self._started(job)
        job.log(f"attempt {job.attempt}")
        if job.attempt == 1:
            raise Retry(after=0.05)

    async def snoozes(self, job: ActiveJob) -> None:
        """The first time."""
        self._started(job)
        if job.releases == 0:
            raise Release(delay=0.05)

    def blocks(self, job: ActiveJob) -> None:
        self._started(job)
        time.sleep(0.02)


def main() -> None:
    mode, url, log, *queues = sys.argv[1:]
    handlers = Handlers(log, STUBBORN_S if mode == "stubborn" else 0.5)
    by_name = {name: getattr(handlers, name) for name in KINDS}
    worker = Worker(queues, by_name, url=url, concurrency=CONCURRENCY)
    worker.on("completed", handlers.completed)
    if mode == "stubborn":
        worker.cancel = lambda token, why: None  # type: ignore[method-assign]  # the sabotage
    worker.run()


KINDS = ("fast", "slow", "fails", "snoozes", "blocks")

if __name__ == "__main__":
    main()
