"""Each page as a person meets it: read, by day and night, on a phone, without JavaScript."""

import re
from typing import Final

import pytest
from playwright.async_api import Page, expect

from support.browser import PHONE, Visitor, sideways_px, violations
from support.living import SOUGHT, STANDING

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGES: Final = {
    "/": "Overview",
    "/queues": "Queues",
    "/queues/reports": "reports",
    "/queues/billing/add": "Add a job",
    "/jobs?q=queue:archive": "Jobs",
    "/jobs?q=state:failed": "Jobs",
    "/jobs/mail/welcome-1": "send",
    "/jobs/mail/welcome-1?tab=errors": "send",
    "/jobs/reports/report-2026-01?tab=logs": "monthly-report",
    f"/jobs/billing/{SOUGHT}": "charge",
    "/jobs/confirm?kind=delete&job=failed/mail/welcome-1": "Delete this job?",
    "/schedules": "Schedules",
    "/schedules/images/front-page": "front-page",
    "/schedules/new?queue=reports": "New schedule",
    "/schedules/edit?queue=reports&id=nightly": "Edit schedule",
    "/workers": "Workers",
    "/metrics-history": "Metrics",
    "/server": "Server",
}
"""Addresses, and what each page's heading says."""
COLOURS: Final = ("color-contrast", "link-in-text-block")
SIZES: Final = ("target-size", "scrollable-region-focusable")
"""Rules of axe-core whose answer depends on the theme, and on the screen."""


async def _open(page: Page, path: str, text: str) -> None:
    await page.goto(path)
    await expect(page.locator("h1, #dialog-title").first).to_contain_text(text)


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_opens_without_a_complaint_and_everybody_can_use_it(
    page: Page, path: str
) -> None:
    """Nobody is left out by its colours (light, dark), its marks, or a small screen."""
    await _open(page, path, PAGES[path])
    await expect(page).to_have_title(re.compile("Holdfast"))
    assert await violations(page) == []
    await page.emulate_media(color_scheme="dark")
    assert await violations(page, *COLOURS) == []
    await page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
    assert await violations(page, *SIZES) == []
    assert await sideways_px(page) == 0


async def test_each_page_reads_without_javascript(visitor: Visitor) -> None:
    async with visitor(java_script_enabled=False) as visit:
        for path, text in PAGES.items():
            await _open(visit.page, path, text)
        await visit.page.goto("/queues")
        for name in STANDING:
            await expect(visit.page.get_by_role("link", name=name, exact=True)).to_be_visible()
        await visit.page.goto("/jobs?q=state:failed queue:video")
        await expect(visit.page.get_by_role("link", name="transcode")).to_be_visible()


async def test_the_rail_leads_to_each_page_and_says_where_one_is(page: Page) -> None:
    await page.goto("/")
    for name in ("Jobs", "Queues", "Schedules", "Workers", "Metrics", "Server", "Overview"):
        link = page.get_by_role("navigation", name="Main").get_by_role("link", name=name)
        await link.click()
        await expect(link).to_have_attribute("aria-current", "page")
        await expect(page.locator("h1")).to_have_text(name)
