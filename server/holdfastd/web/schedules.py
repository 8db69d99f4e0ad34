"""What can be seen of schedules over HTTP, as plain maps and lists: the API sends them, the pages
render them.

What is planned comes from the engine's memory; what became of the jobs from the finder, as for
every list of jobs. Whose key is for some queues only sees nothing of the others.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from itertools import islice
from typing import Any, Final

from holdfast.wire.checks import Refusal, check_integer, check_queue_name, shown
from holdfast.wire.constants import ErrorCode
from holdfastd.access.rights import Identity, Need
from holdfastd.engine.broker import Engine
from holdfastd.engine.recurrence import in_words
from holdfastd.engine.schedules import (
    Schedule,
    describe_options,
    describe_recurrence,
    job_id_of,
)
from holdfastd.search.query import QUERY_LENGTH_MAX, VALUES_MAX, quoted
from holdfastd.web import jsonable
from holdfastd.web.board import LIMIT_MAX, Board
from holdfastd.web.guard import Guard
from holdfastd.web.remembered import Remembered, rights_key
from holdfastd.web.safe.redact import Redactor

NEXT_SHOWN: Final = 5
RUNS_SHOWN: Final = 20
RUNS_S: Final = 3.0
"""What became of jobs is searched for so often at most, however many watch it."""
IDS_LENGTH_MAX: Final = QUERY_LENGTH_MAX - 100
"""Characters of the ids that one search asks for."""
NEIGHBOURS_MAX: Final = 500
"""Runs after a job's that are looked at for the one that follows it."""


