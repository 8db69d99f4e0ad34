"""What is hidden of data, and what can still be found out about it."""

from collections.abc import Iterator
from typing import Any

import pytest

from holdfast.wire.checks import Refusal
from holdfastd.web.safe.redact import DEPTH_MAX, HIDDEN, REDACTED, Redactor

SECRET = "hunter2"


def everything_in(value: Any) -> str:
    return repr(value)


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ("password", {"password": SECRET, "user": 7}, {"password": REDACTED, "user": 7}),
        ("password", {"a": {"b": [{"Password": SECRET}]}}, {"a": {"b": [{"Password": REDACTED}]}}),
        ("password", {"password": {"old": SECRET}}, {"password": REDACTED}),
        ("password", {b"password": SECRET}, {b"password": REDACTED}),
        ("*token*", {"api_token_2": SECRET}, {"api_token_2": REDACTED}),
        ("*.secret", {"a": {"secret": SECRET}}, {"a": {"secret": REDACTED}}),
        ("*.secret", {"a": [{"b": {"secret": SECRET}}]}, {"a": [{"b": {"secret": REDACTED}}]}),
        ("*.secret", {"secret": "shown"}, {"secret": "shown"}),
        ("card.number", {"card": {"number": SECRET}}, {"card": {"number": REDACTED}}),
        ("card.number", {"x": {"card": {"number": 1}}}, {"x": {"card": {"number": 1}}}),
        ("card.number", {"card.number": SECRET}, {"card.number": REDACTED}),
        ("a.b", {"axb": 1}, {"axb": 1}),
        ("[a]", {"a": 1, "[a]": SECRET}, {"a": 1, "[a]": REDACTED}),
        ("7", {7: SECRET, True: 1}, {7: REDACTED, True: 1}),
        ("password", {"$raw": "aHVudGVyMg=="}, REDACTED),
        ("password", SECRET, SECRET),
        ("password", (1, {"password": SECRET}), [1, {"password": REDACTED}]),
    ],
)
def test_values_under_a_hidden_key_are_not_shown(pattern: str, value: Any, expected: Any) -> None:
    before = everything_in(value)
    assert Redactor([pattern])(value) == expected
    assert Redactor([pattern]).progress(value) == expected
    assert everything_in(value) == before, "and the job is as it was"


def test_without_patterns_nothing_is_touched() -> None:
    value = {"password": SECRET, "$raw": 1}
    assert Redactor()(value) is value


def nested(depth: int, inner: object) -> object:
    for _ in range(depth):
        inner = {"a": inner}
    return inner


def test_what_lies_too_deep_is_hidden_and_not_an_error() -> None:
    shown = Redactor(["password"])(nested(5_000, {"password": SECRET}))
    assert SECRET not in str(shown)
    assert str(shown).count("'a'") == DEPTH_MAX
    assert SECRET in str(Redactor(["other"])(nested(DEPTH_MAX - 1, {"x": SECRET})))


def test_long_names_cost_no_more_than_short_ones() -> None:
    """A path of 500 kB for each of 50,000 keys would be 25 GB of text."""
    data = nested(1, {"k" * 500_000: {str(number): SECRET for number in range(50_000)}})
    assert SECRET not in str(Redactor(["*.password"])(data))


def can_be_searched(redactor: Redactor, *path: str | None) -> bool:
    try:
        redactor.check_search([("user", "id"), path])
    except Refusal:
        return False
    return True


def test_hidden_data_cannot_be_searched_for() -> None:
    redactor = Redactor(["password", "*.secret", "card", "a.1.key"])
    for path in (
        ("password",),
        ("user", "PASSWORD"),
        ("a", "secret"),
        ("a", "0", "secret"),
        ("0", "1", "a", "b", "secret"),
        ("a.secret",),
        ("card", "number"),
        ("list", "0", "card"),
        ("a", "1", "key"),
        ("a", "1", "0", "key"),
        ("a", "0", "1", "0", "key", "x"),
        ("users", None, "name"),
        ("k" * 3_000,),
        ("k",) * 200,
        ("0", "1") * 30,
    ):
        assert not can_be_searched(redactor, *path), path
        assert can_be_searched(Redactor(), *path)
    for path in (("secret",), ("cards",), ("a", "passwords"), ("a", "2", "key"), ("x", "0")):
        assert can_be_searched(redactor, *path), path


@pytest.mark.parametrize("patterns", [["password"], ["*.b"], ["a.b", "l.b"], ["a.1.b"], ["*"]])
def test_whatever_is_found_is_shown(patterns: list[str]) -> None:
    """Of each value in this data: where it is hidden, no path leads to it."""
    data = {
        "a": {"b": "v1", "1": [{"b": "v2"}], "password": "v3"},
        "l": [{"b": "v4"}, [{"password": "v5", "c": "v6"}]],
        "b": "v7",
    }
    redactor = Redactor(patterns)
    shown = str(redactor(data))
    found = list(paths(data))
    assert len(found) == 7
    searched = [value for path, value in found if can_be_searched(redactor, *path)]
    assert [value for value in searched if value not in shown] == []
    assert len(searched) >= (0 if patterns == ["*"] else 2), "and not everything is refused"


def paths(data: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Of each text in it, as a query would name it."""
    if isinstance(data, str):
        yield before, data
        return
    inside = data.items() if isinstance(data, dict) else enumerate(data)
    for key, inner in inside:
        yield from paths(inner, (*before, str(key)))


def test_who_sees_no_data_finds_by_none() -> None:
    redactor = Redactor(hides_all=True)
    assert redactor({"user": 7}) == HIDDEN
    assert redactor.progress({"done": 7}) == {"done": 7}
    with pytest.raises(Refusal, match=r"data\.user\.id cannot .* operators and admins only"):
        redactor.check_search([("user", "id")])
    redactor.check_search([])


def test_a_stand_in_is_not_taken_for_data() -> None:
    """Else who edits what he is shown would write it over what he is not."""
    redactor = Redactor(["password"])
    shown = redactor({"to": "a", "login": [{"password": SECRET}]})
    with pytest.raises(Refusal, match="stands for what is hidden"):
        redactor.check_new_data(shown)
    redactor.check_new_data({"to": "b"})
    blind = Redactor(hides_all=True)
    with pytest.raises(Refusal):
        blind.check_new_data(blind({"to": "a"}))
    blind.check_new_data({"to": "b"})
    Redactor().check_new_data(shown)
