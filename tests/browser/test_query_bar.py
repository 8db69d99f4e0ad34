"""What JavaScript makes quicker on the pages on jobs: completion, ticking, copying."""

import re

import pytest
from playwright.async_api import Page, expect

from support.living import LivingSystem

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_query_bar_completes_keys_and_values_by_the_keyboard(page: Page) -> None:
    await page.goto("/jobs")
    field = page.get_by_role("combobox", name="Query")
    await field.press_sequentially("sta")
    options = page.get_by_role("listbox").get_by_role("option")
    await expect(options.first).to_contain_text("state:")
    await field.press("ArrowDown")
    await expect(field).to_have_attribute("aria-activedescendant", "query-option-0")
    await field.press("Enter")
    await expect(field).to_have_value("state:")
    await field.press_sequentially("fai")
    await expect(options).to_have_text(["failed"])
    await field.press("ArrowDown")
    await field.press("Tab")
    await expect(field).to_have_value("state:failed ")
    await field.press_sequentially("queue:bil")
    await expect(options.first).to_contain_text("billing")
    await field.press("Escape")
    await expect(options).to_have_count(0)
    await expect(field).to_have_value("state:failed queue:bil")
    await field.press_sequentially("ling")
    await field.press("Enter")
    await expect(page).to_have_url(re.compile(r"q=state%3Afailed"))


async def test_ticking_with_shift_takes_all_in_between(page: Page, living: LivingSystem) -> None:
    with living.queue("ticked") as queue:
        queue.add_many([("later", n, {"delay": 3600, "id": f"tick-{n}"}) for n in range(6)])
    await page.goto("/jobs?q=queue:ticked")
    boxes = page.locator("[data-pick]")
    await expect(page.get_by_role("button", name="Retry")).to_be_disabled()
    await boxes.nth(1).click()
    await boxes.nth(4).click(modifiers=["Shift"])
    await expect(page.locator("[data-selected]")).to_have_text("4 ticked, or")
    await page.locator("[data-pick-all] input").check()
    await expect(page.locator("[data-selected]")).to_have_text("6 ticked, or")
    await expect(page.get_by_role("button", name="Retry")).to_be_enabled()


async def test_the_data_is_copied_as_json_with_all_its_digits(
    page: Page, living: LivingSystem
) -> None:
    with living.queue("copied") as queue:
        queue.add("later", {"n": 9_007_199_254_740_993}, id="copy-1", delay=3600)
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.goto("/jobs/copied/copy-1?tab=data")
    await page.get_by_role("button", name="Copy as JSON").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert copied == '{\n  "n": 9007199254740993\n}\n'


async def test_a_question_that_is_answered_wrongly_stays_and_says_why(
    page: Page, living: LivingSystem
) -> None:
    with living.queue("asked") as queue:
        queue.add("later", None, id="ask-1", delay=3600)
    await page.goto("/jobs/asked/ask-1")
    await page.get_by_role("link", name="Reschedule").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Not before").fill("soon")
    await dialog.get_by_role("button", name="Reschedule this job").click()
    await expect(dialog).to_contain_text("neither a length of time")
    await dialog.get_by_label("Not before").fill("2d")
    await dialog.get_by_role("button", name="Reschedule this job").click()
    await expect(page.locator("#action")).to_contain_text("1 rescheduled")
