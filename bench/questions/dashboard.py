"""How long a page of the dashboard takes beside many jobs, and how large it is."""

import re
from typing import Final

from bench.browsing import Browsing, all_assets
from bench.daemon import DaemonProcess
from bench.lab import Figures, Lab
from bench.questions.latency import percentile

JOBS: Final = 1_000_000
TIMES: Final = 50
_FIRST_JOB: Final = re.compile(r'href="(/jobs/queue-[^"/]+/[^"?]+)"')
_OLDER: Final = re.compile(r'href="(/jobs\?[^"]*after=[^"]*)"[^>]*rel="next"')
PAGES: Final = {
    "overview": "/",
    "queues": "/queues",
    "queue": "/queues/queue-1",
    "jobs": "/jobs",
    "jobs of a state": "/jobs?q=state:waiting",
    "jobs of a queue": "/jobs?q=queue:queue-3",
    "jobs with a name": "/jobs?q=name:task_7",
    "jobs with a tag": "/jobs?q=tag:eu",
    "jobs with an error": "/jobs?q=error:refused",
    "workers": "/workers",
    "metrics": "/metrics-history",
    "server": "/server",
}


def ask(lab: Lab) -> Figures:
    with lab.filled(lab.jobs(JOBS)) as daemon:
        return _pages(daemon, max(2, lab.jobs(TIMES)))


def _pages(daemon: DaemonProcess, times: int) -> Figures:
    figures: Figures = {}
    with Browsing(daemon.http_address) as browsing:
        pages = {**PAGES, **_found(browsing)}
        for name, path in pages.items():
            taken_ms = browsing.times_ms(path, times)
            figures[f"{name} p50 ms"] = percentile(taken_ms, 0.5)
            figures[f"{name} max ms"] = taken_ms[-1]
        sizes = all_assets(browsing, list(pages.values()))
        figures["assets of all pages, compressed KB"] = sum(sizes.values()) / 1000
        for name in ("overview", "jobs"):
            figures[f"{name}, KB"] = len(browsing.get(pages[name]).body) / 1000
            packed = browsing.get(pages[name], **{"Accept-Encoding": "gzip"}).body
            figures[f"{name}, compressed KB"] = len(packed) / 1000
    return figures


def _found(browsing: Browsing) -> dict[str, str]:
    """Pages whose address is known only from another: a job, and jobs far behind."""
    page = browsing.page("/jobs")
    found: dict[str, str] = {}
    if job := _FIRST_JOB.search(page):
        found["job"] = job[1].replace("&amp;", "&")
    for _ in range(20):
        if older := _OLDER.search(page):
            found["jobs, some pages on"] = older[1].replace("&amp;", "&")
            page = browsing.page(found["jobs, some pages on"])
    return found
