"""checks.py: names, ids, numbers and options of a job, taken or refused with what is allowed."""

from typing import Any

import pytest

from holdfast.wire.checks import (
    Refusal,
    check_backoff,
    check_flag,
    check_integer,
    check_job_id,
    check_job_name,
    check_options,
    check_payload,
    check_queue_name,
    shown,
)
from holdfast.wire.constants import (
    ATTEMPTS_MAX,
    BACKOFF_DELAYS_MAX,
    DELAY_MS_MAX,
    JOB_ID_LENGTH_MAX,
    JOB_NAME_LENGTH_MAX,
    PRIORITY_MAX,
    PRIORITY_MIN,
    QUEUE_NAME_LENGTH_MAX,
    RUN_AT_MS_MAX,
    TAGS_MAX,
    ErrorCode,
)


@pytest.mark.parametrize("name", ["", "a b", "ü", "x" * 129, "a/b", 5, None, "a\n"])
def test_wrong_queue_names_are_refused(name: object) -> None:
    with pytest.raises(Refusal, match="is not allowed: use 1 to 128 of"):
        check_queue_name(name)


def test_all_options_come_out_as_they_went_in() -> None:
    backoff = {"kind": "exponential", "delay_ms": 5, "factor": 3.0, "cap_ms": 9, "jitter": "full"}
    given: dict[str, Any] = {
        "priority": -(2**31),
        "lifo": True,
        "delay_ms": 0,
        "attempts": 1,
        "max_crashes": 2,
        "backoff": backoff,
        "tags": ["eu", "ü" * 64],
    }
    assert check_options(given) == given


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prio": 1}, "unknown option 'prio': a job knows priority, lifo"),
        ({"priority": True}, "priority must be a whole number"),
        ({"lifo": 1}, "lifo must be true or false, not 1"),
        ({"run_at_ms": -1}, "run_at_ms must be a whole number from 0"),
        ({"delay_ms": 1, "run_at_ms": 1}, "exclude each other"),
        ({"tags": "eu"}, "tags must be a list of at most 20 texts, not 'eu'"),
        ({"tags": ["eu"] * 21}, "tags must be a list of at most 20 texts"),
        ({"tags": ["eu", "a,b"]}, "tags[1] must be 1 to 64 printable characters without blanks"),
        ({"tags": [""]}, "tags[0] must be"),
        ({"tags": ["a b"]}, "tags[0] must be"),
        ({"tags": ["a\u00a0b"]}, "tags[0] must be"),
        ({"tags": ["x" * 65]}, "tags[0] must be"),
        ({"tags": [7]}, "tags[0] must be"),
        ([], "options must be a map"),
    ],
)
def test_wrong_options_are_refused_with_what_is_allowed(options: Any, words: str) -> None:
    with pytest.raises(Refusal) as refusal:
        check_options(options)
    assert words in refusal.value.message


@pytest.mark.parametrize(
    ("backoff", "words"),
    [
        ({"kind": "slow"}, "must be a map with kind fixed, exponential, list"),
        ({"kind": "fixed"}, "of kind fixed needs delay_ms"),
        ({"kind": "fixed", "delay_ms": 1, "cap_ms": 2}, "'cap_ms' is not one"),
        ({"kind": "list", "delays_ms": []}, "must be a list of 1 to 100 delays"),
        ({"kind": "list", "delays_ms": [1, -1]}, "delays_ms[1] must be a whole number"),
        ({"kind": "fixed", "delay_ms": 1, "jitter": "some"}, "one of none, equal, full"),
        ({"kind": "exponential", "delay_ms": 1, "factor": 0.5}, "a number from 1 to 100"),
    ],
)
def test_wrong_backoffs_are_refused_with_what_is_allowed(backoff: Any, words: str) -> None:
    with pytest.raises(Refusal) as refusal:
        check_backoff("backoff", backoff)
    assert words in refusal.value.message


# ---- what a value may be -------------------------------------------------------------------------


