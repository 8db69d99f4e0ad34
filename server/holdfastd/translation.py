"""What clients ask in maps, to the engine's values, and why it said no, to the protocol's codes.

For TCP and HTTP alike.
"""

from dataclasses import replace
from typing import Any, Final

from holdfast.wire.checks import Refusal, check_integer, shown
from holdfast.wire.constants import DELAY_MS_MAX, ErrorCode
from holdfastd.engine.model import (
    DEFAULT_OPTIONS,
    Backoff,
    BackoffKind,
    Jitter,
    JobOptions,
    Keep,
    NewJob,
    QueueSettings,
    Rate,
    Retention,
)
from holdfastd.engine.outputs import Refusal as Why
from holdfastd.engine.recurrence import BadRecurrence, Cron, Every, check
from holdfastd.engine.schedules import Missed, Origin, Overlap, ScheduleSpec
from holdfastd.search.found import BadCursor, SearchBusy, SearchError

LIMIT_MAX: Final = 1_000_000_000
PERIOD_MS_MAX: Final = 24 * 3600 * 1000
KEPT: Final = ("completed", "failed", "cancelled")


ERROR_CODE_OF: Final[dict[Why, ErrorCode]] = {
    Why.OUT_OF_ORDER: ErrorCode.OUT_OF_ORDER,
    Why.UNKNOWN_QUEUE: ErrorCode.UNKNOWN_QUEUE,
    Why.UNKNOWN_JOB: ErrorCode.UNKNOWN_JOB,
    Why.LEASE_LOST: ErrorCode.LEASE_LOST,
    Why.WRONG_STATE: ErrorCode.WRONG_STATE,
    Why.NOT_EMPTY: ErrorCode.NOT_EMPTY,
    Why.BUSY: ErrorCode.BUSY,
    Why.DISK_FULL: ErrorCode.DISK_FULL,
    Why.DRAINING: ErrorCode.DRAINING,
    Why.TOO_MANY: ErrorCode.TOO_MANY,
    Why.JOB_EXISTS: ErrorCode.JOB_EXISTS,
    Why.UNKNOWN_WORKER: ErrorCode.UNKNOWN_WORKER,
    Why.UNKNOWN_SCHEDULE: ErrorCode.UNKNOWN_SCHEDULE,
}


_SEARCH_CODES: Final = {BadCursor: ErrorCode.BAD_REQUEST, SearchBusy: ErrorCode.BUSY}


def refusal_of_search(error: SearchError) -> Refusal:
    return Refusal(_SEARCH_CODES.get(type(error), ErrorCode.INTERNAL), str(error))


def new_job(
    id: str,
    name: str,
    payload: bytes,
    options: dict[str, Any],
    now_ms: int,
    *,
    is_generated: bool,
) -> NewJob:
    """options: as the protocol has them, checked (`check_options`)."""
    delay_ms = options.get("delay_ms", 0)
    return NewJob(
        id,
        is_generated,
        name,
        payload,
        options.get("priority", 0),
        options.get("lifo", False),
        now_ms + delay_ms if delay_ms else options.get("run_at_ms", 0),
        job_options(options),
    )


def job_options(options: dict[str, Any]) -> JobOptions:
    """The rarely given options, checked before; the shared default when none is given."""
    rare: dict[str, Any] = {
        name: options[name] for name in ("attempts", "max_crashes") if name in options
    }
    if "backoff" in options:
        rare["backoff"] = _backoff(options["backoff"])
    if options.get("tags"):
        rare["tags"] = tuple(options["tags"])
    return JobOptions(**rare) if rare else DEFAULT_OPTIONS


def _backoff(backoff: dict[str, Any]) -> Backoff:
    kind = BackoffKind[backoff["kind"].upper()]
    delays_ms = backoff["delays_ms"] if kind is BackoffKind.LIST else [backoff["delay_ms"]]
    return Backoff(
        kind,
        tuple(delays_ms),
        backoff.get("factor", 2.0),
        backoff.get("cap_ms", 0),
        Jitter[backoff["jitter"].upper()],
    )


def schedule_spec(
    queue: str,
    id: str,
    name: str,
    payload: bytes,
    when: dict[str, Any],
    options: dict[str, Any],
    origin: Origin,
    now_ms: int,
) -> ScheduleSpec:
    """when, options: as the protocol has them, checked (`wire.schedules`). Raises Refusal: a cron
    pattern is none, a time zone unknown, or it would never be due."""
    is_cron = "cron" in when
    recurrence = Cron(when["cron"], when["tz"]) if is_cron else Every(when["every_ms"])
    try:
        check(recurrence, now_ms)
    except BadRecurrence as error:
        raise Refusal(ErrorCode.BAD_OPTION, str(error), {"option": error.option}) from error
    return ScheduleSpec(
        queue,
        id,
        recurrence,
        name,
        payload,
        options.get("priority", 0),
        options.get("lifo", False),
        job_options(options),
        Missed(options.get("missed", Missed.ONCE)),
        Overlap(options.get("overlap", Overlap.ALLOW)),
        origin,
    )


def queue_settings(given: dict[str, Any], before: QueueSettings) -> QueueSettings:
    """The settings before with those in `given` replaced. Raises Refusal."""
    _refuse_unknown("settings", given, ("concurrency", "rate", "retention"))
    changes: dict[str, Any] = {}
    if "concurrency" in given:
        changes["concurrency"] = _optional("concurrency", given["concurrency"], 0, LIMIT_MAX)
    if "rate" in given:
        changes["rate"] = _rate(given["rate"])
    if "retention" in given:
        changes["retention"] = _retention(given["retention"], before.retention)
    return replace(before, **changes)


def _rate(rate: object) -> Rate | None:
    if rate is None:
        return None
    rate = _map("rate", rate)
    _refuse_unknown("rate", rate, ("limit", "period_ms", "burst"))
    return Rate(
        check_integer("rate.limit", rate.get("limit"), 1, LIMIT_MAX),
        check_integer("rate.period_ms", rate.get("period_ms", 1000), 1, PERIOD_MS_MAX),
        check_integer("rate.burst", rate.get("burst", 1), 1, LIMIT_MAX),
    )


def _retention(given: object, before: Retention) -> Retention:
    keeps = _map("retention", given)
    _refuse_unknown("retention", keeps, KEPT)
    return replace(before, **{state: _keep(f"retention.{state}", keeps[state]) for state in keeps})


def _keep(name: str, given: object) -> Keep:
    keep = _map(name, given)
    _refuse_unknown(name, keep, ("age_ms", "count"))
    return Keep(
        _optional(f"{name}.age_ms", keep.get("age_ms"), 0, DELAY_MS_MAX),
        _optional(f"{name}.count", keep.get("count"), 0, LIMIT_MAX),
    )


def _optional(name: str, value: object, low: int, high: int) -> int | None:
    return None if value is None else check_integer(name, value, low, high)


def _map(name: str, value: object) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise Refusal(ErrorCode.BAD_OPTION, f"{name} must be a map, not {shown(value)}")


def _refuse_unknown(name: str, given: dict[str, Any], known: tuple[str, ...]) -> None:
    unknown = sorted(set(given) - set(known), key=str)
    if unknown:
        raise Refusal(
            ErrorCode.BAD_OPTION,
            f"{name} knows {', '.join(known)}; {shown(unknown[0])} is not one of them",
            {"option": shown(unknown[0])},
        )
