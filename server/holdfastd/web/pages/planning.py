"""Making and changing a schedule by a form."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from holdfast.wire.checks import Refusal
from holdfast.wire.constants import ErrorCode
from holdfastd.access.rights import Identity
from holdfastd.engine.zones import zone_names
from holdfastd.web.guard import Need
from holdfastd.web.pages import scheduleform
from holdfastd.web.pages.addform import AddForm
from holdfastd.web.pages.forms import read_form
from holdfastd.web.pages.jobrefs import schedule_url
from holdfastd.web.pages.schedules import PATH
from holdfastd.web.pages.site import Site
from holdfastd.web.pages.words import page_url

NEW: Final = f"{PATH}/new"
EDIT: Final = f"{PATH}/edit"
UNEDITABLE: Final = (
    "This data has something in it that JSON has no words for, and that an edit would lose: leave "
    "it as it is, or change it from Python."
)
_GONE: Final = "There is no such schedule any more: make a new one."
_TAKEN: Final = "There is a schedule of this id in this queue: nothing was changed."


class Planning:
    def __init__(self, site: Site):
        self._site = site

    def routes(self) -> list[Route]:
        methods = ["GET", "POST"]
        return [Route(NEW, self.new, methods=methods), Route(EDIT, self.edit, methods=methods)]

    async def new(self, request: Request) -> Response:
        """The form; sent, it leads to the schedule."""
        identity = await self._site.guard.identify(request)
        if request.method == "POST":
            return await self._put(request, identity, is_new=True)
        queue = request.query_params.get("queue", "")
        self._site.guard.require(identity, Need.ADD, queue or None)
        form = AddForm({**scheduleform.EMPTY, "queue": queue})
        return await self._form(request, identity, form, is_new=True)

    async def edit(self, request: Request) -> Response:
        identity = await self._site.guard.identify(request)
        if request.method == "POST":
            return await self._put(request, identity, is_new=False)
        queue, id = (request.query_params.get(name, "") for name in ("queue", "id"))
        self._site.guard.require(identity, Need.ADD, queue)
        self._site.guard.require(identity, Need.SEE_JOBS, queue)
        form = scheduleform.like(await self._site.timetable.one(identity, queue, id))
        return await self._form(request, identity, form, is_new=False)

    async def _put(self, request: Request, identity: Identity, *, is_new: bool) -> Response:
        typed = await read_form(request)
        form, queue, id, given = scheduleform.read(typed, self._site.now_ms())
        if not form.errors:
            self._site.guard.require(identity, Need.ADD, queue)
            is_there = self._site.timetable.find(identity, queue, id) is not None
            if is_new and is_there:
                form.errors["id"] = _TAKEN
            elif not is_new and not is_there:
                form.errors[""] = _GONE
            else:
                return await self._save(request, identity, form, queue, id, given, is_new=is_new)
        return await self._form(request, identity, form, is_new=is_new, status=400)

    async def _save(
        self,
        request: Request,
        identity: Identity,
        form: AddForm,
        queue: str,
        id: str,
        given: dict[str, Any],
        *,
        is_new: bool,
    ) -> Response:
        """Who changes one here does not take the place of who declared it, and what he was not
        shown stays."""
        origin, keeps_data = "dashboard", False
        try:
            if not is_new:
                before = await self._site.timetable.one(identity, queue, id)
                origin = before["origin"]
                keeps_data = given["data"] == before["data"]
                given["options"] |= scheduleform.kept(before, form.values)
                if not keeps_data and not before["is_editable"]:
                    raise Refusal(ErrorCode.BAD_REQUEST, UNEDITABLE, {"option": "data"})
            await self._site.scheduling.put(
                identity, queue, id, given, origin, keeps_data=keeps_data
            )
        except Refusal as refusal:
            form.errors[scheduleform.field_of(refusal)] = refusal.message
            return await self._form(request, identity, form, is_new=is_new, status=400)
        return RedirectResponse(schedule_url(queue, id), 303)

    async def _form(
        self,
        request: Request,
        identity: Identity,
        form: AddForm,
        *,
        is_new: bool,
        status: int = 200,
    ) -> Response:
        queue, id = form.values.get("queue", ""), form.values.get("id", "")
        return await self._site.rendering.page(
            request,
            identity,
            "schedule_form.html",
            page="schedules",
            status=status,
            form=form,
            is_new=is_new,
            action=NEW if is_new else EDIT,
            back=page_url(PATH, queue=queue) if is_new else schedule_url(queue, id),
            zones=sorted(zone_names()),
        )