def refused(check: Any, *arguments: Any) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        check(*arguments)
    assert str(refusal.value) == refusal.value.message
    return refusal.value


@pytest.mark.parametrize("name", ["q", "A.b_c:d-9", "x" * QUEUE_NAME_LENGTH_MAX])
def test_queue_names_are_taken_as_they_are(name: str) -> None:
    assert check_queue_name(name) == name
    assert refused(check_queue_name, name + "/").code is ErrorCode.BAD_QUEUE_NAME


@pytest.mark.parametrize(
    ("check", "length_max", "code"),
    [
        (check_job_id, JOB_ID_LENGTH_MAX, ErrorCode.BAD_JOB_ID),
        (check_job_name, JOB_NAME_LENGTH_MAX, ErrorCode.BAD_REQUEST),
    ],
)
def test_ids_and_names_are_printable_and_not_too_long(
    check: Any, length_max: int, code: ErrorCode
) -> None:
    for text in ("a", "ü b/c", "x" * length_max):
        assert check(text) == text
    for wrong in ("", "x" * (length_max + 1), "a\nb", "\0", b"a", 5, None):
        refusal = refused(check, wrong)
        assert refusal.code is code
        assert f"is not allowed: use 1 to {length_max} printable characters" in refusal.message
        assert refusal.details == {}


def test_a_payload_is_binary_not_empty_and_not_too_large() -> None:
    assert check_payload(b"123", 3) == b"123"
    text = refused(check_payload, "123", 3)
    assert (text.code, text.message) == (
        ErrorCode.BAD_REQUEST,
        "payload must be binary, not '123'",
    )
    empty = refused(check_payload, b"", 3, "result")
    assert (empty.code, empty.message) == (
        ErrorCode.EMPTY_PAYLOAD,
        "result is empty: send at least one byte",
    )
    large = refused(check_payload, b"x" * 1_234, 1_233)
    assert large.code is ErrorCode.PAYLOAD_TOO_LARGE
    assert large.details == {"bytes": 1_234, "bytes_max": 1_233}
    assert large.message.startswith("payload of 1,234 bytes is over the limit of 1,233: store")


@pytest.mark.parametrize("value", [1, 2, 3])
def test_a_number_may_be_any_of_its_range(value: int) -> None:
    assert check_integer("n", value, 1, 3) == value


@pytest.mark.parametrize("value", [0, 4, 2.0, True, "2", None])
def test_a_number_out_of_its_range_is_refused_with_the_range(value: object) -> None:
    refusal = refused(check_integer, "n", value, 1, 3)
    assert refusal.code is ErrorCode.BAD_OPTION
    assert refusal.message == f"n must be a whole number from 1 to 3, not {value!r}"
    assert refusal.details == {"option": "n"}


def test_a_flag_is_true_or_false_and_nothing_like_it() -> None:
    assert check_flag("f", True) is True
    assert check_flag("f", False) is False
    refusal = refused(check_flag, "f", 0)
    assert refusal.details == {"option": "f"}
    assert refusal.code is ErrorCode.BAD_OPTION


@pytest.mark.parametrize(
    ("option", "low", "high"),
    [
        ("priority", PRIORITY_MIN, PRIORITY_MAX),
        ("delay_ms", 0, DELAY_MS_MAX),
        ("run_at_ms", 0, RUN_AT_MS_MAX),
        ("attempts", 1, ATTEMPTS_MAX),
        ("max_crashes", 1, ATTEMPTS_MAX),
    ],
)
def test_an_option_has_the_range_of_the_protocol(option: str, low: int, high: int) -> None:
    for value in (low, high):
        assert check_options({option: value}) == {option: value}
    for value in (low - 1, high + 1):
        refusal = refused(check_options, {option: value})
        assert refusal.details == {"option": option}
        assert refusal.message.startswith(
            f"{option} must be a whole number from {low:,} to {high:,}"
        )


