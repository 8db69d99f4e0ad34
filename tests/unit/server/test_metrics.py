"""The metrics page: right numbers, stable labels, one page for many scrapers."""

import asyncio
import random
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from holdfastd.engine import commands
from holdfastd.engine.broker import Engine
from holdfastd.engine.model import NewJob, QueueKey, QueueSettings, Rate, State
from holdfastd.engine.partition import EngineSettings, Moment
from holdfastd.engine.queue import QueueState
from holdfastd.observed import Observed
from holdfastd.store.base import StoreStats
from holdfastd.web.metrics import OTHER, Metrics


@dataclass
class Page:
    """A metrics page over a real engine, with clocks that stand still until they are set."""

    queues_max: int = 10
    now_ms: int = 1_000_000
    monotonic: float = 0.0
    engine: Engine = field(default_factory=lambda: Engine(EngineSettings(), random.Random(1)))
    observed: Observed = field(default_factory=Observed)
    stats_asked: int = 0

    def __post_init__(self) -> None:
        self.metrics = Metrics(
            self.engine,
            self.observed,
            lambda: {"producer": 2, "worker": 1, "unidentified": 0},
            self.stats,
            lambda: True,
            lambda: self.now_ms,
            lambda: self.monotonic,
            self.queues_max,
        )

    async def stats(self) -> StoreStats:
        self.stats_asked += 1
        return StoreStats(1, 2, 3)

    def add_queue(self, name: str, waiting: int = 0) -> QueueState:
        queue = QueueState(QueueKey(len(self.engine.queues) + 1), name)
        queue.counts[State.WAITING] = waiting
        self.engine.queues[name] = queue
        return queue

    async def samples(self) -> dict[tuple[str, ...], float]:
        """A fresh page as (name, label values in order of the labels' names) -> number."""
        self.monotonic += 10
        text = (await self.metrics.render()).decode()
        return {
            (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def names(self, samples: dict[tuple[str, ...], float]) -> set[str]:
        """The queue labels on a page."""
        return {key[1] for key in samples if key[0] == "holdfast_queue_paused"}


async def test_a_job_is_seen_waiting_and_then_running() -> None:
    page = Page()
    engine = page.engine
    engine.recover(1, (1, 1, 1), [], [], [], Moment(page.now_ms, 0.0))  # type: ignore[arg-type]  # plain numbers will do
    engine.attach(1, commands.Attach("s", "w", (), {}), Moment(page.now_ms, 0.0))
    new = NewJob("j", True, "n", b"x")
    engine.apply(1, 1, commands.Enqueue("q", [(0, new)], []), Moment(page.now_ms, 0.0))
    page.now_ms += 3_000
    samples = await page.samples()
    assert samples["holdfast_queue_jobs", "q", "waiting"] == 1
    assert samples["holdfast_queue_oldest_waiting_age_seconds", "q"] == 3
    assert samples["holdfast_queue_longest_active_seconds", "q"] == 0
    assert samples["holdfast_jobs_enqueued_total", "q", "accepted"] == 1

    engine.apply(1, 2, commands.Subscribe(["q"], 5), Moment(page.now_ms, 3.0))
    page.now_ms += 2_000
    samples = await page.samples()
    assert samples["holdfast_queue_jobs", "q", "waiting"] == 0
    assert samples["holdfast_queue_jobs", "q", "active"] == 1
    assert samples["holdfast_queue_oldest_waiting_age_seconds", "q"] == 0
    assert samples["holdfast_queue_longest_active_seconds", "q"] == 2
    assert samples["holdfast_queue_workers", "q"] == 1
    assert samples["holdfast_queue_slots", "q"] == 5
    assert samples["holdfast_job_wait_seconds_count", "q"] == 1
    assert samples["holdfast_job_wait_seconds_sum", "q"] == 3


async def test_limits_are_shown_where_they_are_set() -> None:
    page = Page()
    page.add_queue("free")
    page.add_queue("tight").settings = QueueSettings(concurrency=4, rate=Rate(30, 60_000, 1))
    samples = await page.samples()
    limits = {key[1:]: value for key, value in samples.items() if key[0] == "holdfast_queue_limit"}
    assert limits == {("concurrency", "tight"): 4, ("rate_per_second", "tight"): 0.5}


async def test_a_queue_with_series_of_its_own_keeps_them() -> None:
    page = Page(queues_max=1)
    first = page.add_queue("first", waiting=5)
    page.add_queue("second")
    assert page.names(await page.samples()) == {"first", OTHER}
    first.counts[State.WAITING] = 0
    page.engine.queues["second"].counts[State.WAITING] = 100
    samples = await page.samples()
    assert page.names(samples) == {"first", OTHER}
    assert samples["holdfast_queue_jobs", OTHER, "waiting"] == 100

    del page.engine.queues["first"]
    assert page.names(await page.samples()) == {"second"}


async def test_folded_queues_are_added_up() -> None:
    page = Page(queues_max=0)
    for number in range(3):
        stats = page.add_queue(f"q{number}", waiting=2).stats
        stats.completed = 5
        stats.wait_seconds.observe(0.001)
        stats.wait_seconds.observe(10_000)
    samples = await page.samples()
    assert samples["holdfast_queue_jobs", OTHER, "waiting"] == 6
    assert samples["holdfast_jobs_finished_total", "completed", OTHER] == 15
    assert samples["holdfast_job_wait_seconds_bucket", "0.005", OTHER] == 3
    assert samples["holdfast_job_wait_seconds_bucket", "1800.0", OTHER] == 3
    assert samples["holdfast_job_wait_seconds_bucket", "+Inf", OTHER] == 6
    assert samples["holdfast_metrics_folded_total", "queue"] == 3


async def test_any_name_of_a_queue_can_be_a_label() -> None:
    page = Page()
    page.add_queue("A-z_0.9:x")
    assert page.names(await page.samples()) == {"A-z_0.9:x"}


async def test_many_scrapers_share_one_page_a_second() -> None:
    page = Page()
    pages = await asyncio.gather(*(page.metrics.render() for _ in range(20)))
    assert page.stats_asked == 1
    assert len(set(pages)) == 1
    page.monotonic += 1
    await page.metrics.render()
    assert page.stats_asked == 2


async def test_the_loop_goes_on_while_a_large_page_is_made() -> None:
    page = Page(queues_max=10_000)
    for number in range(2_000):
        page.add_queue(f"q{number}")
    rendering = asyncio.create_task(page.metrics.render())
    turns = 0
    while not rendering.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 100
