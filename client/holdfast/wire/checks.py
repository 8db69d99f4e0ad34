"""The rules for names, ids, numbers and options of a job, in one place for both sides.

A client checks before it sends, so that the caller gets the error where the mistake is; the server
checks again, since it trusts no client. Each function returns the checked value or raises Refusal.
"""

import re
from collections.abc import Callable
from typing import Any, Final

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
    TAG_LENGTH_MAX,
    TAGS_MAX,
    ErrorCode,
)


class Refusal(Exception):
    """A request or one item of it cannot be accepted.

    Attributes:
        code: why, from the protocol's table.
        message: what was wrong, with which value, what to do.
        details: data for programs, such as the limits that were broken; msgpack-able.
    """

    def __init__(self, code: ErrorCode, message: str, details: dict[str, Any] | None = None):
        self.code = code
        self.message = message
        self.details: dict[str, Any] = details or {}
        super().__init__(message)


_QUEUE_NAME: Final = re.compile(rf"[A-Za-z0-9._:-]{{1,{QUEUE_NAME_LENGTH_MAX}}}")


def shown(value: object, length_max: int = 80) -> str:
    """`repr` of a value for an error message, cut so that a megabyte of it is not printed."""
    text = repr(value)
    return text if len(text) <= length_max else text[: length_max - 1] + "…"


def check_queue_name(name: object) -> str:
    if type(name) is str and _QUEUE_NAME.fullmatch(name):
        return name
    raise Refusal(
        ErrorCode.BAD_QUEUE_NAME,
        f"queue name {shown(name)} is not allowed: use 1 to {QUEUE_NAME_LENGTH_MAX} of "
        "A-Z a-z 0-9 . _ : -",
    )


def check_job_id(job_id: object) -> str:
    if type(job_id) is str and 0 < len(job_id) <= JOB_ID_LENGTH_MAX and job_id.isprintable():
        return job_id
    raise Refusal(
        ErrorCode.BAD_JOB_ID,
        f"job id {shown(job_id)} is not allowed: use 1 to {JOB_ID_LENGTH_MAX} printable "
        "characters, no control characters",
    )


def check_job_name(name: object) -> str:
    if type(name) is str and 0 < len(name) <= JOB_NAME_LENGTH_MAX and name.isprintable():
        return name
    raise Refusal(
        ErrorCode.BAD_REQUEST,
        f"job name {shown(name)} is not allowed: use 1 to {JOB_NAME_LENGTH_MAX} printable "
        "characters",
    )


def check_payload(payload: object, bytes_max: int, what: str = "payload") -> bytes:
    if type(payload) is not bytes:
        raise Refusal(ErrorCode.BAD_REQUEST, f"{what} must be binary, not {shown(payload)}")
    if not payload:
        raise Refusal(ErrorCode.EMPTY_PAYLOAD, f"{what} is empty: send at least one byte")
    if len(payload) > bytes_max:
        raise Refusal(
            ErrorCode.PAYLOAD_TOO_LARGE,
            f"{what} of {len(payload):,} bytes is over the limit of {bytes_max:,}: "
            "store the data elsewhere and send a reference",
            {"bytes": len(payload), "bytes_max": bytes_max},
        )
    return payload


def check_integer(name: str, value: object, low: int, high: int) -> int:
    """A whole number with low <= value <= high (both included). `True` is not a number here."""
    if type(value) is int and low <= value <= high:
        return value
    raise Refusal(
        ErrorCode.BAD_OPTION,
        f"{name} must be a whole number from {low:,} to {high:,}, not {shown(value)}",
        {"option": name},
    )


def check_flag(name: str, value: object) -> bool:
    if type(value) is bool:
        return value
    raise Refusal(
        ErrorCode.BAD_OPTION, f"{name} must be true or false, not {shown(value)}", {"option": name}
    )


BACKOFF_KINDS: Final = ("fixed", "exponential", "list")
JITTERS: Final = ("none", "equal", "full")


