"""Jobs: find any of them by a query, narrow it down, page through, and take them away as NDJSON."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from holdfast.wire.checks import Refusal
from holdfastd.access.rights import Identity
from holdfastd.search.query import QueryError
from holdfastd.web.exporting import NDJSON, Exporting
from holdfastd.web.guard import Need
from holdfastd.web.pages import actions, facets
from holdfastd.web.pages.forms import read_form
from holdfastd.web.pages.jobrefs import parse_ref
from holdfastd.web.pages.site import Site
from holdfastd.web.pages.terms import picked
from holdfastd.web.pages.words import page_url

LIMIT: Final = 50
"""Jobs of a page."""
BACK_MAX: Final = 20
"""Pages that "Newer" goes back; then it goes to the first."""
NO_STORE: Final = {"Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class ErrorView:
    """What is wrong with a query, and where."""

    message: str
    advice: str
    at: int | None
    """None = nowhere in particular."""
    before: str
    marked: str
    after: str

    @classmethod
    def of(cls, text: str, error: QueryError | Refusal) -> "ErrorView":
        """A Refusal is of a query that is right, and not for who asks it."""
        if isinstance(error, Refusal):
            return cls(error.message, "", None, "", "", "")
        at = min(error.at, len(text))
        end = next((place for place in range(at, len(text)) if text[place].isspace()), len(text))
        return cls(error.text, error.advice, at, text[:at], text[at:end] or " ", text[end:])


class JobsPages:
    def __init__(self, site: Site):
        self._site = site
        self._exporting = Exporting(site.board, site.guard)

    def routes(self) -> list[Route]:
        return [
            Route("/jobs", self.show),
            Route("/jobs/facets", self.facets),
            Route("/jobs/complete", self.complete),
            Route("/jobs/export", self.export, methods=["GET", "POST"]),
        ]

    async def show(self, request: Request) -> Response:
        identity = await self._who(request)
        asked = request.query_params
        text = asked.get("q", "").strip()
        values: dict[str, Any] = {"jobs": [], "was_cut": False, "looked_at": 0, "error": None}
        counted = None
        try:
            found = await self._site.board.jobs(identity, text, asked.get("after"), LIMIT)
            values.update(
                jobs=found["jobs"], was_cut=found["was_cut"], looked_at=found["looked_at"]
            )
            values.update(_pages(text, asked.get("after"), asked.getlist("back"), found["next"]))
            if asked.get("facets"):
                counted = await self._site.board.facets(identity, text)
        except (QueryError, Refusal) as error:
            values["error"] = ErrorView.of(text, error)
            values.update(newer_url=None, older_url=None)
        queues = picked(text, "queue")
        return await self._site.rendering.page(
            request,
            identity,
            "jobs.html",
            page="jobs",
            query=text,
            may_act=self._site.guard.allows(identity, Need.ACT),
            may_add=self._site.guard.allows(identity, Need.ADD),
            states=facets.states(text),
            facets=facets.view(text, counted) if counted else None,
            one_queue=next(iter(queues)) if len(queues) == 1 else "",
            action=await self._action(identity, asked.get("action")),
            **values,
        )

    async def facets(self, request: Request) -> Response:
        identity = await self._who(request)
        text = request.query_params.get("q", "").strip()
        try:
            counted = await self._site.board.facets(identity, text)
        except (QueryError, Refusal):
            return HTMLResponse("", 204)  # the page says what is wrong
        view = facets.view(text, counted)
        return HTMLResponse(
            self._site.rendering.text("jobs_facets.html", facets=view), headers=NO_STORE
        )

    async def complete(self, request: Request) -> Response:
        """What all jobs have, for the query bar: by key `[[value, count], …]`, the most first."""
        identity = await self._who(request)
        counted = await self._site.board.facets(identity, "")
        return JSONResponse(counted["by"], headers=NO_STORE)

    async def export(self, request: Request) -> Response:
        """Jobs as NDJSON: those that are ticked, with all there is of them, or all that match."""
        identity = await self._who(request)
        asked = await read_form(request) if request.method == "POST" else request.query_params
        refs = [] if asked.get("scope") == "matching" else asked.getlist("job")
        if refs:
            places = [(ref.queue, ref.id) for ref in map(parse_ref, refs)]
            return _download(self._exporting.named(identity, places))
        text, after = asked.get("q", "").strip(), asked.get("after")
        return _download(await self._exporting.matching(identity, text, after))

    async def _who(self, request: Request) -> Identity:
        identity = await self._site.guard.identify(request)
        self._site.guard.require(identity, Need.SEE_JOBS)
        return identity

    async def _action(self, identity: Identity, id: str | None) -> actions.ActionView | None:
        """The one that a form has begun, without JavaScript; None = it is forgotten."""
        action = await self._site.board.action(identity, id) if id else None
        return actions.view(action, self._site.now_ms()) if action else None


def _download(lines: AsyncIterator[str]) -> Response:
    headers = {**NO_STORE, "Content-Disposition": 'attachment; filename="jobs.ndjson"'}
    return StreamingResponse(lines, media_type=NDJSON, headers=headers)


def _pages(
    text: str, after: str | None, back: list[str], following: str | None
) -> dict[str, str | None]:
    """Addresses of the pages before and after this one. back: keys of those before, in order.

    The finder knows the way on alone, so the way back is in the address.
    """
    newer = None
    if after:
        newer = page_url("/jobs", q=text, after=back[-1] if back else "", back=back[:-1])
    older = None
    if following is not None:
        behind = [*back, after][-BACK_MAX:] if after else []
        older = page_url("/jobs", q=text, after=following, back=behind)
    return {"newer_url": newer, "older_url": older}