class Timetable:
    def __init__(self, engine: Engine, board: Board, guard: Guard, now_ms: Callable[[], int]):
        self._engine = engine
        self._board = board
        self._redactor = guard.redactor
        self._sees_jobs = partial(guard.allows, need=Need.SEE_JOBS)
        self._now_ms = now_ms
        self._found: Remembered[list[dict[str, Any]]] = Remembered(RUNS_S, lambda: now_ms() / 1000)

    async def page(
        self,
        identity: Identity,
        queue: str | None = None,
        match: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> dict[str, Any]:
        """A page of schedules, by queue and id: `{schedules, next}`.

        Args:
            queue: None = of all. match: what stands in their ids or their jobs' names; a pattern
                with * is compared with the whole. after: `next` of the page before.

        Raises:
            Refusal: it may not be asked, or is wrong.
        """
        check_integer("limit", limit, 1, LIMIT_MAX)
        if queue is not None:
            self._check_queue(identity, queue)
        fits = _matcher(match)
        matching = (
            each
            for each in self._engine.schedules(queue, _start(after), shows=identity.allows_queue)
            if fits(each.spec.id) or fits(each.spec.name)
        )
        chosen = list(islice(matching, limit + 1))
        some = chosen[:limit]
        jobs = await self._last_jobs(identity, some)
        return {
            "schedules": [_listed(each, jobs.get(_last_of(each))) for each in some],
            "next": "/".join(_key(some[-1])) if len(chosen) > limit else None,
        }

    async def one(self, identity: Identity, queue: str, id: str) -> dict[str, Any]:
        """All of one. Raises Refusal (UNKNOWN_SCHEDULE, FORBIDDEN)."""
        found = self.known(identity, queue, id)
        jobs = await self._last_jobs(identity, [found])
        redact = self._redactor(identity)
        listed = _listed(found, jobs.get(_last_of(found)))
        now_ms = self._now_ms()
        # A megabyte of data takes some 50 ms, which no commit should wait for.
        return await asyncio.to_thread(_whole, found, listed, now_ms, redact)

    def known(self, identity: Identity, queue: str, id: str) -> Schedule:
        """Raises Refusal (UNKNOWN_SCHEDULE, FORBIDDEN)."""
        found = self.find(identity, queue, id)
        if found is None:
            text = f"there is no schedule {shown(id)} in queue {queue}"
            raise Refusal(ErrorCode.UNKNOWN_SCHEDULE, text)
        return found

    def find(self, identity: Identity, queue: str, id: str) -> Schedule | None:
        """Raises Refusal (FORBIDDEN)."""
        self._check_queue(identity, queue)
        return self._engine.schedule(queue, id)

    # ---- their jobs ----------------------------------------------------------------------------

    async def runs(self, identity: Identity, queue: str, id: str) -> list[dict[str, Any]]:
        """Its last jobs as in lists, the newest first; none for one who may not see jobs."""
        schedule = self._engine.schedule(queue, id)
        last = None if schedule is None else schedule.last_job_id
        query = f"queue:{queue} {runs_query(id)}"
        found = await self._search(identity, query, RUNS_SHOWN, last)
        return [job for job in found if schedule_of(job["id"]) == id]

    async def run_of(self, identity: Identity, job: Mapping[str, Any]) -> dict[str, Any] | None:
        """Of a job that a schedule has made: `{schedule, previous, next}`, ids of that and of its
        jobs just before and after; None = no schedule that there is has made it."""
        queue, id = job["queue"], job["id"]
        schedule = schedule_of(id)
        if schedule is None or self._engine.schedule(queue, schedule) is None:
            return None
        runs = f"queue:{queue} {runs_query(schedule)} -id:{quoted(id)}"
        at = _iso(job["created_at_ms"])
        before = await self._search(identity, f"{runs} created<={at}", RUNS_SHOWN)
        after = await self._search(identity, f"{runs} created>{at}", NEIGHBOURS_MAX)
        return {
            "schedule": schedule,
            "previous": next(_ids(schedule, before), None),
            "next": next(_ids(schedule, reversed(after)), None),
        }

    async def _last_jobs(
        self, identity: Identity, schedules: Iterable[Schedule]
    ) -> dict[tuple[str, str], dict[str, Any]]:
        """By queue and id."""
        wanted = [each.last_job_id for each in schedules if each.last_job_id]
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for query in _queries(wanted):
            jobs = await self._search(identity, query, LIMIT_MAX)
            found |= {(job["queue"], job["id"]): job for job in jobs}
        return found

    async def _search(
        self, identity: Identity, query: str, limit: int, last: str | None = None
    ) -> list[dict[str, Any]]:
        """last: what is searched for anew when it has changed."""
        if not self._sees_jobs(identity):
            return []

        async def search() -> list[dict[str, Any]]:
            with suppress(Refusal):  # the searching process may be ending; the plan is here
                jobs: list[dict[str, Any]] = (await self._board.jobs(identity, query, None, limit))[
                    "jobs"
                ]
                return jobs
            return []

        return await self._found.get((rights_key(identity), query, limit, last), search)

    @staticmethod
    def _check_queue(identity: Identity, queue: str) -> None:
        check_queue_name(queue)
        if identity.allows_queue is not None and not identity.allows_queue(queue):
            raise Refusal(ErrorCode.FORBIDDEN, f"this key is not for the queue {queue}")


def runs_query(id: str) -> str:
    """The query that finds the jobs of a schedule, and hardly any others."""
    return f"id:{quoted(f'{id}@')}*"


def _queries(ids: Iterable[str]) -> Iterator[str]:
    """That find the jobs of these ids, each within the bounds of a query."""
    some: list[str] = []
    length = 0
    for id in map(quoted, dict.fromkeys(ids)):
        if some and (length + len(id) + 1 > IDS_LENGTH_MAX or len(some) == VALUES_MAX):
            yield f"id:{','.join(some)}"
            some, length = [], 0
        some.append(id)
        length += len(id) + 1
    if some:
        yield f"id:{','.join(some)}"


def schedule_of(job_id: str) -> str | None:
    """The id of the schedule that makes jobs of such ids (see `engine.schedules.job_id_of`); None =
    of none."""
    id, at, _ = job_id.rpartition("@")
    return id if at and id else None


def _ids(schedule: str, jobs: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Of those that this schedule has made; a query finds those of a schedule `ID@…` too."""
    return (job["id"] for job in jobs if schedule_of(job["id"]) == schedule)


def _key(schedule: Schedule) -> tuple[str, str]:
    return schedule.spec.queue, schedule.spec.id


def _last_of(schedule: Schedule) -> tuple[str, str]:
    return schedule.spec.queue, schedule.last_job_id or ""


def _start(after: str | None) -> tuple[str, str] | None:
    """The key of the last one of the page before; no queue's name has a slash."""
    if after is None:
        return None
    queue, slash, id = after.partition("/")
    if not slash:
        raise Refusal(ErrorCode.BAD_REQUEST, "after must be what the page before gave as next")
    return queue, id


def _matcher(match: str | None) -> Callable[[str], bool]:
    """In any case of letters."""
    if not match:
        return lambda text: True
    pattern = match.lower() if "*" in match else f"*{match.lower()}*"
    pattern = pattern.replace("[", "[[]").replace("?", "[?]")  # only the star is special
    return lambda text: fnmatchcase(text.lower(), pattern)


# ---- as maps -------------------------------------------------------------------------------------


def _listed(schedule: Schedule, job: Mapping[str, Any] | None) -> dict[str, Any]:
    """A schedule as in lists. job: its last one, None = it is gone, or not to be seen."""
    spec = schedule.spec
    return {
        "queue": spec.queue,
        "id": spec.id,
        "name": spec.name,
        **_NO_RULE,
        **describe_recurrence(spec.recurrence),
        "words": _words(spec.recurrence),
        "is_paused": schedule.is_paused,
        "next_at_ms": schedule.next_at_ms,
        "last_due_at_ms": schedule.last_due_at_ms,
        "last_job_id": schedule.last_job_id,
        "last_job_state": None if job is None else job["state"],
        "lag_ms": _lag_ms(schedule, job),
        "fired": schedule.fired,
        "missed": schedule.missed,
        "skipped": schedule.skipped,
        "missed_policy": spec.missed.value,
        "overlap": spec.overlap.value,
        "origin": spec.origin.value,
        "created_at_ms": schedule.created_at_ms,
        "changed_at_ms": schedule.changed_at_ms,
    }


_words: Final = lru_cache(maxsize=1_000)(in_words)
"""A live list says them each second, and each takes 60 us to find. Arbitrary."""
_RULES: Final = ("missed", "overlap")
"""Said beside the options, which are of its jobs."""
_NO_RULE: Final[dict[str, Any]] = {"cron": None, "tz": None, "every_ms": None}


def _lag_ms(schedule: Schedule, job: Mapping[str, Any] | None) -> int | None:
    """By how much its last job came after it was due; None = it was run by hand, or is gone."""
    due_at_ms = schedule.last_due_at_ms
    if job is None or due_at_ms is None or job["id"] != job_id_of(schedule.spec.id, due_at_ms):
        return None
    created_at_ms: int = job["created_at_ms"]
    return max(0, created_at_ms - due_at_ms)


def _whole(
    schedule: Schedule, listed: dict[str, Any], now_ms: int, redact: Redactor
) -> dict[str, Any]:
    spec = schedule.spec
    options = {"backoff": None, **describe_options(spec)}
    return {
        **listed,
        "next_five": schedule.upcoming(now_ms, NEXT_SHOWN),
        "options": {name: options[name] for name in options if name not in _RULES},
        "data": redact(jsonable.shown(spec.payload)),
        "is_editable": jsonable.survives(spec.payload),
    }


def _iso(at_ms: int) -> str:
    at = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return at.replace("+00:00", "Z")
