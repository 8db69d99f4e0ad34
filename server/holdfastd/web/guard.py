"""Who may see what the HTTP port shows: `Authorization: Bearer KEY`, where a key is needed."""

from collections.abc import Callable
from typing import Final, TypeAlias

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from holdfast.wire.checks import Refusal
from holdfast.wire.constants import ErrorCode
from holdfastd.access.rights import Identity, check_metrics

Admit: TypeAlias = Callable[[str | None, str], Identity]
"""Header and the client's host -> who it is. Raises Refusal."""

_STATUS: Final = {ErrorCode.NOT_AUTHENTICATED: 401, ErrorCode.FORBIDDEN: 403, ErrorCode.BUSY: 429}


def refused(request: Request, admit: Admit | None) -> Response | None:
    """What to answer to one who may not read the metrics; None = it may."""
    if admit is None:
        return None
    host = request.client.host if request.client is not None else "?"
    try:
        check_metrics(admit(request.headers.get("authorization"), host))
    except Refusal as refusal:
        headers = {"WWW-Authenticate": "Bearer"} if _is_unknown(refusal) else {}
        return PlainTextResponse(
            f"{refusal.message}\n", status_code=_STATUS[refusal.code], headers=headers
        )
    return None


def _is_unknown(refusal: Refusal) -> bool:
    return refusal.code is ErrorCode.NOT_AUTHENTICATED