def check_backoff(name: str, value: object) -> dict[str, Any]:
    """A retry policy.

    Returns:
        `{"kind": "fixed", "delay_ms"}`, `{"kind": "exponential", "delay_ms", "factor", "cap_ms"}`
        or `{"kind": "list", "delays_ms"}`, each with `"jitter"` none, equal or full. Delay of the
        n-th retry (first = 1): fixed `delay_ms`; exponential `delay_ms * factor^(n-1)`, at most
        `cap_ms`; list the n-th of `delays_ms`, the last one when there are fewer.
    """
    if not isinstance(value, dict) or value.get("kind") not in BACKOFF_KINDS:
        raise Refusal(
            ErrorCode.BAD_OPTION,
            f"{name} must be a map with kind {', '.join(BACKOFF_KINDS)}, not {shown(value)}",
            {"option": name},
        )
    kind = value["kind"]
    checks: dict[str, Callable[[str, object], Any]] = {"jitter": _check_jitter}
    if kind == "list":
        checks["delays_ms"] = _check_delays
    else:
        checks["delay_ms"] = _check_delay
    if kind == "exponential":
        checks["factor"] = _check_factor
        checks["cap_ms"] = _check_delay
    unknown = sorted(set(value) - set(checks) - {"kind"}, key=str)
    if unknown:
        raise Refusal(
            ErrorCode.BAD_OPTION,
            f"{name} of kind {kind} knows {', '.join(checks)}; "
            f"{shown(unknown[0])} is not one of them",
            {"option": name},
        )
    full = {"jitter": "none", "factor": 2.0, "cap_ms": DELAY_MS_MAX, **value}
    missing = [key for key in checks if key not in full]
    if missing:
        raise Refusal(
            ErrorCode.BAD_OPTION, f"{name} of kind {kind} needs {missing[0]}", {"option": name}
        )
    return {"kind": kind} | {
        key: check(f"{name}.{key}", full[key]) for key, check in checks.items()
    }


def _check_jitter(name: str, value: object) -> str:
    if isinstance(value, str) and value in JITTERS:
        return value
    raise Refusal(
        ErrorCode.BAD_OPTION,
        f"{name} must be one of {', '.join(JITTERS)}, not {shown(value)}",
        {"option": name},
    )


def _check_delay(name: str, value: object) -> int:
    return check_integer(name, value, 0, DELAY_MS_MAX)


def _check_factor(name: str, value: object) -> float:
    if type(value) in (int, float) and 1 <= value <= 100:  # type: ignore[operator]  # narrowed by type()
        return float(value)  # type: ignore[arg-type]  # narrowed by type() above
    raise Refusal(
        ErrorCode.BAD_OPTION,
        f"{name} must be a number from 1 to 100, not {shown(value)}",
        {"option": name},
    )


def _check_delays(name: str, value: object) -> list[int]:
    if isinstance(value, list | tuple) and 0 < len(value) <= BACKOFF_DELAYS_MAX:
        return [_check_delay(f"{name}[{index}]", delay) for index, delay in enumerate(value)]
    raise Refusal(
        ErrorCode.BAD_OPTION,
        f"{name} must be a list of 1 to {BACKOFF_DELAYS_MAX} delays, not {shown(value)}",
        {"option": name},
    )


def check_tags(name: str, value: object) -> list[str]:
    """A job's tags, each of them once."""
    if isinstance(value, list | tuple) and len(value) <= TAGS_MAX:
        return list(dict.fromkeys(_check_tag(f"{name}[{at}]", tag) for at, tag in enumerate(value)))
    raise Refusal(
        ErrorCode.BAD_OPTION,
        f"{name} must be a list of at most {TAGS_MAX} texts, not {shown(value)}",
        {"option": name},
    )


def _check_tag(name: str, tag: object) -> str:
    if (
        type(tag) is str
        and 0 < len(tag) <= TAG_LENGTH_MAX
        and tag.isprintable()
        and not {" ", ","} & set(tag)
    ):
        return tag
    raise Refusal(
        ErrorCode.BAD_OPTION,
        f"{name} must be 1 to {TAG_LENGTH_MAX} printable characters without blanks and commas, "
        f"not {shown(tag)}",
        {"option": name},
    )


OPTION_CHECKS: Final[dict[str, Callable[[str, object], Any]]] = {
    "priority": lambda name, value: check_integer(name, value, PRIORITY_MIN, PRIORITY_MAX),
    "lifo": check_flag,
    "delay_ms": _check_delay,
    "run_at_ms": lambda name, value: check_integer(name, value, 0, RUN_AT_MS_MAX),
    "attempts": lambda name, value: check_integer(name, value, 1, ATTEMPTS_MAX),
    "max_crashes": lambda name, value: check_integer(name, value, 1, ATTEMPTS_MAX),
    "backoff": check_backoff,
    "tags": check_tags,
}
"""Every option of a job, as it stands in the options map of an ENQUEUE item."""


def check_options(options: object) -> dict[str, Any]:
    """The options map of one job. Returns a new map with the same keys and checked values."""
    if not isinstance(options, dict):
        raise Refusal(ErrorCode.BAD_OPTION, f"options must be a map, not {shown(options)}")
    checked = {}
    for name, value in options.items():
        check = OPTION_CHECKS.get(name)
        if check is None:
            raise Refusal(
                ErrorCode.BAD_OPTION,
                f"unknown option {shown(name)}: a job knows {', '.join(OPTION_CHECKS)}",
                {"option": shown(name)},
            )
        checked[name] = check(name, value)
    if "delay_ms" in checked and "run_at_ms" in checked:
        raise Refusal(
            ErrorCode.BAD_OPTION,
            "delay_ms and run_at_ms exclude each other: give one",
            {"option": "run_at_ms"},
        )
    return checked
