"""The client for asyncio: `Queue`, and the `Job` it gives. Same names as the blocking one.

queue = Queue("image-processing")
job = await queue.add("process-image", {"user_id": 7}, attempts=5)
result = await job.wait(timeout=30)
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Final

from holdfast.access import FilePath, access_of
from holdfast.decoding import fill
from holdfast.errors import (
    Closed,
    JobFailed,
    MisuseError,
    Refused,
    misuse,
    refused,
)
from holdfast.eventstream import EventStream
from holdfast.link import Link
from holdfast.models import Event, Explanation, JobInfo
from holdfast.options import Backoff, Duration, milliseconds, wire_options
from holdfast.packing import pack
from holdfast.schedules import Schedule, put_message, schedule_of
from holdfast.sharing import release_link, shared_link
from holdfast.wire import messages as wire
from holdfast.wire.checks import (
    Refusal,
    check_job_id,
    check_job_name,
    check_payload,
    check_queue_name,
    shown,
)
from holdfast.wire.constants import (
    PAYLOAD_BYTES_MAX,
    STATE_NAMES,
    ErrorCode,
    ItemStatus,
    State,
)
from holdfast.wire.ids import new_id
from holdfast.wire.parts import parts, text_bytes_max

__all__ = ["Backoff", "Event", "Job", "Queue", "Schedule", "search"]

TIMEOUT_S: Final = 30.0
"""How long a call waits for its answer, connecting and reconnecting included."""
PAGE_JOBS: Final = 100


class Job(JobInfo):
    """A job, and what can be awaited of it."""

    __slots__ = ("_owner",)

    def __init__(self, owner: "Queue", *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._owner = owner

    async def refresh(self) -> "Job":
        """Read it again, with errors and logs. Raises Refused (UNKNOWN_JOB) if it is gone."""
        fill(self, await self._owner._call(wire.Get(0, self.queue, self.id)))
        return self

    async def wait(self, timeout: Duration | None = None) -> Any:
        """Wait for its end.

        Returns:
            What the handler returned.

        Raises:
            JobFailed: it ended without a result. TimeoutError: not ended within timeout seconds.
        """
        seconds = None if timeout is None else milliseconds("timeout", timeout) / 1000
        call = self._owner._link().call(wire.Wait(0, self.queue, self.id), None)
        try:
            async with asyncio.timeout(seconds):
                fill(self, await call)
        except TimeoutError:
            raise TimeoutError(
                f"job {self.id} in queue {self.queue} has not ended within {seconds:g} s, and goes "
                "on: explain() says what it waits for"
            ) from None
        if self.state != "completed":
            raise JobFailed(self)
        return self.result


class Queue:
    """One queue on the server; it exists there once a job was added. Connects when first used."""

    def __init__(
        self,
        name: str,
        *,
        url: str | None = None,
        key: str | None = None,
        key_file: FilePath | None = None,
        ca_file: FilePath | None = None,
        cert_file: FilePath | None = None,
        timeout: Duration = TIMEOUT_S,
    ):
        """One queue of the server.

        Args:
            url: default $HOLDFAST_URL, else holdfast://127.0.0.1:4653; holdfasts:// with TLS.
            key, key_file: hfk_…, or a private file that holds it, read at each connection; default
                $HOLDFAST_KEY, else $HOLDFAST_KEY_FILE, else none.
            ca_file: PEM of who signed the server's certificate; default $HOLDFAST_CA_FILE, else
                those that the system trusts.
            cert_file: PEM with a certificate of ours and its private key, where the server wants
                one; default $HOLDFAST_CERT_FILE.
            timeout: of each call.

        Raises:
            MisuseError: the name, the address, the key or a file cannot be.
        """
        try:
            self.name = check_queue_name(name)
        except Refusal as refusal:
            raise misuse(refusal) from None
        self.access = access_of(
            url, key=key, key_file=key_file, ca_file=ca_file, cert_file=cert_file
        )
        self.address = self.access.address
        self.timeout_s = milliseconds("timeout", timeout) / 1000
        self._used_link: Link | None = None
        self._is_closed = False

    # ---- adding ----------------------------------------------------------------------------

    async def add(self, name: str, data: Any = None, **options: Any) -> Job:
        """Add a job; on return it is on disk.

        Args:
            name: which handler it is for, 1 to 128 printable characters.
            data: what msgpack can carry.
            options: id, attempts, backoff, delay or run_at, priority, lifo, max_crashes, tags.

        Raises:
            MisuseError: nothing was sent. Refused, Unreachable.
        """
        (job,) = await self.add_many([(name, data, options)])
        return job

    async def add_many(self, jobs: Iterable[Sequence[Any]]) -> list[Job]:
        """Add all of them or, if one is refused, none; one confirmation.

        That holds for up to 10,000 jobs and 4 MB. More are sent in such parts, in order, each of
        them all or none: give the jobs ids, and a call that failed can be repeated.

        Args:
            jobs: `(name, data)` or `(name, data, options)` each.
        """
        made: list[Job] = []
        items: list[list[Any]] = []
        for at, spec in enumerate(jobs):
            job, item = self._made(at, spec)
            made.append(job)
            items.append(item)
        start = 0
        for part in parts(items, _bytes_of_item):
            results = await self._call(wire.Enqueue(0, self.name, part, True))
            for at, status, *rest in results:
                if status != ItemStatus.EXISTING:
                    raise refused(status, rest[0])
                existing = made[start + at]
                existing.created = False if rest[0] else None
                if rest[0]:
                    existing.state = State(rest[0]).name.lower()
            start += len(part)
        return made

    def _made(self, at: int, spec: Sequence[Any]) -> tuple[Job, list[Any]]:
        """The job as the caller gets it, and the item that goes on the wire."""
        if not isinstance(spec, tuple | list) or not 1 <= len(spec) <= 3:
            raise MisuseError(f"job {at} must be (name, data, options), not {shown(spec)}")
        name, data, options = (*spec, None, {})[:3] if len(spec) < 3 else spec
        options = options or {}
        if not isinstance(options, Mapping):
            raise MisuseError(f"the options of job {at} must be a dict, not {shown(options)}")
        given = options.get("id")
        wanted = wire_options({key: value for key, value in options.items() if key != "id"})
        try:
            check_job_name(name)
            id: str | bytes = new_id() if given is None else check_job_id(given)
            payload = check_payload(pack(data), PAYLOAD_BYTES_MAX, "data")
        except Refusal as refusal:
            raise misuse(refusal) from None
        job = Job(self, self.name, id.hex() if isinstance(id, bytes) else id, name, "waiting", data)
        if wanted:
            job.priority = wanted.get("priority", 0)
            job.attempts = wanted.get("attempts", 1)
            job.tags = wanted.get("tags", [])
            if wanted.get("delay_ms") or wanted.get("run_at_ms"):
                job.state = "delayed"
        return job, [id, name, payload, wanted]

    # ---- reading ---------------------------------------------------------------------------

    async def get(self, id: str) -> Job:
        """One job with data, result, errors and logs. Raises Refused (UNKNOWN_JOB)."""
        return await Job(self, self.name, id, "", "").refresh()

    async def explain(self, id: str) -> Explanation:
        """Why the job is not running, or since when it is. Raises Refused (UNKNOWN_JOB)."""
        why = await self._call(wire.Explain(0, self.name, id))
        return Explanation(why["code"], why["text"], why["details"])

    async def jobs(self, state: str, *, limit: int | None = None) -> AsyncIterator[Job]:
        """The jobs in a state, in the order they will run (finished ones: newest first)."""
        number = _state_number(state)
        after, left = None, limit
        while left is None or left > 0:
            size = PAGE_JOBS if left is None else min(PAGE_JOBS, left)
            page = await self._call(wire.List(0, self.name, number, after, size))
            for found in page["jobs"]:
                job = Job(self, self.name, found["id"], "", "")
                fill(job, found)
                yield job
            after = page["next"]
            if left is not None:
                left -= len(page["jobs"])
            if after is None:
                return

    async def search(self, query: str = "", *, limit: int | None = None) -> AsyncIterator[Job]:
        """The jobs of this queue that match a query; see the function `search`."""
        async for job in self._search(f"{query} queue:{self.name}", limit):
            yield job

    async def _search(self, query: str, limit: int | None) -> AsyncIterator[Job]:
        after, left = None, limit
        while left is None or left > 0:
            size = PAGE_JOBS if left is None else min(PAGE_JOBS, left)
            page = await self._call(wire.Search(0, query, after, size))
            for found in page["jobs"]:
                job = Job(self, found["queue"], found["id"], "", "")
                fill(job, found)
                yield job
            after = page["next"]
            if left is not None:
                left -= len(page["jobs"])
            if after is None:
                return

    async def counts(self) -> dict[str, int]:
        """Jobs by state. All 0 for a queue that does not exist yet."""
        counts = await self.info()
        return {name: counts.get(name, 0) for name in STATE_NAMES}

    async def info(self) -> dict[str, Any]:
        """Counts by state, paused, workers, settings, and since_start, what has happened in the
        queue since the daemon's start; {} for a queue that does not exist yet."""
        try:
            ((_, found),) = await self._call(wire.Counts(0, self.name))
        except Refused as error:
            if error.code is ErrorCode.UNKNOWN_QUEUE:
                return {}
            raise
        return dict(found)

    async def all_queues(self) -> dict[str, dict[str, Any]]:
        """The same of every queue of the server, by name."""
        found: dict[str, dict[str, Any]] = {}
        after: str | None = None
        while page := await self._call(wire.Counts(0, None, after)):
            found.update(page)
            after = page[-1][0]
        return found

    async def events(self, after: int | None = None) -> AsyncIterator[Event]:
        """What happens to the queue, from now on or after the event of that number. Goes on over
        reconnects; an event of kind `missed` says that some are no longer kept.

        Raises:
            AccessDenied: the key is not for that, or no longer good. PeerError.
        """
        stream = EventStream(self._new_link(), self.name, after)
        try:
            while True:
                yield await stream.next()
        finally:
            await stream.close()

    # ---- acting ----------------------------------------------------------------------------

    async def remove(self, *ids: str, state: str | None = None) -> None:
        """Delete jobs. An active one only with state="active": its worker is told to stop.

        Raises:
            Refused: of the first that is unknown or in another state; the others are gone.
        """
        await self._act(wire.Remove(0, self.name, list(ids), _optional_state(state)))

    async def cancel(self, *ids: str, state: str | None = None) -> None:
        """Jobs that have not ended become cancelled; the handler of an active one is cancelled."""
        await self._act(wire.Cancel(0, self.name, list(ids), _optional_state(state)))

    async def promote(self, *ids: str, state: str | None = None) -> None:
        """Delayed jobs wait no longer."""
        await self._act(wire.Promote(0, self.name, list(ids), _optional_state(state)))

    async def retry(self, *ids: str, state: str | None = None) -> None:
        """Put finished jobs back, with all their attempts."""
        await self._act(wire.Retry(0, self.name, list(ids), _optional_state(state)))

    async def change(self, *ids: str, state: str | None = None, **changes: Any) -> None:
        """Change priority, lifo, delay or run_at of jobs that wait or are delayed."""
        wanted = wire_options(changes)
        if not wanted:
            raise MisuseError("nothing is to be changed: give priority, lifo, delay or run_at")
        expected = _optional_state(state)
        await self._act(wire.Change(0, self.name, list(ids), wanted, expected))

    async def move(self, *ids: str, to: str, state: str | None = None) -> None:
        """Take jobs that wait or are delayed over to another queue, behind those that are there.
        They keep id, priority and time.

        Raises:
            Refused: as of `remove`; JOB_EXISTS if the other queue has a job of that id.
        """
        try:
            check_queue_name(to)
        except Refusal as refusal:
            raise misuse(refusal) from None
        await self._act(wire.Move(0, self.name, list(ids), to, _optional_state(state)))

    async def edit(self, id: str, data: Any, *, state: str | None = None) -> None:
        """Give a job that waits or is delayed other data."""
        try:
            payload = check_payload(pack(data), PAYLOAD_BYTES_MAX, "data")
        except Refusal as refusal:
            raise misuse(refusal) from None
        await self._call(wire.Edit(0, self.name, id, payload, _optional_state(state)))

    async def pause(self) -> None:
        """No job starts any more; those that run go on."""
        await self._call(wire.Pause(0, self.name))

    async def resume(self) -> None:
        await self._call(wire.Resume(0, self.name))

    async def configure(self, **settings: Any) -> None:
        """concurrency: jobs at once over all workers, None = no limit. rate: `(limit, period)` or
        `(limit, period, burst)`, None = no limit. retention: as on the wire (protocol.md)."""
        rate = settings.get("rate")
        if rate is not None and not isinstance(rate, dict):
            if not isinstance(rate, tuple | list) or not 2 <= len(rate) <= 3:
                raise MisuseError(f"rate must be (limit, period, burst), not {shown(rate)}")
            limit, period, *burst = rate
            settings["rate"] = {
                "limit": limit,
                "period_ms": milliseconds("period", period),
                "burst": burst[0] if burst else 1,
            }
        await self._call(wire.Configure(0, self.name, settings))

    async def drain(self, *, delayed: bool = False) -> int:
        """Remove all waiting (and delayed) jobs. Returns how many."""
        count: int = await self._call(wire.Drain(0, self.name, delayed))
        return count

    async def obliterate(self, *, force: bool = False) -> int:
        """Remove the queue with all its jobs; with force, active ones too. Returns how many."""
        count: int = await self._call(wire.Obliterate(0, self.name, force))
        return count

    # ---- schedules -------------------------------------------------------------------------

    async def schedule(
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
        """Have the server add a job each time that one is due. In place of the queue's schedule of
        that id, if there is one; a program may say it at each of its starts.

        Args:
            id: unique in the queue, 1 to 90 printable characters. The jobs are called after it:
                `nightly@2026-11-26T02:30:00Z`.
            name, data: of each job.
            cron: minute, hour, day of the month, month, day of the week: "30 2 * * 1-5".
            every: seconds or a timedelta, at least 1 s; the first job comes one interval from now.
            tz: the time zone in which cron is meant, such as "Europe/Berlin".
            missed: instants at which the server was down: "once", a job for the last of them when
                it is up again, or "skip".
            overlap: "skip" leaves out what is due while the last job has not ended; "allow".
            options: of each job: attempts, backoff, priority, lifo, max_crashes, tags.

        Raises:
            MisuseError: nothing was sent. Refused: no such pattern or zone; TOO_MANY schedules.
        """
        policies = {"missed": missed, "overlap": overlap}
        message = put_message(self.name, id, name, data, cron, every, tz, policies, options)
        return schedule_of(await self._call(message))

    async def unschedule(self, id: str) -> None:
        """Remove a schedule; its jobs stay. Raises Refused (UNKNOWN_SCHEDULE)."""
        await self._call(wire.Unschedule(0, self.name, id))

    async def get_schedule(self, id: str) -> Schedule:
        """One schedule. Raises Refused (UNKNOWN_SCHEDULE)."""
        page = await self._call(wire.Schedules(0, self.name, id))
        return schedule_of(page["schedules"][0])

    async def schedules(self) -> AsyncIterator[Schedule]:
        """The queue's schedules, by id."""
        async for found in self._schedules(self.name):
            yield found

    async def all_schedules(self) -> AsyncIterator[Schedule]:
        """Those of every queue of the server, by queue and id."""
        async for found in self._schedules(None):
            yield found

    async def _schedules(self, queue: str | None) -> AsyncIterator[Schedule]:
        after = None
        while True:
            page = await self._call(wire.Schedules(0, queue, None, after, PAGE_JOBS))
            for found in page["schedules"]:
                yield schedule_of(found)
            after = page["next"]
            if after is None:
                return

    async def run_schedule(self, id: str) -> Job:
        """Add one job of a schedule now; its plan stays as it is.

        Raises:
            Refused: UNKNOWN_SCHEDULE; UNKNOWN_JOB if the job has ended and is gone already.
        """
        message = wire.RunSchedule(0, self.name, id, new_id().hex())
        return await self.get(await self._call(message))

    async def pause_schedule(self, id: str) -> None:
        """It adds no jobs any more; what is due meanwhile is not missed."""
        await self._call(wire.PauseSchedule(0, self.name, id))

    async def resume_schedule(self, id: str) -> None:
        await self._call(wire.ResumeSchedule(0, self.name, id))

    # ---- parts -----------------------------------------------------------------------------

    async def _act(self, message: Any) -> None:
        """Send it in parts of its ids; the first refusal of all is raised at the end."""
        refusals: list[Any] = []
        for ids in parts(message.ids, text_bytes_max):
            refusals += await self._call(message._replace(ids=ids)) or ()
        if refusals:
            raise refused(refusals[0][1], refusals[0][2])

    # ---- the connection --------------------------------------------------------------------

    async def _call(self, message: Any) -> Any:
        try:
            return await self._link().call(message, self.timeout_s)
        except Refusal as refusal:
            raise misuse(refusal) from None

    def _link(self) -> Link:
        """One connection per process, loop and server, shared by its queues."""
        if self._is_closed:
            raise Closed
        link = shared_link(self.access)
        if link is not self._used_link:
            link.users += 1
            self._used_link = link
        return link

    def _new_link(self) -> Link:
        if self._is_closed:
            raise Closed
        return Link(self.access)

    async def close(self) -> None:
        """The queue is not used any more. The shared connection closes with its last user."""
        if not self._is_closed:
            self._is_closed = True
            if self._used_link is not None:
                await release_link(self._used_link)

    async def __aenter__(self) -> "Queue":
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


async def search(query: str = "", *, limit: int | None = None, **server: Any) -> AsyncIterator[Job]:
    """The jobs of all queues that match a query, such as "state:failed queue:mail*".

    They come without data and result; `await job.refresh()` reads these. docs/reference/search.md
    tells of queries and orders. Each page takes the server 2 s at most; with millions of jobs and a
    rare match it may take many.

    Args:
        limit: so many at most, None = all.
        server: url, key, timeout and the others of `Queue`.

    Raises:
        Refused: it is no query; `details` has `at`, the index of the character, and `advice`.
    """
    owners: dict[str, Queue] = {}
    async with Queue("any", **server) as queue:
        async for job in queue._search(query, limit):
            # They outlive the search.
            if job.queue not in owners:
                owners[job.queue] = Queue(job.queue, **server)
            job._owner = owners[job.queue]
            yield job


def _bytes_of_item(item: list[Any]) -> int:
    """Upper bound of an ENQUEUE item on the wire."""
    id, name, payload, options = item
    return (
        len(payload)
        + text_bytes_max(name)
        + (len(id) if isinstance(id, bytes) else text_bytes_max(id))
        + (len(pack(options)) if options else 0)
    )


def _state_number(state: str) -> int:
    if state not in STATE_NAMES:
        raise MisuseError(f"{state!r} is no state: use one of {', '.join(STATE_NAMES)}")
    return int(STATE_NAMES[state])


def _optional_state(state: str | None) -> int | None:
    return None if state is None else _state_number(state)
