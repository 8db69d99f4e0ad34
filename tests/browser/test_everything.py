"""What is done to all at once from the overview, and to the daemon from the page Server."""

import json
import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from support.browser import violations
from support.living import LivingSystem

pytestmark = pytest.mark.asyncio(loop_scope="session")


def _is_paused(living: LivingSystem, name: str) -> bool:
    with living.queue(name) as queue:
        return bool(queue.info()["paused"])


async def test_all_queues_are_paused_with_their_number_and_undone_from_the_toast(
    page: Page, living: LivingSystem
) -> None:
    await page.goto("/")
    await page.get_by_role("link", name="Pause all").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text(re.compile(r"Pause all \d+ queues\?"))
    await expect(dialog).to_contain_text(re.compile(r"[\d,]+ jobs will wait"))
    await expect(dialog).to_contain_text("paused already")  # billing
    assert await violations(page) == []
    await dialog.get_by_role("button", name="Pause all").click()
    toast = page.locator("#toasts .toast")
    await expect(toast).to_contain_text(re.compile(r"\d+ queues paused"))
    await expect(dialog).to_be_hidden()
    assert _is_paused(living, "images")
    assert await violations(page) == []
    await toast.get_by_role("button", name="Undo").click()
    await expect(toast).to_contain_text("Undone")
    assert not _is_paused(living, "images")
    assert _is_paused(living, "billing"), "it was so before"
    await expect(page.get_by_role("link", name="Resume all")).to_be_visible()


async def test_all_failed_jobs_are_asked_about_with_their_number_and_spared_by_undo(
    page: Page, living: LivingSystem
) -> None:
    await page.goto("/")
    await page.get_by_role("link", name="Retry all failed").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text(re.compile(r"Retry all \d+ jobs that match\?"))
    await dialog.get_by_role("button", name="Retry all").click()
    toast = page.locator("#toasts .toast")
    await expect(toast).to_contain_text(re.compile(r"Retrying \d+ jobs in \d s"))
    await toast.get_by_role("button", name="Undo").click()
    await expect(toast).to_contain_text("nothing has happened")
    with living.queue("video") as video:
        assert video.get("holiday").state == "failed"


async def test_the_server_page_shows_what_the_doctor_says_and_gives_it_as_a_file(
    page: Page, living: LivingSystem, tmp_path: Path
) -> None:
    await page.goto("/server")
    findings = page.locator("#server-findings")
    await expect(findings.get_by_text("that are well")).to_be_visible(timeout=30_000)
    await findings.get_by_text("that are well").click()
    await expect(findings).to_contain_text(f"runs, pid {living.daemon.pid}")
    assert await violations(page) == []
    async with page.expect_download() as downloading:
        await findings.get_by_role("link", name="Report as JSON").click()
    download = await downloading.value
    assert download.suggested_filename == "holdfast-doctor.json"
    file = tmp_path / "report.json"
    await download.save_as(file)
    assert json.loads(file.read_text())["checks"]["daemon"]["pid"] == living.daemon.pid


async def test_the_configuration_is_reloaded_from_the_server_page(page: Page) -> None:
    await page.goto("/server")
    await page.get_by_role("link", name="Reload").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Reload").click()
    await expect(page.locator("#toasts")).to_contain_text("Reloaded: no setting changed.")
    await expect(page.get_by_role("link", name="Back up now")).to_have_count(0)
