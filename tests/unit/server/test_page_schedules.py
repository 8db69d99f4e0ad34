"""The pages on schedules: forms that are read and filled in, questions, times at a place."""

from typing import Any

import pytest

from holdfast.wire.checks import Refusal
from holdfast.wire.constants import ErrorCode
from holdfastd.search.query import Field, Query, parse
from holdfastd.search.terms import Pattern
from holdfastd.web.pages import schedulecontrols, scheduleform
from holdfastd.web.pages.jobrefs import schedule_url
from holdfastd.web.pages.schedules import local_time
from holdfastd.web.schedules import _matcher, _queries, _start, runs_query, schedule_of

NOW_MS = 1_790_000_000_000
TYPED = {
    "queue": "reports",
    "id": "nightly",
    "name": "daily-report",
    "data": '{"n": 9007199254740993}',
    "rule": "cron",
    "cron": " 30 2 * * 1-5 ",
    "tz": "Europe/Berlin",
}


def schedule(**changed: Any) -> dict[str, Any]:
    """As the timetable tells of one."""
    options = {
        "priority": 0,
        "lifo": False,
        "attempts": 1,
        "max_crashes": 3,
        "tags": [],
        "backoff": None,
    }
    told = {
        "queue": "reports",
        "id": "nightly",
        "name": "daily-report",
        "cron": "30 2 * * 1-5",
        "tz": "Europe/Berlin",
        "every_ms": None,
        "words": "At 02:30",
        "missed_policy": "skip",
        "overlap": "allow",
        "origin": "client",
        "options": options,
        "data": {"n": 1},
    }
    return {**told, **changed}


