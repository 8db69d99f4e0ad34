"""Schedules as a caller sees them, and as they go on the wire."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from holdfast.decoding import instant
from holdfast.errors import MisuseError, misuse
from holdfast.options import Duration, milliseconds, wire_options
from holdfast.packing import pack, unpack
from holdfast.wire import messages as wire
from holdfast.wire.checks import Refusal, check_job_name, check_payload
from holdfast.wire.constants import PAYLOAD_BYTES_MAX
from holdfast.wire.schedules import check_schedule_id, check_schedule_options, check_when


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as it was when it was read."""

    queue: str
    id: str
    name: str
    """Of its jobs."""
    data: Any
    cron: str | None
    """None = it has an interval."""
    tz: str | None
    """The time zone in which `cron` is meant."""
    every: float | None
    """Seconds; None = it has a cron pattern."""
    words: str
    """The same in English: "At 02:30 on Monday through Friday, Europe/Berlin"."""
    options: dict[str, Any]
    """missed, overlap, and those of its jobs, as on the wire (protocol.md, Schedules)."""
    paused: bool
    next_at: datetime | None
    """None = paused, or never again."""
    last_at: datetime | None
    """The last due instant that made a job; None = none did."""
    last_job: str | None
    """Id of the last job, by hand or not."""
    fired: int
    """Due instants that made a job."""
    missed: int
    """Those that made none, since the server was down or its disk full."""
    skipped: int
    """Those that made none, since the last job had not ended (`overlap`), or had made theirs before
    the server's clock was set back."""
    origin: str
    """client, api or dashboard: from where it was last put."""
    created_at: datetime | None
    changed_at: datetime | None


def schedule_of(found: dict[str, Any]) -> Schedule:
    """From the wire's map."""
    when = found["when"]
    every_ms = when.get("every_ms")
    return Schedule(
        found["queue"],
        found["id"],
        found["name"],
        unpack(found["payload"]),
        when.get("cron"),
        when.get("tz"),
        None if every_ms is None else every_ms / 1000,
        found["words"],
        found["options"],
        found["paused"],
        instant(found["next_at_ms"] or 0),
        instant(found["last_due_at_ms"] or 0),
        found["last_job"],
        found["fired"],
        found["missed"],
        found["skipped"],
        found["origin"],
        instant(found["created_at_ms"]),
        instant(found["changed_at_ms"]),
    )


def put_message(
    queue: str,
    id: str,
    name: str,
    data: Any,
    cron: str | None,
    every: Duration | None,
    tz: str,
    policies: dict[str, str],
    options: dict[str, Any],
) -> wire.Schedule:
    """Raises MisuseError."""
    if (cron is None) == (every is None):
        raise MisuseError("give either cron, such as '30 2 * * 1-5', or every, such as 300")
    for given in ("id", "delay", "run_at"):
        if given in options:
            raise MisuseError(f"a schedule knows no {given!r}: its jobs run when it is due")
    when = {"cron": cron, "tz": tz} if every is None else {"every_ms": milliseconds("every", every)}
    try:
        return wire.Schedule(
            0,
            queue,
            check_schedule_id(id),
            check_job_name(name),
            check_payload(pack(data), PAYLOAD_BYTES_MAX, "data"),
            check_when(when),
            check_schedule_options({**(wire_options(options) or {}), **policies}),
        )
    except Refusal as refusal:
        raise misuse(refusal) from None
