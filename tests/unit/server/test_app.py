"""The HTTP port's answers, without a socket."""

import random

import httpx2
import pytest

from holdfastd.access.door import Door
from holdfastd.clock import SystemClock
from holdfastd.engine.broker import Engine
from holdfastd.engine.partition import EngineSettings
from holdfastd.observed import Observed
from holdfastd.store.base import StoreStats
from holdfastd.web.app import make_app
from holdfastd.web.guard import Guard
from holdfastd.web.metrics import Metrics
from holdfastd.web.safe.sessions import Sessions
from holdfastd.web.snapshot import Snapshots


async def stats() -> StoreStats:
    return StoreStats(1, 2, 3, 4)


async def get(
    path: str, why_not_ready: str | None = None, headers: dict[str, str] | None = None
) -> httpx2.Response:
    engine = Engine(EngineSettings(), random.Random(1))
    is_ready = why_not_ready is None
    snapshots = Snapshots(engine, Observed(), dict, stats, lambda: is_ready, lambda: 0, lambda: 0.0)
    metrics = Metrics(snapshots, lambda: 0.0)
    clock = SystemClock()
    app = make_app(metrics, lambda: why_not_ready, Guard(Door(None, clock), Sessions(clock)))
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.get(path, headers=headers or {})


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


async def test_the_metrics_page_comes_in_the_form_that_is_asked_for() -> None:
    plain = await get("/metrics", headers={"accept": "*/*", "accept-encoding": "identity"})
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "content-encoding" not in plain.headers
    asked = {"accept": "application/openmetrics-text;version=1.0.0", "accept-encoding": "gzip"}
    answer = await get("/metrics", headers=asked)
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.text.endswith("# EOF\n")


async def test_other_paths_are_not_found() -> None:
    assert (await get("/admin")).status_code == 404
