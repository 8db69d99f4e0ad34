"""What the page of another site can do with a daemon that somebody has open beside it: nothing."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest
from playwright.async_api import Browser, Page, Route, expect

from holdfast import Queue
from holdfastd.access.rights import Role
from support.browser import Visit, visiting
from support.daemon import DaemonProcess
from support.keys import new_key

pytestmark = pytest.mark.asyncio(loop_scope="session")

OTHER: Final = "http://chat.example"
DELETE: Final = """() => {
  const form = document.createElement("form");
  form.method = "post";
  form.action = ORIGIN + "/do/jobs";
  for (const [name, value] of [["kind", "delete"], ["job", "delayed/mail/m1"]]) {
    const field = document.createElement("input");
    [field.type, field.name, field.value] = ["hidden", name, value];
    form.append(field);
  }
  document.body.append(form);
  form.submit();
}"""
"""A form that deletes the job, as any page can send one."""


@dataclass
class Open:
    """A daemon on a loopback address: whoever asks may do everything. One job, due in an hour."""

    daemon: DaemonProcess
    queue: Queue

    @property
    def origin(self) -> str:
        return f"http://{self.daemon.http_address}"

    @property
    def has_job(self) -> bool:
        return self.queue.counts()["delayed"] == 1

    def script(self, text: str) -> str:
        return text.replace("ORIGIN", repr(self.origin))


@pytest.fixture
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    daemon = DaemonProcess(tmp_path_factory.mktemp("open") / "data")
    with daemon, Queue("mail", url=daemon.url) as queue:
        queue.add("welcome", {"secret": "only-ours"}, id="m1", delay=3600)
        yield Open(daemon, queue)


async def _elsewhere(visit: Visit, body: str = "") -> Page:
    """A tab on a page of another site."""

    async def serve(route: Route) -> None:
        await route.fulfill(body=f"<!doctype html><body>{body}", content_type="text/html")

    await visit.context.route(f"{OTHER}/**", serve)
    page = await visit.context.new_page()
    await page.goto(f"{OTHER}/")
    return page


async def test_a_form_of_another_site_changes_nothing_and_ours_does(
    browser: Browser, house: Open
) -> None:
    async with visiting(browser, house.origin) as visit:
        visit.expect_problems(OTHER, "403")
        page = await _elsewhere(visit)
        async with page.expect_navigation():
            await page.evaluate(house.script(DELETE))
        await expect(page.locator("body")).to_contain_text("this came from a page of another site")
        assert house.has_job
        await visit.page.goto("/jobs")
        async with visit.page.expect_navigation():
            await visit.page.evaluate(house.script(DELETE))
        assert not house.has_job, "the same form, from a page of ours"


async def test_a_script_of_another_site_reads_nothing_and_sends_nothing(
    browser: Browser, house: Open
) -> None:
    async with visiting(browser, house.origin) as visit:
        visit.expect_problems(OTHER, "403", "CORS", "ERR_FAILED", "ERR_BLOCKED")
        page = await _elsewhere(visit)
        read = await page.evaluate(
            house.script("""async () => {
              const told = [];
              for (const mode of ["cors", "no-cors"]) {
                for (const path of ["/jobs/mail/m1", "/jobs/export?q=", "/metrics", "/live"]) {
                  try { told.push(await (await fetch(ORIGIN + path, {mode})).text()); }
                  catch (error) { told.push(""); }
                }
              }
              const body = "kind=delete&job=delayed/mail/m1";
              for (const type of ["application/x-www-form-urlencoded", "text/plain"]) {
                const headers = {"content-type": type};
                const wish = {method: "POST", mode: "no-cors", headers, body};
                await fetch(ORIGIN + "/do/jobs", wish).catch(() => {});
              }
              return told;
            }""")
        )
        assert read == [""] * 8
        assert house.has_job


async def test_no_page_of_ours_is_shown_within_another(browser: Browser, house: Open) -> None:
    async with visiting(browser, house.origin) as visit:
        visit.expect_problems(OTHER, "frame-ancestors", "ERR_BLOCKED", "403")
        page = await _elsewhere(visit, f'<iframe src="{house.origin}/jobs"></iframe>')
        await page.wait_for_load_state("networkidle")
        texts = [await frame.content() for frame in page.frames[1:]]
        assert len(texts) == 1
        assert "welcome" not in texts[0]


async def test_a_link_of_another_site_leads_on_without_a_second_login(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Though the browser keeps the cookie back from what began elsewhere."""
    data = tmp_path_factory.mktemp("keyed") / "data"
    key = new_key(data, "alice", Role.VIEWER)
    environment = {**os.environ, "HOLDFAST_AUTH_REQUIRED": "on"}
    with DaemonProcess(data, environment=environment) as daemon:
        origin = f"http://{daemon.http_address}"
        async with visiting(browser, origin) as visit:
            visit.expect_problems(OTHER)
            await visit.page.goto("/")
            await visit.page.get_by_label("Key", exact=True).fill(key)
            await visit.page.get_by_role("button", name="Log in").click()
            await expect(visit.page.locator("h1")).to_have_text("Overview")
            page = await _elsewhere(visit, f'<a href="{origin}/jobs?q=state:failed">failed</a>')
            await page.get_by_role("link").click()
            await expect(page).to_have_url(f"{origin}/jobs?q=state:failed")
