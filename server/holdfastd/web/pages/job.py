"""Job: everything about one of them, live while it is open."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from holdfast.wire.checks import Refusal
from holdfast.wire.constants import ErrorCode
from holdfastd.access.rights import Identity
from holdfastd.web.guard import Need
from holdfastd.web.pages import actions, timeline, views, words
from holdfastd.web.pages.jobrefs import job_url
from holdfastd.web.pages.jsontree import text as json_text
from holdfastd.web.pages.kinds import FINISHED, KINDS
from holdfastd.web.pages.site import Site

TOPIC: Final = "job"
TABS: Final = {
    "data": "Data",
    "result": "Result",
    "errors": "Errors",
    "logs": "Logs",
    "progress": "Progress",
    "options": "Options",
    "copy": "Copy as",
}
PARTS: Final = {"job-top": "head", "job-tabs": "tabbar", "tab": "tab", "job-side": "side"}
"""Blocks by the element that they fill: those that are sent again when they change."""
STILL: Final = frozenset({"data", "options", "copy"})
"""Tabs that stay as they are while a job runs; data may be large."""
_UNKNOWN: Final = (ErrorCode.UNKNOWN_JOB, ErrorCode.UNKNOWN_QUEUE)


@dataclass(frozen=True, slots=True)
class Tab:
    name: str
    title: str
    url: str
    number: int | None


@dataclass(frozen=True, slots=True)
class Choice:
    """A button of an action."""

    kind: str
    title: str
    icon: str
    is_direct: bool


@dataclass(frozen=True, slots=True)
class Choices:
    first: list[Choice]
    more: list[Choice]
    """But for deleting it, which is always possible."""


@dataclass(frozen=True, slots=True)
class Why:
    """Why the job is not running, or how it ended."""

    text: str
    kind: str
    icon: str


_FIRST: Final = {
    "waiting": ("cancel",),
    "delayed": ("promote", "reschedule"),
    "active": ("cancel",),
    "blocked": ("cancel",),
    "completed": ("retry",),
    "failed": ("retry",),
    "cancelled": ("retry",),
}
"""What one most often wants of a job in that state; the rest is in a menu."""
_LOOKS: Final = {
    "waiting": ("info", "waiting"),
    "delayed": ("info", "delayed"),
    "active": ("info", "active"),
    "blocked": ("warn", "blocked"),
    "completed": ("good", "completed"),
    "failed": ("danger", "failed"),
    "cancelled": ("", "cancelled"),
}


class JobPage:
    def __init__(self, site: Site):
        self._site = site
        site.live.topics[TOPIC] = self._live

    def routes(self) -> list[Route]:
        return [
            Route("/jobs/{queue}/", self.show),
            Route("/jobs/{queue}/{id:path}", self.show),
        ]

    async def show(self, request: Request) -> Response:
        identity = await self._site.guard.identify(request)
        asked = request.query_params
        queue = request.path_params["queue"]
        # See `job_url`: the id is in the query where a path cannot have it.
        id = request.path_params.get("id") or asked.get("id", "")
        self._site.guard.require(identity, Need.SEE_JOBS, queue)
        try:
            job = await self._site.board.job(identity, queue, id)
        except Refusal as refusal:
            if refusal.code not in _UNKNOWN:
                raise
            return await self._gone(request, identity, queue, id)
        part = asked.get("part")
        if part:
            return _as_text(job, part)
        tab = _tab(job, asked.get("tab"))
        live = {"topic": TOPIC, "queue": queue, "id": id, "tab": tab}
        return await self._site.rendering.page(
            request,
            identity,
            "job.html",
            page="jobs",
            live=words.with_query(live) if _is_open(job) else "",
            action=await self._action(identity, asked.get("action")),
            run=await self._site.timetable.run_of(identity, job),
            **self._values(identity, job, tab),
        )

    async def _gone(self, request: Request, identity: Identity, queue: str, id: str) -> Response:
        return await self._site.rendering.page(
            request, identity, "job_gone.html", page="jobs", status=404, queue=queue, id=id,
            retention=await self._retention(identity, queue),
        )  # fmt: skip

    async def _retention(self, identity: Identity, queue: str) -> str:
        """How long finished jobs of the queue are kept, in words; "" = there is no such queue."""
        try:
            found = await self._site.board.queue(identity, queue)
        except Refusal:
            return ""
        kept = found["settings"]["retention"]
        return "; ".join(f"{state} ones {views.retention(each)}" for state, each in kept.items())

    async def _live(self, identity: Identity, query: Mapping[str, str]) -> dict[str, str]:
        """The parts of the page, each second while somebody looks at it. Raises Refusal."""
        queue, id = query.get("queue", ""), query.get("id", "")
        self._site.guard.require(identity, Need.SEE_JOBS, queue)
        job = await self._site.board.job(identity, queue, id)
        values = self._values(identity, job, _tab(job, query.get("tab")))
        parts = dict(PARTS)
        if values["tab"] in STILL:
            del parts["tab"]
        return await self._site.rendering.parts("job.html", parts, **values)

    async def _action(self, identity: Identity, id: str | None) -> actions.ActionView | None:
        action = await self._site.board.action(identity, id) if id else None
        return actions.view(action, self._site.now_ms()) if action else None

    def _values(self, identity: Identity, job: Mapping[str, Any], tab: str) -> dict[str, Any]:
        url = job_url(job["queue"], job["id"])
        is_open = _is_open(job)
        until = job["finished_at_ms"] or self._site.now_ms()
        return {
            "job": job,
            "may_act": self._site.guard.allows(identity, Need.ACT, job["queue"]),
            "may_add": self._site.guard.allows(identity, Need.ADD, job["queue"]),
            "url": url,
            "back": url,
            "tab": tab,
            "tabs": _tabs(job),
            "is_open": is_open,
            "why": _why(job),
            "actions": _choices(job),
            "can_edit": job["is_editable"],
            "steps": timeline.steps(job["timeline"], self._site.now_ms(), is_over=not is_open),
            "total_ms": max(0, until - job["created_at_ms"]),
            "facts": _facts(job),
            "options": views.options(job),
            "copies": _copies(job),
        }


def _is_open(job: Mapping[str, Any]) -> bool:
    """Whether more will happen to it by itself."""
    return job["state"] not in FINISHED


def _tab(job: Mapping[str, Any], asked: str | None) -> str:
    """The one that is asked for; else the one that says most of such a job."""
    if asked in TABS:
        return asked
    if job["state"] == "failed" and job["errors"]:
        return "errors"
    return "result" if job["state"] == "completed" and job["result"] is not None else "data"


def _tabs(job: Mapping[str, Any]) -> list[Tab]:
    numbers = {"errors": len(job["errors"]), "logs": job["log_lines"]}
    return [
        Tab(name, title, job_url(job["queue"], job["id"], tab=name), numbers.get(name))
        for name, title in TABS.items()
    ]


def _choices(job: Mapping[str, Any]) -> Choices:
    first = _FIRST[job["state"]]
    possible = [name for name, kind in KINDS.items() if job["state"] in kind.states]
    rest = [name for name in possible if name not in (*first, "delete")]
    return Choices([_choice(name) for name in first], [_choice(name) for name in rest])


def _choice(name: str) -> Choice:
    kind = KINDS[name]
    return Choice(name, kind.verb, kind.icon, kind.is_direct)


def _why(job: Mapping[str, Any]) -> Why | None:
    why = job["why"]
    if not why or not why["text"]:
        return None
    kind, icon = _LOOKS[job["state"]]
    text = why["text"]
    return Why(f"{text[0].upper()}{text[1:]}.", kind, icon)


def _facts(job: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Name and value of each."""
    found = [
        ("State", job["state"] + (f" ({job['reason']})" if job["reason"] else "")),
        ("Priority", job["priority"]),
        ("Added", words.instant(job["created_at_ms"])),
    ]
    if job["state"] == "delayed":
        found.append(("Due", words.instant(job["run_at_ms"])))
    for name, key in (("Started", "started_at_ms"), ("Ended", "finished_at_ms")):
        if job[key]:
            found.append((name, words.instant(job[key])))
    for name, key in (("Waited", "wait_ms"), ("Ran", "run_ms")):
        if job[key] is not None:
            found.append((name, words.duration(job[key])))
    found.append(("Failures", f"{job['failures']:,} of {job['attempts']:,}"))
    found.append(("Crashes", f"{job['crashes']:,} of {job['max_crashes']:,}"))
    if job["releases"]:
        found.append(("Given back", f"{job['releases']:,} times"))
    if job["worker"]:
        found.append(("Worker", job["worker"]))
    if job["token"]:
        found.append(("Lease token", job["token"]))
    return found


def _copies(job: Mapping[str, Any]) -> list[tuple[str, str]]:
    titles = {"python": "Python", "curl": "curl", "cli": "Command line"}
    return [(titles.get(name, name), text) for name, text in job["copy"].items()]


def _as_text(job: Mapping[str, Any], part: str) -> Response:
    """Data or result as JSON, the log as lines: all of it, to read, save or copy."""
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    if part in ("data", "result"):
        return PlainTextResponse(json_text(job[part]) + "\n", headers=headers)
    if part == "logs":
        lines = (f"{words.written(line['at_ms'])}  {line['text']}\n" for line in job["logs"])
        return PlainTextResponse("".join(lines), headers=headers)
    raise Refusal(ErrorCode.BAD_REQUEST, f"a job has no part {part!r}: use data, result or logs")
