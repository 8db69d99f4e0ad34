"""A schedule, from its making to its end, by somebody with a browser."""

import re

import pytest
from playwright.async_api import Page, expect

from support.browser import Visit
from support.living import LivingSystem

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _fill(page: Page, **fields: str) -> None:
    for label, text in fields.items():
        await page.get_by_label(label.replace("_", " "), exact=True).fill(text)


async def test_a_schedule_is_made_by_a_form_run_paused_and_deleted(
    page: Page, living: LivingSystem
) -> None:
    await page.goto("/schedules")
    await page.get_by_role("link", name="New schedule").click()
    await _fill(page, Queue="archive", Id="yearly", Pattern="0 5 1 1 *", Time_zone="Asia/Tokyo")
    await _fill(page, Name_of_its_jobs="store", Data='{"month": 12}')
    await page.get_by_role("button", name="Make the schedule").click()
    await expect(page).to_have_url(re.compile("/schedules/archive/yearly$"))
    await expect(page.locator("#schedule-plan")).to_contain_text("05:00:00 JST")

    await page.get_by_role("link", name="Run now").click()
    await page.get_by_role("dialog").get_by_role("button", name="Add the job").click()
    await page.locator("#toasts").get_by_role("link", name="Look at it").click()
    await expect(page.locator("h1")).to_have_text("store")
    await page.get_by_role("link", name="yearly", exact=True).click()
    await expect(page.locator("#schedule-runs li")).to_have_count(1)

    await page.get_by_role("link", name="Pause").click()
    await page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    await expect(page.locator("#schedule-head")).to_contain_text("paused")  # by the stream
    with living.queue("archive") as archive:
        (schedule,) = [each for each in archive.schedules() if each.id == "yearly"]
        assert schedule.paused

        await page.get_by_role("link", name="Delete").click()
        await page.get_by_role("dialog").get_by_role("button", name="Delete the schedule").click()
        await expect(page).to_have_url(re.compile("/schedules$"))
        assert "yearly" not in [each.id for each in archive.schedules()]
    await expect(page.get_by_role("link", name="nightly", exact=True)).to_be_visible()


async def test_what_is_typed_wrong_is_said_at_its_field_and_the_rest_stays(visit: Visit) -> None:
    visit.expect_problems("400")
    page = visit.page
    await page.goto("/schedules/new?queue=archive")
    await _fill(page, Id="wrong", Pattern="at night", Name_of_its_jobs="store")
    await page.get_by_role("button", name="Make the schedule").click()
    await expect(page.get_by_role("alert")).to_contain_text("not right yet")
    await expect(page.get_by_label("Pattern", exact=True)).to_have_attribute("aria-invalid", "true")
    await expect(page.get_by_text("is no cron pattern")).to_be_visible()
    await expect(page.get_by_label("Id", exact=True)).to_have_value("wrong")
