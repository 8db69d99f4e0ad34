"""recurrence.py, zones.py: when something is due, over summer time and to the ends of time."""

from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from holdfast.wire import constants
from holdfastd.engine import recurrence
from holdfastd.engine.recurrence import (
    DUE_MS_MAX,
    EVERY_MS_MAX,
    EVERY_MS_MIN,
    PATTERN_LENGTH_MAX,
    BadRecurrence,
    Cron,
    Every,
    check,
    count_before,
    in_words,
    latest,
    next_after,
    upcoming,
)
from holdfastd.engine.zones import UnknownZone, zone, zone_names

NOW: Final = 1_700_000_000_000
MINUTE: Final = 60_000
HOUR: Final = 3_600_000
DAY: Final = 86_400_000
BERLIN: Final = "Europe/Berlin"


def at(text: str, tz: str = "UTC") -> int:
    """Unix milliseconds of a local time, the first of two."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(tz)).timestamp() * 1000)


def local(at_ms: int, tz: str) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, ZoneInfo(tz)):%m-%d %H:%M %Z}"


def next_local(pattern: str, after: str, tz: str, count: int = 1) -> list[str]:
    found = upcoming(Cron(pattern, tz), 0, at(after, tz), count)
    return [local(at_ms, tz) for at_ms in found]


# ---- intervals -----------------------------------------------------------------------------------


def test_an_interval_is_counted_from_its_anchor_and_first_due_one_later() -> None:
    every = Every(5 * MINUTE)
    assert upcoming(every, NOW, NOW, 3) == [NOW + n * 5 * MINUTE for n in (1, 2, 3)]
    assert next_after(every, NOW, NOW + 5 * MINUTE - 1) == NOW + 5 * MINUTE
    assert next_after(every, NOW, NOW + 5 * MINUTE) == NOW + 10 * MINUTE
    before = NOW - DAY - MINUTE
    assert next_after(every, NOW, before) == NOW - DAY, "the clock was wrong when it was made"


def test_passed_intervals_are_counted_without_looking_at_each() -> None:
    every = Every(1_000)
    first, now = NOW + 1_000, NOW + 10 * 365 * DAY + 500
    assert latest(every, NOW, first, now) == now - 500
    assert latest(every, NOW, first, first) == first
    assert count_before(every, NOW, first, now - 500, 5) == 10 * 365 * 86_400 - 1


# ---- cron ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "after", "due"),
    [
        ("* * * * *", "2026-11-25 15:20", ["11-25 15:21 UTC", "11-25 15:22 UTC"]),
        ("*/15 * * * *", "2026-11-25 15:20", ["11-25 15:30 UTC", "11-25 15:45 UTC"]),
        ("30 2 * * 1-5", "2026-11-27 02:30", ["11-30 02:30 UTC", "12-01 02:30 UTC"]),
        ("0 0 29 2 *", "2026-11-25 00:00", ["02-29 00:00 UTC", "02-29 00:00 UTC"]),
        ("0 18 L * *", "2026-11-25 00:00", ["11-30 18:00 UTC", "12-31 18:00 UTC"]),
        ("0 8 * * MON#2", "2026-11-25 00:00", ["12-14 08:00 UTC", "01-11 08:00 UTC"]),
        ("0 0 13 * FRI", "2026-11-25 00:00", ["11-27 00:00 UTC", "12-04 00:00 UTC"]),
    ],
)
def test_a_pattern_is_read_as_debians_cron_does(pattern: str, after: str, due: list[str]) -> None:
    assert next_local(pattern, after, "UTC", 2) == due


def test_what_is_due_at_an_instant_is_not_due_after_it() -> None:
    noon = at("2026-11-25 12:00")
    daily = Cron("0 12 * * *", "UTC")
    assert next_after(daily, 0, noon - 1) == noon
    assert next_after(daily, 0, noon) == next_after(daily, 0, noon + 59_999) == noon + DAY


def test_an_hour_that_is_left_out_is_made_up_for_right_behind_it() -> None:
    assert next_local("30 2 * * *", "2026-03-28 12:00", BERLIN, 2) == [
        "03-29 03:00 CEST",
        "03-30 02:30 CEST",
    ]
    assert next_local("*/30 * * * *", "2026-03-29 01:30", BERLIN) == ["03-29 03:00 CEST"]


def test_of_an_hour_that_comes_twice_fixed_times_take_the_first() -> None:
    assert next_local("30 2 * * *", "2026-10-24 12:00", BERLIN, 2) == [
        "10-25 02:30 CEST",
        "10-26 02:30 CET",
    ]
    between = at("2026-10-25 02:30", BERLIN) + 30 * MINUTE  # 2:00 again
    following = next_after(Cron("30 2 * * *", BERLIN), 0, between)
    assert following is not None
    assert local(following, BERLIN) == "10-26 02:30 CET"


def test_of_an_hour_that_comes_twice_each_quarter_is_a_quarter() -> None:
    first = at("2026-10-25 01:45", BERLIN)
    due = upcoming(Cron("*/15 * * * *", BERLIN), 0, first, 9)
    assert due == [first + n * 15 * MINUTE for n in range(1, 10)]
    assert [local(at_ms, BERLIN)[-4:] for at_ms in due] == ["CEST"] * 4 + [" CET"] * 5


@pytest.mark.parametrize(
    ("tz", "winter", "summer"),
    [("America/New_York", 5, 4), (BERLIN, -1, -2), ("Asia/Kolkata", -5.5, -5.5), ("UTC", 0, 0)],
)
def test_a_time_is_meant_in_its_zone(tz: str, winter: float, summer: float) -> None:
    cron = Cron("0 12 * * *", tz)
    for day, hours in (("2026-01-10 00:00", winter), ("2026-07-10 00:00", summer)):
        noon = next_after(cron, 0, at(day, tz))
        assert noon is not None
        assert datetime.fromtimestamp(noon / 1000, UTC).hour == int(12 + hours)


def test_nothing_is_due_beyond_the_dates_that_there_are() -> None:
    assert next_after(Cron("* * * * *", "UTC"), 0, DUE_MS_MAX) is None
    assert next_after(Cron("* * * * *", BERLIN), 0, 10**18) is None
    assert next_after(Every(1_000), NOW, DUE_MS_MAX) is None
    last = DUE_MS_MAX - 1
    anchor = last - EVERY_MS_MAX
    assert upcoming(Every(EVERY_MS_MAX), anchor, anchor, 5) == [last]


# ---- what has passed -----------------------------------------------------------------------------


def test_the_latest_due_instant_of_years_is_found() -> None:
    minutely = Cron("* * * * *", BERLIN)
    first = at("2026-01-01 00:00", BERLIN)
    assert latest(minutely, 0, first, first) == first
    assert latest(minutely, 0, first, first + 3 * 365 * DAY + 59_999) == first + 3 * 365 * DAY
    yearly = Cron("0 0 1 1 *", "UTC")
    assert latest(yearly, 0, at("2026-01-01"), at("2029-12-31 23:59")) == at("2029-01-01")


def test_passed_instants_are_counted_up_to_a_bound() -> None:
    hourly = Cron("0 * * * *", "UTC")
    first = at("2026-01-01 00:00")
    assert count_before(hourly, 0, first, first, 100) == 0
    assert count_before(hourly, 0, first, first + HOUR, 100) == 1
    assert count_before(hourly, 0, first, first + 5 * HOUR, 100) == 5
    assert count_before(hourly, 0, first, first + 500 * HOUR, 100) == 100


PATTERNS: Final = ("* * * * *", "*/7 * * * *", "30 2 * * *", "0 0,12 1-7 * MON", "59 23 L * *")


@given(
    st.sampled_from(PATTERNS),
    st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe"]),
    st.integers(at("2025-01-01"), at("2027-01-01")),
    st.integers(0, 40 * DAY),
)
def test_latest_count_and_next_are_of_one_mind(
    pattern: str, tz: str, after_ms: int, span_ms: int
) -> None:
    cron = Cron(pattern, tz)
    first = next_after(cron, 0, after_ms)
    assert first is not None
    assert first > after_ms
    assert first % MINUTE == 0
    until = first + span_ms
    last = latest(cron, 0, first, until)
    assert first <= last <= until
    following = next_after(cron, 0, last)
    assert following is not None
    assert following > until
    between = upcoming(cron, 0, after_ms, 51)
    assert between == sorted(set(between))
    passed = count_before(cron, 0, first, last, 50)
    assert passed == sum(1 for at_ms in between[:50] if at_ms < last)


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "tz", "option", "text"),
    [
        ("61 * * * *", "UTC", "cron", r"'61 \* \* \* \*' is no cron pattern \(bad minute\): use "),
        ("* * * *", "UTC", "cron", r"is no cron pattern \(wrong number of fields\)"),
        ("@daily", "UTC", "cron", "is no cron pattern"),
        ("*/0 * * * *", "UTC", "cron", "bad minute"),
        ("0 0 30 2 *", "UTC", "cron", "bad day-of-month"),
        ("0 " * 150, "UTC", "cron", f"at most {PATTERN_LENGTH_MAX} characters, not 300"),
        ("* * * * *", "Europe/Berlim", "tz", "'Europe/Berlim': did you mean Europe/Berlin"),
        ("* * * * *", "??", "tz", r"no time zone '\?\?': use a name such as"),
        ("* * * * *", "../../etc/passwd", "tz", "no time zone"),
    ],
)
def test_a_pattern_or_zone_that_is_none_is_refused(
    pattern: str, tz: str, option: str, text: str
) -> None:
    with pytest.raises(BadRecurrence, match=text) as refused:
        check(Cron(pattern, tz), NOW)
    assert refused.value.option == option


def test_what_is_never_due_again_is_refused() -> None:
    with pytest.raises(BadRecurrence, match="is never due within the next 50 years"):
        check(Cron("0 0 1 1 *", "UTC"), DUE_MS_MAX)


@pytest.mark.parametrize("every_ms", [0, -1, EVERY_MS_MIN - 1, EVERY_MS_MAX + 1])
def test_an_interval_out_of_range_is_refused(every_ms: int) -> None:
    with pytest.raises(BadRecurrence, match=r"every_ms must be from 1,000 to") as refused:
        check(Every(every_ms), NOW)
    assert refused.value.option == "every_ms"


def test_what_can_be_is_let_through() -> None:
    for each in (Every(EVERY_MS_MIN), Every(EVERY_MS_MAX), Cron("0 0 29 2 *", BERLIN)):
        check(each, NOW)


@given(st.text("0123456789*,-/L#MONFRI x", max_size=30), st.integers(0, DUE_MS_MAX))
def test_whatever_stands_in_a_pattern_it_is_refused_or_it_works(pattern: str, now_ms: int) -> None:
    cron = Cron(pattern, "UTC")
    try:
        check(cron, now_ms)
    except BadRecurrence:
        return
    assert in_words(cron).endswith(", UTC")
    due_ms = next_after(cron, 0, now_ms)
    assert due_ms is not None
    assert due_ms > now_ms


# ---- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("each", "words"),
    [
        (Every(1_000), "Every second"),
        (Every(5 * MINUTE), "Every 5 minutes"),
        (Every(90 * MINUTE), "Every 1 hour 30 minutes"),
        (Every(1_500), "Every 1 second 500 milliseconds"),
        (Every(2_000 * DAY), "Every 2,000 days"),
        (Cron("30 2 * * 1-5", BERLIN), "At 02:30 on Monday through Friday, Europe/Berlin"),
        (Cron("*/15 * * * *", "UTC"), "Every 15th minute of every hour, UTC"),
    ],
)
def test_it_is_said_in_words(each: recurrence.Recurrence, words: str) -> None:
    assert in_words(each) == words


def test_a_pattern_without_words_stands_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def speechless(self: object) -> str:
        raise ValueError("L")

    monkeypatch.setattr(CronSim, "explain", speechless)
    assert in_words(Cron("1 2 L * *", "UTC")) == "1 2 L * *, UTC"


# ---- zones ---------------------------------------------------------------------------------------


def test_zones_are_those_of_the_package_and_not_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zoneinfo.TZPATH", ())
    zone.cache_clear()
    assert len(zone_names()) > 400
    for name in ("Europe/Berlin", "America/Argentina/Buenos_Aires", "UTC", "Etc/GMT+5"):
        assert str(zone(name)) == name
    assert zone(BERLIN) is zone(BERLIN)
    with pytest.raises(UnknownZone):
        zone("zones")


def test_numbers_are_those_of_the_protocol() -> None:
    assert constants.EVERY_MS_MIN == EVERY_MS_MIN
    assert constants.DELAY_MS_MAX == EVERY_MS_MAX
    assert constants.RUN_AT_MS_MAX == DUE_MS_MAX
    assert constants.CRON_LENGTH_MAX == PATTERN_LENGTH_MAX
