"""The description of the API, made of its operations: OpenAPI 3.1."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from holdfastd import VERSION
from holdfastd.access.rights import NEEDS, Need
from holdfastd.web.api import shapes
from holdfastd.web.api.operation import JSON, PREFIX, Operation
from holdfastd.web.api.schema import Schema, text
from holdfastd.web.safe.needs import Open, need_of

_PATH: Final[Mapping[str, Schema]] = {
    "queue": shapes.QUEUE_NAME,
    "id": shapes.JOB_ID,
    "session": text("As in the list of workers.", 1),
}
_ERRORS: Final = {
    "400": "What was asked is wrong; `message` names the field.",
    "401": "No key, or one that is not good.",
    "403": "This key may not.",
    "404": "There is no such queue, job, schedule, worker or action.",
    "409": "It is not, or no longer, in the state for that.",
    "413": "It is too large.",
    "415": "The body is not JSON.",
    "429": "Too much at once: try again later.",
    "500": "A bug: the daemon's log has it.",
    "503": "The server is being restarted: try again.",
    "507": "The disk is full: try again later.",
}


def document(operations: Iterable[Operation], prefix: str = "") -> dict[str, Any]:
    """prefix: of all paths, where the port is below one; see `web.prefixed`."""
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(PREFIX + each.path, {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Holdfast",
            "version": VERSION,
            "description": "Add jobs, wait for them, see and act on them. Instants are Unix "
            "milliseconds (`_at_ms`), lengths milliseconds (`_ms`).",
        },
        "servers": [{"url": prefix or "/"}],
        "security": [{"key": []}, {}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Needed unless the daemon has no keys.",
                }
            },
            "schemas": {"Error": shapes.ERROR},
            "responses": {
                f"Error{status}": {"description": description, "content": _json(_ERROR_REF)}
                for status, description in _ERRORS.items()
            },
        },
    }


_ERROR_REF: Final = {"$ref": "#/components/schemas/Error"}


def _operation(operation: Operation) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": " ".join(filter(None, (operation.description, _roles(operation)))),
        "parameters": _parameters(operation),
        "responses": {
            **{
                str(status): _answer(operation, *what) for status, what in operation.answers.items()
            },
            **{status: {"$ref": f"#/components/responses/Error{status}"} for status in _ERRORS},
        },
    }
    if operation.body is not None:
        needed = operation.is_body_needed
        told["requestBody"] = {"required": needed, "content": _json(operation.body)}
    return told


def _roles(operation: Operation) -> str:
    need = need_of(operation.method, PREFIX + operation.path)
    if isinstance(need, Open):
        return "For everybody."
    return f"For the roles {', '.join(sorted(role.value for role in NEEDS[Need(need)]))}."


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        *(
            _parameter(name, "path", _PATH[name], is_required=True)
            for name in re.findall(r"{(\w+)}", operation.path)
        ),
        *(_parameter(name, "query", schema) for name, schema in operation.query.items()),
        *(_parameter(name, "header", schema) for name, schema in operation.headers.items()),
    ]


def _parameter(
    name: str, where: str, schema: Schema, *, is_required: bool = False
) -> dict[str, Any]:
    return {"name": name, "in": where, "required": is_required, "schema": dict(schema)}


def _answer(operation: Operation, description: str, schema: Schema | None) -> dict[str, Any]:
    if schema is None:
        return {"description": description}
    return {"description": description, "content": {operation.media: {"schema": dict(schema)}}}


def _json(schema: Schema) -> dict[str, Any]:
    return {JSON: {"schema": dict(schema)}}
