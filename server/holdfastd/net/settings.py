"""A queue's settings on the wire (CONFIGURE) to the engine's."""

from dataclasses import replace
from typing import Any, Final

from holdfast.wire.checks import Refusal, check_integer, shown
from holdfast.wire.constants import DELAY_MS_MAX, ErrorCode
from holdfastd.engine.model import Keep, QueueSettings, Rate, Retention

LIMIT_MAX: Final = 1_000_000_000
PERIOD_MS_MAX: Final = 24 * 3600 * 1000
KEPT: Final = ("completed", "failed", "cancelled")


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
            f"{name} knows {', '.join(known)}; {shown(unknown[0])} is not one",
            {"option": shown(unknown[0])},
        )
