"""Acting on jobs from a page: the question, the act, how far it is, and undoing it.

Without JavaScript a question is a page, and an act is answered by a redirect to the page it came
from, which then tells how far it is. With htmx both are parts: the question goes into the dialog,
the answer to the toasts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from starlette.datastructures import ImmutableMultiDict
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from holdfast.wire.checks import Refusal
from holdfast.wire.constants import PRIORITY_MAX, PRIORITY_MIN, ErrorCode
from holdfastd.access.rights import Identity
from holdfastd.search.query import QueryError
from holdfastd.web.acting.acting import Jobs, Matching
from holdfastd.web.guard import Need
from holdfastd.web.pages import actions, asking
from holdfastd.web.pages.errors import is_from_htmx
from holdfastd.web.pages.fields import FieldError, json_value, when_ms, whole
from holdfastd.web.pages.forms import read_form
from holdfastd.web.pages.jobrefs import JobRef, job_url, parse_ref
from holdfastd.web.pages.jsontree import text as json_text
from holdfastd.web.pages.kinds import KINDS
from holdfastd.web.pages.site import Site
from holdfastd.web.pages.terms import term
from holdfastd.web.pages.words import page_url
from holdfastd.web.safe.refusing import status_of

NO_STORE: Final = {"Cache-Control": "no-store"}
UNEDITABLE: Final = (
    "This job's data has something in it that JSON has no words for, and that an edit would lose: "
    "keys that are no text, instants, infinite numbers. Edit it from Python."
)
Form = ImmutableMultiDict[str, str]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a form asks for: which action, on whom, and where one goes back to."""

    kind: str
    refs: list[JobRef]
    """Of a selection; empty where all that match are meant."""
    query: str
    is_all_matching: bool
    expected: int | None
    """How many the question spoke of; None = it has not been asked yet."""
    back: str

    @classmethod
    def of(cls, form: Form) -> "Wish":
        """Raises Refusal (BAD_REQUEST)."""
        kind = form.get("kind", "")
        if kind not in KINDS:
            raise Refusal(ErrorCode.BAD_REQUEST, f"{kind!r} cannot be done to jobs")
        query = form.get("q", "")
        is_all = form.get("scope") == "matching"
        refs = [] if is_all else [parse_ref(text) for text in dict.fromkeys(form.getlist("job"))]
        expected = form.get("expected", "")
        back = _own_path(form.get("back", "")) or _page_of(refs, query)
        return cls(kind, refs, query, is_all, int(expected) if expected.isdecimal() else None, back)

    @property
    def target(self) -> Jobs | Matching:
        """For `acting`: without those that the question said will be passed over, so that who is
        passed over now has moved on."""
        states = KINDS[self.kind].states
        if self.is_all_matching:
            return Matching(f"{self.query} state:{','.join(sorted(states))}", self.expected)
        return Jobs([(ref.queue, ref.id, ref.state) for ref in self.refs if ref.state in states])

    @property
    def where_next(self) -> str:
        """Address of the page to show afterwards: not that of a job that was deleted."""
        if self.kind == "delete" and len(self.refs) == 1:
            return page_url("/jobs", q=self.query or term("queue", self.refs[0].queue))
        return self.back

    def hidden(self, expected: int) -> list[tuple[str, str]]:
        """What the form of the question takes along."""
        fields = [("kind", self.kind), ("q", self.query), ("back", self.back)]
        if self.is_all_matching:
            return [*fields, ("scope", "matching"), ("expected", str(expected))]
        return [*fields, *(("job", f"{ref.state}/{ref.queue}/{ref.id}") for ref in self.refs)]


