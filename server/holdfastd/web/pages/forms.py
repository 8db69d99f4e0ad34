"""What a form of a page sends, read without more of it than a form can have."""

from typing import Final
from urllib.parse import parse_qsl

from starlette.datastructures import ImmutableMultiDict
from starlette.exceptions import HTTPException
from starlette.requests import Request

BODY_BYTES_MAX: Final = 6 * 1024 * 1024
"""Quoted for a form, JSON is three times as long at worst: 1 MiB of payload and what goes with it,
with room."""
FIELDS_MAX: Final = 1_000
"""All jobs of a page and what goes with them, with room; arbitrary."""
TYPE: Final = "application/x-www-form-urlencoded"


async def read_form(request: Request) -> ImmutableMultiDict[str, str]:
    """Fields by name, each maybe several times.

    Raises:
        HTTPException: it is too large (413), or no form (400, 415).
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != TYPE:
        raise HTTPException(415, f"send this as a form: {TYPE}")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > BODY_BYTES_MAX:
            raise HTTPException(413, f"a form has {BODY_BYTES_MAX:,} bytes at most")
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=FIELDS_MAX,
        )
    except ValueError as error:
        raise HTTPException(400, f"this is no form: {error}") from error
    return ImmutableMultiDict(pairs)
