"""The rules for the fields of a schedule, as `wire.checks` has those of a job.

What a cron pattern is, and which time zones there are, the server alone knows. Each function
returns the checked value or raises Refusal.
"""

from typing import Any, Final

from holdfast.wire.checks import Refusal, check_integer, check_options, shown
from holdfast.wire.constants import (
    CRON_LENGTH_MAX,
    DELAY_MS_MAX,
    EVERY_MS_MIN,
    RUN_LENGTH_MAX,
    SCHEDULE_ID_LENGTH_MAX,
    ErrorCode,
)

POLICIES: Final[dict[str, tuple[str, ...]]] = {
    "missed": ("once", "skip"),
    "overlap": ("allow", "skip"),
}
"""Options of a schedule beside those of its jobs, with their values; the first is the default."""
NOT_OF_SCHEDULES: Final = ("delay_ms", "run_at_ms")
"""Options of a job that a schedule sets itself."""


def check_schedule_id(id: object) -> str:
    return _check_text("schedule id", id, SCHEDULE_ID_LENGTH_MAX)


def check_run(run: object) -> str:
    return _check_text("run", run, RUN_LENGTH_MAX)


def _check_text(name: str, text: object, length_max: int) -> str:
    if type(text) is str and 0 < len(text) <= length_max and text.isprintable():
        return text
    raise Refusal(
        ErrorCode.BAD_OPTION,
        f"{name} {shown(text)} is not allowed: use 1 to {length_max} printable characters",
        {"option": name},
    )


def check_when(when: object) -> dict[str, Any]:
    """Returns `{"cron", "tz"}` or `{"every_ms"}`."""
    if not isinstance(when, dict) or ("cron" in when) == ("every_ms" in when):
        text = f"when must be a map with cron or every_ms, not {shown(when)}"
        raise Refusal(ErrorCode.BAD_OPTION, text, {"option": "when"})
    if "every_ms" in when:
        _refuse_others("when", when, ("every_ms",))
        every_ms = check_integer("every_ms", when["every_ms"], EVERY_MS_MIN, DELAY_MS_MAX)
        return {"every_ms": every_ms}
    _refuse_others("when", when, ("cron", "tz"))
    return {
        "cron": _check_text("cron", when["cron"], CRON_LENGTH_MAX),
        "tz": _check_text("tz", when.get("tz", "UTC"), CRON_LENGTH_MAX),
    }


def _refuse_others(name: str, given: dict[str, Any], known: tuple[str, ...]) -> None:
    for key in given:
        if key not in known:
            text = f"{name} knows {', '.join(known)} together; {shown(key)} is not one"
            raise Refusal(ErrorCode.BAD_OPTION, text, {"option": shown(key)})


def check_schedule_options(options: object) -> dict[str, Any]:
    """Options of a job, but for when it runs; and those of POLICIES."""
    if not isinstance(options, dict):
        raise Refusal(ErrorCode.BAD_OPTION, f"options must be a map, not {shown(options)}")
    for name in NOT_OF_SCHEDULES:
        if name in options:
            text = f"a schedule knows no {name}: its jobs run when it is due"
            raise Refusal(ErrorCode.BAD_OPTION, text, {"option": name})
    policies = {name: _check_policy(name, options[name]) for name in POLICIES if name in options}
    of_jobs = {name: value for name, value in options.items() if name not in POLICIES}
    return policies | check_options(of_jobs)


def _check_policy(name: str, value: object) -> str:
    allowed = POLICIES[name]
    if isinstance(value, str) and value in allowed:
        return value
    raise Refusal(
        ErrorCode.BAD_OPTION,
        f"{name} must be {' or '.join(allowed)}, not {shown(value)}",
        {"option": name},
    )
