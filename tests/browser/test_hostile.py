"""What jobs carry is text, whatever it looks like: in every field that is shown, nothing executes.

The policy (CSP) would stop most of it too. So it must not even come to that: what the policy
refuses is said on the console, and fails the visit as well.
"""

import asyncio
import html
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from playwright.async_api import Browser, Page, Route, expect

from holdfast import Queue, Worker
from holdfast.active import ActiveJob
from holdfast.wire.constants import TAG_LENGTH_MAX
from support.browser import Visit, visiting
from support.daemon import DaemonProcess
from support.hostile import MARKER, PAYLOADS, printable

pytestmark = pytest.mark.asyncio(loop_scope="session")

TABS: Final = ("data", "result", "errors", "logs", "progress", "copy")
PER_JOB: Final = 60
"""Payloads in data, result, log and error of one job of `full`."""
PER_WORKER: Final = 30
"""Every so many-th payload is a worker's name."""
INJECTED: Final = (
    "img, iframe, object, embed, base, style, video, audio, math, marquee, script:not([src]), "
    "[onerror], [onload], [onclick], [onfocus], [onmouseover], a[href^=javascript]"
)
"""What payloads try to make, and our pages have none of."""


async def test_there_are_enough_of_them() -> None:
    assert len(set(PAYLOADS)) >= 300


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """Two queues: `brief`, a job per payload, that shows it wherever a list shows text; and `full`,
    jobs that carry many payloads where a job's page shows text."""
    with DaemonProcess(tmp_path_factory.mktemp("hostile") / "data") as daemon:
        with Queue("brief", url=daemon.url) as brief, Queue("full", url=daemon.url) as full:
            brief.add_many([_brief(payload) for payload in PAYLOADS])
            full.add_many([("full", _in_all_places(some)) for some in _parts(PAYLOADS, PER_JOB)])
            asyncio.run(_work(daemon, len(PAYLOADS) + len(_parts(PAYLOADS, PER_JOB))))
        yield daemon


def _brief(payload: str) -> tuple[str, Any, dict[str, Any]]:
    """Name, id and tag are printable and short: what does not fit is cut, or escaped by them."""
    shown = printable(payload)
    tag = printable(payload, TAG_LENGTH_MAX).replace(" ", "_").replace(",", ";")
    return shown, payload, {"id": shown, "tags": [tag]}


def _in_all_places(payloads: Sequence[str]) -> dict[str, Any]:
    return {"list": list(payloads), "keys": dict.fromkeys(payloads, 1), **dict.fromkeys(payloads)}


def _parts(payloads: Sequence[str], size: int) -> list[Sequence[str]]:
    return [payloads[start : start + size] for start in range(0, len(payloads), size)]


class Hostile(Exception):
    """Its name is as hostile as its words: a worker says what it likes."""


async def _work(daemon: DaemonProcess, target: int) -> None:
    """Each job of `brief` fails with its payload; those of `full` log all of theirs and return
    them. By workers with hostile names."""
    ended = 0
    over = asyncio.Event()

    def count(job: ActiveJob, outcome: object) -> None:
        nonlocal ended
        ended += 1
        if ended == target:
            over.set()

    async def handle(job: ActiveJob) -> Any:
        if job.queue == "brief":
            raise type(job.data[:60].replace("\0", ""), (Hostile,), {})(job.data)
        for payload in job.data["list"]:
            job.log(payload)
        job.progress(dict(list(job.data["keys"].items())[:8]))
        return job.data

    workers = [
        Worker(["brief", "full"], handle, concurrency=5, url=daemon.url, name=printable(name))
        for name in PAYLOADS[::PER_WORKER]
    ]
    for worker in workers:
        worker.on("completed", count)
        worker.on("failed", count)
    running = [asyncio.create_task(worker.run_async()) for worker in workers]
    async with asyncio.timeout(30):
        await over.wait()
    for worker in workers:
        worker.stop()
    await asyncio.gather(*running)


@asynccontextmanager
async def _trapped(browser: Browser, daemon: DaemonProcess) -> AsyncIterator[Visit]:
    """Somebody for whom it is a problem when a payload has its way."""
    async with visiting(browser, f"http://{daemon.http_address}") as visit:
        await visit.trap(MARKER)
        yield visit


async def _look(page: Page, path: str) -> None:
    await page.goto(path)
    assert await page.locator(INJECTED).count() == 0


async def _jobs_of_full(daemon: DaemonProcess) -> list[str]:
    with Queue("full", url=daemon.url) as full:
        return [job.id for job in full.jobs("completed")]


async def test_lists_show_them_as_they_are(browser: Browser, hostile: DaemonProcess) -> None:
    async with _trapped(browser, hostile) as visit:
        for path in ("/", "/workers", "/metrics-history", "/queues/brief", "/server"):
            await _look(visit.page, path)
        page_after: str | None = "/jobs?q=queue:brief"
        seen = 0
        while page_after:
            await _look(visit.page, page_after)
            seen += await visit.page.locator("tbody tr").count()
            older = visit.page.get_by_role("link", name="Older")
            page_after = await older.get_attribute("href") if await older.count() else None
        assert seen == len(PAYLOADS)


async def test_a_jobs_page_shows_them_as_they_are(browser: Browser, hostile: DaemonProcess) -> None:
    async with _trapped(browser, hostile) as visit:
        for id in await _jobs_of_full(hostile):
            for tab in TABS:
                await _look(visit.page, f"/jobs/full/{id}?tab={tab}")
        await visit.page.goto("/jobs?q=queue:brief")
        hrefs = await visit.page.locator("a.job-name").evaluate_all(
            "links => links.map(link => link.getAttribute('href'))"
        )
        for href in hrefs[::10]:
            await _look(visit.page, f"{href}?tab=errors")


async def test_what_is_asked_for_is_shown_as_it_is(
    browser: Browser, hostile: DaemonProcess
) -> None:
    """In the query bar, and in the words on what is wrong with it."""
    async with _trapped(browser, hostile) as visit:
        visit.expect_problems("400")
        for payload in PAYLOADS[::30]:
            await visit.page.goto("/jobs")
            field = visit.page.get_by_label("Query", exact=True)
            await field.fill(payload)
            await field.press("Enter")
            await visit.page.wait_for_load_state()
            assert await visit.page.locator(INJECTED).count() == 0


@pytest.mark.parametrize("has_policy", [False, True], ids=["without a policy", "with it"])
async def test_pages_that_escape_nothing_are_found_out(
    browser: Browser, hostile: DaemonProcess, has_policy: bool
) -> None:
    """The sabotaged twin. The daemon's page, with what it escaped made live again: without the
    policy the marker is called; with it not, but the page does not pass either."""

    async def make_live(route: Route) -> None:
        answer = await route.fetch()
        headers = dict(answer.headers)
        if not has_policy:
            del headers["content-security-policy"]
        await route.fulfill(
            response=answer, headers=headers, body=html.unescape(await answer.text())
        )

    trapped = _trapped(browser, hostile)
    visit = await trapped.__aenter__()
    await visit.context.route(re.compile(r"/jobs\?"), make_live)
    await visit.page.goto("/jobs?q=queue:brief name:*onerror*")
    await expect(visit.page.locator(INJECTED).first).to_be_attached()
    while not visit.problems:
        await visit.page.wait_for_timeout(20)
    was_called = any(problem.startswith(MARKER) for problem in visit.problems)
    assert was_called is not has_policy
    with pytest.raises(AssertionError, match="Content Security Policy" if has_policy else MARKER):
        await trapped.__aexit__(None, None, None)
