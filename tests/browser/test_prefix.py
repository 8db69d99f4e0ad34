"""The dashboard below a path of another site, in a browser: nothing leaves that path."""

from collections.abc import Iterator
from typing import Final

import pytest
from playwright.async_api import Browser, expect

from holdfast import Queue
from support.browser import visiting
from support.daemon import DaemonProcess

pytestmark = pytest.mark.asyncio(loop_scope="session")

PREFIX: Final = "/tools/holdfast"


@pytest.fixture(scope="module")
def below(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    folder = tmp_path_factory.mktemp("below")
    config = folder / "config.toml"
    config.write_text(f'[http]\nprefix = "{PREFIX}"\n')
    with DaemonProcess(folder / "data", "--config", str(config)) as daemon:
        with Queue("mail", url=daemon.url) as queue:
            queue.add("send", {"to": "ada"}, id="m1", delay=3600)
        yield daemon


async def test_scripts_dialogs_streams_and_keys_stay_below_the_path(
    browser: Browser, below: DaemonProcess
) -> None:
    origin = f"http://{below.http_address}"
    async with visiting(browser, origin) as visit:
        page = visit.page
        await page.goto(f"{PREFIX}/queues/mail")
        await expect(page.get_by_role("button", name="Theme")).to_be_visible()  # by a script
        await page.get_by_role("link", name="Pause").click()
        await page.get_by_role("dialog").get_by_role("button", name="Pause").click()
        await expect(page.locator("#toasts")).to_contain_text("mail is paused")
        await expect(page.get_by_role("link", name="Resume")).to_be_visible()  # by the stream
        for keys, path in (("gj", "/jobs"), ("go", "/"), ("gs", "/schedules"), ("gd", "/server")):
            for key in keys:
                await page.keyboard.press(key)
            await expect(page).to_have_url(f"{origin}{PREFIX}{path}")
            await expect(page.get_by_role("button", name="Theme")).to_be_visible()  # by a script
        await page.goto(f"{PREFIX}/jobs")
        await expect(page.locator(".facets-total")).to_contain_text("1 job matches")
        await page.get_by_label("Query", exact=True).fill("queue:m")
        await expect(page.get_by_role("option", name="mail")).to_be_visible()
        await page.get_by_label("Query", exact=True).fill("")
        await page.keyboard.press("Escape")  # the options lie above the table
        await page.get_by_role("checkbox", name="Select job m1").check()
        await page.get_by_role("button", name="Promote").click()
        await page.get_by_role("dialog").get_by_role("button", name="Promote").click()
        await expect(page.locator("#toasts")).to_contain_text("1 promoted")
        await page.locator("a.job-name").click()
        await expect(page).to_have_url(f"{origin}{PREFIX}/jobs/mail/m1")
        astray = [each for each in visit.requests if f" {origin}{PREFIX}/" not in each]
        assert astray == []
