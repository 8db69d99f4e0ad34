"""The metrics page: right numbers, stable labels, one page for many scrapers, few series."""

import asyncio
import gzip
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

from holdfastd.engine import commands
from holdfastd.engine.ledger import OTHER, OWN_MIN
from holdfastd.engine.model import NewJob, QueueSettings, Rate, State
from holdfastd.engine.partition import EngineSettings
from holdfastd.observed import Observed
from holdfastd.store.base import StoreStats
from holdfastd.web.metrics import Form, Metrics
from holdfastd.web.snapshot import OWN_AT_ONCE, Snapshots
from support.engine import Driver, W

Samples = dict[tuple[str, ...], float]
"""(name, label values in order of the labels' names) -> number."""
SERIES_MAX = 1_000


class Page:
    """A metrics page over a real engine, with clocks that stand still until they are set."""

    def __init__(self, queues_max: int = 10, task_series_max: int = 0):
        settings = EngineSettings(own_stats_max=queues_max, task_series_max=task_series_max)
        self.driver = Driver(settings=settings)
        self.driver.attach(W, "s", worker="w")
        self.engine = self.driver.engine
        self.observed = Observed()
        self.stats_asked = 0
        snapshots = Snapshots(
            self.engine,
            self.observed,
            lambda: {"producer": 2, "worker": 1, "unidentified": 0},
            self.stats,
            lambda: True,
            lambda: self.driver.now_ms,
            lambda: self.driver.monotonic,
        )
        self.metrics = Metrics(snapshots, lambda: self.driver.monotonic)

    async def stats(self) -> StoreStats:
        self.stats_asked += 1
        return StoreStats(1, 2, 3, 4)

    def do(self, command: Any) -> None:
        self.driver.ask(W, command)

    def add(self, queue: str, name: str = "n") -> None:
        new = NewJob(f"j{self.driver.request}", True, name, b"x")
        self.do(commands.Enqueue(queue, [(0, new)], []))

    def work(self, *queues: str) -> list[commands.Held]:
        """Subscribe to the queues; returns the jobs that come at once."""
        self.do(commands.Subscribe(list(queues), 100))
        return [commands.Held(item[0], item[1], item[2]) for item in self.driver.take(W)]

    def know_queues(self, count: int, prefix: str = "q") -> None:
        """Queues without jobs."""
        for number in range(count):
            self.driver.do(W, commands.Pause(f"{prefix}{number}"))

    async def text(self) -> str:
        """A fresh page."""
        self.driver.monotonic += 10
        return (await self.metrics.render()).decode()

    async def samples(self) -> Samples:
        return samples_of(await self.text())


def samples_of(text: str) -> Samples:
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, *(sample.labels[label] for label in sorted(sample.labels)))
            assert key not in found, f"{key} is there twice"
            found[key] = sample.value
    return found


def labels(samples: Samples) -> set[str]:
    """The queue labels on a page."""
    return {key[1] for key in samples if key[0] == "holdfast_queue_paused"}


async def test_a_job_is_seen_waiting_and_then_running() -> None:
    page = Page()
    page.add("q")
    page.driver.now_ms += 3_000
    samples = await page.samples()
    assert samples["holdfast_queue_jobs", "q", "waiting"] == 1
    assert samples["holdfast_queue_oldest_waiting_age_seconds", "q"] == 3
    assert samples["holdfast_queue_longest_active_seconds", "q"] == 0
    assert samples["holdfast_jobs_enqueued_total", "q", "accepted"] == 1

    page.do(commands.Subscribe(["q"], 5))
    page.driver.now_ms += 2_000
    samples = await page.samples()
    assert samples["holdfast_queue_jobs", "q", "waiting"] == 0
    assert samples["holdfast_queue_jobs", "q", "active"] == 1
    assert samples["holdfast_queue_oldest_waiting_age_seconds", "q"] == 0
    assert samples["holdfast_queue_longest_active_seconds", "q"] == 2
    assert samples["holdfast_queue_workers", "q"] == 1
    assert samples["holdfast_queue_slots", "q"] == 5
    assert samples["holdfast_job_wait_seconds_count", "q"] == 1
    assert samples["holdfast_job_wait_seconds_sum", "q"] == 3


async def test_every_way_an_attempt_ends_is_counted_under_its_own_name() -> None:
    page = Page()
    for _ in range(5):
        page.add("q")
    done, failed, released, snoozed, removed = page.work("q")
    page.do(commands.Subscribe(["q"], 0))  # none comes back
    page.do(commands.Ack([(done, None)], 0))
    page.do(commands.Fail([(failed, commands.AttemptError("E", "m", ""), None)], 0))
    page.do(commands.Release([(released, 0)], 0))
    page.do(commands.Release([(snoozed, 60_000)], 0))
    page.do(commands.Remove("q", [removed.id], State.ACTIVE))
    samples = await page.samples()
    attempts = {key[1]: n for key, n in samples.items() if key[0] == "holdfast_job_attempts_total"}
    ended = {"completed": 1, "failed": 1, "released": 1, "snoozed": 1, "cancelled": 1, "lost": 0}
    assert attempts == ended
    assert samples["holdfast_jobs_finished_total", "failed", "q"] == 1
    assert samples["holdfast_jobs_moved_total", "delete", "q"] == 1


