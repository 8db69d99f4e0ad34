"""Names and values of the server's state as words: the unit stands last in a name, and says how."""

from collections.abc import Mapping
from typing import Any, Final

from markupsafe import Markup

from holdfastd.web.pages import words

_SIZES: Final = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_WRITTEN: Final = {"sqlite": "SQLite", "wal": "Write-ahead log", "tcp": "TCP", "http": "HTTP"}
_UNITS: Final = ("_at_ms", "_ms", "_bytes", "_s", "_seconds", "_ratio")


def size(count: float | None) -> str:
    """Bytes in the largest unit that leaves a whole number before the point."""
    if count is None:
        return words.NONE
    for unit, name in _SIZES:
        if count >= unit:
            return f"{count / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{count:,.0f} bytes"


def name(key: str) -> str:
    """`wal_bytes` -> "Write-ahead log"; a unit that the value tells is left out."""
    bare = next((key.removesuffix(unit) for unit in _UNITS if key.endswith(unit)), key)
    first, *rest = bare.removeprefix("is_").split("_")
    return " ".join([_WRITTEN.get(first, first.capitalize()), *rest])


def value(key: str, told: Any, now_ms: int) -> str | Markup:
    """As its name has it."""
    if told is None or told == "":
        return words.NONE
    if isinstance(told, bool):
        return "yes" if told else "no"
    if isinstance(told, int | float):
        return _number(key, told, now_ms)
    if isinstance(told, list | tuple):
        return ", ".join(map(str, told)) or words.NONE
    if isinstance(told, Mapping):
        return ", ".join(f"{each}: {inner}" for each, inner in told.items()) or words.NONE
    return str(told)


def _number(key: str, told: float, now_ms: int) -> str | Markup:
    if key.endswith("_at_ms"):
        return words.ago(int(told), now_ms)
    if key.endswith("_bytes"):
        return size(told)
    if key.endswith("_ms"):
        return words.duration(told)
    if key.endswith(("_s", "_seconds")):
        return words.duration(told * 1_000)
    if key.endswith("_ratio"):
        return words.percent(told, 1)
    return words.number(told)
