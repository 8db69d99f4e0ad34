"""Prometheus metrics from the plain counters of the engine, the pipeline and the listener.

Nothing is counted here: a scrape reads numbers that are kept anyway. Labels by queue are bounded:
beyond metrics.queues_max queues the rest is folded into `_other`, so that a million names do not
make a million series. docs/metrics.md lists every name; a test compares it.

A page of 300 queues takes 100 ms to write, for which the event loop must not stand still. So the
loop only looks at what its own thread may look at, a slice of the queues at a time; a thread reads
the plain counters and writes the page. Its numbers may be some milliseconds apart.
"""

import asyncio
import platform
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from heapq import nlargest
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
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
from holdfastd.engine.model import QueueKey, QueueSettings, State
from holdfastd.engine.queue import QueueState
from holdfastd.engine.stats import Histogram
from holdfastd.observed import Observed

if TYPE_CHECKING:
    from holdfastd.store.base import StoreStats

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
OTHER: Final = "_other"
CACHED_S: Final = 1.0

LOOKED_AT_ONCE: Final = 500
"""Queues or sessions looked at before the event loop may do other things: under 1 ms."""


class Seen(NamedTuple):
    """A queue, and what of it only the event loop's thread may look at."""

    queue: QueueState
    oldest_waiting_at_ms: int | None
    longest_active_at_ms: int | None
    """When the attempt that has run longest began; None = none runs."""
    slots: int


Groups = list[tuple[str, list[Seen]]]
"""Queues by their label."""


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
        self._engine = engine
        self._connections = connections
        self._store_stats = store_stats
        self._monotonic = monotonic
        self._collector = _Collector(observed, is_ready, now_ms, queues_max)
        self._registry = CollectorRegistry()
        self._registry.register(self._collector)
        ProcessCollector(registry=self._registry)
        self._rendering = asyncio.Lock()
        self._rendered = b""
        self._rendered_at = -CACHED_S

    async def render(self) -> bytes:
        """The page; at most a second old, however many ask."""
        async with self._rendering:
            if self._monotonic() - self._rendered_at >= CACHED_S:
                self._collector.storage = await self._store_stats()
                self._collector.connections = self._connections()
                self._collector.seen = await self._look()
                self._rendered = await asyncio.to_thread(generate_latest, self._registry)
                self._rendered_at = self._monotonic()
            return self._rendered

    async def _look(self) -> list[Seen]:
        """All queues, a slice at a time."""
        began = await self._longest_active()
        queues = iter(list(self._engine.queues.values()))
        seen: list[Seen] = []
        while some := list(islice(queues, LOOKED_AT_ONCE)):
            seen += [
                Seen(queue, queue.oldest_waiting_at_ms(), began.get(queue.key), queue.slots)
                for queue in some
            ]
            await asyncio.sleep(0)
        return seen

    async def _longest_active(self) -> dict[QueueKey, int]:
        """When the longest running attempt of each queue began."""
        began: dict[QueueKey, int] = {}
        sessions = iter(list(self._engine.sessions.values()))
        while some := list(islice(sessions, LOOKED_AT_ONCE)):
            for session in some:
                for job in session.leases.values():
                    began[job.queue] = min(job.started_at_ms, began.get(job.queue, sys.maxsize))
            await asyncio.sleep(0)
        return began


