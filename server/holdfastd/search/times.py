"""Days, times of day and durations as a query writes them, in UTC unless they say otherwise.

Each has a beginning and an end: `2026-11-01` is a day, `2026-11-01T12:30` a minute. Both are
included, so that comparisons and ranges of them are what people mean.
"""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, NamedTuple

INSTANT_MS_MAX: Final = 253_402_300_799_999
"""The end of the year 9999, as for run_at_ms in the protocol."""
INSTANT_MS_MIN: Final = -1
"""What is before 1970: no job's time is."""
DAY_MS: Final = 86_400_000
_UNITS_MS: Final = {
    "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": DAY_MS, "w": 7 * DAY_MS,
}  # fmt: skip
_DURATION: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)(ms|s|m|h|d|w)")
_INSTANT: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,3}))?)?"
    r"([Zz]|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS: Final = {"today": 0, "yesterday": -1, "tomorrow": 1}


class Time(NamedTuple):
    """From its first to its last millisecond."""

    start_ms: int
    end_ms: int


def duration_ms(text: str) -> int | None:
    """Of `500ms`, `30s`, `10m`, `1.5h`, `2d`, `1w`; None = it is none."""
    found = _DURATION.fullmatch(text)
    return None if found is None else int(float(found[1]) * _UNITS_MS[found[2]])


def time_of(text: str, now_ms: int) -> Time | None:
    """Of a day, a time, `now`, `today`, `yesterday`, `tomorrow`, `-1h` (an hour ago), `+1h`.

    None = it is none of them. Raises ValueError for a day or a time that there is not.
    """
    if text == "now":
        return Time(now_ms, now_ms)
    if text in _DAYS:
        start_ms = now_ms - now_ms % DAY_MS + _DAYS[text] * DAY_MS
        return Time(_clamped(start_ms), _clamped(start_ms + DAY_MS - 1))
    if text[:1] in ("-", "+"):
        away_ms = duration_ms(text[1:])
        if away_ms is not None:
            at_ms = _clamped(now_ms - away_ms if text[0] == "-" else now_ms + away_ms)
            return Time(at_ms, at_ms)
    found = _INSTANT.fullmatch(text)
    return None if found is None else _written(found)


def before(now_ms: int, away_ms: int) -> int:
    return _clamped(now_ms - away_ms)


def after(now_ms: int, away_ms: int) -> int:
    return _clamped(now_ms + away_ms)


def _clamped(at_ms: int) -> int:
    return min(max(at_ms, 0), INSTANT_MS_MAX)


def _written(found: re.Match[str]) -> Time:
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    at = datetime(
        int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0),
        tzinfo=UTC,
    )  # fmt: skip
    start_ms = (at - _EPOCH) // timedelta(milliseconds=1) - _offset_ms(zone)
    if fraction is not None:
        start_ms += int(fraction.ljust(3, "0"))
        length_ms = 10 ** (3 - len(fraction))
    else:
        length_ms = DAY_MS if hour is None else 60_000 if second is None else 1000
    if not INSTANT_MS_MIN <= start_ms <= INSTANT_MS_MAX:
        raise ValueError("it is not between the years 1970 and 9999")
    return Time(start_ms, min(start_ms + length_ms - 1, INSTANT_MS_MAX))


def _offset_ms(zone: str | None) -> int:
    if zone is None or zone in "Zz":
        return 0
    sign = -1 if zone[0] == "-" else 1
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    # The limits are datetime's own: it raises ValueError beyond them.
    offset = timezone(sign * timedelta(hours=hours, minutes=minutes)).utcoffset(None)
    return offset // timedelta(milliseconds=1)
