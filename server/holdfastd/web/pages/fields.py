"""What a person types into a form, as values, or what is wrong with it in words for that field."""

import json
import re
from datetime import UTC, datetime
from typing import Any, Final

DATA_CHARACTERS_MAX: Final = 4 * 1024 * 1024
"""Of JSON: more than any payload can come from. What is packed is checked by the engine."""
DEPTH_MAX: Final = 200
"""Of nesting; deeper than data is by anybody's wish, and not too deep for msgpack (512)."""
_UNITS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ?(ms|s|min|m|h|d)")
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}")
TOO_DEEP: Final = f"This is nested more than {DEPTH_MAX} deep: make it flatter."


class FieldError(ValueError):
    """The text is for who filled the field in."""


def whole(text: str, least: int, most: int) -> int:
    """Raises FieldError."""
    text = text.strip().replace("\N{MINUS SIGN}", "-")
    if not _INTEGER.fullmatch(text):
        raise FieldError(f"{_shown(text)} is no whole number.")
    if not least <= int(text) <= most:
        raise FieldError(f"Use a number from {least:,} to {most:,}.")
    return int(text)


def length_ms(text: str) -> int:
    """A length of time such as 500ms, 2s, 10m, 1h, 1d. Raises FieldError."""
    total = _length_ms(text.strip().lower())
    if total is None:
        raise FieldError(f"{_shown(text)} is no length of time: use 500ms, 30s, 10m, 2h or 1d.")
    return total


def when_ms(text: str, now_ms: int) -> int:
    """The instant in so long a time, or the one that is written; Unix milliseconds.

    Raises:
        FieldError: it is neither.
    """
    text = text.strip()
    if text.lower() == "now":
        return now_ms
    length = _length_ms(text.lower().removeprefix("in "))
    if length is not None:
        return now_ms + length
    try:
        written = datetime.fromisoformat(text.removesuffix(" UTC"))
    except ValueError:
        raise FieldError(
            f"{_shown(text)} is neither a length of time (30s, 10m, 2h, 1d) nor an instant "
            "(2026-12-01 08:00, in UTC)."
        ) from None
    return int((written if written.tzinfo else written.replace(tzinfo=UTC)).timestamp() * 1_000)


def json_value(text: str) -> Any:
    """JSON with whole numbers of any length; empty = null. Raises FieldError with the place."""
    if not text.strip():
        return None
    if len(text) > DATA_CHARACTERS_MAX:
        raise FieldError(f"Use at most {DATA_CHARACTERS_MAX:,} characters, not {len(text):,}.")
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise FieldError(
            f"This is no JSON at line {error.lineno}, column {error.colno}: {error.msg.lower()}."
        ) from None
    except RecursionError:
        raise FieldError(TOO_DEEP) from None
    _check_depth(value)
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEPTH_MAX):
        level = [
            inner
            for each in level
            for inner in (
                each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
            )
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise FieldError(TOO_DEEP)


def _refuse_constant(name: str) -> Any:
    raise FieldError(f"{name} is no number of JSON.")


def words(text: str) -> list[str]:
    """What stands between commas, each once."""
    return list(dict.fromkeys(word for part in text.split(",") if (word := part.strip())))


def _length_ms(text: str) -> int | None:
    """One or several that are added up, such as 1h30m; None = it is none."""
    if not text or not re.fullmatch(rf"(?:{_DURATION.pattern} ?)+", text):
        return None
    return round(sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(text)))


def _shown(text: str) -> str:
    text = text.strip()
    return f"“{text[:40]}…”" if len(text) > 40 else f"“{text}”"
