"""What can be done to schedules at once: what is asked before, and what is said afterwards."""

from collections.abc import Mapping
from typing import Any, Final

from holdfastd.web.pages.controls import Asked, Control


def _ask_run(schedule: Mapping[str, Any]) -> Asked:
    return Asked(
        f"Run {schedule['id']} now?",
        f"Adds one job, {schedule['name']}, to {schedule['queue']} at once. When it is due stays "
        "as it is.",
        "Add the job",
    )


def _ask_pause(schedule: Mapping[str, Any]) -> Asked:
    return Asked(
        f"Pause {schedule['id']}?",
        "It makes no more jobs until it is resumed. Jobs that it has made go on.",
        "Pause",
    )


def _ask_resume(schedule: Mapping[str, Any]) -> Asked:
    return Asked(
        f"Resume {schedule['id']}?",
        f"It makes jobs again ({schedule['words']}), from the next time on.",
        "Resume",
    )


def _ask_delete(schedule: Mapping[str, Any]) -> Asked:
    comes_back = schedule["origin"] != "dashboard"
    return Asked(
        f"Delete {schedule['id']}?",
        "It makes no more jobs; those that it has made stay.",
        "Delete the schedule",
        "A program has declared it: when it does so again, the schedule is back. Pause it, or "
        "change the program."
        if comes_back
        else "Its rule and its counts cannot be brought back.",
        is_dangerous=True,
    )


SCHEDULES: Final = {
    "run": Control(_ask_run, "A job of {name} is added."),
    "pause": Control(_ask_pause, "{name} is paused."),
    "resume": Control(_ask_resume, "{name} goes on."),
    "delete": Control(_ask_delete, "{name} is deleted."),
}
"""By the kinds of `acting.kinds.SCHEDULES`."""
