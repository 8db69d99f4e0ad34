"""How far an action is, in words: "1,204 retried, 13 had moved on"."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from holdfastd.web.pages.kinds import KINDS, QUEUES, Kind, jobs_in_words, queues_in_words

WIDTH: Final = 1_000
"""Units of the bar's width."""
FAILED_SHOWN_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class ActionView:
    id: str
    title: str
    text: str
    icon: str
    share: int | None
    """Of WIDTH; None = it is not going on."""
    failed: list[Mapping[str, Any]]
    """{queue, id, why} of jobs that were refused; the first ones."""
    can_undo: bool
    is_over: bool
    is_undone: bool
    is_bad: bool


def forgotten(id: str) -> ActionView:
    """Of an action that nobody remembers any more."""
    title = "This is no longer remembered: the list shows what has become of the jobs"
    return ActionView(id, title, "", "info", None, [], False, True, True, False)


def view(action: Mapping[str, Any], now_ms: int) -> ActionView:
    """action: as Board.action gives it."""
    state = action["state"]
    title, icon = _title(action, now_ms)
    is_over = state not in ("pending", "running")
    failed = action["failed"]
    return ActionView(
        action["id"],
        title,
        _text(action),
        icon,
        _share(action) if state == "running" else None,
        failed[:FAILED_SHOWN_MAX],
        action["can_undo"],
        is_over,
        state == "undone",
        is_over and bool(failed or (state == "done" and not action["done"])),
    )


def _title(action: Mapping[str, Any], now_ms: int) -> tuple[str, str]:
    """With its icon."""
    kind = _kind(action)
    state = action["state"]
    if state == "pending":
        left_s = max(0, -(-(action["starts_at_ms"] - now_ms) // 1_000))
        found = f" {jobs_in_words(action['found'])}" if action["found"] else ""
        return f"{kind.doing}{found} in {left_s} s", "delayed"
    if state == "running":
        return f"{kind.doing}: {action['done']:,} done", "active"
    if state == "undone":
        done = f"{_done(action)} as before" if action["done"] else "nothing has happened"
        return f"Undone: {done}", "check"
    result = _result(action, kind.done)
    if state == "stopped":
        return f"Stopped: {result}", "warning"
    return result, "check" if action["done"] else "info"


def _kind(action: Mapping[str, Any]) -> Kind:
    return KINDS[action["kind"]] if action["queues"] is None else QUEUES[action["kind"]]


def _done(action: Mapping[str, Any]) -> str:
    """How many, of what is not jobs."""
    done: int = action["done"]
    return f"{done:,}" if action["queues"] is None else queues_in_words(done)


def _result(action: Mapping[str, Any], done: str) -> str:
    """What has become of all of them."""
    parts = [f"{_done(action)} {done}"]
    moved_on = _moved_on(action)
    if moved_on:
        parts.append(f"{moved_on:,} had moved on")
    if action["failed"]:
        parts.append(f"{len(action['failed']):,} refused")
    return ", ".join(parts)


def _moved_on(action: Mapping[str, Any]) -> int:
    """Jobs that were spoken of, and were not touched. Some of all that match were not even found:
    they matched no more."""
    skipped: int = action["skipped"]
    if action["query"] is None or action["state"] != "done":
        return skipped
    missing: int = action["found"] - action["done"] - len(action["failed"])
    return max(skipped, missing)


def _text(action: Mapping[str, Any]) -> str:
    if action["state"] == "running" and action["skipped"]:
        return f"{action['skipped']:,} had moved on"
    if action["state"] == "stopped" and action["why"]:
        return f"{action['why'][0].upper()}{action['why'][1:]}"
    if action["state"] in ("done", "stopped") and _moved_on(action) and not action["done"]:
        return "They were no longer in the state that you saw, so nothing was changed."
    return _kind(action).afterwards if action["state"] == "done" and action["done"] else ""


def _share(action: Mapping[str, Any]) -> int:
    dealt_with: int = action["done"] + action["skipped"] + len(action["failed"])
    found: int = max(1, action["found"], dealt_with)
    return WIDTH * dealt_with // found
