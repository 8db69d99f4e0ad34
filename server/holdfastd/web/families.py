"""Every metric by its Prometheus name, written from a snapshot.

docs/reference/metrics.md lists them all.

A label's values that are known beforehand have series from the start, with zero: an alert on a rise
would miss the first one otherwise.
"""

import platform
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from holdfast.wire.constants import PROTOCOL_VERSION
from holdfastd import VERSION
from holdfastd.engine.model import State
from holdfastd.engine.stats import Histogram
from holdfastd.observed import Observed
from holdfastd.web.revision import revision
from holdfastd.web.snapshot import QueueSeen, SchedulesSeen, Snapshot

SHOWN_STATES: Final = (
    State.WAITING,
    State.DELAYED,
    State.ACTIVE,
    State.COMPLETED,
    State.FAILED,
    State.CANCELLED,
)
"""Those that a job can be in by now: nothing is blocked yet."""

QUEUE_COUNTERS: Final[tuple[tuple[str, str, str, dict[str, str]], ...]] = (
    # name, help, label beside the queue's ("" = none), its values: names in snapshot.COUNTED
    (
        "holdfast_jobs_enqueued",
        "Jobs asked to be added",
        "result",
        {"accepted": "accepted", "duplicate": "duplicates", "rejected": "rejected"},
    ),
    (
        "holdfast_job_attempts",
        "Attempts that ended",
        "outcome",
        {
            "completed": "completed",
            "failed": "attempts_failed",
            "lost": "attempts_lost",
            "cancelled": "attempts_cancelled",
            "snoozed": "attempts_snoozed",
            "released": "attempts_released",
        },
    ),
    (
        "holdfast_jobs_finished",
        "Jobs that ended",
        "outcome",
        {"completed": "completed", "failed": "jobs_failed", "cancelled": "jobs_cancelled"},
    ),
    ("holdfast_job_retries", "Attempts scheduled again after a failure", "", {"": "retries"}),
    (
        "holdfast_jobs_moved",
        "Actions of people and programs, in jobs",
        "action",
        {
            "retry": "retried",
            "promote": "promoted",
            "move": "moved",
            "edit": "edited",
            "delete": "removed",
            "obliterate": "obliterated",
        },
    ),
    ("holdfast_jobs_pruned", "Jobs removed by retention", "", {"": "pruned"}),
    (
        "holdfast_queue_throttled",
        "Times that a limit held a job back",
        "reason",
        {"concurrency": "throttled_concurrency", "rate": "throttled_rate"},
    ),
)


def families(snapshot: Snapshot) -> Iterator[Metric]:
    yield _build_info()
    ready = int(snapshot.is_ready)
    yield _gauge("holdfast_ready", "1 when /readyz answers 200", [], [((), ready)])
    yield from _config(snapshot.observed)
    yield from _queue_gauges(snapshot)
    yield from _queue_counters(snapshot.queues)
    yield from _queue_histograms(snapshot.queues)
    yield from _tasks(snapshot)
    yield from _schedules(snapshot.schedules)
    yield from _connections(snapshot)
    yield from _commands(snapshot.observed)
    yield from _commits(snapshot.observed)
    yield from _storage(snapshot)
    yield from _backups(snapshot.observed)


