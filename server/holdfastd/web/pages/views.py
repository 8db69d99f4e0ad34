"""What the board tells, with what a page says of it beside."""

from collections.abc import Mapping
from typing import Any, Final

from holdfastd.web.pages.words import duration, number

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