class _Collector(Collector):
    """Writes from what was put into it, and from plain counters; runs in another thread."""

    def __init__(
        self,
        observed: Observed,
        is_ready: Callable[[], bool],
        now_ms: Callable[[], int],
        queues_max: int,
    ):
        self._observed = observed
        self._is_ready = is_ready
        self._now_ms = now_ms
        self._queues_max = queues_max
        self._shown: dict[QueueKey, None] = {}
        """Queues with series of their own."""
        self._folded = 0
        # Put in before each page.
        self.seen: list[Seen] = []
        self.connections: dict[str, int] = {}
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
        yield from _backups(self._observed)

    # ---- queues ----------------------------------------------------------------------------

    def _groups(self) -> Groups:
        """Queues under their labels: so many under their own, the rest folded.

        A queue keeps its label while it exists, or its counters would jump into `_other` and back;
        room is given to the fullest of the others.
        """
        existing = {seen.queue.key for seen in self.seen}
        self._shown = {key: None for key in self._shown if key in existing}
        room = self._queues_max - len(self._shown)
        others = [seen for seen in self.seen if seen.queue.key not in self._shown]
        for seen in nlargest(room, others, key=_unfinished):
            self._shown[seen.queue.key] = None
        shown = [(seen.queue.name, [seen]) for seen in self.seen if seen.queue.key in self._shown]
        folded = [seen for seen in others if seen.queue.key not in self._shown]
        self._folded += len(folded)
        return [*shown, (OTHER, folded)] if folded else shown

    def _queues(self) -> Iterator[Metric]:
        groups = self._groups()
        yield _gauge(
            "holdfast_queue_jobs",
            "Jobs now in a state",
            ["queue", "state"],
            [
                ((name, state.name.lower()), sum([seen.queue.counts[state] for seen in group]))
                for name, group in groups
                for state in State
            ],
        )
        yield _gauge(
            "holdfast_queue_oldest_waiting_age_seconds",
            "Age of the first waiting job, 0 when none waits",
            ["queue"],
            [
                ((name,), self._age_s([seen.oldest_waiting_at_ms for seen in group]))
                for name, group in groups
            ],
        )
        yield _gauge(
            "holdfast_queue_longest_active_seconds",
            "Run time of the attempt that has run longest, 0 when none runs",
            ["queue"],
            [
                ((name,), self._age_s([seen.longest_active_at_ms for seen in group]))
                for name, group in groups
            ],
        )
        yield _gauge(
            "holdfast_queue_paused",
            "1 = paused",
            ["queue"],
            [((name,), int(any(seen.queue.is_paused for seen in group))) for name, group in groups],
        )
        yield _gauge(
            "holdfast_queue_workers",
            "Connected workers that take jobs of the queue",
            ["queue"],
            [
                ((name,), sum([len(seen.queue.subscribers) for seen in group]))
                for name, group in groups
            ],
        )
        yield _gauge(
            "holdfast_queue_slots",
            "Jobs that those workers could run at once",
            ["queue"],
            [((name,), sum([seen.slots for seen in group])) for name, group in groups],
        )
        yield _gauge(
            "holdfast_queue_limit",
            "Limit set on the queue; absent = none",
            ["queue", "kind"],
            [
                ((name, kind), limit)
                for name, group in groups
                if name != OTHER  # limits do not add up
                for kind, limit in _limits(group[0].queue.settings)
            ],
        )
        yield from _queue_counters(groups)
        yield from _queue_histograms(groups)
        yield _counter(
            "holdfast_metrics_folded",
            "Queues that a page summed up under _other, added up over the pages",
            ["label"],
            [(("queue",), self._folded)],
        )

    def _age_s(self, began_ms: list[int | None]) -> float:
        """Seconds since the earliest, 0 if there is none."""
        earliest_ms = min((at_ms for at_ms in began_ms if at_ms is not None), default=None)
        return 0.0 if earliest_ms is None else max(0, self._now_ms() - earliest_ms) / 1000

    # ---- process ---------------------------------------------------------------------------

    def _process(self) -> Iterator[Metric]:
        seen = self._observed
        yield _gauge(
            "holdfast_connections",
            "Open connections",
            ["role"],
            [((role,), count) for role, count in self.connections.items()],
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
            [((reason,), count) for reason, count in list(seen.connections_rejected.items())],
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
            [((kind,), count) for kind, count in list(seen.protocol_errors.items())],
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
        yield _gauge(
            "holdfast_storage_queue_depth",
            "Commands applied whose batch is not durable yet",
            [],
            [((), seen.commands_waiting)],
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
            samples = [((queue,), _sum(group, source)) for queue, group in groups]
            yield _counter(name, text, ["queue"], samples)
        else:
            split = [
                ((queue, value), _sum(group, attribute))
                for queue, group in groups
                for value, attribute in source.items()
            ]
            yield _counter(name, text, ["queue", str(label)], split)


def _queue_histograms(groups: Groups) -> Iterator[Metric]:
    yield _histogram(
        "holdfast_job_wait_seconds",
        "Ready to leased; a delay that was asked for is not counted",
        ["queue"],
        [
            ((name,), _merged([seen.queue.stats.wait_seconds for seen in group]))
            for name, group in groups
        ],
    )
    yield _histogram(
        "holdfast_job_duration_seconds",
        "Leased to ended",
        ["queue", "outcome"],
        [
            ((name, outcome), _merged([getattr(seen.queue.stats, attribute) for seen in group]))
            for name, group in groups
            for outcome, attribute in (
                ("completed", "duration_seconds_completed"),
                ("failed", "duration_seconds_failed"),
            )
        ],
    )


def _unfinished(seen: Seen) -> int:
    counts = seen.queue.counts
    return sum(counts[State.WAITING : State.BLOCKED + 1])


def _limits(settings: QueueSettings) -> Iterator[tuple[str, float]]:
    if settings.concurrency is not None:
        yield "concurrency", settings.concurrency
    if settings.rate is not None:
        yield "rate_per_second", settings.rate.limit * 1000 / settings.rate.period_ms


def _sum(group: list[Seen], attribute: str) -> int:
    return sum([getattr(seen.queue.stats, attribute) for seen in group])


def _merged(histograms: list[Histogram]) -> Histogram:
    if len(histograms) == 1:
        return histograms[0]
    merged = Histogram(histograms[0].bounds)
    merged.total = sum([histogram.total for histogram in histograms])
    columns = zip(*[histogram.counts for histogram in histograms], strict=True)
    merged.counts = [sum(column) for column in columns]
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
