"""What can be seen over HTTP, as plain maps and lists: the API sends them, the pages render them.

Counters, workers and settings come from the engine's memory; a job from the disk, or through the
engine where it is about what a job waits for; lists of jobs from the finder, the past from the
chronicle. Whose key is for some queues only sees nothing of the others, whatever is asked.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Final, Protocol, cast, get_args

from holdfast.wire.checks import Refusal, check_integer, check_job_id, check_queue_name
from holdfast.wire.constants import ErrorCode
from holdfastd.access.rights import Identity, Need
from holdfastd.chronicle import Chronicle, Kind
from holdfastd.engine.broker import Engine
from holdfastd.engine.commands import Explain
from holdfastd.engine.model import Job, SessionKey, State
from holdfastd.engine.outputs import unknown_job, unknown_queue
from holdfastd.engine.queue import QueueState
from holdfastd.engine.session import Session
from holdfastd.inside import CommandRefused, Inside
from holdfastd.search.finder import Finder
from holdfastd.search.found import FoundJob, SearchError
from holdfastd.search.query import Query, parse
from holdfastd.store.base import Store
from holdfastd.web import copying, told
from holdfastd.web.guard import Guard
from holdfastd.web.ranking import SLICE, first
from holdfastd.web.refusals import as_refusal
from holdfastd.web.remembered import Remembered, rights_key
from holdfastd.web.safe.redact import Redactor

LIMIT_MAX: Final = 1_000
"""Queues or jobs of one page."""
OVERVIEW_QUEUES: Final = 50
LAST_FAILED: Final = 10
LAST_FAILED_S: Final = 3.0
"""They are searched for so often at most, however many overviews are watched."""
TOPS: Final = 10
TOP_MS: Final = 24 * 3600 * 1000
"""The overview tells of the failing and slow of the last day."""
SORTS: Final[dict[str, Callable[[QueueState], Any]]] = {
    "name": lambda queue: queue.name,
    "waiting": lambda queue: -queue.counts[State.WAITING],
    "active": lambda queue: -queue.counts[State.ACTIVE],
    "delayed": lambda queue: -queue.counts[State.DELAYED],
    "failed": lambda queue: -queue.counts[State.FAILED],
    "completed": lambda queue: -queue.counts[State.COMPLETED],
    "oldest": lambda queue: queue.oldest_waiting_at_ms() or float("inf"),
}
"""By what a list of queues can be sorted; the largest, and the oldest, come first."""


class Facts(Protocol):
    """What the daemon tells of itself."""

    async def server(self) -> dict[str, Any]: ...


class Actions(Protocol):
    """What is being done to many jobs, see `web.acting`."""

    def all_of(self, identity: Identity) -> list[dict[str, Any]]: ...

    def one(self, identity: Identity, id: str) -> dict[str, Any] | None: ...


class Board:
    def __init__(
        self,
        engine: Engine,
        store: Store,
        inside: Inside,
        finder: Finder,
        chronicle: Chronicle,
        guard: Guard,
        now_ms: Callable[[], int],
        facts: Facts,
        actions: Actions,
    ):
        self._engine = engine
        self._store = store
        self._inside = inside
        self._finder = finder
        self._chronicle = chronicle
        self._redactor = guard.redactor
        self._sees_jobs = partial(guard.allows, need=Need.SEE_JOBS)
        self._now_ms = now_ms
        self._facts = facts
        self._actions = actions
        self._failed: Remembered[list[dict[str, Any]]] = Remembered(
            LAST_FAILED_S, lambda: now_ms() / 1000
        )

    # ---- queues --------------------------------------------------------------------------------

    async def overview(self, identity: Identity) -> dict[str, Any]:
        """totals, per_min, queues (those in trouble first), last_failed, failing, slowest."""
        now_ms = self._now_ms()
        queues = await self._queues(identity)
        totals = await self._totals(queues, now_ms)
        failed = await self._failed.get(rights_key(identity), lambda: self._last_failed(identity))
        troubled = await first(queues, OVERVIEW_QUEUES, _trouble)
        shown = [self._queue(queue, now_ms) for queue in troubled]
        return {
            "totals": totals,
            "per_min": asdict(self._chronicle.per_minute())
            if identity.allows_queue is None
            else _summed(queue["per_min"] for queue in shown),
            "queues": shown,
            "last_failed": failed,
            "failing": await self.top(identity, "failing", now_ms - TOP_MS, now_ms, TOPS),
            "slowest": await self.top(identity, "slowest", now_ms - TOP_MS, now_ms, TOPS),
        }

    async def _last_failed(self, identity: Identity) -> list[dict[str, Any]]:
        """None for one who may only count them."""
        if not self._sees_jobs(identity):
            return []
        with suppress(Refusal):  # the searching process may be ending; the numbers are here
            found = await self.jobs(identity, "state:failed", None, LAST_FAILED)
            jobs: list[dict[str, Any]] = found["jobs"]
            return jobs
        return []

    async def queues(
        self,
        identity: Identity,
        match: str | None = None,
        sort: str = "name",
        after: str | None = None,
        limit: int = 100,
    ) -> dict[str, Any]:
        """A page of queues: `{queues, next}`. match: a pattern with *. sort: of SORTS, turned round
        by a `-` before it. after: `next` of the page before. Raises Refusal."""
        key = SORTS.get(sort.removeprefix("-"))
        if key is None:
            text = f"queues cannot be sorted by {sort!r}: use {', '.join(SORTS)}"
            raise Refusal(ErrorCode.BAD_REQUEST, text)
        check_integer("limit", limit, 1, LIMIT_MAX)
        found = [
            queue
            for queue in await self._queues(identity)
            if not match or fnmatchcase(queue.name, match)
        ]
        start = _start(after, len(found))
        end = start + limit
        ranked = await first(
            found,
            end,
            lambda queue: (key(queue), queue.name),
            is_reversed=sort.startswith("-"),
        )
        now_ms = self._now_ms()
        return {
            "queues": [self._queue(queue, now_ms) for queue in ranked[start:]],
            "next": str(end) if end < len(found) else None,
        }

    async def queue(self, identity: Identity, name: str) -> dict[str, Any]:
        """Raises Refusal (UNKNOWN_QUEUE, FORBIDDEN)."""
        return self._queue(self._known(identity, name), self._now_ms())

    def _known(self, identity: Identity, name: str) -> QueueState:
        check_queue_name(name)
        if not self._shows(identity)(name):
            raise Refusal(ErrorCode.FORBIDDEN, f"this key is not for the queue {name}")
        queue = self._engine.queues.get(name)
        if queue is None:
            raise Refusal(ErrorCode.UNKNOWN_QUEUE, unknown_queue(name))
        return queue

    def _queue(self, queue: QueueState, now_ms: int) -> dict[str, Any]:
        return told.queue(queue, asdict(self._chronicle.per_minute(queue.name)), now_ms)

    async def _queues(self, identity: Identity) -> list[QueueState]:
        """Those that may be seen; the loop has its turns meanwhile."""
        shows = identity.allows_queue
        found: list[QueueState] = []
        everything = list(self._engine.queues.values())
        for start in range(0, len(everything), SLICE):
            some = everything[start : start + SLICE]
            found += some if shows is None else [queue for queue in some if shows(queue.name)]
            if start:
                await asyncio.sleep(0)
        return found

    async def _totals(self, queues: list[QueueState], now_ms: int) -> dict[str, Any]:
        numbers = [0] * (len(State) + 1)
        sessions: set[SessionKey] = set()
        slots, paused, oldest_at_ms = 0, 0, None
        for at, queue in enumerate(queues):
            for state in State:
                numbers[state] += queue.counts[state]
            sessions.update(session.key for session in queue.subscribers)
            slots += queue.active_count
            paused += queue.is_paused
            waits_since = queue.oldest_waiting_at_ms()
            if waits_since is not None:
                oldest_at_ms = min(waits_since, oldest_at_ms or waits_since)
            if at % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        workers = [each for each in self._engine.sessions.values() if each.key in sessions]
        return {
            **told.counts(numbers),
            "oldest_waiting_age_ms": None
            if oldest_at_ms is None
            else max(0, now_ms - oldest_at_ms),
            "workers": len(workers),
            "slots": slots + sum(worker.credit for worker in workers),
            "queues": len(queues),
            "paused": paused,
        }

    # ---- jobs ----------------------------------------------------------------------------------

    async def jobs(
        self, identity: Identity, text: str, after: str | None = None, limit: int = 50
    ) -> dict[str, Any]:
        """A page of what a query finds: `{jobs, next, was_cut, looked_at}`.

        Raises:
            QueryError: the query is wrong. Refusal: it may not be asked, or not now.
        """
        query = self.query(identity, text)
        check_integer("limit", limit, 1, LIMIT_MAX)
        try:
            found = await self._finder.page(query, _patterns(identity), after, limit)
        except SearchError as error:
            raise as_refusal(error) from error
        redact = self._redactor(identity)
        return {
            "jobs": [_listed(job, redact) for job in found.jobs],
            "next": found.next,
            "was_cut": found.was_cut,
            "looked_at": found.looked_at,
        }

    async def facets(self, identity: Identity, text: str) -> dict[str, Any]:
        """How many a query finds, and of what kinds: `{total, is_exact, is_sampled, by}`. Raises as
        `jobs` does."""
        query = self.query(identity, text)
        try:
            found = await self._finder.count(query, _patterns(identity))
        except SearchError as error:
            raise as_refusal(error) from error
        return {
            "total": found.total,
            "is_exact": found.is_exact,
            "is_sampled": found.is_sampled,
            "by": {key: [list(pair) for pair in pairs] for key, pairs in found.by.items()},
        }

    def query(self, identity: Identity, text: str) -> Query:
        """Raises QueryError; Refusal: it looks into data that is hidden from him."""
        query = parse(text, self._now_ms())
        self._redactor(identity).check_search(query.data_paths)
        return query

    async def job(self, identity: Identity, queue: str, id: str) -> dict[str, Any]:
        """One job with all that is kept of it. Raises Refusal (UNKNOWN_JOB, UNKNOWN_QUEUE)."""
        known = self._known(identity, queue)
        check_job_id(id)
        why: Mapping[str, Any] | None = None
        with suppress(CommandRefused):
            why = await self._inside.call(Explain(queue, id))
        detail = await self._store.job(known.key, id)
        if detail is None:
            raise Refusal(ErrorCode.UNKNOWN_JOB, unknown_job(id, queue))
        worker = self._engine.session_name(detail.row.session)
        redact = self._redactor(identity)

        def tell() -> dict[str, Any]:
            whole = told.whole_job(queue, detail, worker, why, redact)
            return {**whole, "copy": copying.copies(whole)}

        # A megabyte of data takes some 50 ms, which no commit should wait for.
        return await asyncio.to_thread(tell)

    # ---- workers -------------------------------------------------------------------------------

    async def workers(self, identity: Identity) -> list[dict[str, Any]]:
        """Those of queues that may be seen, by name; at most LIMIT_MAX. What they run is told to
        one who may see jobs."""
        shows = identity.allows_queue
        found = [
            each
            for each in list(self._engine.sessions.values())
            if each.is_worker and (shows is None or any(map(shows, each.queues or each.left)))
        ]
        named = await first(found, LIMIT_MAX, lambda each: (each.worker, each.key))
        return [self._worker(identity, each) for each in named]

    def _worker(self, identity: Identity, session: Session) -> dict[str, Any]:
        found = told.worker(session, self._queue_of, self._shows(identity))
        return found if self._sees_jobs(identity) else {**found, "running": []}

    async def worker(self, identity: Identity, session: str) -> dict[str, Any]:
        """Raises Refusal (UNKNOWN_JOB: no such worker)."""
        for each in self._engine.sessions.values():
            if each.is_worker and str(each.key) == session:
                found = self._worker(identity, each)
                if found["queues"] or identity.allows_queue is None:
                    return found
        raise Refusal(ErrorCode.UNKNOWN_JOB, f"there is no worker {session}: it has left")

    def _queue_of(self, job: Job) -> str:
        return self._engine.queue_name(job.queue) or ""

    # ---- the past, the daemon, actions ---------------------------------------------------------

    async def history(
        self,
        identity: Identity,
        queue: str | None,
        name: str | None,
        from_ms: int,
        to_ms: int,
        step_ms: int,
    ) -> list[dict[str, Any]]:
        """Points of the past, oldest first; see `chronicle.Point`. queue: None = of all."""
        self._check_past(identity, queue)
        points = await self._chronicle.read(queue, name, from_ms, to_ms, step_ms)
        return [asdict(point) for point in points]

    def _check_past(self, identity: Identity, queue: str | None) -> None:
        """Sums over all queues are not for one who may not see all."""
        if identity.allows_queue is None or (identity.rights and "*" in identity.rights.patterns):
            return
        if queue is None or not identity.allows_queue(queue):
            text = "this key is for some queues only: name one of them"
            raise Refusal(ErrorCode.FORBIDDEN, text)

    async def top(
        self, identity: Identity, kind: str, from_ms: int, to_ms: int, limit: int
    ) -> list[dict[str, Any]]:
        """Names of jobs that fail most, run longest or are most: kind failing, slowest, busiest."""
        if kind not in get_args(Kind):
            text = f"there is no {kind!r}: use {', '.join(get_args(Kind))}"
            raise Refusal(ErrorCode.BAD_REQUEST, text)
        shows = identity.allows_queue
        wanted = limit if shows is None else LIMIT_MAX
        found = await self._chronicle.top(cast("Kind", kind), from_ms, to_ms, wanted)
        return [asdict(top) for top in found if shows is None or shows(top.queue)][:limit]

    async def server(self, identity: Identity) -> dict[str, Any]:
        return await self._facts.server()

    async def actions(self, identity: Identity) -> list[dict[str, Any]]:
        """The newest first."""
        return self._actions.all_of(identity)

    async def action(self, identity: Identity, id: str) -> dict[str, Any] | None:
        """None = it is forgotten, or not his to see."""
        return self._actions.one(identity, id)

    @staticmethod
    def _shows(identity: Identity) -> Callable[[str], bool]:
        return identity.allows_queue or (lambda name: True)


def _trouble(queue: QueueState) -> tuple[int, int, int, str]:
    """Those first whose jobs wait for somebody, then those with most to do."""
    badges = told.badges(queue)
    graves = ("no workers", "saturated", "throttled", "paused", "clearing")
    rank = min((graves.index(badge) for badge in badges), default=len(graves))
    open_jobs = queue.counts[State.WAITING] + queue.counts[State.ACTIVE]
    return rank, -queue.counts[State.FAILED], -open_jobs, queue.name


def _summed(each: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total = {"added": 0, "completed": 0, "failed": 0}
    for one in each:
        for key in total:
            total[key] += one[key]
    return total


def _start(after: str | None, count: int) -> int:
    if after is None:
        return 0
    if not after.isdecimal() or int(after) > count:
        raise Refusal(ErrorCode.BAD_REQUEST, "after must be what the page before gave as next")
    return int(after)


def _patterns(identity: Identity) -> tuple[str, ...] | None:
    """As the finder wants them; None = all queues."""
    return None if identity.rights is None else identity.rights.patterns


def _listed(found: FoundJob, redact: Redactor) -> dict[str, Any]:
    return told.job(found.queue, found.row, found.worker, found.error.split("\n")[0], redact)
