"""Prometheus metrics from the plain counters of the engine, the pipeline and the listener.

Nothing is counted here: a scrape reads numbers that are kept anyway. Labels by queue are bounded:
beyond metrics.queues_max queues the rest is folded into `_other`, so that a million names do not
make a million series. docs/metrics.md lists every name; a test compares it.
"""

import platform
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from holdfast.wire.constants import PROTOCOL_VERSION
from holdfastd import VERSION
from holdfastd.engine.broker import Engine
from holdfastd.engine.model import State
from holdfastd.engine.queue import QueueState
from holdfastd.engine.stats import Histogram
from holdfastd.observed import Observed

if TYPE_CHECKING:
    from holdfastd.store.base import StoreStats

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
OTHER: Final = "_other"
CACHED_S: Final = 1.0

Groups = list[tuple[str, list[QueueState]]]


class Metrics:
    def __init__(
        self,
        engine: Engine,
        observed: Observed,
        connections: Callable[[], dict[str, int]],
        store_stats: Callable[[], Any],
        is_ready: Callable[[], bool],
        now_ms: Callable[[], int],
        monotonic: Callable[[], float],
        queues_max: int,
    ):
        """store_stats: awaitable StoreStats. queues_max: queues with series of their own."""
        self._store_stats = store_stats
        self._monotonic = monotonic
        self._collector = _Collector(engine, observed, connections, is_ready, now_ms, queues_max)
        self._registry = CollectorRegistry()
        self._registry.register(self._collector)
        self._rendered = b""
        self._rendered_at = -CACHED_S

    async def render(self) -> bytes:
        """The page; at most a second old, however many ask."""
        if self._monotonic() - self._rendered_at >= CACHED_S:
            self._collector.storage = await self._store_stats()
            self._rendered = generate_latest(self._registry)
            self._rendered_at = self._monotonic()
        return self._rendered


class _Collector(Collector):
    def __init__(
        self,
        engine: Engine,
        observed: Observed,
        connections: Callable[[], dict[str, int]],
        is_ready: Callable[[], bool],
        now_ms: Callable[[], int],
        queues_max: int,
    ):
        self._queues_max = queues_max
        self._engine = engine
        self._observed = observed
        self._connections = connections
        self._is_ready = is_ready
        self._now_ms = now_ms
        self.storage: StoreStats | None = None

    def collect(self) -> Iterator[Metric]:
        yield _gauge(
            "holdfast_build_info",
            "Versions",
            ["version", "python", "sqlite", "protocol"],
            [
                (
                    (
                        VERSION,
                        platform.python_version(),
                        sqlite3.sqlite_version,
                        str(PROTOCOL_VERSION),
                    ),
                    1,
                )
            ],
        )
        ready = int(self._is_ready())
        yield _gauge("holdfast_ready", "1 when /readyz answers 200", [], [((), ready)])
        yield from self._queues()
        yield from self._process()
        yield from self._stored()

    # ---- queues ----------------------------------------------------------------------------

    def _groups(self) -> Groups:
        """Queues under their labels: the fullest under their own, the rest folded."""
        queues = list(self._engine.queues.values())
        if len(queues) <= self._queues_max:
            return [(queue.name, [queue]) for queue in queues]
        queues.sort(key=lambda queue: sum(queue.counts[1:5]), reverse=True)
        shown = [(queue.name, [queue]) for queue in queues[: self._queues_max]]
        return [*shown, (OTHER, queues[self._queues_max :])]

    def _queues(self) -> Iterator[Metric]:
        groups = self._groups()
        yield _gauge(
            "holdfast_queue_jobs",
            "Jobs now in a state",
            ["queue", "state"],
            [
                ((name, state.name.lower()), sum(queue.counts[state] for queue in queues))
                for name, queues in groups
                for state in State
            ],
        )
        yield _gauge(
            "holdfast_queue_oldest_waiting_age_seconds",
            "Age of the first waiting job, 0 when none waits",
            ["queue"],
            [((name,), max(map(self._age_s, queues))) for name, queues in groups],
        )
        yield _gauge(
            "holdfast_queue_paused",
            "1 = paused",
            ["queue"],
            [((name,), max(int(queue.is_paused) for queue in queues)) for name, queues in groups],
        )
        yield _gauge(
            "holdfast_queue_workers",
            "Connected workers that take jobs of the queue",
            ["queue"],
            [((name,), sum(len(queue.subscribers) for queue in queues)) for name, queues in groups],
        )
        yield _gauge(
            "holdfast_queue_slots",
            "Jobs that those workers could run at once",
            ["queue"],
            [((name,), sum(queue.slots for queue in queues)) for name, queues in groups],
        )
        yield from _queue_counters(groups)
        yield from _queue_histograms(groups)

    def _age_s(self, queue: QueueState) -> float:
        since_ms = queue.oldest_waiting_at_ms()
        return 0.0 if since_ms is None else max(0, self._now_ms() - since_ms) / 1000

    # ---- process ---------------------------------------------------------------------------

    def _process(self) -> Iterator[Metric]:
        seen = self._observed
        yield _gauge(
            "holdfast_connections",
            "Open connections",
            ["role"],
            [((role,), count) for role, count in self._connections().items()],
        )
        yield _counter(
            "holdfast_connections_opened",
            "Accepted connections",
            [],
            [((), seen.connections_opened)],
        )
        yield _counter(
            "holdfast_connections_rejected",
            "Connections refused",
            ["reason"],
            [((reason,), count) for reason, count in seen.connections_rejected.items()],
        )
        yield _counter(
            "holdfast_commands",
            "Requests by command and status",
            ["command", "status"],
            list(seen.commands.items()),
        )
        yield _counter(
            "holdfast_network_bytes",
            "Bytes on the TCP port",
            ["direction"],
            [(("received",), seen.received_bytes), (("sent",), seen.sent_bytes)],
        )
        yield _counter(
            "holdfast_protocol_errors",
            "Connections closed for what they sent",
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
            "holdfast_event_loop_lag_seconds",
            "How late timers run",
            [],
            [((), seen.loop_lag_seconds)],
        )

    def _stored(self) -> Iterator[Metric]:
        seen = self._observed
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
        yield _counter(
            "holdfast_storage_checkpoints",
            "Checkpoints made",
            ["mode", "result"],
            [(("passive", "ok"), seen.checkpoints)],
        )
        yield _counter(
            "holdfast_storage_errors",
            "Errors survived",
            ["kind"],
            [(("full",), seen.store_full)],
        )
        if self.storage is not None:
            yield _gauge(
                "holdfast_storage_bytes",
                "Size of the files",
                ["file"],
                [(("db",), self.storage.db_bytes), (("wal",), self.storage.wal_bytes)],
            )
            yield _gauge(
                "holdfast_storage_disk_free_bytes",
                "Free space of the data directory's file system",
                [],
                [((), self.storage.disk_free_bytes)],
            )


