"""wire/schedules.py: the form of a schedule's fields."""

from typing import Any

import pytest

from holdfast.wire.checks import Refusal
from holdfast.wire.constants import ErrorCode
from holdfast.wire.messages import MESSAGES, name_of
from holdfast.wire.schedules import (
    check_run,
    check_schedule_id,
    check_schedule_options,
    check_when,
)


def test_messages_are_called_as_their_opcodes() -> None:
    assert {op.name for op in MESSAGES} == {name_of(kind) for kind in MESSAGES.values()}
    assert name_of(MESSAGES[next(op for op in MESSAGES if op == 94)]) == "PAUSE_SCHEDULE"


@pytest.mark.parametrize("id", ["", "x" * 91, "a\nb", 7, None])
def test_an_id_that_is_none_is_refused(id: Any) -> None:
    with pytest.raises(Refusal, match="use 1 to 90 printable characters"):
        check_schedule_id(id)
    assert check_schedule_id("x" * 90) == "x" * 90


def test_a_runs_name_is_bounded() -> None:
    assert check_run("a" * 32) == "a" * 32
    with pytest.raises(Refusal, match="is not allowed: use 1 to 32"):
        check_run("a" * 33)


@pytest.mark.parametrize(
    ("when", "checked"),
    [
        ({"cron": "* * * * *"}, {"cron": "* * * * *", "tz": "UTC"}),
        ({"cron": "* * * * *", "tz": "Asia/Tokyo"}, {"cron": "* * * * *", "tz": "Asia/Tokyo"}),
        ({"every_ms": 1_000}, {"every_ms": 1_000}),
    ],
)
def test_when_is_a_pattern_or_an_interval(when: Any, checked: Any) -> None:
    assert check_when(when) == checked


@pytest.mark.parametrize(
    ("when", "option", "text"),
    [
        (None, "when", "when must be a map with cron or every_ms, not None"),
        ({}, "when", "must be a map with cron or every_ms"),
        ({"cron": "x", "every_ms": 1}, "when", "must be a map with cron or every_ms"),
        ({"every_ms": 999}, "every_ms", "every_ms must be a whole number from 1,000 to"),
        ({"every_ms": 1_000, "tz": "UTC"}, "'tz'", "when knows every_ms together; 'tz' is not one"),
        ({"cron": "x", "zone": "UTC"}, "'zone'", "when knows cron, tz together; 'zone' is not one"),
        ({"cron": 5}, "cron", "cron 5 is not allowed"),
        ({"cron": "* * * * *", "tz": ""}, "tz", "tz '' is not allowed"),
    ],
)
def test_a_when_that_is_none_is_refused(when: Any, option: str, text: str) -> None:
    with pytest.raises(Refusal) as refused:
        check_when(when)
    assert text in refused.value.message
    assert refused.value.code is ErrorCode.BAD_OPTION
    assert refused.value.details == {"option": option}


def test_options_are_those_of_jobs_and_two_more() -> None:
    given = {"missed": "skip", "overlap": "allow", "attempts": 3, "tags": ["a", "a"]}
    assert check_schedule_options(given) == {**given, "tags": ["a"]}
    assert check_schedule_options({}) == {}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (7, "options must be a map, not 7"),
        ({"delay_ms": 5}, "a schedule knows no delay_ms: its jobs run when it is due"),
        ({"run_at_ms": 5}, "a schedule knows no run_at_ms"),
        ({"missed": "never"}, "missed must be once or skip, not 'never'"),
        ({"overlap": 1}, "overlap must be allow or skip, not 1"),
        ({"attempts": 0}, "attempts must be a whole number"),
        ({"colour": "red"}, "unknown option 'colour'"),
    ],
)
def test_options_that_are_none_are_refused(options: Any, text: str) -> None:
    with pytest.raises(Refusal) as refused:
        check_schedule_options(options)
    assert text in refused.value.message
