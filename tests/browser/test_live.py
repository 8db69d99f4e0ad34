"""What is shown changes by itself, and costs nothing when nobody looks."""

import re

import pytest
from playwright.async_api import Page, expect

from support.browser import PATIENCE_MS, Visit, set_hidden
from support.living import LivingSystem

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUIET_MS = 2_500
"""Longer than two ticks of the stream: whoever asks still, asks within it."""


async def _wait_until_live(page: Page) -> None:
    await expect(page.get_by_role("button", name="Live")).to_be_visible()


async def test_numbers_change_without_a_reload(page: Page, living: LivingSystem) -> None:
    with living.queue("arrivals") as queue:
        queue.add("first")
        await page.goto("/queues/arrivals")
        await _wait_until_live(page)
        await page.evaluate("window.isTheSamePage = true")
        strip = page.get_by_label("Totals").or_(page.locator(".strip")).first
        await expect(strip).to_contain_text(re.compile(r"Waiting\s*1\b"))
        queue.add_many([("next", number) for number in range(6)])
        await expect(strip).to_contain_text(re.compile(r"Waiting\s*7\b"))
        assert await page.evaluate("window.isTheSamePage")


async def test_a_page_is_live_however_late_htmx_begins(visit: Visit) -> None:
    """Htmx begins with a timer. Our scripts were before it now and then, on a busy machine: what
    they wanted of it was lost, and the page stayed "Connecting" for ever."""
    await visit.page.add_init_script(
        "const soon = window.setTimeout;"
        "window.setTimeout = (what, ms = 0, ...rest) => soon(what, ms + 500, ...rest);"
    )
    await visit.page.goto("/")
    await _wait_until_live(visit.page)


async def test_a_paused_page_asks_nothing_until_it_goes_on(visit: Visit) -> None:
    page = visit.page
    await page.goto("/")
    await _wait_until_live(page)
    await page.keyboard.press("r")
    await expect(page.get_by_role("button", name="Paused")).to_be_visible()
    await _stands_still(visit)
    await page.reload()
    await expect(page.get_by_role("button", name="Paused")).to_be_visible()
    assert visit.requests_to("/live") == 1
    await page.keyboard.press("r")
    await _wait_until_live(page)
    assert visit.requests_to("/live") == 2


async def test_a_hidden_page_costs_nothing_until_it_is_seen(visit: Visit) -> None:
    page = visit.page
    await page.goto("/")
    await _wait_until_live(page)
    await set_hidden(page, is_hidden=True)
    await _stands_still(visit)
    await set_hidden(page, is_hidden=False)
    await _wait_until_live(page)
    await _moves(page)


async def _numbers(page: Page) -> list[str]:
    """Those on top of the overview. Ages beside them go on by themselves, in the page."""
    return await page.locator("#totals .total-value").all_inner_texts()


async def _stands_still(visit: Visit) -> None:
    """Nothing is asked for, and nothing comes: the shop goes on meanwhile."""
    await visit.page.wait_for_timeout(500)  # what was under way
    asked, shown = len(visit.requests), await _numbers(visit.page)
    await visit.page.wait_for_timeout(QUIET_MS)
    assert visit.requests[asked:] == []
    assert await _numbers(visit.page) == shown


async def _moves(page: Page) -> None:
    """The shop's numbers change several times a second."""
    shown = await _numbers(page)
    for _ in range(PATIENCE_MS // 100):
        if await _numbers(page) != shown:
            return
        await page.wait_for_timeout(100)
    raise AssertionError(f"the page stands still at {shown}")


async def test_the_page_comes_back_when_the_daemon_does(visit: Visit, living: LivingSystem) -> None:
    """A restart is met with patience: the stream opens again, the page goes on."""
    visit.expect_problems("/live", "Failed to fetch", "ERR_CONNECTION", "ERR_INCOMPLETE", "503")
    await visit.page.goto("/")
    await _wait_until_live(visit.page)
    living.daemon.stop()
    await expect(visit.page.get_by_role("button", name="Reconnecting")).to_be_visible()
    living.daemon.start()
    await _wait_until_live(visit.page)
    await _moves(visit.page)


async def test_a_jobs_page_follows_its_progress_and_its_log(
    page: Page, living: LivingSystem
) -> None:
    with living.queue("images") as images:
        job = images.add("resize", {"photo": "slow.jpg", "steps": 12, "step_s": 0.4})
        await page.goto(f"/jobs/images/{job.id}?tab=logs")
        await expect(page.locator("#log-1")).to_contain_text("fetched slow.jpg")
        await expect(page.get_by_text("size 4 of 12 written")).to_be_visible()
        await expect(page.get_by_text("completed").first).to_be_visible(timeout=20_000)
        await expect(page.get_by_text("size 12 of 12 written")).to_be_visible()