def test_what_is_typed_becomes_a_schedule() -> None:
    form, queue, id, given = scheduleform.read(TYPED, NOW_MS)
    assert form.errors == {}
    assert (queue, id) == ("reports", "nightly")
    assert given == {
        "name": "daily-report",
        "data": {"n": 9007199254740993},
        "options": {},
        "cron": "30 2 * * 1-5",
        "tz": "Europe/Berlin",
        "missed": "once",
        "overlap": "allow",
    }
    every = {**TYPED, "rule": "every", "every": "1h 30m", "overlap": "skip", "attempts": "5"}
    given = scheduleform.read(every, NOW_MS)[3]
    assert given["every_ms"] == 5_400_000
    assert "cron" not in given
    assert (given["overlap"], given["options"]) == ("skip", {"attempts": 5})


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("queue", ""),
        ("queue", "no name"),
        ("id", ""),
        ("id", "a\nb"),
        ("name", ""),
        ("data", "{"),
        ("cron", "  "),
        ("every", "often"),
        ("priority", "high"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(field: str, text: str) -> None:
    typed = {**TYPED, "rule": "every" if field == "every" else "cron", field: text}
    form = scheduleform.read(typed, NOW_MS)[0]
    assert list(form.errors) == [field]
    assert form.values == typed


def test_a_form_that_is_filled_in_as_a_schedule_is_reads_as_that_schedule() -> None:
    backoff = {"kind": "fixed", "jitter": "none", "delay_ms": 2_000}
    options = {**schedule()["options"], "attempts": 4, "backoff": backoff, "tags": ["eu"]}
    for rule in ({}, {"cron": None, "tz": None, "every_ms": 90_000}):
        told = schedule(options=options, **rule)
        form, queue, id, given = scheduleform.read(scheduleform.like(told).values, NOW_MS)
        assert form.errors == {}
        assert (queue, id) == ("reports", "nightly")
        assert all(given.get(key) == told[key] for key in ("name", "data", "cron", "every_ms"))
        assert (given["missed"], given["overlap"]) == ("skip", "allow")
        wanted = {"attempts": 4, "backoff": backoff, "tags": ["eu"], "priority": 0}
        assert given["options"] == wanted


@pytest.mark.parametrize(
    "backoff",
    [
        {"kind": "list", "jitter": "full", "delays_ms": [1, 2]},
        {"kind": "fixed", "jitter": "full", "delay_ms": 1_000},
        {"kind": "exponential", "jitter": "none", "delay_ms": 1, "factor": 2, "cap_ms": 9},
        {"kind": "exponential", "jitter": "full", "delay_ms": 1, "factor": 3, "cap_ms": 9},
    ],
    ids=str,
)
def test_what_the_form_has_no_fields_for_stays_as_it_is(backoff: dict[str, Any]) -> None:
    options = {**schedule()["options"], "backoff": backoff, "max_crashes": 7, "lifo": True}
    told = schedule(options=options)
    values = scheduleform.like(told).values
    kept = {"backoff": backoff, "max_crashes": 7, "lifo": True}
    assert scheduleform.kept(told, values) == kept
    assert "backoff" not in scheduleform.kept(told, {**values, "backoff": "fixed"})


def test_a_refused_option_is_shown_at_the_field_it_was_typed_into() -> None:
    for option, field in (("cron", "cron"), ("tz", "tz"), ("every_ms", "every"), ("tags", "tags")):
        refusal = Refusal(ErrorCode.BAD_OPTION, "no", {"option": option})
        assert scheduleform.field_of(refusal) == field
    assert scheduleform.field_of(Refusal(ErrorCode.TOO_MANY, "no")) == ""


def test_who_deletes_what_code_declares_is_told_that_it_comes_back() -> None:
    ask = schedulecontrols.SCHEDULES["delete"].ask
    assert "the schedule is back" in ask(schedule()).warning
    assert "the schedule is back" in ask(schedule(origin="api")).warning
    assert "cannot be brought back" in ask(schedule(origin="dashboard")).warning
    assert all(each.ask(schedule()).button for each in schedulecontrols.SCHEDULES.values())


def test_an_instant_as_clocks_at_the_schedules_place_show_it() -> None:
    winter, summer = 1_796_095_800_000, 1_782_873_000_000
    assert local_time(winter, "Europe/Berlin") == "Tue 2026-12-01 04:30:00 CET"
    assert local_time(summer, "Europe/Berlin") == "Wed 2026-07-01 04:30:00 CEST"
    assert local_time(winter, "UTC") == local_time(winter, None) == ""


def test_a_job_is_a_schedules_by_its_id() -> None:
    assert schedule_of("nightly@2026-11-26T02:30:00Z") == "nightly"
    assert schedule_of("a@b@now-1") == "a@b"
    assert schedule_of("nightly") is schedule_of("@2026") is None
    assert runs_query("nightly") == "id:nightly@*"
    assert runs_query('a"*b') == 'id:"a\\"*b@"*'


def test_many_ids_are_asked_for_within_the_bounds_of_a_query() -> None:
    assert list(_queries([])) == []
    assert list(_queries(["a", "b c", "a"])) == ['id:a,"b c"']
    ids = ['"' * 120 + str(number) for number in range(250)]
    queries = list(_queries(ids))
    assert len(queries) == 17
    texts = [pattern.prefix for each in queries for pattern in _ids(parse(each, NOW_MS))]
    assert texts == ids
    short = [f"s{number}" for number in range(250)]
    assert [len(_ids(parse(each, NOW_MS))) for each in _queries(short)] == [100, 100, 50]


def _ids(query: Query) -> tuple[Pattern, ...]:
    (term,) = query.positive(Field.ID)
    return term.patterns


def test_a_text_is_looked_for_anywhere_and_a_pattern_is_the_whole() -> None:
    assert _matcher(None)("anything")
    assert _matcher("NIGHT")("run-nightly")
    assert _matcher("night*")("nightly")
    assert not _matcher("night*")("run-nightly")
    assert not _matcher("n?ght")("night")
    assert _matcher("[a]")("x[a]x")


def test_a_page_goes_on_where_the_one_before_has_ended() -> None:
    assert _start(None) is None
    assert _start("mail/a/b") == ("mail", "a/b")
    with pytest.raises(Refusal, match="as next"):
        _start("nonsense")


def test_an_id_that_a_path_cannot_have_stands_in_the_query() -> None:
    assert schedule_url("q", "a/b") == "/schedules/q/a%2Fb"
    assert schedule_url("q", "..") == "/schedules/q/?id=.."
