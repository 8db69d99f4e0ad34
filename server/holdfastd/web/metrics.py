"""The metrics page: one snapshot a second at most, written in another thread, for all who ask.

Who asks for OpenMetrics gets it, everybody else Prometheus' text format; gzipped for who takes
that. Each form is written once per snapshot, and only if somebody asks for it.
"""

import asyncio
import gzip
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, cast

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from holdfastd.web.families import families
from holdfastd.web.snapshot import Snapshot, Snapshots

CACHED_S: Final = 1.0
"""Several who scrape cost no more than one."""
GZIP_LEVEL: Final = 1
"""A page of 100 queues is 540 kB: 32 kB in 1 ms; level 6 makes it 28 in 3, level 9 26 in 66."""
TEXT_TYPE: Final = choose_encoder("")[1]
OPENMETRICS_TYPE: Final = openmetrics.CONTENT_TYPE_LATEST


class Form(NamedTuple):
    """How the page is wanted."""

    is_openmetrics: bool = False
    is_gzipped: bool = False

    @classmethod
    def of(cls, accept: str, accept_encoding: str) -> "Form":
        """By the headers of those names, "" = not sent."""
        chosen = choose_encoder(accept)[1]
        encodings = [each.split(";")[0].strip().lower() for each in accept_encoding.split(",")]
        return cls(chosen.startswith("application/openmetrics-text"), "gzip" in encodings)

    @property
    def headers(self) -> dict[str, str]:
        headers = {
            "Content-Type": OPENMETRICS_TYPE if self.is_openmetrics else TEXT_TYPE,
            "Vary": "Accept, Accept-Encoding",
        }
        return {**headers, "Content-Encoding": "gzip"} if self.is_gzipped else headers


class Metrics:
    def __init__(self, snapshots: Snapshots, monotonic: Callable[[], float]):
        self._snapshots = snapshots
        self._monotonic = monotonic
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        self._rendering = asyncio.Lock()
        self._taken_at = -CACHED_S
        self._families: list[Metric] = []
        self._pages: dict[Form, bytes] = {}

    async def render(self, form: Form = Form()) -> bytes:  # noqa: B008 - it is immutable
        """The page; at most a second old, however many ask."""
        async with self._rendering:
            if self._monotonic() - self._taken_at >= CACHED_S:
                snapshot = await self._snapshots.take()
                self._families = await asyncio.to_thread(self._collect, snapshot)
                self._pages = {}
                self._taken_at = self._monotonic()
            page = self._pages.get(form)
            if page is None:
                page = self._pages[form] = await asyncio.to_thread(self._write, form)
            return page

    def _collect(self, snapshot: Snapshot) -> list[Metric]:
        return [*families(snapshot), *self._process.collect()]

    def _write(self, form: Form) -> bytes:
        generate = openmetrics.generate_latest if form.is_openmetrics else generate_latest
        page = cast("bytes", generate(_Collected(self._families)))
        return gzip.compress(page, GZIP_LEVEL) if form.is_gzipped else page


class _Collected(Collector):
    def __init__(self, collected: Iterable[Metric]):
        self._collected = collected

    def collect(self) -> Iterable[Metric]:
        return self._collected
