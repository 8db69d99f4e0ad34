"""Acting on queues, workers and schedules from a page: the question, the act, the answer.

One address for both: GET asks, as a page or for the dialog; POST acts, and is answered by a
redirect to where one came from, or by a toast.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from holdfast.wire.checks import Refusal
from holdfast.wire.constants import ErrorCode
from holdfastd.access.rights import Identity
from holdfastd.web.acting.scheduling import NEED_OF
from holdfastd.web.guard import Need
from holdfastd.web.pages import controls, schedulecontrols
from holdfastd.web.pages.controls import Control
from holdfastd.web.pages.errors import is_from_htmx, toast
from holdfastd.web.pages.fields import FieldError
from holdfastd.web.pages.forms import read_form
from holdfastd.web.pages.jobrefs import job_url, schedule_url
from holdfastd.web.pages.site import Site
from holdfastd.web.pages.words import page_url

_IN_DIALOG: Final = {
    "HX-Retarget": "#dialog-content",
    "HX-Reswap": "innerHTML",
    "Cache-Control": "no-store",
}


class Subject(NamedTuple):
    """What something is done to."""

    name: str
    told: Mapping[str, Any]
    """As the board tells of it."""
    hidden: Mapping[str, str]
    """Fields that name it."""
    act: Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
    """Do this kind to it, with params. Raises Refusal."""
    page: str
    """Part of the navigation."""
    back: str
    """Address to show afterwards."""
    after_end: str = ""
    """The same, where there is no such thing any more."""
    link: Callable[[Mapping[str, Any]], tuple[str, str] | None] = lambda result: None
    """Words and address of what it led to."""


ENDING: Final = frozenset({"obliterate", "delete"})
"""After these there is no subject any more."""


class Controlling:
    def __init__(self, site: Site):
        self._site = site

    def routes(self) -> list[Route]:
        methods = ["GET", "POST"]
        return [
            Route("/do/queues/{kind}", self.queue, methods=methods),
            Route("/do/workers/{kind}", self.worker, methods=methods),
            Route("/do/schedules/delete", self.schedule, methods=methods),
            Route("/do/schedules/{kind}", self.schedule, methods=methods),
        ]

    async def queue(self, request: Request) -> Response:
        control = _control(controls.QUEUES, request)
        identity = await self._site.guard.identify(request)
        form = await _form(request)
        name = form.get("queue", "")
        need = Need.DESTROY if control.is_destroying else Need.ACT
        self._site.guard.require(identity, need, name)
        subject = Subject(
            name,
            await self._site.board.queue(identity, name),
            {"queue": name},
            lambda kind, params: self._site.acting.act(identity, kind, name, params),
            "queues",
            page_url("/queues", name),
            "/queues",
        )
        return await self._ask_or_act(request, identity, control, subject, form)

    async def worker(self, request: Request) -> Response:
        control = _control(controls.WORKERS, request)
        identity = await self._site.guard.identify(request)
        form = await _form(request)
        self._site.guard.require(identity, Need.ACT)
        told = await self._site.board.worker(identity, form.get("session", ""))
        session = str(told["session"])
        subject = Subject(
            told["name"],
            told,
            {"session": session},
            lambda kind, params: self._site.acting.act(identity, kind, session, params),
            "workers",
            "/workers",
        )
        return await self._ask_or_act(request, identity, control, subject, form)

    async def schedule(self, request: Request) -> Response:
        control = _control(schedulecontrols.SCHEDULES, request)
        identity = await self._site.guard.identify(request)
        form = await _form(request)
        queue, id = form.get("queue", ""), form.get("id", "")
        self._site.guard.require(identity, NEED_OF[_kind(request)], queue)
        subject = Subject(
            id,
            await self._site.timetable.one(identity, queue, id),
            {"queue": queue, "id": id},
            lambda kind, params: self._site.scheduling.act(identity, kind, queue, id),
            "schedules",
            schedule_url(queue, id),
            "/schedules",
            lambda done: ("Look at it", job_url(queue, done["job"])) if done["job"] else None,
        )
        return await self._ask_or_act(request, identity, control, subject, form)

    async def _ask_or_act(
        self,
        request: Request,
        identity: Identity,
        control: Control,
        subject: Subject,
        form: Mapping[str, str],
    ) -> Response:
        if request.method != "POST":
            return await self._ask(request, identity, control, subject)
        try:
            params = control.params(subject.told, form)
            result = await subject.act(_kind(request), params)
        except FieldError as error:
            return await self._ask(request, identity, control, subject, str(error), form)
        except Refusal as refusal:
            if refusal.code is ErrorCode.FORBIDDEN:
                raise
            return await self._ask(request, identity, control, subject, refusal.message, form)
        return self._answer(request, control, subject, result)

    async def _ask(
        self,
        request: Request,
        identity: Identity,
        control: Control,
        subject: Subject,
        error: str = "",
        typed: Mapping[str, str] | None = None,
    ) -> Response:
        """error: what is wrong with what was typed; "" = nothing was yet."""
        asked = control.ask(subject.told).with_typed(typed or {})
        values: dict[str, Any] = {
            "title": asked.title,
            "asked": asked,
            "action": request.url.path,
            "hidden": subject.hidden,
            "back": subject.back,
            "error": error,
        }
        if is_from_htmx(request):
            html = self._site.rendering.text("control_inside.html", **values)
            return HTMLResponse(html, headers=_IN_DIALOG)
        status = 400 if error else 200
        return await self._site.rendering.page(
            request, identity, "control.html", page=subject.page, status=status, **values
        )

    def _answer(
        self, request: Request, control: Control, subject: Subject, result: Mapping[str, Any]
    ) -> Response:
        is_gone = _kind(request) in ENDING
        if is_from_htmx(request) and not is_gone:
            done = controls.jobs(result.get("done", 0))
            text = control.said.format(name=subject.name, done=done)
            return toast(self._site.rendering, text, subject.link(result))
        where = subject.after_end if is_gone else subject.back
        if is_from_htmx(request):
            return Response(status_code=200, headers={"HX-Redirect": where})
        return RedirectResponse(where, 303)


def _control(known: Mapping[str, Control], request: Request) -> Control:
    control = known.get(_kind(request))
    if control is None:
        raise HTTPException(404)
    return control


def _kind(request: Request) -> str:
    return request.url.path.rpartition("/")[2]


async def _form(request: Request) -> Mapping[str, str]:
    return await read_form(request) if request.method == "POST" else request.query_params
