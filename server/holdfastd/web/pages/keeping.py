"""What an admin does to the daemon from the page Server, and the doctor's report as a file."""

import json
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
from holdfastd.web.pages.controls import Asked
from holdfastd.web.pages.errors import is_from_htmx, toast
from holdfastd.web.pages.site import Site
from holdfastd.web.safe.refusing import status_of

BACK: Final = "/server"
ASKED: Final = {
    "backup": Asked(
        "Make a backup now?",
        "In a process of its own, beside those of the schedule; the oldest beyond backup.keep goes "
        "when it is there. The next one by schedule is due as long after this one as always.",
        "Back up now",
    ),
    "reload": Asked(
        "Reload the configuration?",
        "What the file, the certificates and the keys say by now is put into force, all of it, or "
        "nothing where anything is wrong. Some keys wait for a restart: they are named.",
        "Reload",
    ),
    "doctor": Asked(
        "Have the doctor look again?",
        "It takes a few seconds, and some hundred syncs of the disk.",
        "Look again",
    ),
}
_IN_DIALOG: Final = {
    "HX-Retarget": "#dialog-content",
    "HX-Reswap": "innerHTML",
    "Cache-Control": "no-store",
}


class Keeping:
    def __init__(self, site: Site):
        self._site = site

    def routes(self) -> list[Route]:
        return [
            Route("/server/doctor", self.report),
            Route("/do/server/{kind}", self.serve, methods=["GET", "POST"]),
        ]

    async def report(self, request: Request) -> Response:
        identity = await self._site.guard.identify(request)
        told = await self._site.upkeep.report(identity)
        headers = {
            "Cache-Control": "no-store",
            "Content-Disposition": 'attachment; filename="holdfast-doctor.json"',
        }
        content = json.dumps(told, indent=2, ensure_ascii=False)
        return Response(content, media_type="application/json", headers=headers)

    async def serve(self, request: Request) -> Response:
        """GET asks, POST acts. Raises Refusal."""
        kind = request.path_params["kind"]
        if kind not in ASKED:
            raise HTTPException(404)
        site = self._site
        identity = await site.guard.identify(request)
        site.guard.require(identity, Need.KEEP)
        if request.method != "POST":
            return await self._ask(request, identity, kind)
        try:
            done = await site.upkeep.do(identity, kind)
        except Refusal as refusal:
            if refusal.code is ErrorCode.FORBIDDEN:
                raise
            return await self._ask(request, identity, kind, refusal)
        if is_from_htmx(request):
            return toast(site.rendering, said(kind, done))
        return RedirectResponse(BACK, 303)

    async def _ask(
        self, request: Request, identity: Identity, kind: str, refusal: Refusal | None = None
    ) -> Response:
        asked = ASKED[kind]
        values: dict[str, Any] = {
            "title": asked.title,
            "asked": asked,
            "action": request.url.path,
            "hidden": {},
            "back": BACK,
            "error": "" if refusal is None else refusal.message,
        }
        if is_from_htmx(request):
            html = self._site.rendering.text("control_inside.html", **values)
            return HTMLResponse(html, headers=_IN_DIALOG)
        status = 200 if refusal is None else status_of(refusal)
        return await self._site.rendering.page(
            request, identity, "control.html", page="server", status=status, **values
        )


def said(kind: str, done: Mapping[str, Any]) -> str:
    """What has come of it, in a line."""
    if kind == "backup":
        return "A backup is being made: this page says when it is there."
    if kind == "doctor":
        return "The doctor looks: this page says what it finds."
    text = f"Reloaded: {', '.join(done['changed']) or 'no setting'} changed."
    if done["needs_restart"]:
        text += f" After a restart only: {', '.join(done['needs_restart'])}."
    return text
