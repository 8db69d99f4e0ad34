"""The worst queries beside the largest backlog: how long they run, and what they cost a producer.

Each is asked again and again while the producer adds one by one; the same producer alone, before
and after, says what it costs.
"""

import threading
import time
from typing import Final, Self
from urllib.parse import quote

from bench.browsing import Browsing
from bench.daemon import DaemonProcess
from bench.lab import Figures, Lab, new_queue
from bench.processes import role, run_together
from bench.questions.latency import percentile

QUERIES: Final = {
    "a value that is nowhere": "data.user_id:none",
    "an error that is nowhere": "error:nowhere",
    "part of an id that is nowhere": "id:*nowhere*",
    "a bare word that is nowhere": "nowhere",
    "all but everything": "-state:waiting,delayed,active,completed,failed,cancelled",
    "old and of a name": "created:<2020-01-01 name:*nowhere*",
}
ADDS: Final = 4_000
"""One by one, in each part of the measurement."""


def ask(lab: Lab) -> Figures:
    figures: Figures = {}
    adds = lab.jobs(ADDS)
    with lab.filled(max(lab.backlogs)) as daemon:
        figures |= _adding("alone, before", _add_one_by_one(daemon, adds))
        for name, query in QUERIES.items():
            with Asking(daemon, f"/jobs?q={quote(query)}") as asking:
                took_ms = _add_one_by_one(daemon, adds)
            figures |= _adding(f"beside {name}", took_ms)
            figures[f"longest run s, {name}"] = max(asking.taken_s)
            figures[f"times asked, {name}"] = len(asking.taken_s)
        figures |= _adding("alone, after", _add_one_by_one(daemon, adds))
        figures |= _facets(daemon)
    return figures


def _adding(how: str, took_ms: list[float]) -> Figures:
    return {
        f"add p50 ms, {how}": percentile(took_ms, 0.5),
        f"add p99 ms, {how}": percentile(took_ms, 0.99),
    }


def _facets(daemon: DaemonProcess) -> Figures:
    """Counted over everything."""
    with Browsing(daemon.http_address) as browsing:
        answer = browsing.get(f"/jobs/facets?q={quote(QUERIES['a value that is nowhere'])}")
        everything = browsing.get("/jobs/facets?q=")
    return {
        "facets s, of a value that is nowhere": answer.ms / 1000,
        "facets s, of all jobs": everything.ms / 1000,
    }


def _add_one_by_one(daemon: DaemonProcess, adds: int) -> list[float]:
    """Milliseconds of each, in rising order."""
    (found,) = run_together(role("add_singly", port=daemon.port, queue=new_queue(), jobs=adds))
    return sorted(took_s * 1000 for took_s in found["took_s"])


class Asking:
    """A query, again and again, while the block runs; the last one is waited for."""

    def __init__(self, daemon: DaemonProcess, path: str):
        self.taken_s: list[float] = []
        self._address = daemon.http_address
        self._path = path
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        with Browsing(self._address) as browsing:
            while not self._is_over.is_set():
                started = time.perf_counter()
                browsing.get(self._path)
                self.taken_s.append(time.perf_counter() - started)