async def test_jobs_that_are_refused_are_counted_and_make_no_queue() -> None:
    page = Page()
    page.add("q")
    page.do(commands.Enqueue("q", [], [[0, 304, "bad"], [1, 304, "bad"]]))
    page.do(commands.Refused("q", 3))
    page.do(commands.Refused("no such queue", 4))
    samples = await page.samples()
    assert samples["holdfast_jobs_enqueued_total", "q", "rejected"] == 5
    assert samples["holdfast_jobs_enqueued_total", OTHER, "rejected"] == 4
    assert labels(samples) == {"q", OTHER}


async def test_jobs_that_go_with_their_queue_are_counted() -> None:
    page = Page()
    page.add("q")
    page.do(commands.Obliterate("q", True))
    samples = await page.samples()
    assert samples["holdfast_jobs_moved_total", "obliterate", OTHER] == 1
    assert labels(samples) == {OTHER}


async def test_limits_are_shown_where_they_are_set() -> None:
    page = Page()
    page.add("free")
    page.do(commands.Configure("tight", QueueSettings(concurrency=4, rate=Rate(30, 60_000, 1))))
    samples = await page.samples()
    limits = {key[1:]: value for key, value in samples.items() if key[0] == "holdfast_queue_limit"}
    assert limits == {("concurrency", "tight"): 4, ("rate_per_second", "tight"): 0.5}


async def test_any_name_of_a_queue_can_be_a_label() -> None:
    page = Page()
    page.add("A-z_0.9:x")
    assert labels(await page.samples()) == {"A-z_0.9:x"}


# ---- few series ----------------------------------------------------------------------------------


async def test_a_hundred_thousand_queues_make_less_than_a_thousand_series() -> None:
    page = Page(queues_max=100)
    for name in ("enqueue", "ack", "fail", "release", "subscribe", "heartbeat", "counts", "get"):
        page.observed.command_seconds[name].observe(0.001)
        for status in ("ok", "client", "conflict", "unavailable"):
            page.observed.commands[name, status] += 1
    page.know_queues(100_000)
    samples = await page.samples()
    assert len(labels(samples)) == OWN_MIN + 1
    assert len(samples) <= SERIES_MAX

    few = Page(queues_max=100)
    few.know_queues(100)
    assert len(await few.samples()) > SERIES_MAX, "it is the folding that keeps them few"


async def test_the_youngest_queues_are_folded_and_the_oldest_keep_their_series() -> None:
    page = Page(queues_max=10)
    page.know_queues(10)
    everybody = {f"q{number}" for number in range(10)}
    assert labels(await page.samples()) == everybody
    page.add("late")
    assert labels(await page.samples()) == everybody - {"q9"} | {OTHER}
    page.know_queues(100, "more")
    assert labels(await page.samples()) == {"q0", "q1", "q2", "q3", "q4", OTHER}


async def test_queues_get_their_series_back_when_others_go() -> None:
    page = Page(queues_max=10)
    for name in "abcdefghijk":
        page.add(name)
    assert labels(await page.samples()) == set("abcdefghi") | {OTHER}
    page.do(commands.Obliterate("a", True))
    assert labels(await page.samples()) == set("bcdefghijk") | {OTHER}


async def test_counters_never_fall_whoever_comes_and_goes() -> None:
    page = Page(queues_max=6)
    seen: Samples = {}
    for step in range(60):
        page.add(f"q{step % 17}")
        if step % 5 == 4:
            page.do(commands.Obliterate(f"q{step % 7}", True))
        samples = await page.samples()
        for key, value in samples.items():
            if OTHER in key and key[0].endswith(("_total", "_count", "_bucket")):
                assert value >= seen.get(key, 0), key
                seen[key] = value
    assert seen["holdfast_jobs_enqueued_total", OTHER, "accepted"] > 0


async def test_a_queue_that_is_folded_while_the_page_is_made_does_not_show_the_counts_of_all() -> (
    None
):
    page = Page(queues_max=2 * OWN_AT_ONCE)
    for number in range(2 * OWN_AT_ONCE + 10):
        page.add(f"q{number}")
    taking = asyncio.create_task(page.metrics._snapshots.take())
    late = 0
    while not taking.done():
        await asyncio.sleep(0)
        page.add(f"late{late}")
        late += 1
    own = [queue for queue in taking.result().queues if queue.name != OTHER]
    assert len(own) < 90, "some were folded before they were looked at"
    assert {queue.counters["accepted"] for queue in own} == {1}


