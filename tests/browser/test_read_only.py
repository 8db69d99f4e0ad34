"""Only to look: what http.read_only takes from everybody, http.hide_data from who may not act."""

import os
import re
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Browser, Page, expect

from holdfast import Queue, Worker
from holdfast.active import ActiveJob
from holdfastd.access.rights import Role
from support.browser import violations, visiting
from support.daemon import DaemonProcess
from support.keys import new_key

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRET: Final = "4711-0815-2342"
RESULT: Final = "receipt-99"
ERROR: Final = "the card has expired"
PAGES: Final = ("/", "/jobs", "/jobs/pay/open", "/jobs/pay/done", "/queues", "/queues/pay")
MORE_PAGES: Final = ("/workers", "/metrics-history", "/server")
ACTIONS: Final = re.compile(
    "Retry|Promote|Run now|Cancel|Delete|Pause|Resume|Limits|Drain|Move|More|Add a job|Quiet|Stop|"
    "Reload|Back up|Look again|Undo|Duplicate|Edit|Select"
)


def charge(job: ActiveJob) -> dict[str, str]:
    if job.name == "fail":
        raise ValueError(ERROR)
    return {"receipt": RESULT}


@dataclass
class House:
    daemon: DaemonProcess
    config: Path
    keys: dict[Role, str]

    @property
    def origin(self) -> str:
        return f"http://{self.daemon.http_address}"

    def say(self, text: str) -> None:
        """Put it into force."""
        self.config.write_text(text)
        os.kill(self.daemon.pid, signal.SIGHUP)


def _fill(url: str, key: str) -> None:
    """A job that waits, one that is done, one that has failed."""
    worker = Worker("pay", charge, url=url, key=key)
    thread = threading.Thread(target=worker.run)
    thread.start()
    with Queue("pay", url=url, key=key, timeout=10) as queue:
        queue.add("charge", {"card": SECRET}, id="done").wait(timeout=20)
        queue.add("fail", {"card": SECRET}, id="bad")
        queue.add("charge", {"card": SECRET}, id="open", delay=3600)
    worker.stop()
    thread.join(20)


def _house(folder: Path, config: str) -> Iterator[House]:
    data = folder / "data"
    file = folder / "config.toml"
    file.write_text(config)
    roles = (Role.ADMIN, Role.OPERATOR, Role.VIEWER)
    keys = {role: new_key(data, role.value, role) for role in roles}
    with DaemonProcess(data, "--config", str(file)) as daemon:
        _fill(daemon.url, keys[Role.ADMIN])
        yield House(daemon, file, keys)


