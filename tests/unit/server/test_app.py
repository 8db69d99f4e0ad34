"""The HTTP port's answers, without a socket."""

import random

import httpx2
import pytest

from holdfastd.engine.broker import Engine
from holdfastd.engine.partition import EngineSettings
from holdfastd.observed import Observed
from holdfastd.store.base import StoreStats
from holdfastd.web.app import make_app
from holdfastd.web.metrics import Metrics


async def stats() -> StoreStats:
    return StoreStats(1, 2, 3)


async def get(path: str, why_not_ready: str | None = None) -> httpx2.Response:
    engine = Engine(EngineSettings(), random.Random(1))
    is_ready = why_not_ready is None
    metrics = Metrics(engine, Observed(), dict, stats, lambda: is_ready, lambda: 0, lambda: 0.0, 1)
    app = make_app(metrics, lambda: why_not_ready)
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://holdfast") as client:
        return await client.get(path)


async def test_a_ready_daemon_says_so() -> None:
    answer = await get("/readyz")
    assert (answer.status_code, answer.text) == (200, "ready\n")
    assert "holdfast_ready 1.0" in (await get("/metrics")).text


@pytest.mark.parametrize("why", ["starting", "draining"])
async def test_a_daemon_that_is_not_ready_says_why(why: str) -> None:
    answer = await get("/readyz", why)
    assert (answer.status_code, answer.text) == (503, f"not ready: {why}\n")
    assert "holdfast_ready 0.0" in (await get("/metrics", why)).text


async def test_a_daemon_that_is_not_ready_is_alive_all_the_same() -> None:
    answer = await get("/livez", "draining")
    assert (answer.status_code, answer.text) == (200, "alive\n")


async def test_the_metrics_page_has_the_type_that_prometheus_asks_for() -> None:
    answer = await get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")


async def test_other_paths_are_not_found() -> None:
    assert (await get("/admin")).status_code == 404
