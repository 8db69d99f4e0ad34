"""The form that makes or changes a schedule: what was typed, as a schedule or as what is wrong."""

from collections.abc import Mapping
from typing import Any, Final

from holdfast.wire.checks import Refusal, check_queue_name
from holdfast.wire.schedules import POLICIES, check_schedule_id
from holdfastd.web.pages import addform, fields, words
from holdfastd.web.pages.addform import AddForm
from holdfastd.web.pages.fields import FieldError

EMPTY: Final[Mapping[str, str]] = {**addform.EMPTY, "rule": "cron", "tz": "UTC"}
KEEP: Final = "keep"
"""Chosen as `backoff`: as it is, in a way for which the form has no fields."""
_FIELD_OF: Final = {"cron": "cron", "tz": "tz", "every_ms": "every"}


def like(schedule: Mapping[str, Any]) -> AddForm:
    """Filled in as a schedule is."""
    job = {**schedule["options"], "name": schedule["name"], "data": schedule["data"]}
    every_ms = schedule["every_ms"]
    values = {
        **addform.like(job).values,
        "queue": schedule["queue"],
        "id": schedule["id"],
        "rule": "cron" if every_ms is None else "every",
        "cron": schedule["cron"] or "",
        "tz": schedule["tz"] or "UTC",
        "every": "" if every_ms is None else words.length(every_ms),
        "missed": schedule["missed_policy"],
        "overlap": schedule["overlap"],
    }
    if not _has_fields(schedule["options"]["backoff"]):
        values["backoff"] = KEEP
    return AddForm(values)


def kept(schedule: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    """Options that the form does not change, since it has no fields for them."""
    names = ["lifo", "max_crashes", *(["backoff"] if values.get("backoff") == KEEP else [])]
    return {name: schedule["options"][name] for name in names}


def _has_fields(backoff: Mapping[str, Any] | None) -> bool:
    if backoff is None:
        return True
    if backoff["kind"] == "exponential":
        return bool(backoff["jitter"] == "full" and backoff["factor"] == 2)
    return bool(backoff["kind"] == "fixed" and backoff["jitter"] == "none")


def read(values: Mapping[str, str], now_ms: int) -> tuple[AddForm, str, str, dict[str, Any]]:
    """The form with its errors; and, if it has none, queue, id and what `Scheduling.put` takes."""
    form, job = addform.read({**values, "id": ""}, now_ms)
    errors = form.errors
    queue = _checked(values, "queue", check_queue_name, errors)
    id = _checked(values, "id", check_schedule_id, errors)
    given = {"name": job["name"], "data": job["data"], "options": job["options"]}
    if values.get("rule") == "every":
        given["every_ms"] = _every(values, errors)
    else:
        given["cron"] = values.get("cron", "").strip()
        given["tz"] = values.get("tz", "").strip() or "UTC"
        if not given["cron"]:
            errors["cron"] = "Say when, such as 30 2 * * 1-5."
    for name, known in POLICIES.items():
        chosen = values.get(name, "")
        given[name] = chosen if chosen in known else known[0]
    return AddForm(values, errors), queue, id, given


def field_of(refusal: Refusal) -> str:
    """The field that is refused; "" = none in particular."""
    option = str(refusal.details.get("option", ""))
    return _FIELD_OF.get(option) or addform.field_of(refusal)


def _checked(values: Mapping[str, str], name: str, check: Any, errors: dict[str, str]) -> str:
    text = values.get(name, "").strip()
    try:
        checked: str = check(text)
    except Refusal as refusal:
        errors[name] = refusal.message
        return ""
    return checked


def _every(values: Mapping[str, str], errors: dict[str, str]) -> int:
    try:
        return fields.length_ms(values.get("every", ""))
    except FieldError as error:
        errors["every"] = str(error)
        return 0
