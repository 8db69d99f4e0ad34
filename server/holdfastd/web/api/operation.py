"""One operation of the API: what it takes and gives, said once, and checked by what is said.

A part of the API makes a list of these; `routes` makes of them what Starlette serves, and
`openapi.document` the description.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route

from holdfast.wire.checks import Refusal
from holdfast.wire.constants import ErrorCode
from holdfastd.access.rights import Identity
from holdfastd.inside import CommandRefused
from holdfastd.search.query import QueryError
from holdfastd.web.api.schema import Schema, check, parse
from holdfastd.web.guard import Guard
from holdfastd.web.refusals import as_refusal

PREFIX: Final = "/api/v1"
JSON: Final = "application/json"
EVENTS: Final = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Call:
    """One request, checked. query: what was given, with defaults. body: None = it takes none."""

    request: Request
    identity: Identity
    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Any


Handler: TypeAlias = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Operation:
    """Attributes:
    path: behind PREFIX, with {names}. name: unique, for generated clients.
    query, headers: parameters by name; one with a "default" has it where it is not given.
    body: None = it takes none. is_body_needed: else one may be left out, and is {}.
    answers: by status, what it says and what is in it; None = nothing. Errors go without saying.
    media: type of the answers.
    """

    method: str
    path: str
    name: str
    tag: str
    summary: str
    handler: Handler
    answers: Mapping[int, tuple[str, Schema | None]]
    query: Mapping[str, Schema] = field(default_factory=dict)
    headers: Mapping[str, Schema] = field(default_factory=dict)
    body: Schema | None = None
    is_body_needed: bool = True
    description: str = ""
    media: str = JSON

    async def answer(self, request: Request, guard: Guard) -> Response:
        """Raises Refusal."""
        identity = await guard.identify(request)
        query = self._read_query(request)
        body = None if self.body is None else await self._read_body(request)
        try:
            return await self.handler(Call(request, identity, request.path_params, query, body))
        except QueryError as error:
            raise Refusal(ErrorCode.BAD_REQUEST, str(error)) from error
        except CommandRefused as error:
            raise as_refusal(error) from error

    def _read_query(self, request: Request) -> dict[str, Any]:
        given = request.query_params
        known = ", ".join(self.query) or "no parameters"
        for name in given:
            if name not in self.query:
                text = f"this address takes {known}; {name[:80]!r} is not one of them"
                raise Refusal(ErrorCode.BAD_REQUEST, text)
            if len(given.getlist(name)) > 1:
                raise Refusal(ErrorCode.BAD_REQUEST, f"{name} is given twice: give it once")
        return {
            name: parse(name, given[name], schema) if name in given else schema.get("default")
            for name, schema in self.query.items()
        }

    async def _read_body(self, request: Request) -> Any:
        """The shield has looked at its type and bounds its length."""
        raw = await request.body()
        if not raw and not self.is_body_needed:
            return {}
        body = _parsed(raw)
        assert self.body is not None
        check("the body", body, self.body)
        return body


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Refusal(ErrorCode.BAD_REQUEST, f"the body is no JSON: {why[:200]}") from error


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is none of its numbers")


def said(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse(value, status, headers)


def address(*parts: str) -> str:
    """Of something in the API, for `Location`."""
    return PREFIX + "".join(f"/{quote(part, safe='')}" for part in parts)


class ApiRoute(Route):
    """Matches the path as it was sent, so that a job's id may have a slash in it (`%2F`)."""

    def matches(self, scope: Any) -> tuple[Match, Any]:
        raw = scope.get("raw_path")
        if raw is None:
            return super().matches(scope)
        match, found = super().matches({**scope, "path": raw.decode("latin-1")})
        if match is not Match.NONE:
            params = found["path_params"]
            found["path_params"] = {name: unquote(value) for name, value in params.items()}
        return match, found


def routes(operations: Iterable[Operation], guard: Guard) -> list[Route]:
    """One of each path: who uses a wrong method is told of all that are right."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        by_path.setdefault(operation.path, {})[operation.method] = operation
    return [_route(path, methods, guard) for path, methods in by_path.items()]


def _route(path: str, methods: Mapping[str, Operation], guard: Guard) -> Route:
    async def serve(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await methods[method].answer(request, guard)

    return ApiRoute(PREFIX + path, serve, methods=list(methods))
