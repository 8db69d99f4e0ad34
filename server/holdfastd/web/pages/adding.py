"""Adding a job by a form, empty or filled in as another job was."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from holdfast.wire.checks import Refusal, check_queue_name
from holdfastd.access.rights import Identity
from holdfastd.web.guard import Need
from holdfastd.web.pages import addform
from holdfastd.web.pages.addform import AddForm
from holdfastd.web.pages.forms import read_form
from holdfastd.web.pages.jobrefs import job_url
from holdfastd.web.pages.site import Site


class Adding:
    def __init__(self, site: Site):
        self._site = site

    def routes(self) -> list[Route]:
        return [Route("/queues/{queue}/add", self.show, methods=["GET", "POST"])]

    async def show(self, request: Request) -> Response:
        """The form; sent, it leads to the job."""
        site = self._site
        identity = await site.guard.identify(request)
        queue = check_queue_name(request.path_params["queue"])
        site.guard.require(identity, Need.ADD, queue)
        if request.method == "POST":
            return await self._add(request, identity, queue)
        form = AddForm(addform.EMPTY)
        twin = request.query_params.get("like")
        if twin:
            site.guard.require(identity, Need.SEE_JOBS, queue)
            form = addform.like(await site.board.job(identity, queue, twin))
        return await self._form(request, identity, queue, form)

    async def _add(self, request: Request, identity: Identity, queue: str) -> Response:
        form, job = addform.read(await read_form(request), self._site.now_ms())
        if not form.errors:
            try:
                added = await self._site.adding.add(identity, queue, job)
            except Refusal as refusal:
                form.errors[addform.field_of(refusal)] = refusal.message
            else:
                if added["created"]:
                    return RedirectResponse(job_url(queue, added["id"]), 303)
                form.errors["id"] = "A job of this id is there already, so nothing was added."
        return await self._form(request, identity, queue, form, 400)

    async def _form(
        self, request: Request, identity: Identity, queue: str, form: AddForm, status: int = 200
    ) -> Response:
        return await self._site.rendering.page(
            request, identity, "add_job.html", page="queues", status=status, queue=queue, form=form
        )
