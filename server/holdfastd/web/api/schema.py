"""JSON Schema, as much of it as the API uses: what is said in its document is what is checked.

A schema is a map as it stands in the OpenAPI document. `check` knows the keywords in KEYWORDS and
no others, so that nothing is promised there which is not held here; a test compares the two.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from holdfast.wire.checks import Refusal, shown
from holdfast.wire.constants import ErrorCode

Schema: TypeAlias = Mapping[str, Any]

KEYWORDS: Final = frozenset(
    {"type", "enum", "minimum", "maximum", "minLength", "maxLength", "pattern", "items"}
    | {"minItems", "maxItems", "properties", "required", "additionalProperties", "minProperties"}
    | {"description", "default", "examples", "format"}
)
"""The last four check nothing."""


# ---- making them ---------------------------------------------------------------------------------


def text(
    description: str = "", low: int = 0, high: int | None = None, **more: Any
) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "string", **more}
    if low:
        found["minLength"] = low
    if high is not None:
        found["maxLength"] = high
    return _described(found, description)


def whole(
    description: str = "", low: int | None = None, high: int | None = None, **more: Any
) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "integer", **more}
    if low is not None:
        found["minimum"] = low
    if high is not None:
        found["maximum"] = high
    return _described(found, description)


def flag(description: str = "", **more: Any) -> dict[str, Any]:
    return _described({"type": "boolean", **more}, description)


def listed(items: Schema, description: str = "", low: int = 0, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "array", "items": dict(items), **more}
    if low:
        found["minItems"] = low
    return _described(found, description)


def record(
    properties: Mapping[str, Schema],
    required: Sequence[str] = (),
    description: str = "",
    **more: Any,
) -> dict[str, Any]:
    """A map with these keys and no others."""
    found: dict[str, Any] = {
        "type": "object",
        "properties": dict(properties),
        "additionalProperties": False,
        **more,
    }
    if required:
        found["required"] = list(required)
    return _described(found, description)


def anything(description: str = "") -> dict[str, Any]:
    return _described({}, description)


def or_null(schema: Schema) -> dict[str, Any]:
    found = {**schema, "type": [schema["type"], "null"]}
    if "enum" in found:
        found["enum"] = [*found["enum"], None]
    return found


def _described(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {**schema, "description": description} if description else schema


# ---- checking against them -----------------------------------------------------------------------


def check(name: str, value: Any, schema: Schema) -> None:
    """Whether the value is as its schema says. name: of the value, for people.

    Raises:
        Refusal: BAD_REQUEST; it names the field, with the value that was given.
    """
    types = schema.get("type")
    if types is not None:
        wanted = [types] if isinstance(types, str) else types
        if not any(_IS[each](value) for each in wanted):
            raise _wrong(name, f"must be {' or '.join(_NAMES[each] for each in wanted)}", value)
    if "enum" in schema and value not in schema["enum"]:
        known = ", ".join(str(each) for each in schema["enum"] if each is not None)
        raise _wrong(name, f"must be one of {known}", value)
    if isinstance(value, str):
        _check_text(name, value, schema)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _check_number(name, value, schema)
    elif isinstance(value, list):
        _check_list(name, value, schema)
    elif isinstance(value, dict):
        _check_record(name, value, schema)


def _check_text(name: str, value: str, schema: Schema) -> None:
    low, high = schema.get("minLength", 0), schema.get("maxLength", len(value))
    if not low <= len(value) <= high:
        raise _wrong(name, f"must have {low:,} to {high:,} characters", value)
    pattern = schema.get("pattern")
    # `$` of Python is before a newline too; that of the document (ECMA-262) is the end.
    if pattern is not None and not re.fullmatch(pattern.removeprefix("^").removesuffix("$"), value):
        raise _wrong(name, f"must match {pattern}", value)


def _check_number(name: str, value: float, schema: Schema) -> None:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and value < low:
        raise _wrong(name, f"must be {low:,} or more", value)
    if high is not None and value > high:
        raise _wrong(name, f"must be {high:,} or less", value)


def _check_list(name: str, value: list[Any], schema: Schema) -> None:
    low, high = schema.get("minItems", 0), schema.get("maxItems", len(value))
    if not low <= len(value) <= high:
        text = f"{name} must have {low:,} to {high:,} items, not {len(value):,}"
        raise Refusal(ErrorCode.BAD_REQUEST, text)
    if "items" in schema:
        for at, item in enumerate(value):
            check(f"{name}[{at}]", item, schema["items"])


def _check_record(name: str, value: dict[str, Any], schema: Schema) -> None:
    properties: Mapping[str, Schema] = schema.get("properties", {})
    if schema.get("additionalProperties") is False:
        unknown = sorted(set(value) - set(properties))
        if unknown:
            known = ", ".join(properties) or "no fields"
            text = f"{name} knows {known}; {shown(unknown[0])} is not one of them"
            raise Refusal(ErrorCode.BAD_REQUEST, text)
    missing = [key for key in schema.get("required", ()) if key not in value]
    if missing:
        raise Refusal(ErrorCode.BAD_REQUEST, f"{name} needs {missing[0]}")
    if len(value) < schema.get("minProperties", 0):
        text = f"{name} is empty: give one of {', '.join(properties)}"
        raise Refusal(ErrorCode.BAD_REQUEST, text)
    for key, inner in value.items():
        if key in properties:
            check(key if name == "the body" else f"{name}.{key}", inner, properties[key])


def parse(name: str, given: str, schema: Schema) -> Any:
    """A parameter of an address as its schema says. Raises Refusal."""
    value: Any = given
    if schema.get("type") == "integer" and re.fullmatch(r"-?[0-9]{1,20}", given):
        value = int(given)
    elif schema.get("type") == "boolean" and given in ("true", "false"):
        value = given == "true"
    check(name, value, schema)
    return value


def _wrong(name: str, must: str, value: Any) -> Refusal:
    return Refusal(ErrorCode.BAD_REQUEST, f"{name} {must}, not {shown(value)}")


def _is_whole(value: Any) -> bool:
    return type(value) is int


_IS: Final[dict[str, Callable[[Any], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "integer": _is_whole,
    "number": lambda value: _is_whole(value) or isinstance(value, float),
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "null": lambda value: value is None,
}
_NAMES: Final = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a map",
    "null": "null",
}
