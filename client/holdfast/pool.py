"""Handlers in processes of their own: one process per slot, so that one that dies takes one job.

A ProcessPoolExecutor that loses a process breaks for all its jobs; pools of one do not.
"""

import asyncio
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.active import ActiveJob


class WorkerProcessDied(RuntimeError):
    """The handler's process ended before the handler did: killed, out of memory, crashed."""


class ProcessSlots:
    def __init__(self, count: int):
        # A fork would copy locks that threads hold, the IO thread's and those of libraries.
        self._context = multiprocessing.get_context("spawn")
        self._free: list[ProcessPoolExecutor | None] = [None] * count

    async def run(self, handler: Callable[["ActiveJob"], Any], job: "ActiveJob") -> Any:
        """Run it in a free process; there is one, since no more jobs run than there are slots.

        Raises:
            WorkerProcessDied, and what the handler raises.
        """
        pool = self._free.pop() or ProcessPoolExecutor(1, mp_context=self._context)
        fields = (job.token, job.queue, job.id, job.name, job.attempt, job.attempts)
        counts = (job.created_at_ms, job.crashes, job.releases)
        try:
            loop = asyncio.get_running_loop()
            result, said = await loop.run_in_executor(
                pool, _run_there, handler, fields, counts, job.data
            )
        except BrokenProcessPool as error:
            pool.shutdown(wait=False)
            self._free.append(None)
            raise WorkerProcessDied(f"the process that ran job {job.id} died") from error
        except asyncio.CancelledError:
            _kill(pool)
            self._free.append(None)
            raise
        except BaseException:
            self._free.append(pool)
            raise
        self._free.append(pool)
        for kind, value in said:
            (job.progress if kind == "progress" else job.log)(value)
        return result

    def close(self) -> None:
        for pool in self._free:
            if pool is not None:
                pool.shutdown(wait=False, cancel_futures=True)


def _kill(pool: ProcessPoolExecutor) -> None:
    """A handler whose lease is lost is stopped for good."""
    for process in list((pool._processes or {}).values()):
        process.kill()
    pool.shutdown(wait=False, cancel_futures=True)


def _run_there(
    handler: Callable[[Any], Any], fields: Any, counts: Any, data: Any
) -> tuple[Any, list[tuple[str, Any]]]:
    """In the other process."""
    job = _ProcessJob(fields, counts, data)
    return handler(job), job.said


class _ProcessJob:
    """Like ActiveJob, with what can be had in another process."""

    def __init__(self, fields: Any, counts: Any, data: Any):
        self.token, self.queue, self.id, self.name, self.attempt, self.attempts = fields
        self.created_at_ms, self.crashes, self.releases = counts
        self.data = data
        self.cancelled = False
        self.said: list[tuple[str, Any]] = []

    def progress(self, value: Any) -> None:
        self.said.append(("progress", value))

    def log(self, text: str) -> None:
        self.said.append(("log", str(text)))