def _build_info() -> Metric:
    found = {
        "version": VERSION,
        "revision": revision(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "protocol": str(PROTOCOL_VERSION),
    }
    samples = [(tuple(found.values()), 1)]
    return _gauge("holdfast_build_info", "Versions", list(found), samples)


def _config(seen: Observed) -> Iterator[Metric]:
    yield _gauge(
        "holdfast_config_last_reload_successful",
        "1 when the last reload of the configuration was applied, and before the first",
        [],
        [((), int(seen.config_reload_ok))],
    )
    yield _gauge(
        "holdfast_config_last_reload_success_timestamp_seconds",
        "Unix time at which the configuration in force was read",
        [],
        [((), seen.config_reloaded_at_ms / 1000)],
    )


# ---- queues --------------------------------------------------------------------------------------


def _queue_gauges(snapshot: Snapshot) -> Iterator[Metric]:
    queues, now_ms = snapshot.queues, snapshot.now_ms
    yield _gauge(
        "holdfast_queue_jobs",
        "Jobs now in a state",
        ["queue", "state"],
        [
            ((queue.name, state.name.lower()), queue.counts[state])
            for queue in queues
            for state in SHOWN_STATES
        ],
    )
    for name, text, values in (
        (
            "oldest_waiting_age_seconds",
            "Age of the first waiting job, 0 when none waits",
            [_age_s(queue.oldest_waiting_at_ms, now_ms) for queue in queues],
        ),
        (
            "longest_active_seconds",
            "Run time of the attempt that has run longest, 0 when none runs",
            [_age_s(queue.longest_active_at_ms, now_ms) for queue in queues],
        ),
        ("paused", "1 = paused", [int(queue.is_paused) for queue in queues]),
        (
            "workers",
            "Connected workers that take jobs of the queue",
            [queue.workers for queue in queues],
        ),
        (
            "slots",
            "Jobs that those workers could run at once",
            [queue.slots for queue in queues],
        ),
    ):
        labels = [(queue.name,) for queue in queues]
        yield _gauge(f"holdfast_queue_{name}", text, ["queue"], zip(labels, values, strict=True))
    yield _gauge(
        "holdfast_queue_limit",
        "Limit set on the queue; absent = none",
        ["queue", "kind"],
        [((queue.name, kind), limit) for queue in queues for kind, limit in queue.limits],
    )


def _age_s(began_at_ms: int | None, now_ms: int) -> float:
    return 0.0 if began_at_ms is None else max(0, now_ms - began_at_ms) / 1000


def _queue_counters(queues: list[QueueSeen]) -> Iterator[Metric]:
    for name, text, label, fields in QUEUE_COUNTERS:
        yield _counter(
            name,
            text,
            ["queue", label] if label else ["queue"],
            [
                ((queue.name, value) if label else (queue.name,), queue.counters[field])
                for queue in queues
                for value, field in fields.items()
            ],
        )


def _queue_histograms(queues: list[QueueSeen]) -> Iterator[Metric]:
    yield _histogram(
        "holdfast_job_wait_seconds",
        "Ready to leased; a delay that was asked for is not counted",
        ["queue"],
        [((queue.name,), queue.wait) for queue in queues],
    )
    yield _histogram(
        "holdfast_job_duration_seconds",
        "Leased to ended",
        ["queue", "outcome"],
        [
            ((queue.name, outcome), histogram)
            for queue in queues
            for outcome, histogram in (("completed", queue.completed), ("failed", queue.failed))
        ],
    )


def _tasks(snapshot: Snapshot) -> Iterator[Metric]:
    if snapshot.tasks is not None:
        yield _histogram(
            "holdfast_task_duration_seconds",
            "Leased to ended, by the job's name; [metrics] per_task",
            ["queue", "task"],
            [((seen.queue, seen.task), seen.duration) for seen in snapshot.tasks],
        )
    yield _counter(
        "holdfast_metrics_folded",
        "Observations counted under _other, since there are more names than series",
        ["label"],
        [(("queue",), snapshot.folded_queues), (("task",), snapshot.folded_tasks)],
    )


def _schedules(seen: SchedulesSeen) -> Iterator[Metric]:
    yield _gauge(
        "holdfast_schedules",
        "Schedules there are",
        ["state"],
        [(("active",), seen.active), (("paused",), seen.paused)],
    )
    yield _counter(
        "holdfast_schedule_fires",
        "Due instants of schedules by what came of them, and jobs made by hand",
        ["result"],
        [((result,), count) for result, count in seen.fires.items()],
    )
    yield _histogram("holdfast_schedule_lag_seconds", "Due to added", [], [((), seen.lag)])


# ---- the process ---------------------------------------------------------------------------------


def _connections(snapshot: Snapshot) -> Iterator[Metric]:
    seen = snapshot.observed
    yield _gauge(
        "holdfast_connections",
        "Open connections",
        ["role"],
        [((role,), count) for role, count in snapshot.connections.items()],
    )
    yield _counter(
        "holdfast_connections_opened", "Accepted connections", [], [((), seen.connections_opened)]
    )
    yield _counter(
        "holdfast_connections_rejected",
        "Connections refused or cut",
        ["reason"],
        [((reason,), count) for reason, count in seen.connections_rejected.items()],
    )
    yield _counter(
        "holdfast_network_bytes",
        "Bytes on the TCP port",
        ["direction"],
        [(("received",), seen.received_bytes), (("sent",), seen.sent_bytes)],
    )
    yield _counter(
        "holdfast_protocol_errors",
        "Messages that were none of the protocol",
        ["kind"],
        [((kind,), count) for kind, count in seen.protocol_errors.items()],
    )
    yield _counter(
        "holdfast_backpressure_seconds",
        "Time for which connections were not read",
        [],
        [((), seen.backpressure_seconds)],
    )
    yield _histogram(
        "holdfast_event_loop_lag_seconds", "How late timers run", [], [((), seen.loop_lag_seconds)]
    )


def _commands(seen: Observed) -> Iterator[Metric]:
    yield _counter(
        "holdfast_commands",
        "Requests answered",
        ["command", "status"],
        seen.commands.items(),
    )
    yield _histogram(
        "holdfast_command_duration_seconds",
        "Request read to answer queued, and so durable",
        ["command"],
        [((name,), histogram) for name, histogram in seen.command_seconds.items()],
    )


# ---- the store -----------------------------------------------------------------------------------


def _commits(seen: Observed) -> Iterator[Metric]:
    yield _histogram(
        "holdfast_storage_commit_seconds",
        "One group commit, fsync included",
        [],
        [((), seen.commit_seconds)],
    )
    yield _histogram(
        "holdfast_storage_commit_ops",
        "Commands carried by one commit",
        [],
        [((), seen.commit_commands)],
    )
    yield _gauge(
        "holdfast_storage_queue_depth",
        "Commands applied whose batch is not durable yet",
        [],
        [((), seen.commands_waiting)],
    )


def _storage(snapshot: Snapshot) -> Iterator[Metric]:
    seen, storage = snapshot.observed, snapshot.storage
    yield _counter(
        "holdfast_storage_checkpoints",
        "Checkpoints made; busy = a reader still needs a part of the log",
        ["mode", "result"],
        [(("passive", result), count) for result, count in seen.checkpoints.items()],
    )
    yield _counter(
        "holdfast_storage_errors",
        "Errors survived; any but a full disk ends the process",
        ["kind"],
        [(("full",), seen.store_full)],
    )
    yield _gauge(
        "holdfast_storage_bytes",
        "Size of the files; free = of db, what will be used again",
        ["file"],
        [
            (("db",), storage.db_bytes),
            (("wal",), storage.wal_bytes),
            (("free",), storage.free_bytes),
        ],
    )
    yield _gauge(
        "holdfast_storage_disk_free_bytes",
        "Free space of the data directory's file system",
        [],
        [((), storage.disk_free_bytes)],
    )


def _backups(seen: Observed) -> Iterator[Metric]:
    yield _counter(
        "holdfast_backups",
        "Backups that the daemon made or failed to make",
        ["result"],
        [(("ok",), seen.backups_ok), (("failed",), seen.backups_failed)],
    )
    last_s = None if seen.backup_at_ms is None else seen.backup_at_ms / 1000
    for name, text, value in (
        ("last_success_timestamp_seconds", "Unix time of the last good backup", last_s),
        ("last_duration_seconds", "What it took", seen.backup_seconds),
        ("last_size_bytes", "Its size", seen.backup_bytes),
    ):
        if value is not None:
            yield _gauge(f"holdfast_backup_{name}", text, [], [((), value)])


# ---- prometheus_client's families ----------------------------------------------------------------


def _gauge(name: str, text: str, labels: list[str], samples: Iterable[Any]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family


def _counter(name: str, text: str, labels: list[str], samples: Iterable[Any]) -> Metric:
    """Prometheus shows the name with `_total` behind it."""
    family = CounterMetricFamily(name, text, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family


def _histogram(name: str, text: str, labels: list[str], samples: Iterable[Any]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, histogram in samples:
        family.add_metric(values, _buckets(histogram), histogram.total)
    return family


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """(upper bound, observations up to it)."""
    below = 0
    buckets: list[tuple[str, float]] = []
    bounds = [*map(repr, map(float, histogram.bounds)), "+Inf"]
    for bound, count in zip(bounds, histogram.counts, strict=True):
        below += count
        buckets.append((bound, below))
    return buckets
