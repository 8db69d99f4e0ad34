"""What the board tells, with what a page says of it beside."""

from collections.abc import Mapping
from typing import Any, Final

from holdfastd.web.pages.words import NONE, duration, number

_S: Final = 1_000
_UNITS: Final = ((1_000, "s"), (60_000, "min"), (3_600_000, "h"), (86_400_000, "d"))


def queue(told: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    """Of a queue: `oldest_at_ms`, None = nothing waits.

    As an instant and not an age, so that the passing of time alone is no news; on whole seconds,
    for it is told a little later than it was looked at.
    """
    age_ms = told["oldest_waiting_age_ms"]
    oldest_at_ms = None if age_ms is None else round((now_ms - age_ms) / _S) * _S
    return {**told, "oldest_at_ms": oldest_at_ms}


def limits(settings: Mapping[str, Any]) -> str:
    """A queue's limits in a few words: "5 at once, 10 per s"; a dash = none."""
    parts = []
    if settings["concurrency"] is not None:
        parts.append(f"{number(settings['concurrency'])} at once")
    if settings["rate"] is not None:
        parts.append(f"{number(settings['rate']['limit'])} per {_period(settings['rate'])}")
    return ", ".join(parts) or "\N{EN DASH}"


def _period(rate: Mapping[str, Any]) -> str:
    period_ms = rate["period_ms"]
    return next((name for length, name in _UNITS if length == period_ms), duration(period_ms))


def retention(kept: Mapping[str, Any]) -> str:
    """How long finished jobs stay: "for 7 d, at most 1,000"."""
    parts = []
    if kept.get("age_ms") is not None:
        parts.append(f"for {duration(kept['age_ms'])}")
    if kept.get("count") is not None:
        parts.append(f"at most {number(kept['count'])}")
    return ", ".join(parts) or "for good"


def options(of: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and value of the options of a job, or of those that a schedule makes."""
    return [
        ("Attempts", f"{of['attempts']:,}"),
        ("Lost workers until it fails", f"{of['max_crashes']:,}"),
        ("Wait between attempts", _backoff(of["backoff"])),
        ("Priority", f"{of['priority']:,} (a smaller number runs first)"),
        ("Tags", ", ".join(of["tags"]) or NONE),
    ]


def _backoff(backoff: Mapping[str, Any] | None) -> str:
    """In words."""
    if not backoff:
        return "none: it is tried again at once"
    kind = backoff["kind"]
    if kind == "list":
        text = ", then ".join(duration(delay) for delay in backoff["delays_ms"])
    else:
        first = backoff["delay_ms"]
        text = duration(first) if first else "none"
        if kind == "exponential":
            text += f", times {backoff.get('factor', 2):g} each time"
            if backoff.get("cap_ms"):
                text += f", at most {duration(backoff['cap_ms'])}"
    jitter = backoff.get("jitter", "none")
    return text + (f", with {jitter} jitter" if jitter != "none" else "")


def first_job(origin: str) -> dict[str, str]:
    """How a first job is added, and run. origin: address of this port, as the browser has it."""
    return {
        "python": 'from holdfast import Queue\n\nqueue = Queue("hello")\n'
        'job = queue.add("greet", {"name": "world"})\nprint(job.wait(timeout=30))',
        "curl": f"curl {origin}/api/v1/queues/hello/jobs \\\n"
        "  -H 'Content-Type: application/json' \\\n"
        """  -d '{"name": "greet", "data": {"name": "world"}}'""",
        "cli": """holdfast add hello greet '{"name": "world"}'""",
        "worker": "# worker.py\nfrom holdfast import Worker\n\n\ndef greet(job):\n"
        """    return f"Hello, {job.data['name']}"\n\n\n"""
        'Worker("hello", {"greet": greet}, concurrency=5).run()',
    }
