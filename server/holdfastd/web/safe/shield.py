"""Around everything that the HTTP port answers: what must hold for each request and each response.

Pure ASGI, so that streams go through as they come. Outermost, so that it holds for errors too.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from starlette.datastructures import Headers
from starlette.requests import Request

from holdfast.wire.checks import Refusal
from holdfast.wire.constants import FRAME_BYTES_MAX_BEFORE_WELCOME, ErrorCode
from holdfastd.access.exposure import is_loopback_host
from holdfastd.web.guard import Guard
from holdfastd.web.safe import origins
from holdfastd.web.safe.refusing import refused

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

BODY_BYTES_MAX: Final = 8 * 1024 * 1024
"""Of a request: 1 MiB of a job's data, quoted for a form or in base64, with room; or 4 MiB of jobs,
as in a frame of the protocol, as JSON."""
LOGIN: Final = "/login"
CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""Nothing from elsewhere, nothing inline: what a job carries cannot run even where it got into a
page."""
HEADERS: Final = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    # Not no-referrer: browsers send `Origin: null` with a form then, which no longer tells whose it
    # was (Fetch, "append a request Origin header"). Nothing of an address leaves for other sites.
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "x-robots-tag": "noindex, nofollow",
}
"""On every response, whatever its route says."""
OPENER: Final = (b"cross-origin-opener-policy", b"same-origin")
"""Through TLS, and on localhost: elsewhere browsers complain of it."""
NO_STORE: Final = (b"cache-control", b"no-store")
"""Unless the route says otherwise, as for files that never change."""
_RAW: Final = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
_FORCED: Final = frozenset(name for name, _ in _RAW)


class Shield:
    def __init__(self, app: App, guard: Guard):
        self._app = app
        self._guard = guard

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_login = scope["path"] == LOGIN
        bytes_max = FRAME_BYTES_MAX_BEFORE_WELCOME if is_login else BODY_BYTES_MAX
        send = _with_headers(send, is_trusted=self._is_trusted(scope))
        try:
            self._check(Request(scope), bytes_max)
        except Refusal as refusal:
            response = await refused(Request(scope), refusal)
            await response(scope, receive, send)
            return
        await self._app(scope, _bounded(receive, bytes_max), send)

    def _is_trusted(self, scope: MutableMapping[str, Any]) -> bool:
        """By a browser, as one that nobody in the middle can have changed."""
        name = origins.name_of(Headers(scope=scope).get("host", ""))
        return self._guard.policy.has_tls or is_loopback_host(name.strip("[]"))

    def _check(self, request: Request, bytes_max: int) -> None:
        """Raises Refusal."""
        has_session = self._guard.cookie in request.cookies
        origins.check(
            request.method,
            request.url.path,
            request.headers,
            self._guard.policy,
            has_session=has_session,
        )
        told = request.headers.get("content-length", "0")
        if told.isdecimal() and int(told) > bytes_max:
            raise _too_large(bytes_max)


def _with_headers(send: Send, *, is_trusted: bool) -> Send:
    ours = [*_RAW, OPENER] if is_trusted else _RAW

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = [pair for pair in message.get("headers", ()) if pair[0].lower() not in _FORCED]
            is_said = any(name.lower() == NO_STORE[0] for name, _ in own)
            message["headers"] = [*own, *ours, *(() if is_said else (NO_STORE,))]
        await send(message)

    return send_with_headers


def _bounded(receive: Receive, bytes_max: int) -> Receive:
    """Raises Refusal at the byte that is one too many: a body in pieces does not say its length."""
    left = bytes_max

    async def receive_bounded() -> Message:
        nonlocal left
        message = await receive()
        if message["type"] == "http.request":
            left -= len(message.get("body", b""))
            if left < 0:
                raise _too_large(bytes_max)
        return message

    return receive_bounded


def _too_large(bytes_max: int) -> Refusal:
    return Refusal(
        ErrorCode.PAYLOAD_TOO_LARGE, f"a request's body may have {bytes_max:,} bytes here"
    )