async def test_folded_queues_are_added_up() -> None:
    page = Page(queues_max=0)
    for number in range(3):
        page.add(f"q{number}")
        page.add(f"q{number}")
    page.driver.now_ms += 10_000_000
    held = page.work("q0", "q1")
    page.do(commands.Ack([(each, None) for each in held[:3]], 0))
    samples = await page.samples()
    assert labels(samples) == {OTHER}
    assert samples["holdfast_queue_jobs", OTHER, "waiting"] == 2
    assert samples["holdfast_queue_jobs", OTHER, "active"] == 1
    assert samples["holdfast_queue_oldest_waiting_age_seconds", OTHER] == 10_000
    assert samples["holdfast_queue_workers", OTHER] == 1
    assert samples["holdfast_queue_slots", OTHER] == 97
    assert samples["holdfast_jobs_finished_total", "completed", OTHER] == 3
    assert samples["holdfast_job_wait_seconds_bucket", "1800.0", OTHER] == 0
    assert samples["holdfast_job_wait_seconds_bucket", "+Inf", OTHER] == 4
    assert samples["holdfast_metrics_folded_total", "queue"] == 6 + 3


async def test_a_queue_of_the_name_that_the_others_have_is_one_of_them() -> None:
    page = Page()
    page.add("q")
    page.add(OTHER)
    page.know_queues(2)
    samples = await page.samples()  # refuses a series that is there twice
    assert labels(samples) == {"q", "q0", "q1", OTHER}
    assert samples["holdfast_queue_jobs", OTHER, "waiting"] == 1


async def test_tasks_are_timed_only_if_asked_for_and_in_bounds() -> None:
    plain, page = Page(), Page(task_series_max=2)
    for each in (plain, page):
        for name in ("resize", "mail", "zip", "zip"):
            each.add("q", name)
        each.do(commands.Ack([(held, None) for held in each.work("q")], 0))
    name = "holdfast_task_duration_seconds_count"
    assert not any(key[0] == name for key in await plain.samples())
    samples = await page.samples()
    counts = {key[1:]: value for key, value in samples.items() if key[0] == name}
    assert counts == {("q", "resize"): 1, ("q", "mail"): 1, (OTHER, OTHER): 2}
    assert samples["holdfast_metrics_folded_total", "task"] == 2

    page.do(commands.Obliterate("q", True))
    page.add("r", "zip")
    page.do(commands.Ack([(held, None) for held in page.work("r")], 0))
    assert (await page.samples())[name, "r", "zip"] == 1


# ---- who asks ------------------------------------------------------------------------------------


async def test_many_scrapers_share_one_page_a_second() -> None:
    page = Page()
    pages = await asyncio.gather(*(page.metrics.render() for _ in range(20)))
    assert page.stats_asked == 1
    assert len(set(pages)) == 1
    page.driver.monotonic += 1
    await page.metrics.render()
    assert page.stats_asked == 2


async def test_every_form_has_the_same_numbers() -> None:
    page = Page()
    page.add("q")
    text, zipped, openmetrics = [
        await page.metrics.render(form)
        for form in (Form(), Form(is_gzipped=True), Form(is_openmetrics=True))
    ]
    assert page.stats_asked == 1
    assert gzip.decompress(zipped) == text
    told = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in openmetrics_families(openmetrics.decode())  # type: ignore[no-untyped-call]  # it has no types
        for sample in family.samples
    }
    assert told == {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("accept", "is_openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
        # Prometheus 2.42 and 3:
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
            "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            True,
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
            "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,*/*;q=0.1",
            True,
        ),
    ],
)
def test_who_asks_for_openmetrics_gets_it(accept: str, is_openmetrics: bool) -> None:
    form = Form.of(accept, "")
    assert form.is_openmetrics is is_openmetrics
    kind = "application/openmetrics-text; version=1.0.0" if is_openmetrics else "text/plain; versi"
    assert form.headers["Content-Type"].startswith(kind)


@pytest.mark.parametrize(
    ("accept_encoding", "is_gzipped"),
    [("", False), ("identity", False), ("gzip", True), ("br, GZIP;q=0.5", True), ("x-gzip", False)],
)
def test_who_takes_gzip_gets_it(accept_encoding: str, is_gzipped: bool) -> None:
    form = Form.of("", accept_encoding)
    assert form.is_gzipped is is_gzipped
    assert ("Content-Encoding" in form.headers) is is_gzipped


async def test_the_loop_goes_on_while_a_large_page_is_made() -> None:
    page = Page(queues_max=500)
    page.know_queues(500)
    rendering = asyncio.create_task(page.metrics.render())
    turns = 0
    while not rendering.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 100


async def test_a_page_is_of_one_instant_whatever_happens_while_it_is_written() -> None:
    page = Page()
    page.add("q")
    snapshot = await page.metrics._snapshots.take()
    before = page.metrics._collect(snapshot)[:-6]  # without the process's own
    page.add("q")
    page.observed.commands["ack", "ok"] += 1
    page.observed.commit_seconds.observe(1)
    page.driver.now_ms += 1_000
    assert page.metrics._collect(snapshot)[:-6] == before
    assert page.metrics._collect(await page.metrics._snapshots.take())[:-6] != before
