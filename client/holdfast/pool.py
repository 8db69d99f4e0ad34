"""Handlers in processes of their own: one process per slot, so that one that dies takes one job.

A ProcessPoolExecutor that loses a process breaks for all its jobs; pools of one do not. What a
handler says (progress, log) comes back through one pipe, while it runs; the end of its sayings is
waited for before its answer goes, so that nothing comes after it.
"""

import asyncio
import contextlib
import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from holdfast.active import ActiveJob


SAYINGS_S: Final = 5.0
"""How long an answer waits at most for what was said before it; a pipe takes microseconds."""


class WorkerProcessDied(RuntimeError):
    """The handler's process ended before the handler did: killed, out of memory, crashed."""


class ProcessSlots:
    """Made on the loop that runs the handlers' answers."""

    def __init__(self, count: int):
        # A fork would copy locks that threads hold, the IO thread's and those of libraries.
        self._context = multiprocessing.get_context("spawn")
        self._free: list[ProcessPoolExecutor | None] = [None] * count
        self._loop = asyncio.get_running_loop()
        self._sayings = self._context.SimpleQueue()
        self._running: dict[int, tuple[ActiveJob, asyncio.Event]] = {}
        self._ear = threading.Thread(target=self._listen, name="holdfast-processes", daemon=True)
        self._ear.start()

    async def run(self, handler: Callable[["ActiveJob"], Any], job: "ActiveJob") -> Any:
        """Run it in a free process; there is one, since no more jobs run than there are slots.

        Raises:
            WorkerProcessDied, and what the handler raises.
        """
        pool = self._free.pop() or self._new_pool()
        said_all = asyncio.Event()
        self._running[job.token] = (job, said_all)
        fields = {name: getattr(job, name) for name in _FIELDS}
        try:
            result = await self._loop.run_in_executor(pool, _run_there, handler, fields)
        except BrokenProcessPool as error:
            pool.shutdown(wait=False)
            raise WorkerProcessDied(f"the process that ran job {job.id} died") from error
        except asyncio.CancelledError:
            _kill(pool)
            raise
        except Exception:
            await _heard_out(said_all)
            raise
        else:
            await _heard_out(said_all)
            return result
        finally:
            del self._running[job.token]
            self._free.append(None if _is_broken(pool) else pool)

    def _new_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            1, mp_context=self._context, initializer=_remember, initargs=(self._sayings,)
        )

    def _listen(self) -> None:
        """On a thread: pass on what handlers say."""
        while True:
            token, kind, value = self._sayings.get()
            if token is None:
                return
            job, said_all = self._running.get(token, (None, None))
            if job is None or said_all is None:
                continue  # its lease was lost meanwhile
            if kind == "end":
                self._loop.call_soon_threadsafe(said_all.set)
            elif kind == "progress":
                job.progress(value)
            else:
                job.log(value)

    def close(self) -> None:
        for pool in self._free:
            if pool is not None:
                pool.shutdown(wait=False, cancel_futures=True)
        self._sayings.put((None, None, None))


async def _heard_out(said_all: asyncio.Event) -> None:
    """What the handler said before its end has been passed on."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SAYINGS_S):
            await said_all.wait()


def _is_broken(pool: ProcessPoolExecutor) -> bool:
    """Its process is gone: it died, or was killed."""
    return bool(pool._broken) or pool._shutdown_thread


def _kill(pool: ProcessPoolExecutor) -> None:
    """A handler whose lease is lost is stopped for good."""
    for process in list((pool._processes or {}).values()):
        process.kill()
    pool.shutdown(wait=False, cancel_futures=True)


_FIELDS: Final = (
    "token",
    "queue",
    "id",
    "name",
    "data",
    "attempt",
    "attempts",
    "created_at_ms",
    "crashes",
    "releases",
)
"""Of an ActiveJob: what goes to the other process."""

# ---- in the other process ------------------------------------------------------------------------

_to_parent: Any = None


def _remember(sayings: Any) -> None:
    global _to_parent
    _to_parent = sayings


def _run_there(handler: Callable[[Any], Any], fields: dict[str, Any]) -> Any:
    job = _ProcessJob(fields)
    try:
        return handler(job)
    finally:
        _to_parent.put((job.token, "end", None))


class _ProcessJob:
    """Like ActiveJob, with what can be had in another process."""

    def __init__(self, fields: dict[str, Any]):
        self.__dict__.update(fields)
        self.token: int = fields["token"]
        self.cancelled = False

    def progress(self, value: Any) -> None:
        _to_parent.put((self.token, "progress", value))

    def log(self, text: str) -> None:
        _to_parent.put((self.token, "log", str(text)))
