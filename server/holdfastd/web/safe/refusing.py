"""A `Refusal` as an HTTP answer: JSON for the API, one line of text otherwise.

Pages put their own in its place where a person asks (a page, or the way to /login).
"""

from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from holdfast.wire.checks import Refusal
from holdfast.wire.constants import ErrorCode

API: Final = "/api/"
_STATUS: Final = {
    ErrorCode.NOT_AUTHENTICATED: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.PAYLOAD_TOO_LARGE: 413,
    ErrorCode.UNKNOWN_QUEUE: 404,
    ErrorCode.UNKNOWN_JOB: 404,
    ErrorCode.UNKNOWN_COMMAND: 404,
    ErrorCode.LEASE_LOST: 409,
    ErrorCode.WRONG_STATE: 409,
    ErrorCode.NOT_EMPTY: 409,
    ErrorCode.JOB_EXISTS: 409,
    ErrorCode.UNKNOWN_WORKER: 404,
    ErrorCode.UNKNOWN_SCHEDULE: 404,
    ErrorCode.BUSY: 429,
    ErrorCode.TOO_MANY: 429,
    ErrorCode.DISK_FULL: 507,
    ErrorCode.DRAINING: 503,
    ErrorCode.INTERNAL: 500,
}


class WrongType(Refusal):
    """The body is of a media type that is not taken here."""

    def __init__(self, message: str):
        super().__init__(ErrorCode.BAD_REQUEST, message)


def status_of(refusal: Refusal) -> int:
    """What is in no table is the request's own fault."""
    if isinstance(refusal, WrongType):
        return 415
    return _STATUS.get(refusal.code, 400)


def headers_of(refusal: Refusal) -> dict[str, str]:
    headers = {}
    if refusal.code is ErrorCode.NOT_AUTHENTICATED:
        headers["WWW-Authenticate"] = "Bearer"
    retry_after_ms = refusal.details.get("retry_after_ms")
    if retry_after_ms is not None:
        headers["Retry-After"] = str(-(-int(retry_after_ms) // 1000))
    return headers


async def gone(request: Request, error: Exception) -> Response:
    """The answer to one who went away while he sent his request; nobody reads it."""
    return Response(status_code=400)


async def refused(request: Request, error: Exception) -> Response:
    """An exception handler of Starlette."""
    assert isinstance(error, Refusal)
    status, headers = status_of(error), headers_of(error)
    return as_text(request, status, error.code.name, error.message, headers)


def as_text(
    request: Request, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> Response:
    """An error for a program: as the API has all of them, elsewhere one line."""
    if request.url.path.startswith(API):
        said = {"code": code, "message": message}
        return JSONResponse({"error": said}, status, headers)
    return PlainTextResponse(f"{message}\n", status, headers)