def _queue_counters(groups: Groups) -> Iterator[Metric]:
    """Counters by queue: (metric, help, label, {label value: field of QueueStats})."""
    table: list[tuple[str, str, str | None, str | dict[str, str]]] = [
        (
            "holdfast_jobs_enqueued",
            "Jobs asked to be added",
            "result",
            {"accepted": "accepted", "duplicate": "duplicates"},
        ),
        (
            "holdfast_job_attempts",
            "Attempts that ended",
            "outcome",
            {
                "completed": "completed",
                "failed": "attempts_failed",
                "lost": "attempts_lost",
                "released": "attempts_released",
            },
        ),
        (
            "holdfast_jobs_finished",
            "Jobs that ended",
            "outcome",
            {"completed": "completed", "failed": "jobs_failed"},
        ),
        ("holdfast_job_retries", "Attempts scheduled again after a failure", None, "retries"),
        (
            "holdfast_jobs_moved",
            "Actions of people and programs",
            "action",
            {"retry": "retried", "promote": "promoted", "delete": "removed"},
        ),
        ("holdfast_jobs_pruned", "Jobs removed by retention", None, "pruned"),
        (
            "holdfast_queue_throttled",
            "Times that a limit held a job back",
            "reason",
            {"concurrency": "throttled_concurrency", "rate": "throttled_rate"},
        ),
    ]
    for name, text, label, source in table:
        if isinstance(source, str):
            samples = [((queue,), _sum(queues, source)) for queue, queues in groups]
            yield _counter(name, text, ["queue"], samples)
        else:
            split = [
                ((queue, value), _sum(queues, attribute))
                for queue, queues in groups
                for value, attribute in source.items()
            ]
            yield _counter(name, text, ["queue", str(label)], split)


def _queue_histograms(groups: Groups) -> Iterator[Metric]:
    yield _histogram(
        "holdfast_job_wait_seconds",
        "Ready to leased; a delay that was asked for is not counted",
        ["queue"],
        [
            ((name,), _merged([queue.stats.wait_seconds for queue in queues]))
            for name, queues in groups
        ],
    )
    yield _histogram(
        "holdfast_job_duration_seconds",
        "Leased to ended",
        ["queue", "outcome"],
        [
            ((name, outcome), _merged([getattr(queue.stats, attribute) for queue in queues]))
            for name, queues in groups
            for outcome, attribute in (
                ("completed", "duration_seconds_completed"),
                ("failed", "duration_seconds_failed"),
            )
        ],
    )


def _sum(queues: Iterable[QueueState], attribute: str) -> int:
    return sum(getattr(queue.stats, attribute) for queue in queues)


def _merged(histograms: list[Histogram]) -> Histogram:
    merged = Histogram(histograms[0].bounds)
    for histogram in histograms:
        merged.total += histogram.total
        merged.counts = [a + b for a, b in zip(merged.counts, histogram.counts, strict=True)]
    return merged


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
        below = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip(
            [*map(repr, map(float, histogram.bounds)), "+Inf"], histogram.counts, strict=True
        ):
            below += count
            buckets.append((bound, below))
        family.add_metric(values, buckets, histogram.total)
    return family
