"""/login and /logout, for people: a key is given once, and a cookie says so from then on.

The cookie is not sent with what another site begins, links included (SameSite=Strict). Who follows
a link from a chat would be asked for his key although he has logged in; so /login asks for itself
once more, which then begins here, and goes on to where the link leads.
"""

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from holdfast.wire.checks import Refusal
from holdfastd import logs
from holdfastd.web.guard import Guard, client_host
from holdfastd.web.safe.origins import OURS
from holdfastd.web.safe.refusing import headers_of, status_of
from holdfastd.web.safe.sessions import LIFE_S
from holdfastd.web.safe.shield import LOGIN

log = logging.getLogger(__name__)

LOGOUT: Final = "/logout"
AGAIN: Final = "again"
"""In the address that was asked for once more."""
FIELDS_MAX: Final = 10
"""A form of ours has two."""
_PATH: Final = re.compile(r"/(?![/\\])[^\x00-\x20\x7f\\]{0,4000}")
"""Of this port: `//host` and `/\\host` lead elsewhere."""

Show: TypeAlias = Callable[[Request, str, str, int], Awaitable[Response]]
"""The page with the form. Of the request, what was wrong ("" = nothing), where to go afterwards
(a path), the status."""


class Login:
    def __init__(self, guard: Guard, show: Show):
        self._guard = guard
        self._show = show

    def routes(self) -> list[BaseRoute]:
        return [
            Route(LOGIN, self.ask, methods=["GET"]),
            Route(LOGIN, self.log_in, methods=["POST"]),
            Route(LOGOUT, self.log_out, methods=["POST"]),
        ]

    async def ask(self, request: Request) -> Response:
        following = path_of(request.query_params.get("next", ""))
        if await self._has_session(request):
            return RedirectResponse(following, 303)
        page = await self._show(request, "", following, 200)
        # In the clear, but for localhost, a browser does not say where a request began.
        is_ours = request.headers.get("sec-fetch-site") in OURS
        if not is_ours and AGAIN not in request.query_params:
            query = urlencode({"next": following, AGAIN: "1"})
            page.headers["Refresh"] = f"0; url={LOGIN}?{query}"
        return page

    async def _has_session(self, request: Request) -> bool:
        try:
            return bool((await self._guard.identify(request)).name)
        except Refusal:
            return False

    async def log_in(self, request: Request) -> Response:
        fields = await _fields(request)
        following = path_of(fields.get("next", ""))
        try:
            value = self._guard.begin_session(fields.get("key", ""), client_host(request))
        except Refusal as refusal:
            page = await self._show(request, refusal.message, following, status_of(refusal))
            page.headers.update(headers_of(refusal))
            return page
        key_id = value.partition(".")[0]
        text = f"somebody logged in from {client_host(request)} with key {key_id}"
        logs.event(log, logging.INFO, "logged_in", text, host=client_host(request), key=key_id)
        response = RedirectResponse(following, 303)
        response.set_cookie(
            self._guard.cookie,
            value,
            max_age=LIFE_S,
            httponly=True,
            samesite="strict",
            secure=self._is_secure(request),
        )
        return response

    async def log_out(self, request: Request) -> Response:
        response = RedirectResponse(LOGIN, 303)
        response.delete_cookie(
            self._guard.cookie,
            httponly=True,
            samesite="strict",
            secure=self._is_secure(request),
        )
        return response

    def _is_secure(self, request: Request) -> bool:
        """The browser came through TLS: ours, or a proxy's."""
        is_https = request.headers.get("origin", "").startswith("https://")
        return self._guard.policy.has_tls or is_https


def path_of(said: str) -> str:
    """Where to go after logging in: only to a path of this port."""
    return said if _PATH.fullmatch(said) else "/"


async def _fields(request: Request) -> dict[str, str]:
    """Of the form; those of what is none are missing. Its length has been looked at."""
    try:
        text = (await request.body()).decode("ascii")
        return dict(parse_qsl(text, max_num_fields=FIELDS_MAX))
    except ValueError:
        return {}
