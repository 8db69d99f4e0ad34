"""docs/metrics.md lists what the daemon exports, no more and no less."""

import random
import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from holdfastd.engine.broker import Engine
from holdfastd.engine.model import QueueKey, QueueSettings, State
from holdfastd.engine.partition import EngineSettings
from holdfastd.engine.queue import QueueState
from holdfastd.observed import Observed
from holdfastd.store.base import StoreStats
from holdfastd.web.metrics import OTHER, Metrics

TEXT = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()


async def page(queue_count: int, queues_max: int) -> str:
    """What a daemon with so many queues exports; the n-th has n waiting jobs."""
    engine = Engine(EngineSettings(), random.Random(1))
    for number in range(queue_count):
        queue = QueueState(QueueKey(number), f"q{number}")
        queue.counts[State.WAITING] = number
        queue.settings = QueueSettings(concurrency=1)
        engine.queues[queue.name] = queue
    observed = Observed()
    observed.commands["enqueue", "ok"] = 1
    observed.connections_rejected["limit"] = 1
    observed.protocol_errors["bad_frame"] = 1
    observed.backup_at_ms, observed.backup_seconds, observed.backup_bytes = 1, 1.0, 1

    async def stats() -> StoreStats:
        return StoreStats(1, 2, 3)

    metrics = Metrics(
        engine,
        observed,
        lambda: {"producer": 1},
        stats,
        lambda: True,
        lambda: 0,
        lambda: 0.0,
        queues_max,
    )
    return (await metrics.render()).decode()


async def test_every_metric_is_described_with_its_type_and_labels() -> None:
    told = {
        name: (kind, set() if labels == "-" else set(labels.split(", ")))
        for name, kind, labels in re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]+) \|", TEXT, re.M)
    }
    exported = {}
    for family in text_string_to_metric_families(await page(1, 10)):
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        exported[name] = (family.type, labels)
    assert told == exported


async def test_many_queues_are_folded_but_for_the_fullest() -> None:
    text = await page(1_000, 2)
    shown = set(re.findall(r'holdfast_queue_jobs\{queue="([^"]+)"', text))
    assert shown == {"q999", "q998", OTHER}
    waiting = re.search(rf'queue_jobs\{{queue="{OTHER}",state="waiting"\}} (\S+)', text)
    assert waiting is not None
    assert float(waiting[1]) == sum(range(998))
