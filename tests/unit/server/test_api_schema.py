"""What a schema says is what is checked, and an error names the field."""

from typing import Any

import pytest

from holdfast.wire.checks import OPTION_CHECKS, Refusal
from holdfastd.web.api import shapes
from holdfastd.web.api.idempotency import job_id
from holdfastd.web.api.schema import check, flag, listed, or_null, parse, record, text, whole

SHAPE = record(
    {
        "name": text(low=1, high=3),
        "state": text(enum=["on", "off"]),
        "count": or_null(whole(low=0, high=9)),
        "items": listed(record({"id": text()}, ["id"]), low=1, maxItems=2),
        "code": text(pattern="^[a-z]+$"),
        "rate": {"type": "number", "minimum": 0.5},
        "is_on": flag(),
    },
    ["name"],
)


@pytest.mark.parametrize(
    "value",
    [
        {"name": "a"},
        {"name": "abc", "count": None, "items": [{"id": ""}], "code": "ab", "rate": 1},
        {"name": "a", "count": 9, "is_on": False, "rate": 0.5, "state": "off"},
    ],
)
def test_what_is_right_passes(value: Any) -> None:
    check("the body", value, SHAPE)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "the body must be a map, not None"),
        ({}, "the body needs name"),
        ({"name": ""}, "name must have 1 to 3 characters, not ''"),
        ({"name": "abcd"}, "name must have 1 to 3 characters"),
        ({"name": 1}, "name must be a text, not 1"),
        ({"name": "a", "state": "up"}, "state must be one of on, off, not 'up'"),
        ({"name": "a", "count": -1}, "count must be 0 or more"),
        ({"name": "a", "count": 10}, "count must be 9 or less"),
        ({"name": "a", "count": True}, "count must be a whole number or null, not True"),
        ({"name": "a", "count": 1.0}, "count must be a whole number or null"),
        ({"name": "a", "items": []}, "items must have 1 to 2 items, not 0"),
        ({"name": "a", "items": [{"id": ""}, {}]}, "items[1] needs id"),
        ({"name": "a", "items": [{"id": "", "x": 1}]}, "items[0] knows id; 'x' is not one of them"),
        ({"name": "a", "code": "ab\n"}, "code must match"),
        ({"name": "a", "rate": 0.4}, "rate must be 0.5 or more"),
        ({"name": "a", "is_on": 1}, "is_on must be true or false, not 1"),
        ({"name": "a", "nam": 1}, "the body knows name, state"),
    ],
)
def test_what_is_wrong_is_named(value: Any, said: str) -> None:
    with pytest.raises(Refusal) as caught:
        check("the body", value, SHAPE)
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("given", "schema", "value"),
    [
        ("7", whole(), 7),
        ("-7", whole(), -7),
        ("true", flag(), True),
        ("false", flag(), False),
        ("7", text(), "7"),
    ],
)
def test_a_parameter_is_read_as_its_type(given: str, schema: Any, value: Any) -> None:
    assert parse("p", given, schema) == value


@pytest.mark.parametrize(
    ("given", "schema"),
    [("x", whole()), ("7.0", whole()), ("\u0667", whole()), ("9" * 21, whole()), ("1", flag())],
)
def test_a_parameter_of_another_type_is_refused(given: str, schema: Any) -> None:
    with pytest.raises(Refusal, match="p must be"):
        parse("p", given, schema)


def test_the_api_takes_every_option_of_a_job() -> None:
    assert set(shapes.OPTIONS) == set(OPTION_CHECKS)


def test_a_key_makes_one_id_in_each_queue() -> None:
    assert job_id("q", "k") == job_id("q", "k")
    assert len({job_id("q", "k"), job_id("q", "l"), job_id("r", "k"), job_id("qk", "")}) == 4
