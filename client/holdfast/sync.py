"""The blocking client, for Flask, Django and scripts: the asyncio one, run on the IO thread.

Thread-safe and fork-safe. Every rule is in `holdfast.aio`; here is only the waiting.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import fields
from typing import Any

from holdfast import aio
from holdfast.access import FilePath
from holdfast.iothread import io_thread
from holdfast.models import Event, Explanation, JobInfo
from holdfast.options import Duration
from holdfast.schedules import Schedule

__all__ = ["Job", "Queue", "Schedule", "search"]

_FIELDS = tuple(item.name for item in fields(JobInfo))


class Job(JobInfo):
    """A job, and what can be waited for of it."""

    __slots__ = ("_job",)

    def __init__(self, job: aio.Job):
        self._job = job
        self._copy()

    def _copy(self) -> None:
        for name in _FIELDS:
            setattr(self, name, getattr(self._job, name))

    def refresh(self) -> "Job":
        """Read it again, with errors and logs. Raises Refused (UNKNOWN_JOB) if it is gone."""
        io_thread().call(self._job.refresh())
        self._copy()
        return self

    def wait(self, timeout: Duration | None = None) -> Any:
        """Wait for its end. Returns what the handler returned; raises JobFailed, TimeoutError."""
        try:
            return io_thread().call(self._job.wait(timeout))
        finally:
            self._copy()


class Queue:
    """One queue on the server; see `holdfast.aio.Queue`, which has the same methods awaited."""

    def __init__(
        self,
        name: str,
        *,
        url: str | None = None,
        key: str | None = None,
        key_file: FilePath | None = None,
        ca_file: FilePath | None = None,
        cert_file: FilePath | None = None,
        timeout: Duration = aio.TIMEOUT_S,
    ):
        self._queue = aio.Queue(
            name,
            url=url,
            key=key,
            key_file=key_file,
            ca_file=ca_file,
            cert_file=cert_file,
            timeout=timeout,
        )
        self.name = self._queue.name

    def add(self, name: str, data: Any = None, **options: Any) -> Job:
        """Add a job; on return it is on disk."""
        return Job(io_thread().call(self._queue.add(name, data, **options)))

    def add_many(self, jobs: Iterable[Sequence[Any]]) -> list[Job]:
        """Add all of them or, if one is refused, none; one confirmation."""
        return [Job(job) for job in io_thread().call(self._queue.add_many(list(jobs)))]

    def get(self, id: str) -> Job:
        """One job with data, result, errors and logs. Raises Refused (UNKNOWN_JOB)."""
        return Job(io_thread().call(self._queue.get(id)))

    def explain(self, id: str) -> Explanation:
        """Why the job is not running, or since when it is."""
        return io_thread().call(self._queue.explain(id))

    def jobs(self, state: str, *, limit: int | None = None) -> Iterator[Job]:
        """The jobs in a state, in the order they will run (finished ones: newest first)."""
        for job in _iterate(self._queue.jobs(state, limit=limit)):
            yield Job(job)

    def search(self, query: str = "", *, limit: int | None = None) -> Iterator[Job]:
        """The jobs of this queue that match a query; see the function `search`."""
        for job in _iterate(self._queue.search(query, limit=limit)):
            yield Job(job)

    def counts(self) -> dict[str, int]:
        """Jobs by state. All 0 for a queue that does not exist yet."""
        return io_thread().call(self._queue.counts())

    def info(self) -> dict[str, Any]:
        """Counts by state, paused, workers, settings, and since_start, what has happened in the
        queue since the daemon's start; {} for a queue that does not exist yet."""
        return io_thread().call(self._queue.info())

    def all_queues(self) -> dict[str, dict[str, Any]]:
        """The same of every queue of the server, by name."""
        return io_thread().call(self._queue.all_queues())

    def events(self, after: int | None = None) -> Iterator[Event]:
        """What happens to the queue, from now on or after the event of that number."""
        return _iterate(self._queue.events(after))

    def remove(self, *ids: str, state: str | None = None) -> None:
        """Delete jobs; an active one only with state="active"."""
        io_thread().call(self._queue.remove(*ids, state=state))

    def cancel(self, *ids: str, state: str | None = None) -> None:
        """Jobs that have not ended become cancelled; the handler of an active one is cancelled."""
        io_thread().call(self._queue.cancel(*ids, state=state))

    def promote(self, *ids: str, state: str | None = None) -> None:
        """Delayed jobs wait no longer."""
        io_thread().call(self._queue.promote(*ids, state=state))

    def retry(self, *ids: str, state: str | None = None) -> None:
        """Put finished jobs back, with all their attempts."""
        io_thread().call(self._queue.retry(*ids, state=state))

    def change(self, *ids: str, state: str | None = None, **changes: Any) -> None:
        """Change priority, lifo, delay or run_at of jobs that wait or are delayed."""
        io_thread().call(self._queue.change(*ids, state=state, **changes))

    def move(self, *ids: str, to: str, state: str | None = None) -> None:
        """Take jobs that wait or are delayed over to another queue."""
        io_thread().call(self._queue.move(*ids, to=to, state=state))

    def edit(self, id: str, data: Any, *, state: str | None = None) -> None:
        """Give a job that waits or is delayed other data."""
        io_thread().call(self._queue.edit(id, data, state=state))

    def pause(self) -> None:
        """No job starts any more; those that run go on."""
        io_thread().call(self._queue.pause())

    def resume(self) -> None:
        io_thread().call(self._queue.resume())

    def configure(self, **settings: Any) -> None:
        """concurrency, rate, retention: see `holdfast.aio.Queue.configure`."""
        io_thread().call(self._queue.configure(**settings))

    def drain(self, *, delayed: bool = False) -> int:
        """Remove all waiting (and delayed) jobs. Returns how many."""
        return io_thread().call(self._queue.drain(delayed=delayed))

    def obliterate(self, *, force: bool = False) -> int:
        """Remove the queue with all its jobs; with force, active ones too. Returns how many."""
        return io_thread().call(self._queue.obliterate(force=force))

    def schedule(
        self,
        id: str,
        name: str,
        data: Any = None,
        *,
        cron: str | None = None,
        every: Duration | None = None,
        tz: str = "UTC",
        missed: str = "once",
        overlap: str = "allow",
        **options: Any,
    ) -> Schedule:
        """Have the server add a job each time that one is due; see
        `holdfast.aio.Queue.schedule`."""
        return io_thread().call(
            self._queue.schedule(
                id,
                name,
                data,
                cron=cron,
                every=every,
                tz=tz,
                missed=missed,
                overlap=overlap,
                **options,
            )
        )

    def unschedule(self, id: str) -> None:
        """Remove a schedule; its jobs stay."""
        io_thread().call(self._queue.unschedule(id))

    def get_schedule(self, id: str) -> Schedule:
        """One schedule. Raises Refused (UNKNOWN_SCHEDULE)."""
        return io_thread().call(self._queue.get_schedule(id))

    def schedules(self) -> Iterator[Schedule]:
        """The queue's schedules, by id."""
        return _iterate(self._queue.schedules())

    def all_schedules(self) -> Iterator[Schedule]:
        """Those of every queue of the server, by queue and id."""
        return _iterate(self._queue.all_schedules())

    def run_schedule(self, id: str) -> Job:
        """Add one job of a schedule now; its plan stays as it is."""
        return Job(io_thread().call(self._queue.run_schedule(id)))

    def pause_schedule(self, id: str) -> None:
        """It adds no jobs any more; what is due meanwhile is not missed."""
        io_thread().call(self._queue.pause_schedule(id))

    def resume_schedule(self, id: str) -> None:
        io_thread().call(self._queue.resume_schedule(id))

    def close(self) -> None:
        io_thread().call(self._queue.close())

    def __enter__(self) -> "Queue":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def search(query: str = "", *, limit: int | None = None, **server: Any) -> Iterator[Job]:
    """The jobs of all queues that match a query; see `holdfast.aio.search`."""
    for job in _iterate(aio.search(query, limit=limit, **server)):
        yield Job(job)


def _iterate(items: Any) -> Iterator[Any]:
    """An async generator as a plain one."""
    thread = io_thread()
    try:
        while True:
            try:
                yield thread.call(anext(items))
            except StopAsyncIteration:
                return
    finally:
        with suppress(RuntimeError):  # after Ctrl-C the cancelled anext is closing it already
            thread.call(items.aclose())
