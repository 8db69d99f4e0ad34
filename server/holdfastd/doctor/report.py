"""What the doctor finds, for people and for programs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final


class Status(Enum):
    """How it stands with one thing."""

    OK = "ok"
    UNKNOWN = "unknown"
    """It could not be looked at; the text says why."""
    WARN = "warn"
    """It works, and something may come of it."""
    BAD = "bad"
    """The daemon does not start like that, or not for long."""


GRAVITY: Final = (Status.OK, Status.UNKNOWN, Status.WARN, Status.BAD)
"""From good to bad."""


@dataclass(frozen=True)
class Finding:
    name: str
    """Stable, of those in docs/how-to/operate.md."""
    status: Status
    text: str
    """What was seen, in one line."""
    facts: dict[str, Any] = field(default_factory=dict)
    """The same for programs."""
    advice: str = ""
    """What to do; "" = nothing."""


def worst(findings: Iterable[Finding]) -> Status:
    return max((finding.status for finding in findings), key=GRAVITY.index, default=Status.OK)


def as_json(findings: list[Finding]) -> dict[str, Any]:
    """status: the worst; checks: by name, each with status, text, advice and its facts."""
    return {
        "status": worst(findings).value,
        "checks": {
            each.name: {
                "status": each.status.value,
                "text": each.text,
                "advice": each.advice,
                **each.facts,
            }
            for each in findings
        },
    }


def as_lines(findings: list[Finding]) -> Iterator[tuple[Status, str, str]]:
    """A status, a text that follows it, and an indented advice or "", of each finding."""
    width = max(len(finding.name) for finding in findings)
    for each in findings:
        advice = f"{'':<{width}}  -> {each.advice}" if each.advice else ""
        yield each.status, f"{each.name:<{width}}  {each.text}", advice
