"""The keyboard alone, and the theme."""

import re

import pytest
from playwright.async_api import Page, expect

from support.living import LivingSystem

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _until_it_listens(page: Page) -> None:
    """Buttons that only a script can work are shown by it."""
    await expect(page.get_by_role("button", name="Theme")).to_be_visible()


async def test_letters_go_to_the_pages(page: Page) -> None:
    await page.goto("/")
    places = {"j": "Jobs", "q": "Queues", "s": "Schedules", "w": "Workers", "m": "Metrics"}
    for letter, title in {**places, "d": "Server"}.items():
        await page.keyboard.press("g")
        await page.keyboard.press(letter)
        await expect(page.locator("h1")).to_have_text(title)
        await _until_it_listens(page)


async def test_a_job_is_sought_gone_to_ticked_and_opened(page: Page) -> None:
    await page.goto("/jobs")
    await page.keyboard.press("/")
    await page.keyboard.type("queue:archive")
    await page.keyboard.press("Enter")
    await expect(page.locator("tbody tr").first).to_be_visible()
    await expect(page).to_have_url(re.compile("archive"))
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    second = page.locator("tbody tr").nth(1)
    await expect(second.get_by_role("link", name="store")).to_be_focused()
    await page.keyboard.press("x")
    await expect(second.get_by_role("checkbox")).to_be_checked()
    await page.keyboard.press("k")
    await expect(page.locator("tbody tr").first.get_by_role("link", name="store")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("h1")).to_have_text("store")


async def test_help_opens_closes_and_letters_typed_into_a_field_are_text(page: Page) -> None:
    await page.goto("/jobs")
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog", name="Keyboard")).to_be_hidden()
    await page.keyboard.press("/")
    await page.keyboard.type("gj?rt")
    await expect(page.get_by_label("Query", exact=True)).to_have_value("gj?rt")
    await expect(page.locator("html")).to_have_attribute("data-theme", "auto")


async def test_the_first_tab_skips_to_the_content(page: Page) -> None:
    await page.goto("/")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#main")).to_be_focused()


async def test_the_theme_is_chosen_and_stays(page: Page) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    await page.emulate_media(color_scheme="light")
    await page.goto("/")
    light = await page.evaluate(ground)
    await page.keyboard.press("t")  # auto, light, dark
    assert await page.evaluate(ground) == light
    await page.keyboard.press("t")
    dark = await page.evaluate(ground)
    assert dark != light
    await page.goto("/queues")
    assert await page.evaluate(ground) == dark
    await page.keyboard.press("t")
    await expect(page.locator("html")).to_have_attribute("data-theme", "auto")
    await page.emulate_media(color_scheme="dark")
    assert await page.evaluate(ground) == dark


async def test_a_dialog_is_asked_and_answered_by_keys(page: Page, living: LivingSystem) -> None:
    with living.queue("keyed") as queue:
        job = queue.add("later", delay=3600)
        await page.goto("/jobs?q=queue:keyed")
        await page.keyboard.press("j")
        await page.keyboard.press("x")
        await page.get_by_role("button", name="Delete").focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_be_hidden()
        assert queue.get(job.id).state == "delayed"
