"""Finding a job and acting: on one, on those ticked, on all that match; and undoing it."""

import re
from typing import Final

import pytest
from playwright.async_api import Page, expect

from holdfast import Queue
from support.browser import Visit, Visitor
from support.living import SOUGHT, LivingSystem

pytestmark = pytest.mark.asyncio(loop_scope="session")

UNDONE_WITHIN_S: Final = 5
"""What touches all that match waits so long: see `holdfastd.web.acting`."""


async def _search(page: Page, query: str) -> None:
    field = page.get_by_label("Query", exact=True)
    await field.fill(query)
    await field.press("Enter")
    await expect(page).to_have_url(re.compile(r"/jobs\?.*q="))


def _add_delayed(living: LivingSystem, queue: str, count: int) -> list[str]:
    """Ids of so many delayed jobs of a queue of the test's own."""
    with living.queue(queue) as there:
        jobs = [
            ("later", {"number": n}, {"delay": 3600, "id": f"{queue}-{n}"}) for n in range(count)
        ]
        return [job.id for job in there.add_many(jobs)]


def _counts(living: LivingSystem, queue: str) -> dict[str, int]:
    with living.queue(queue) as there:
        return there.counts()


async def _until(living: LivingSystem, page: Page, queue: str, **wanted: int) -> None:
    """Until the queue has so many jobs in these states; the daemon's word, not the page's."""
    for _ in range(200):
        counts = _counts(living, queue)
        if all(counts[state] == count for state, count in wanted.items()):
            return
        await page.wait_for_timeout(50)
    raise AssertionError(f"{queue} has {counts}, not {wanted}")


async def test_a_job_is_found_by_a_value_in_its_data_and_opened(page: Page) -> None:
    await page.goto("/jobs")
    await _search(page, "data.user_id:42")
    rows = page.locator("tbody tr")
    await expect(rows).to_have_count(1)
    await rows.get_by_role("link", name="charge").click()
    await expect(page).to_have_url(re.compile(rf"/jobs/billing/{SOUGHT}$"))
    await expect(page.get_by_text(SOUGHT).first).to_be_visible()
    await expect(page.locator("#tab")).to_contain_text("user_id")
    await expect(page.get_by_text(re.compile("paused", re.IGNORECASE)).first).to_be_visible()


async def test_facets_count_what_there_is_and_narrow_it_down(page: Page) -> None:
    await page.goto("/jobs?q=queue:billing")
    facets = page.locator("#facets")
    await expect(facets.locator(".facets-total")).to_contain_text("25 jobs match")
    await facets.get_by_role("link", name=re.compile("cancelled")).click()
    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(page.get_by_text("invoice-by-mistake", exact=True)).to_be_visible()


async def test_a_query_that_makes_no_sense_is_told_where_and_what_to_do(visit: Visit) -> None:
    visit.expect_problems("400")
    page = visit.page
    await page.goto("/jobs")
    await _search(page, "attempts:many")
    await expect(page.get_by_role("alert")).to_contain_text("attempts")


async def test_one_job_is_promoted_from_its_page(page: Page, living: LivingSystem) -> None:
    (id,) = _add_delayed(living, "one", 1)
    await page.goto(f"/jobs/one/{id}")
    await (
        page.get_by_role("button", name="Promote")
        .or_(page.get_by_role("button", name="Run now"))
        .first.click()
    )
    await _until(living, page, "one", waiting=1)
    await expect(page.get_by_text("waiting").first).to_be_visible()


async def test_ticked_jobs_are_deleted_and_the_others_stay(
    page: Page, living: LivingSystem
) -> None:
    ids = _add_delayed(living, "some", 5)
    await page.goto("/jobs?q=queue:some")
    for id in ids[:2]:
        await page.get_by_role("checkbox", name=f"Select job {id}").check()
    await page.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("2 jobs")
    await dialog.get_by_role("button", name="Delete").click()
    await _until(living, page, "some", delayed=3)
    await expect(page.locator("tbody tr")).to_have_count(3)


async def _act_on_all(page: Page, name: str, count: int) -> None:
    await page.get_by_role("checkbox", name=re.compile("that match")).check()
    await page.get_by_role("button", name=name).first.click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text(f"all {count} jobs that match")
    await dialog.get_by_role("button", name=name).click()


async def test_all_that_match_are_acted_on_in_the_background_more_than_a_page_shows(
    page: Page, living: LivingSystem
) -> None:
    _add_delayed(living, "many", 230)
    await page.goto("/jobs?q=queue:many")
    await _act_on_all(page, "Promote", 230)
    await _until(living, page, "many", waiting=230, delayed=0)
    await expect(page.locator("#toasts")).to_contain_text("230")


async def test_what_was_begun_by_mistake_is_undone_and_nothing_has_happened(
    page: Page, living: LivingSystem
) -> None:
    _add_delayed(living, "spared", 4)
    await page.goto("/jobs?q=queue:spared")
    await _act_on_all(page, "Delete", 4)
    await page.get_by_role("button", name="Undo").click()
    await page.wait_for_timeout((UNDONE_WITHIN_S + 1) * 1000)
    assert _counts(living, "spared")["delayed"] == 4


async def test_without_javascript_one_job_is_found_asked_about_and_deleted(
    visitor: Visitor, living: LivingSystem
) -> None:
    (id,) = _add_delayed(living, "plain", 1)
    async with visitor(java_script_enabled=False) as visit:
        page = visit.page
        await page.goto("/jobs")
        await page.get_by_label("Query", exact=True).fill(f"id:{id}")
        await page.get_by_role("button", name="Search").click()
        await page.get_by_role("checkbox", name=f"Select job {id}").check()
        await page.get_by_role("button", name="Delete").click()
        await page.get_by_role("button", name="Delete this job").click()
        await _until(living, page, "plain", delayed=0)
        await expect(page.locator("body")).to_contain_text(re.compile("Deleted|deleted"))


async def test_a_queue_is_paused_and_goes_on(page: Page, living: LivingSystem) -> None:
    with living.queue("halting") as queue:
        queue.add("x")
        await page.goto("/queues/halting")
        await page.get_by_role("link", name="Pause").click()
        await page.get_by_role("dialog").get_by_role("button", name="Pause").click()
        await expect(page.get_by_text("paused").first).to_be_visible()
        assert _is_paused(queue)
        await page.get_by_role("link", name="Resume").click()
        await page.get_by_role("dialog").get_by_role("button", name="Resume").click()
        await expect(page.get_by_role("link", name="Pause")).to_be_visible()
        assert not _is_paused(queue)


def _is_paused(queue: Queue) -> bool:
    return bool(queue.info()["paused"])


async def test_a_job_is_added_by_a_form(page: Page, living: LivingSystem) -> None:
    await page.goto("/queues/archive/add")
    await page.get_by_label("Name", exact=True).fill("by-hand")
    await page.get_by_label("Data").fill('{"month": 13, "user_id": 9007199254740993}')
    await page.get_by_role("button", name=re.compile("^Add")).click()
    await expect(page).to_have_url(re.compile("/jobs"))
    with living.queue("archive") as archive:
        added = [job for job in archive.jobs("waiting") if job.name == "by-hand"]
    assert [job.data for job in added] == [{"month": 13, "user_id": 9007199254740993}]
