"""What the engine says, and what was read, as wire messages."""

from collections.abc import Sequence
from typing import Any, Final

from holdfast.wire import messages as wire
from holdfast.wire.constants import ITEMS_MAX, ItemStatus
from holdfast.wire.constants import RevokeReason as WireReason
from holdfastd.engine.changes import AttemptRow, JobRow
from holdfastd.engine.outputs import (
    Answer,
    AnswerItems,
    Deliver,
    ItemExisting,
    ItemRefusal,
    Notify,
    Output,
    Refuse,
    Revoke,
    RevokeReason,
    Stop,
)
from holdfastd.store.base import JobDetail
from holdfastd.translation import ERROR_CODE_OF

EVENTS_PER_FRAME_MAX: Final = 200
"""The longest has an error message of 16 KiB: together they are within a frame of 4 MiB."""
REVOKE_REASON_OF: Final[dict[RevokeReason, WireReason]] = {
    RevokeReason.LEASE_LOST: WireReason.LEASE_LOST,
    RevokeReason.REMOVED: WireReason.REMOVED,
    RevokeReason.CANCELLED: WireReason.CANCELLED,
}


def messages_of(output: Output) -> Sequence[wire.Message]:
    """Empty = it is something that the listener has to do (Welcome, Displace, Show)."""
    match output:
        case AnswerItems():  # the first two are nearly all
            return (wire.Reply(output.request, [_item(item) for item in output.items]),)
        case Deliver():
            return (wire.Jobs(output.items),)
        case Answer():
            return (wire.Reply(output.request, output.result),)
        case Refuse():
            code = ERROR_CODE_OF[output.refusal]
            return (wire.Error(output.request, int(code), output.message, {}),)
        case Revoke():
            items = [(token, int(REVOKE_REASON_OF[why])) for token, why in output.items]
            return [wire.Revoke(some) for some in _cut(items, ITEMS_MAX)]
        case Stop():
            return (wire.Stop(),)
        case Notify():
            events = [tuple(event) for event in output.events]
            return [wire.Events(output.queue, some) for some in _cut(events, EVENTS_PER_FRAME_MAX)]
        case _:
            return ()


def _cut(items: list[Any], count_max: int) -> list[list[Any]]:
    return [items[start : start + count_max] for start in range(0, len(items), count_max)]


def _item(item: Any) -> Any:
    if isinstance(item, ItemExisting):
        return (item.at, int(ItemStatus.EXISTING), item.state)
    if isinstance(item, ItemRefusal):
        return (item.at, int(ERROR_CODE_OF[item.refusal]), item.message)
    return item


def job_map(queue: str, row: JobRow, worker: str = "") -> dict[str, Any]:
    """A job as GET, LIST and WAIT show it; the keys are those of protocol.md, Job."""
    return {
        "queue": queue,
        "id": row.id,
        "name": row.name,
        "state": int(row.state),
        "priority": row.priority,
        "created_at_ms": row.created_at_ms,
        "run_at_ms": row.run_at_ms,
        "started_at_ms": row.started_at_ms,
        "finished_at_ms": row.finished_at_ms,
        "attempt": row.attempt,
        "attempts": row.options.attempts,
        "failures": row.failures,
        "crashes": row.crashes,
        "releases": row.releases,
        "max_crashes": row.options.max_crashes,
        "tags": row.options.tags,
        "progress": row.progress,
        "payload": None if row.is_damaged else row.payload,
        "result": row.result,
        "reason": int(row.fail_reason),
        "token": int(row.token),
        "worker": worker,
    }


def job_detail_map(queue: str, detail: JobDetail, worker: str = "") -> dict[str, Any]:
    return {
        **job_map(queue, detail.row, worker),
        "errors": [_attempt_map(attempt) for attempt in detail.attempts],
        "logs": [(log.number, log.at_ms, log.text) for log in detail.logs],
    }


def _attempt_map(attempt: AttemptRow) -> dict[str, Any]:
    return {
        "attempt": attempt.attempt,
        "outcome": int(attempt.outcome),
        "started_at_ms": attempt.started_at_ms,
        "ended_at_ms": attempt.ended_at_ms,
        "type": attempt.error_type,
        "message": attempt.error_message,
        "traceback": attempt.error_traceback,
        "worker": attempt.worker,
    }
