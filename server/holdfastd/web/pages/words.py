"""Numbers, lengths and instants in the words of a page.

An instant is given as a `<time>` that holds it exactly; the script `times.js` keeps its words up to
date, so that the passing of time alone is no news that would have to be sent.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from markupsafe import Markup

NONE: Final = "\u2013"
"""A dash."""
_MS: Final = 1
_S: Final = 1_000
_MIN: Final = 60 * _S
_H: Final = 60 * _MIN
_D: Final = 24 * _H
_SHORT: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k"))
"""Smallest number shown in this unit; 10,000 is still five digits that one reads at a glance."""
_UNITS: Final = {"T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3}
_YEAR_MAX_MS: Final = 253_402_300_799_999
"""The end of the year 9999, as far as datetime goes."""


def number(value: float | None) -> str:
    """1234567 -> "1,234,567"; None -> a dash."""
    if value is None:
        return NONE
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def short(value: float | None) -> str:
    """Three digits or so: 12345 -> "12.3k"; below 10,000 as it is."""
    if value is None:
        return NONE
    for least, unit in _SHORT:
        if abs(value) >= least:
            return f"{_digits(value / _UNITS[unit])}{unit}"
    return number(int(value)) if value == int(value) else f"{value:,.1f}"


def percent(part: float, whole: float) -> str:
    """Of a whole of 0, a dash."""
    if not whole:
        return NONE
    share = 100 * part / whole
    return "<0.1 %" if 0 < share < 0.1 else f"{_digits(share)} %"


def duration(ms: float | None) -> str:
    """The two largest units that say something: "850 ms", "3.2 s", "4 min 10 s", "2 d 3 h"."""
    if ms is None:
        return NONE
    ms = max(0.0, ms)
    if ms < _S:
        return f"{_digits(ms)} ms"
    if ms < _MIN:
        return f"{_digits(ms / _S)} s"
    for unit, name, smaller, smaller_name in (
        (_D, "d", _H, "h"),
        (_H, "h", _MIN, "min"),
        (_MIN, "min", _S, "s"),
    ):
        if ms >= unit:
            rest = int(ms % unit // smaller)
            return f"{int(ms // unit)} {name}" + (f" {rest} {smaller_name}" if rest else "")
    raise AssertionError(ms)


def length(ms: int) -> str:
    """As `fields.length_ms` reads it: in the largest unit that loses nothing."""
    for unit, name in ((_D, "d"), (_H, "h"), (_MIN, "m"), (_S, "s")):
        if ms and ms % unit == 0:
            return f"{ms // unit}{name}"
    return f"{ms}ms"


def ago(at_ms: int | None, now_ms: int) -> Markup:
    """As the time since then, or until then; None -> a dash."""
    if at_ms is None:
        return Markup(NONE)
    passed = now_ms - at_ms
    text = f"{_coarse(passed)} ago" if passed >= 0 else f"in {_coarse(-passed)}"
    return _time(at_ms, text, "ago")


def since(at_ms: int | None, now_ms: int) -> Markup:
    """For how long, as of now; None -> a dash."""
    return Markup(NONE) if at_ms is None else _time(at_ms, _coarse(now_ms - at_ms), "for")


def oldest(at_ms: int | None, now_ms: int) -> Markup:
    """Since when the oldest job waits."""
    if at_ms is None:
        return Markup("nothing waits")
    return Markup("oldest {}").format(ago(at_ms, now_ms))


def instant(at_ms: int | None) -> Markup:
    """In full, to the millisecond, as UTC; None -> a dash."""
    if at_ms is None:
        return Markup(NONE)
    return _time(at_ms, written(at_ms), "instant")


def clock(at_ms: int) -> Markup:
    """The time of the day to the millisecond, as UTC: where many instants stand in a column."""
    return _time(at_ms, written(at_ms)[11:23], "instant")


def first_line(text: str) -> str:
    """The first line that says something, or ""."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def page_url(path: str, *parts: str, **query: Any) -> str:
    """Path of a page, its parts quoted (names may hold anything); None and "" leave the query, a
    list stands in it once for each of its values."""
    path = "/".join([path.rstrip("/"), *(quote(part, safe="") for part in parts)]) or "/"
    given = {key: value for key, value in query.items() if value not in (None, "", [])}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def with_query(query: Mapping[str, str], **changes: Any) -> str:
    """The query with some of it changed, for links that keep the rest; "" or None takes it out."""
    merged = {**query, **changes}
    return urlencode({key: value for key, value in merged.items() if value not in (None, "")})


def _time(at_ms: int, text: str, kind: str) -> Markup:
    return Markup('<time datetime="{}" data-at="{}" data-as="{}" title="{}">{}</time>').format(
        _iso(at_ms), at_ms, kind, written(at_ms), text
    )


def _coarse(ms: int) -> str:
    for unit, name in ((_D, "d"), (_H, "h"), (_MIN, "min")):
        if ms >= unit:
            return f"{ms // unit} {name}"
    return f"{max(0, ms) // _S} s"


def _moment(at_ms: int) -> datetime:
    bounded = min(max(at_ms, 0), _YEAR_MAX_MS)
    return datetime.fromtimestamp(bounded / _S, UTC)


def _iso(at_ms: int) -> str:
    return _moment(at_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def written(at_ms: int) -> str:
    """An instant in full, as UTC."""
    return _moment(at_ms).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " UTC"


def _digits(value: float) -> str:
    """Three at most, without a trailing ".0"."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}".removesuffix(".0")
