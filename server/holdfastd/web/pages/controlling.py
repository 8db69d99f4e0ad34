"""Acting on queues and workers from a page: the question, the act, the answer.

One address for both: GET asks, as a page or for the dialog; POST acts, and is answered by a
redirect to where one came from, or by a toast.
"""

from collections.abc import Mapping
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from holdfast.wire.checks import Refusal
from holdfast.wire.constants import ErrorCode
from holdfastd.access.rights import Identity
from holdfastd.web.guard import Need
from holdfastd.web.pages import controls
from holdfastd.web.pages.controls import Control
from holdfastd.web.pages.errors import is_from_htmx, toast
from holdfastd.web.pages.fields import FieldError
from holdfastd.web.pages.forms import read_form
from holdfastd.web.pages.site import Site
from holdfastd.web.pages.words import page_url

_IN_DIALOG: Final = {
    "HX-Retarget": "#dialog-content",
    "HX-Reswap": "innerHTML",
    "Cache-Control": "no-store",
}


class Controlling:
    def __init__(self, site: Site):
        self._site = site

    def routes(self) -> list[Route]:
        methods = ["GET", "POST"]
        return [
            Route("/do/queues/{kind}", self.queue, methods=methods),
            Route("/do/workers/{kind}", self.worker, methods=methods),
        ]

    async def queue(self, request: Request) -> Response:
        control = _control(controls.QUEUES, request)
        identity = await self._site.guard.identify(request)
        form = await _form(request)
        name = form.get("queue", "")
        need = Need.DESTROY if control.is_destroying else Need.ACT
        self._site.guard.require(identity, need, name)
        told = await self._site.board.queue(identity, name)
        back = page_url("/queues", name)
        return await self._ask_or_act(request, identity, control, told, form, back)

    async def worker(self, request: Request) -> Response:
        control = _control(controls.WORKERS, request)
        identity = await self._site.guard.identify(request)
        form = await _form(request)
        self._site.guard.require(identity, Need.ACT)
        told = await self._site.board.worker(identity, form.get("session", ""))
        return await self._ask_or_act(request, identity, control, told, form, "/workers")

    async def _ask_or_act(
        self,
        request: Request,
        identity: Identity,
        control: Control,
        told: Mapping[str, Any],
        form: Mapping[str, str],
        back: str,
    ) -> Response:
        if request.method != "POST":
            return await self._ask(request, identity, control, told, back)
        try:
            params = control.params(told, form)
            target = str(told["session"]) if "session" in told else told["name"]
            kind = request.path_params["kind"]
            result = await self._site.acting.act(identity, kind, target, params)
        except FieldError as error:
            return await self._ask(request, identity, control, told, back, str(error), form)
        except Refusal as refusal:
            if refusal.code is ErrorCode.FORBIDDEN:
                raise
            return await self._ask(request, identity, control, told, back, refusal.message, form)
        return self._answer(request, control, told, result, back)

    async def _ask(
        self,
        request: Request,
        identity: Identity,
        control: Control,
        told: Mapping[str, Any],
        back: str,
        error: str = "",
        typed: Mapping[str, str] | None = None,
    ) -> Response:
        """error: what is wrong with what was typed; "" = nothing was yet."""
        asked = control.ask(told).with_typed(typed or {})
        key = "session" if "session" in told else "queue"
        values: dict[str, Any] = {
            "title": asked.title,
            "asked": asked,
            "action": request.url.path,
            "hidden": {key: told["session"] if key == "session" else told["name"]},
            "back": back,
            "error": error,
        }
        if is_from_htmx(request):
            html = self._site.rendering.text("control_inside.html", **values)
            return HTMLResponse(html, headers=_IN_DIALOG)
        page = "workers" if key == "session" else "queues"
        status = 400 if error else 200
        return await self._site.rendering.page(
            request, identity, "control.html", page=page, status=status, **values
        )

    def _answer(
        self,
        request: Request,
        control: Control,
        told: Mapping[str, Any],
        result: Mapping[str, Any],
        back: str,
    ) -> Response:
        is_gone = request.path_params["kind"] == "obliterate"
        if is_from_htmx(request) and not is_gone:
            done = controls.jobs(result.get("done", 0))
            return toast(self._site.rendering, control.said.format(name=told["name"], done=done))
        where = "/queues" if is_gone else back
        if is_from_htmx(request):
            return Response(status_code=200, headers={"HX-Redirect": where})
        return RedirectResponse(where, 303)


def _control(known: Mapping[str, Control], request: Request) -> Control:
    control = known.get(request.path_params["kind"])
    if control is None:
        raise HTTPException(404)
    return control


async def _form(request: Request) -> Mapping[str, str]:
    return await read_form(request) if request.method == "POST" else request.query_params