def test_a_refusal_of_options_names_the_option_for_programs() -> None:
    for options, option in (
        ({"prio": 1}, "'prio'"),
        ({"delay_ms": 1, "run_at_ms": 1}, "run_at_ms"),
        ({"tags": "eu"}, "tags"),
        ({"tags": ["eu", "a,b"]}, "tags[1]"),
        ({"backoff": 5}, "backoff"),
        ({"backoff": {"kind": "fixed", "delay_ms": 1, "x": 2}}, "backoff"),
        ({"backoff": {"kind": "fixed"}}, "backoff"),
        ({"backoff": {"kind": "list", "delays_ms": 1}}, "backoff.delays_ms"),
        ({"backoff": {"kind": "fixed", "delay_ms": 1, "jitter": 1}}, "backoff.jitter"),
        ({"backoff": {"kind": "exponential", "delay_ms": 1, "factor": 0}}, "backoff.factor"),
    ):
        refusal = refused(check_options, options)
        assert (refusal.code, refusal.details) == (ErrorCode.BAD_OPTION, {"option": option})
    assert refused(check_options, None).code is ErrorCode.BAD_OPTION


def test_a_tag_that_is_named_twice_is_there_once() -> None:
    assert check_options({"tags": ("b", "a", "b")}) == {"tags": ["b", "a"]}
    assert check_options({"tags": []}) == {"tags": []}
    tags = [f"t{number}" for number in range(TAGS_MAX)]
    assert check_options({"tags": tags}) == {"tags": tags}


# ---- backoff -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "full"),
    [
        ({"kind": "fixed", "delay_ms": 0}, {"jitter": "none", "delay_ms": 0}),
        (
            {"kind": "exponential", "delay_ms": 5},
            {"jitter": "none", "delay_ms": 5, "factor": 2.0, "cap_ms": DELAY_MS_MAX},
        ),
        (
            {"kind": "list", "delays_ms": (1, 2), "jitter": "equal"},
            {"jitter": "equal", "delays_ms": [1, 2]},
        ),
    ],
)
def test_a_backoff_comes_out_in_full(given: dict[str, Any], full: dict[str, Any]) -> None:
    assert check_backoff("b", given) == {"kind": given["kind"], **full}


@pytest.mark.parametrize("factor", [1, 1.5, 100])
def test_a_factor_may_be_whole_or_not(factor: float) -> None:
    found = check_backoff("b", {"kind": "exponential", "delay_ms": 1, "factor": factor})["factor"]
    assert (type(found), found) == (float, factor)


@pytest.mark.parametrize("factor", [0.99, 100.01, True, "2", float("nan"), None])
def test_a_factor_out_of_its_range_is_refused(factor: object) -> None:
    given = {"kind": "exponential", "delay_ms": 1, "factor": factor}
    assert "b.factor must be a number from 1 to 100" in refused(check_backoff, "b", given).message


def test_a_list_of_delays_has_at_most_a_hundred() -> None:
    given = {"kind": "list", "delays_ms": [1] * BACKOFF_DELAYS_MAX}
    assert len(check_backoff("b", given)["delays_ms"]) == BACKOFF_DELAYS_MAX
    given["delays_ms"] = [1] * (BACKOFF_DELAYS_MAX + 1)
    assert "a list of 1 to 100 delays" in refused(check_backoff, "b", given).message


def test_what_is_unknown_is_named_whatever_it_is() -> None:
    given: Any = {"kind": "fixed", "delay_ms": 1, "x": 1, 5: 2}
    message = refused(check_backoff, "b", given).message
    assert message.startswith("b of kind fixed knows jitter, delay_ms; 5 is not one")


# ---- values in messages --------------------------------------------------------------------------


def test_a_value_in_a_message_is_cut() -> None:
    assert shown("x" * 78) == repr("x" * 78)
    assert shown("x" * 79) == "'" + "x" * 78 + "…"
    assert shown([1, 2, 3], 5) == "[1, …"
