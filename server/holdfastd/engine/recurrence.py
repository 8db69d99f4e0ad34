"""When something that comes again and again is due: cron patterns and intervals.

Pure: the same arguments give the same instants on every machine. Cron is what Debian's cron does,
as cronsim has it, over changes of summer time too: what falls into an hour that is left out runs
right behind it; of an hour that comes twice, fixed times run in the first, `*` in both.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice, takewhile
from typing import Final, NamedTuple, TypeAlias

from cronsim import CronSim, CronSimError

from holdfastd.engine.zones import UnknownZone, zone

EVERY_MS_MIN: Final = 1_000
"""As in the protocol; a test compares them, and those below."""
EVERY_MS_MAX: Final = 10 * 365 * 24 * 3600 * 1000
"""Ten years, as the longest delay of a job."""
PATTERN_LENGTH_MAX: Final = 200
"""Of a cron pattern; all minutes of an hour one by one are 169 characters."""
WORDS_KEPT: Final = 10_000
"""They take 40 us to make, and lists of schedules want them; as many as there may be
schedules."""
DUE_MS_MAX: Final = 253_402_300_799_999
"""The last millisecond of the year 9999, beyond which Python knows no dates."""


class Cron(NamedTuple):
    pattern: str
    """Five fields: minute, hour, day of the month, month, day of the week."""
    tz: str
    """Name of the time zone in which the pattern is meant, such as Europe/Berlin."""


class Every(NamedTuple):
    every_ms: int


Recurrence: TypeAlias = Cron | Every


class BadRecurrence(ValueError):
    """It is never due, or not one at all. Attributes: option: cron, tz or every_ms, which is
    wrong."""

    def __init__(self, option: str, text: str):
        self.option = option
        super().__init__(text)


def check(recurrence: Recurrence, now_ms: int) -> None:
    """Raises BadRecurrence: it is no recurrence, or is never due after now_ms."""
    if isinstance(recurrence, Every):
        _check_every(recurrence.every_ms)
        return
    _check_cron(recurrence)
    if next_after(recurrence, now_ms, now_ms) is None:
        text = f"cron pattern {recurrence.pattern!r} is never due within the next 50 years"
        raise BadRecurrence("cron", text)


def _check_every(every_ms: int) -> None:
    if not EVERY_MS_MIN <= every_ms <= EVERY_MS_MAX:
        text = (
            f"every_ms must be from {EVERY_MS_MIN:,} to {EVERY_MS_MAX:,} milliseconds, "
            f"not {every_ms:,}"
        )
        raise BadRecurrence("every_ms", text)


def _check_cron(cron: Cron) -> None:
    try:
        zone(cron.tz)
    except UnknownZone as error:
        raise BadRecurrence("tz", str(error)) from error
    if len(cron.pattern) > PATTERN_LENGTH_MAX:
        text = (
            f"a cron pattern has at most {PATTERN_LENGTH_MAX} characters, not {len(cron.pattern)}"
        )
        raise BadRecurrence("cron", text)
    try:
        CronSim(cron.pattern, datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        text = (
            f"{cron.pattern!r} is no cron pattern ({str(error).lower()}): use five fields, minute "
            "hour day-of-month month day-of-week, such as '30 2 * * 1-5'"
        )
        raise BadRecurrence("cron", text) from error


def next_after(recurrence: Recurrence, anchor_ms: int, after_ms: int) -> int | None:
    """The first due instant after after_ms (not at it), Unix milliseconds; None = there is none.

    Args:
        recurrence: one that `check` lets through.
        anchor_ms: where intervals are counted from, both ways: it may have been a false time.
    """
    return next(instants(recurrence, anchor_ms, after_ms), None)


def upcoming(recurrence: Recurrence, anchor_ms: int, after_ms: int, count: int) -> list[int]:
    """The first `count` due instants after after_ms."""
    return list(islice(instants(recurrence, anchor_ms, after_ms), count))


def instants(recurrence: Recurrence, anchor_ms: int, after_ms: int) -> Iterator[int]:
    """All due instants after after_ms, rising."""
    if isinstance(recurrence, Every):
        found = _of_interval(recurrence.every_ms, anchor_ms, after_ms)
    else:
        found = _of_cron(recurrence, after_ms)
    return takewhile(lambda at_ms: at_ms <= DUE_MS_MAX, found)


def _of_interval(every_ms: int, anchor_ms: int, after_ms: int) -> Iterator[int]:
    at_ms = anchor_ms + ((after_ms - anchor_ms) // every_ms + 1) * every_ms
    while True:
        yield at_ms
        at_ms += every_ms


def _of_cron(cron: Cron, after_ms: int) -> Iterator[int]:
    try:
        after = datetime.fromtimestamp(after_ms // 1000, zone(cron.tz))
        # It would end after 50 years without one: no pattern that it takes is due as seldom.
        for at in CronSim(cron.pattern, after):  # pragma: no branch
            at_ms = round(at.timestamp()) * 1000
            if at_ms > after_ms:  # in an hour that comes twice it begins with the first one
                yield at_ms
    except (OverflowError, ValueError):
        return  # beyond the dates that there are


def latest(recurrence: Recurrence, anchor_ms: int, first_ms: int, until_ms: int) -> int:
    """The last due instant up to until_ms (included). first_ms: a due one, not after that."""
    if isinstance(recurrence, Every):
        return max(first_ms, until_ms - (until_ms - anchor_ms) % recurrence.every_ms)
    # Halved again and again: years of minutes in some forty steps.
    low_ms, high_ms = first_ms, until_ms
    while low_ms < high_ms:
        middle_ms = (low_ms + high_ms) // 2
        due_ms = next_after(recurrence, anchor_ms, middle_ms)
        if due_ms is not None and due_ms <= until_ms:
            low_ms = due_ms
        else:  # nothing is due between the middle and the end
            high_ms = middle_ms
    return low_ms


def count_before(
    recurrence: Recurrence, anchor_ms: int, first_ms: int, last_ms: int, count_max: int
) -> int:
    """How many instants are due from first_ms, which is one, to before last_ms. Of a cron pattern
    each has to be looked at, so at most count_max are."""
    if isinstance(recurrence, Every):
        return (last_ms - first_ms) // recurrence.every_ms
    if first_ms >= last_ms:
        return 0
    others = takewhile(lambda at_ms: at_ms < last_ms, instants(recurrence, anchor_ms, first_ms))
    return 1 + sum(1 for _ in islice(others, count_max - 1))


@lru_cache(maxsize=WORDS_KEPT)
def in_words(recurrence: Recurrence) -> str:
    """For people: "At 02:30 on Monday through Friday, Europe/Berlin", "Every 5 minutes"."""
    if isinstance(recurrence, Every):
        return f"Every {_length(recurrence.every_ms)}"
    try:
        words = CronSim(recurrence.pattern, datetime(2000, 1, 1, tzinfo=UTC)).explain()
    except ValueError:  # it has no words for a few odd patterns, such as L/2
        words = recurrence.pattern
    return f"{words}, {recurrence.tz}"


_UNITS: Final = (
    ("day", 86_400_000),
    ("hour", 3_600_000),
    ("minute", 60_000),
    ("second", 1_000),
    ("millisecond", 1),
)


def _length(length_ms: int) -> str:
    """`minute`, `5 minutes`, `1 hour 30 minutes`."""
    parts: list[str] = []
    left_ms = length_ms
    for unit, unit_ms in _UNITS:
        count, left_ms = divmod(left_ms, unit_ms)
        if count:
            parts.append(f"{count:,} {unit}{'s' if count > 1 else ''}")
    text = " ".join(parts)
    return text.removeprefix("1 ") if len(parts) == 1 else text
