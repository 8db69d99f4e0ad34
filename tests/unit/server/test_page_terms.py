"""pages.terms: what a click on a facet makes of a query."""

import pytest

from holdfastd.search.query import parse
from holdfastd.search.terms import Pattern
from holdfastd.web.pages.terms import picked, term, terms, toggled


def test_a_text_is_split_at_blanks_outside_of_quotes() -> None:
    assert terms('state:failed  error:"two words" "a b"c -tag:x') == [
        "state:failed",
        'error:"two words"',
        '"a b"c',
        "-tag:x",
    ]
    assert terms('error:"not closed yet') == ['error:"not closed yet']
    assert terms("") == []


def test_a_value_that_is_not_asked_for_is_added_to_those_of_its_key() -> None:
    assert toggled("", "state", "failed") == "state:failed"
    assert toggled("state:failed hello", "state", "active") == "state:failed,active hello"
    assert toggled("hello", "queue", "mail") == "queue:mail hello"


def test_a_value_that_is_asked_for_is_taken_out_and_the_term_with_its_last() -> None:
    assert toggled("state:failed,active hello", "state", "failed") == "state:active hello"
    assert toggled("state:active hello", "state", "active") == "hello"
    assert toggled("STATE:active", "state", "active") == ""


def test_what_is_excluded_and_other_keys_stay_as_they_were() -> None:
    text = '-state:failed error:"state:failed" mail'
    assert picked(text, "state") == set()
    assert toggled(text, "state", "failed") == f"state:failed {text}"


def test_a_wildcard_stays_one_beside_a_value_that_has_a_star() -> None:
    text = toggled("name:send_*", "name", "send_*literally")
    assert text == 'name:send_*,"send_*literally"'
    assert toggled(text, "name", "send_*literally") == "name:send_*"


@pytest.mark.parametrize(
    "value",
    [
        "plain",
        "two words",
        'with "quotes"',
        "back\\slash",
        "a,b",
        "star*",
        "-dash",
        "1..2",
        ">1",
        "ü",
    ],
)
def test_any_value_comes_back_as_it_was_put_in(value: str) -> None:
    text = toggled("state:failed", "tag", value)
    assert picked(text, "tag") == {value}
    assert toggled(text, "tag", value) == "state:failed"
    (asked,) = parse(term("tag", value), now_ms=0).terms
    assert asked.tests == (Pattern((value,)),)