class Doing:
    def __init__(self, site: Site):
        self._site = site

    def routes(self) -> list[Route]:
        return [
            Route("/jobs/confirm", self.confirm, methods=["GET", "POST"]),
            Route("/do/jobs", self.do, methods=["POST"]),
            Route("/do/undo", self.undo, methods=["POST"]),
            Route("/actions/{id}", self.progress),
        ]

    async def confirm(self, request: Request) -> Response:
        """Ask. It changes nothing; it comes as a POST since many jobs may be ticked."""
        identity = await self._site.guard.identify(request)
        self._site.guard.require(identity, Need.SEE_JOBS)
        is_post = request.method == "POST"
        form = await read_form(request) if is_post else ImmutableMultiDict(request.query_params)
        wish = Wish.of(form)
        if not wish.refs and not wish.is_all_matching:
            raise HTTPException(400, "No job is ticked: tick some, or choose all that match.")
        return await self._ask(request, identity, wish)

    async def do(self, request: Request) -> Response:
        identity = await self._site.guard.identify(request)
        form = await read_form(request)
        wish = Wish.of(form)
        for queue in {ref.queue for ref in wish.refs} or [None]:
            self._site.guard.require(identity, Need.ACT, queue)
        field = asking.FIELDS.get(wish.kind)
        if field is not None:
            field = replace(field, value=form.get(field.name, ""))
        try:
            params = self._params(wish.kind, form)
            action = await self._site.acting.act(identity, wish.kind, wish.target, params)
        except FieldError as error:
            assert field is not None
            return await self._ask(request, identity, wish, replace(field, error=str(error)))
        except Refusal as refusal:
            return await self._ask(request, identity, wish, field, refusal)
        return self._answer(request, action, wish.where_next)

    async def undo(self, request: Request) -> Response:
        identity = await self._site.guard.identify(request)
        form = await read_form(request)
        action = await self._site.acting.undo(identity, form.get("action", ""))
        return self._answer(request, action, _own_path(form.get("back", "")) or "/jobs")

    async def progress(self, request: Request) -> Response:
        """The toast of an action, as it is now."""
        identity = await self._site.guard.identify(request)
        self._site.guard.require(identity, Need.SEE_JOBS)
        id = request.path_params["id"]
        action = await self._site.board.action(identity, id)
        view = actions.view(action, self._site.now_ms()) if action else actions.forgotten(id)
        return self._toast(view)

    async def _ask(
        self,
        request: Request,
        identity: Identity,
        wish: Wish,
        field: asking.Field | None = None,
        refusal: Refusal | None = None,
    ) -> Response:
        """field: as it was filled in, with what is wrong; None = it is the first time. refusal:
        why it was not done."""
        touched = await self._touched(identity, wish)
        if field is None:
            field = await self._first_field(identity, wish)
        problem = refusal.message if refusal is not None else ""
        hidden = wish.hidden(touched.count)
        ask = asking.ask(wish.kind, touched, hidden, wish.back, field, problem)
        if is_from_htmx(request):
            # Wherever the form wanted its answer to go: a question goes into the dialog.
            where = {"HX-Retarget": "#dialog-content", "HX-Reswap": "innerHTML"}
            html = self._site.rendering.text("confirm_form.html", ask=ask)
            return HTMLResponse(html, headers={**NO_STORE, **where})
        status = 400 if field is not None and field.error else 200
        if refusal is not None:
            status = status_of(refusal)
        return await self._site.rendering.page(
            request, identity, "confirm.html", page="jobs", status=status, ask=ask
        )

    async def _touched(self, identity: Identity, wish: Wish) -> asking.Touched:
        kind = KINDS[wish.kind]
        if not wish.is_all_matching:
            return asking.among(kind, wish.refs)
        try:
            counted = await self._site.board.facets(identity, wish.query)
        except QueryError as error:
            raise HTTPException(400, str(error)) from error
        return asking.matching(kind, counted)

    async def _first_field(self, identity: Identity, wish: Wish) -> asking.Field | None:
        """With what it begins with: of one job, what it has."""
        field = asking.FIELDS.get(wish.kind)
        if field is None:
            return None
        if wish.kind == "move":
            return replace(field, choices=await self._queue_names(identity))
        if len(wish.refs) == 1 and wish.kind in ("priority", "edit"):
            ref = wish.refs[0]
            job = await self._site.board.job(identity, ref.queue, ref.id)
            if wish.kind == "priority":
                return replace(field, value=str(job["priority"]))
            if job["state"] in KINDS["edit"].states and not job["is_editable"]:
                raise HTTPException(400, UNEDITABLE)
            return replace(field, value=json_text(job["data"]))
        return field

    async def _queue_names(self, identity: Identity) -> list[str]:
        """To choose from; the first hundred."""
        found = await self._site.board.queues(identity, "", "name", None, 100)
        return [queue["name"] for queue in found["queues"]]

    def _params(self, kind: str, form: Form) -> dict[str, Any]:
        """What `acting` wants to know of it. Raises FieldError."""
        if kind == "reschedule":
            return {"run_at_ms": when_ms(form.get("when", ""), self._site.now_ms())}
        if kind == "priority":
            return {"priority": whole(form.get("priority", ""), PRIORITY_MIN, PRIORITY_MAX)}
        if kind == "move":
            if not form.get("to", "").strip():
                raise FieldError("Name a queue.")
            return {"to": form["to"].strip()}
        if kind == "edit":
            return {"data": json_value(form.get("data", ""))}
        return {}

    def _answer(self, request: Request, action: Mapping[str, Any], back: str) -> Response:
        if is_from_htmx(request):
            return self._toast(actions.view(action, self._site.now_ms()), back)
        joint = "&" if "?" in back else "?"
        return RedirectResponse(f"{back}{joint}action={action['id']}", 303)

    def _toast(self, view: actions.ActionView, back: str = "/jobs") -> Response:
        html = self._site.rendering.text("action.html", action=view, back=back)
        return HTMLResponse(html, headers=NO_STORE)


def _own_path(text: str) -> str:
    """The path of a page that tells how far an action is, or "": a redirect leads nowhere else."""
    if text in ("/", "/server"):
        return text
    is_ours = text.startswith("/jobs") and "\\" not in text and text.isprintable()
    return text.partition("#")[0] if is_ours else ""


def _page_of(refs: Sequence[JobRef], query: str) -> str:
    """Of the one job, or of those that the query finds."""
    if len(refs) == 1:
        return job_url(refs[0].queue, refs[0].id)
    return page_url("/jobs", q=query)