@pytest.fixture(scope="module")
def read_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Without keys: everybody would be an admin."""
    yield from _house(tmp_path_factory.mktemp("read-only"), "[http]\nread_only = true\n")


@pytest.fixture(scope="module")
def discreet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    config = '[auth]\nrequired = "on"\n[http]\nhide_data = true\n'
    yield from _house(tmp_path_factory.mktemp("discreet"), config)


async def _controls(page: Page) -> list[str]:
    """Words of what one could act with."""
    main = page.get_by_role("main")
    found = []
    for role in ("button", "link", "checkbox"):
        found += await main.get_by_role(role, name=ACTIONS).all_inner_texts()
    return found


async def test_where_nothing_can_be_changed_there_is_nothing_to_change_it_with(
    browser: Browser, read_only: House
) -> None:
    async with visiting(browser, read_only.origin) as visit:
        page = visit.page
        for path in (*PAGES, *MORE_PAGES):
            await page.goto(path)
            await expect(page.get_by_role("banner").get_by_text("read-only")).to_be_visible()
            assert await _controls(page) == [], path
        assert await violations(page) == []
        await page.goto("/jobs/pay/open")
        await expect(page.locator("#tab")).to_contain_text(SECRET)


async def test_who_tries_all_the_same_is_told_why_and_nothing_is_done(
    browser: Browser, read_only: House
) -> None:
    async with visiting(browser, read_only.origin) as visit:
        visit.expect_problems("403")
        page = visit.page
        await page.goto("/jobs/pay/open")
        statuses = await page.evaluate(
            """async () => {
              const form = (fields) => ({method: "POST", body: new URLSearchParams(fields)});
              const asked = [
                fetch("/do/jobs", form({kind: "delete", job: "delayed/pay/open"})),
                fetch("/do/queues/pause", form({queue: "pay"})),
                fetch("/do/all-queues/pause", form({})),
                fetch("/do/server/reload", form({})),
                fetch("/queues/pay/add", form({name: "charge"})),
                fetch("/api/v1/queues/pay/jobs/open", {method: "DELETE"}),
              ];
              return (await Promise.all(asked)).map((answer) => answer.status);
            }"""
        )
        assert statuses == [403] * 6
        for path in ("/do/queues/pause?queue=pay", "/do/all-queues/pause", "/queues/pay/add"):
            await page.goto(path)
            await expect(page.get_by_role("main")).to_contain_text("http.read_only")
        assert await violations(page) == []
    with Queue("pay", url=read_only.daemon.url) as queue:
        assert queue.get("open").state == "delayed"
        assert not queue.info()["paused"]


async def test_the_buttons_come_when_it_is_over(browser: Browser, read_only: House) -> None:
    """The twin of both: what they look for is there, in a daemon that may be changed."""
    async with visiting(browser, read_only.origin) as visit:
        page = visit.page
        read_only.say("")
        await page.goto("/server")
        badge = page.get_by_role("banner").get_by_text("read-only")
        while await badge.count():  # the daemon reloads
            await page.goto("/server")
        for path in (*PAGES, "/server"):
            await page.goto(path)
            assert await _controls(page) != [], path


async def _log_in(page: Page, key: str) -> None:
    await page.goto("/login")
    await page.get_by_label("Key", exact=True).fill(key)
    await page.get_by_role("button", name="Log in").click()
    await expect(page.locator("h1")).to_have_text("Overview")


async def _shown(page: Page) -> str:
    """All that the pages of the jobs show and have in their sources."""
    found = []
    for id in ("open", "done", "bad"):
        for tab in ("data", "result", "errors", "logs", "options", "copy"):
            await page.goto(f"/jobs/pay/{id}?tab={tab}")
            found.append(await page.content())
    for path in ("/", "/jobs", "/queues/pay?state=failed"):
        await page.goto(path)
        found.append(await page.content())
    return "\n".join(found)


async def test_who_may_not_act_is_shown_no_data_and_told_so(
    browser: Browser, discreet: House
) -> None:
    async with visiting(browser, discreet.origin) as visit:
        page = visit.page
        await _log_in(page, discreet.keys[Role.VIEWER])
        shown = await _shown(page)
        assert SECRET not in shown
        assert RESULT not in shown
        assert ERROR in shown, "what went wrong is no data"
        await page.goto("/jobs/pay/open?tab=data")
        await expect(page.locator("#tab")).to_contain_text("[hidden]")
        assert await violations(page) == []
        await page.goto(f"/jobs?q=data.card:{SECRET}")
        await expect(page.get_by_role("alert")).to_contain_text("http.hide_data")
        assert await page.locator("tbody tr").count() == 0
        text = await page.evaluate("async () => (await fetch('/jobs/export?q=')).text()")
        assert SECRET not in text
        assert '"open"' in text


async def test_who_may_act_sees_what_he_acts_on(browser: Browser, discreet: House) -> None:
    """The twin."""
    async with visiting(browser, discreet.origin) as visit:
        await _log_in(visit.page, discreet.keys[Role.OPERATOR])
        shown = await _shown(visit.page)
        assert SECRET in shown
        assert RESULT in shown
        await visit.page.goto(f"/jobs?q=data.card:{SECRET}")
        await expect(visit.page.locator("tbody tr")).to_have_count(3)
