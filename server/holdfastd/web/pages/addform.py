"""The form that adds a job: what was typed, as a job or as what is wrong with each field."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from holdfast.wire.checks import Refusal, check_job_id, check_job_name
from holdfast.wire.constants import ATTEMPTS_MAX, DELAY_MS_MAX, PRIORITY_MAX, PRIORITY_MIN
from holdfastd.web.pages import fields, words
from holdfastd.web.pages.fields import FieldError
from holdfastd.web.pages.jsontree import text as json_text

EMPTY: Final[Mapping[str, str]] = {"data": "{}", "priority": "0", "attempts": "1"}
BACKOFFS: Final = ("fixed", "exponential")


@dataclass(frozen=True, slots=True)
class AddForm:
    values: Mapping[str, str]
    """As typed, by the field's name."""
    errors: dict[str, str] = field(default_factory=dict)
    """By the field's name; "" = of the job as a whole."""


def like(job: Mapping[str, Any]) -> AddForm:
    """Filled in as another job was; its id is not taken, and it runs at once."""
    backoff = job["backoff"] or {}
    kind = backoff.get("kind", "")
    values = {
        "name": job["name"],
        "data": json_text(job["data"]),
        "tags": ", ".join(job["tags"]),
        "priority": str(job["priority"]),
        "attempts": str(job["attempts"]),
        "backoff": kind if kind in BACKOFFS and backoff.get("delay_ms") else "",
        "delay": words.length(backoff["delay_ms"]) if backoff.get("delay_ms") else "",
        "cap": words.length(backoff["cap_ms"])
        if 0 < backoff.get("cap_ms", 0) < DELAY_MS_MAX
        else "",
    }
    return AddForm(values)


def read(values: Mapping[str, str], now_ms: int) -> tuple[AddForm, dict[str, Any]]:
    """The form with its errors; and, if it has none, the job.

    The job: `name`, `data`, `id` (None = one is made), `options` as the wire has them.
    """
    errors: dict[str, str] = {}

    def get(name: str, make: Callable[[str], Any], default: Any = None) -> Any:
        text = values.get(name, "").strip()
        if not text and default is not _NEEDED:
            return default
        try:
            return make(text)
        except FieldError as error:
            errors[name] = str(error)
        except Refusal as refusal:
            errors[name] = refusal.message
        return None

    job = {
        "name": get("name", check_job_name, _NEEDED),
        "data": get("data", fields.json_value),
        "id": get("id", check_job_id),
    }
    options = {
        "run_at_ms": get("when", lambda text: fields.when_ms(text, now_ms)),
        "priority": get("priority", lambda text: fields.whole(text, PRIORITY_MIN, PRIORITY_MAX)),
        "attempts": get("attempts", lambda text: fields.whole(text, 1, ATTEMPTS_MAX)),
        "tags": get("tags", fields.words, []),
        "backoff": _backoff(values, get, errors),
    }
    given = {name: value for name, value in options.items() if value not in (None, [])}
    return AddForm(values, errors), {**job, "options": given}


_NEEDED: Final = object()


def field_of(refusal: Refusal) -> str:
    """The field that a refused option was typed into; "" = none in particular."""
    option = str(refusal.details.get("option", ""))
    named = next((name for name in _FIELD_OF if option.startswith(name)), None)
    return "" if named is None else _FIELD_OF[named]


_FIELD_OF: Final = {
    "run_at_ms": "when",
    "priority": "priority",
    "attempts": "attempts",
    "tags": "tags",
    "backoff.cap_ms": "cap",
    "backoff": "delay",
    "data": "data",
}
"""By how the option's name begins."""


def _backoff(
    values: Mapping[str, str], get: Callable[..., Any], errors: dict[str, str]
) -> dict[str, Any] | None:
    kind = values.get("backoff", "")
    first, cap = get("delay", fields.length_ms), get("cap", fields.length_ms)
    if kind not in BACKOFFS:
        return None
    if first is None:
        errors.setdefault("delay", "Say how long the first wait is, such as 10s.")
        return None
    backoff: dict[str, Any] = {"kind": kind, "delay_ms": first, "jitter": "none"}
    if kind == "exponential":
        backoff |= {"jitter": "full"} | ({"cap_ms": cap} if cap is not None else {})
    return backoff
