"""What went wrong, as a page that says what to do; as a toast for htmx, which shows that."""

from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from holdfastd.access.rights import Identity
from holdfastd.web.pages.rendering import Rendering

_OVERVIEW: Final = ("Overview", "/")
_TITLES: Final = {
    400: "That was not understood",
    401: "Please log in",
    403: "Not with this key",
    404: "There is nothing here",
    405: "Not in this way",
    409: "It has changed meanwhile",
    413: "That is too much",
    429: "Too many attempts",
    500: "Something broke",
    503: "The daemon is going down",
}
_TEXTS: Final = {
    404: "The address is wrong, or what was here is gone: finished jobs are removed by their "
    "queue's retention.",
    405: "This address takes another kind of request.",
    500: "This is a bug. The daemon's log has what happened; no job is lost by it.",
    503: "It finishes what is due and will be back when it has been started again. This page can "
    "be loaded again then.",
}


def is_from_htmx(request: Request) -> bool:
    """Whether a part of a page is expected."""
    return request.headers.get("hx-request") == "true"


async def error_page(
    rendering: Rendering,
    request: Request,
    status: int,
    text: str = "",
    identity: Identity | None = None,
) -> Response:
    """text: what was wrong and what to do; "" = what one usually says of that status."""
    said = text or _TEXTS.get(status, "")
    title = _TITLES.get(status, "That did not work")
    if is_from_htmx(request):
        return toast(rendering, said or title, kind="danger", status=status)
    links = [_OVERVIEW] if status != 503 else [("Try again", request.url.path)]
    return await rendering.page(
        request,
        identity,
        "error.html",
        status=status,
        code=status,
        title=title,
        text=said,
        links=links,
    )


def toast(
    rendering: Rendering,
    text: str,
    link: tuple[str, str] | None = None,
    kind: str = "",
    status: int = 200,
) -> Response:
    """link: words and address of where to look further. kind: "" or "danger"."""
    html = rendering.text("toast.html", text=text, link=link, kind=kind)
    # Wherever the form wanted its answer to go: this goes to the toasts.
    where = {"HX-Retarget": "#toasts", "HX-Reswap": "beforeend"}
    return HTMLResponse(html, status, headers={**where, "Cache-Control": "no-store"})
