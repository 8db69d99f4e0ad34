"""Options, settings and counts as blobs, and the checksum of a job.

To add a field: give it a default in the dataclass and append it here; shorter arrays of older
files are read with the defaults for what is missing.
"""

from collections.abc import Mapping
from typing import Any, Final
from zlib import crc32

import msgpack

from holdfastd.engine.changes import Clearing
from holdfastd.engine.model import (
    DEFAULT_OPTIONS,
    Backoff,
    BackoffKind,
    Jitter,
    JobOptions,
    Keep,
    QueueSettings,
    Rate,
    Retention,
    Seq,
    State,
)
from holdfastd.engine.recurrence import Cron, Every
from holdfastd.engine.schedules import Missed, Origin, Overlap, ScheduleSpec

DEFAULT_SETTINGS: Final = QueueSettings()


def pack_options(options: JobOptions) -> bytes | None:
    """None = the defaults."""
    if options is DEFAULT_OPTIONS or options == DEFAULT_OPTIONS:
        return None
    backoff = options.backoff
    return _pack(
        [
            options.attempts,
            options.max_crashes,
            int(backoff.kind),
            list(backoff.delays_ms),
            backoff.factor,
            backoff.cap_ms,
            int(backoff.jitter),
            options.tags,
        ]
    )


def unpack_options(blob: bytes | None) -> JobOptions:
    if blob is None:
        return DEFAULT_OPTIONS
    attempts, max_crashes, kind, delays_ms, factor, cap_ms, jitter, *rest = msgpack.unpackb(blob)
    backoff = Backoff(BackoffKind(kind), tuple(delays_ms), factor, cap_ms, Jitter(jitter))
    tags = tuple(rest[0]) if rest else ()  # schema 1 had none
    return JobOptions(attempts, max_crashes, backoff, tags)


def pack_settings(settings: QueueSettings) -> bytes | None:
    """None = the defaults."""
    if settings == DEFAULT_SETTINGS:
        return None
    rate, retention = settings.rate, settings.retention
    keeps = (retention.completed, retention.failed, retention.cancelled)
    return _pack(
        [
            settings.concurrency,
            rate and [rate.limit, rate.period_ms, rate.burst],
            [[keep.age_ms, keep.count] for keep in keeps],
        ]
    )


def unpack_settings(blob: bytes | None) -> QueueSettings:
    if blob is None:
        return DEFAULT_SETTINGS
    concurrency, rate, keeps = msgpack.unpackb(blob)
    return QueueSettings(
        concurrency, rate and Rate(*rate), Retention(*(Keep(*keep) for keep in keeps))
    )


def pack_counts(counts: tuple[int, ...]) -> bytes:
    return _pack(list(counts))


def unpack_counts(blob: bytes) -> tuple[int, ...]:
    return tuple(msgpack.unpackb(blob))


def pack_clearing(clearing: Clearing | None) -> bytes | None:
    return clearing and _pack(
        [clearing.last, clearing.forget_queue, [int(state) for state in clearing.states]]
    )


def unpack_clearing(blob: bytes | None) -> Clearing | None:
    if blob is None:
        return None
    last, forget_queue, states = msgpack.unpackb(blob)
    return Clearing(tuple(State(state) for state in states), Seq(last), forget_queue)


def pack_spec(spec: ScheduleSpec) -> bytes:
    """What somebody wants of a schedule; its queue and id are columns."""
    recurrence = spec.recurrence
    return _pack(
        [
            list(recurrence),  # [pattern, tz] or [every_ms]
            spec.name,
            spec.payload,
            spec.priority,
            spec.lifo,
            pack_options(spec.options),
            spec.missed.value,
            spec.overlap.value,
            spec.origin.value,
        ]
    )


def unpack_spec(queue: str, id: str, blob: bytes) -> ScheduleSpec:
    when, name, payload, priority, lifo, options, missed, overlap, origin = msgpack.unpackb(blob)
    return ScheduleSpec(
        queue,
        id,
        Every(*when) if len(when) == 1 else Cron(*when),
        name,
        payload,
        priority,
        lifo,
        unpack_options(options),
        Missed(missed),
        Overlap(overlap),
        Origin(origin),
    )


def spec_checksum(queue: int, id: str, blob: bytes) -> int:
    return crc32(blob, crc32(f"{queue} {id}".encode()))


def pack_buckets(buckets: Mapping[int, int]) -> bytes:
    return _pack(buckets)


def unpack_buckets(blob: bytes) -> dict[int, int]:
    buckets: dict[int, int] = msgpack.unpackb(blob, strict_map_key=False)
    return buckets


def checksum(queue: int, id: str, name: str, created_at_ms: int, payload: bytes) -> int:
    """CRC-32 over what never changes of a job. It finds what SQLite's own checks do not: of the
    single-bit flips that mattered in a payload-heavy file they saw a tenth."""
    return crc32(payload, crc32(f"{queue} {created_at_ms} {id} {name}".encode()))


def _pack(value: Any) -> bytes:
    packed: bytes = msgpack.packb(value)
    return packed
