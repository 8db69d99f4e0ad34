"""What can be done to queues and workers: what is asked before, and what is said afterwards."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from holdfastd.web.pages import fields
from holdfastd.web.pages.words import number

LIMIT_MAX: Final = 1_000_000_000
PERIOD_DEFAULT: Final = "1s"


@dataclass(frozen=True)
class Field:
    name: str
    label: str
    hint: str
    value: str = ""
    pattern: str = ""
    """What must be typed; "" = anything."""


@dataclass(frozen=True)
class Asked:
    """What is asked before something is done."""

    title: str
    text: str
    button: str
    warning: str = ""
    is_dangerous: bool = False
    fields: list[Field] = field(default_factory=list)

    def with_typed(self, typed: Mapping[str, str]) -> "Asked":
        """With what was typed already in its fields."""
        kept = [replace(each, value=typed.get(each.name, each.value)) for each in self.fields]
        return replace(self, fields=kept)


@dataclass(frozen=True)
class Control:
    ask: Callable[[Mapping[str, Any]], Asked]
    """From the queue or the worker as the board tells of it."""
    said: str
    """With {name} and {done}."""
    is_destroying: bool = False
    params: Callable[[Mapping[str, Any], Mapping[str, str]], dict[str, Any]] = lambda told, form: {}
    """From what it is about, and the form. Raises FieldError."""


def jobs(count: int) -> str:
    return f"{number(count)} job{'' if count == 1 else 's'}"


def _ask_pause(queue: Mapping[str, Any]) -> Asked:
    waiting = jobs(queue["counts"]["waiting"])
    running = jobs(queue["active"])
    return Asked(
        f"Pause {queue['name']}?",
        f"No job of it is given to a worker until it is resumed: {waiting} will wait, with all "
        f"that are added meanwhile. What runs goes on: {running}.",
        "Pause",
    )


def _ask_resume(queue: Mapping[str, Any]) -> Asked:
    waiting = jobs(queue["counts"]["waiting"])
    return Asked(
        f"Resume {queue['name']}?",
        f"{waiting} wait; workers with free slots get them at once.",
        "Resume",
    )


def _ask_drain(queue: Mapping[str, Any]) -> Asked:
    count = queue["counts"]["waiting"] + queue["counts"]["delayed"]
    return Asked(
        f"Drain {queue['name']}?",
        f"Removes what waits and what is delayed: {jobs(count)} now. What runs, and what has "
        "ended, stays.",
        f"Remove {jobs(count)}",
        "They will not run, and cannot be brought back.",
        is_dangerous=True,
    )


def _ask_obliterate(queue: Mapping[str, Any]) -> Asked:
    count = sum(queue["counts"].values())
    return Asked(
        f"Delete {queue['name']}?",
        f"Removes the queue, its settings and every job in it, whatever its state: {jobs(count)} "
        "now. It is refused while some are active.",
        f"Delete the queue and {jobs(count)}",
        "Nothing of it can be brought back.",
        is_dangerous=True,
        fields=[
            Field(
                "typed",
                "Type the queue's name",
                "So that it is not done by accident.",
                pattern=_literally(queue["name"]),
            )
        ],
    )


def _with_its_name(queue: Mapping[str, Any], form: Mapping[str, str]) -> dict[str, Any]:
    if form.get("typed", "").strip() != queue["name"]:
        raise fields.FieldError(f"Type {queue['name']} to delete it: nothing was done.")
    return {}


def _literally(name: str) -> str:
    """As a regular expression of HTML (the flag v), in which these stand for something."""
    return "".join(f"\\{each}" if each in ".-" else each for each in name)


def _ask_limits(queue: Mapping[str, Any]) -> Asked:
    settings = queue["settings"]
    rate = settings["rate"] or {}
    return Asked(
        f"Limits of {queue['name']}",
        "In force at once, for all workers of the queue together. An empty field is no limit.",
        "Set limits",
        fields=[
            Field(
                "concurrency",
                "Jobs at once",
                "How many may run at the same time.",
                _text(settings["concurrency"]),
            ),
            Field("limit", "Jobs per period", "How many may begin.", _text(rate.get("limit"))),
            Field(
                "period",
                "Period",
                "500ms, 1s, 1m, 1h",
                _period(rate["period_ms"]) if rate else PERIOD_DEFAULT,
            ),
            Field(
                "burst",
                "Burst",
                "How many may begin at the same moment; as many as per period if it is empty.",
                _text(rate.get("burst")),
            ),
        ],
    )


def _period(ms: int) -> str:
    """As one types it: "1s" of 1,000."""
    units = ((3_600_000, "h"), (60_000, "m"), (1_000, "s"))
    return next((f"{ms // unit}{name}" for unit, name in units if not ms % unit), f"{ms}ms")


def _text(value: int | None) -> str:
    return "" if value is None else str(value)


def _limits(told: Mapping[str, Any], form: Mapping[str, str]) -> dict[str, Any]:
    concurrency, limit = _whole(form, "concurrency", 0), _whole(form, "limit", 1)
    if limit is None:
        return {"concurrency": concurrency, "rate": None}
    period_ms = fields.length_ms(form.get("period", "") or PERIOD_DEFAULT)
    burst = _whole(form, "burst", 1)
    rate = {"limit": limit, "period_ms": period_ms, "burst": limit if burst is None else burst}
    return {"concurrency": concurrency, "rate": rate}


def _whole(form: Mapping[str, str], name: str, least: int) -> int | None:
    text = form.get(name, "").strip()
    return fields.whole(text, least, LIMIT_MAX) if text else None


def _name(worker: Mapping[str, Any]) -> str:
    return worker["name"] or "the worker"


def _ask_quiet(worker: Mapping[str, Any]) -> Asked:
    return Asked(
        f"Quiet {_name(worker)}?",
        f"It takes no more jobs, and finishes what it runs: {jobs(len(worker['running']))}. It "
        "stays connected, and can be resumed.",
        "Quiet",
    )


def _ask_unquiet(worker: Mapping[str, Any]) -> Asked:
    return Asked(f"Resume {_name(worker)}?", "It takes jobs again.", "Resume")


def _ask_stop(worker: Mapping[str, Any]) -> Asked:
    return Asked(
        f"Stop {_name(worker)}?",
        f"It finishes what it runs within its drain timeout ({jobs(len(worker['running']))}), "
        "gives back the rest, and ends.",
        "Stop the worker",
        "Only what started it can start it again.",
        is_dangerous=True,
    )


QUEUES: Final = {
    "pause": Control(_ask_pause, "{name} is paused."),
    "resume": Control(_ask_resume, "{name} goes on."),
    "limits": Control(_ask_limits, "The limits of {name} are in force.", params=_limits),
    "drain": Control(
        _ask_drain,
        "{name} is drained: {done} removed.",
        is_destroying=True,
        params=lambda told, form: {"delayed": True},
    ),
    "obliterate": Control(
        _ask_obliterate,
        "{name} is deleted, with {done}.",
        is_destroying=True,
        params=_with_its_name,
    ),
}
WORKERS: Final = {
    "quiet": Control(_ask_quiet, "{name} takes no more jobs."),
    "unquiet": Control(_ask_unquiet, "{name} takes jobs again."),
    "stop": Control(_ask_stop, "{name} was told to stop."),
}
"""By the kinds of `acting`."""
