"""Who may: logging in and out, what each role is shown, and what nobody is shown."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest
from playwright.async_api import Browser, Page, expect

from holdfast import Queue
from holdfastd.access.rights import Role
from support.browser import Visit, violations, visiting
from support.daemon import DaemonProcess
from support.keys import new_key

pytestmark = pytest.mark.asyncio(loop_scope="session")

CONFIG: Final = """
[auth]
required = "on"
[http]
redact = ["password", "*.secret"]
"""
SECRET: Final = "correct-horse-battery-staple"
ACTIONS: Final = re.compile(
    "Retry|Promote|Run now|Cancel|Delete|Pause|Drain|Move|More|Add a job|Obliterate"
)


@dataclass
class Guarded:
    """A daemon that wants keys, and keys of it by role; `mine` of an operator of `mail` only."""

    daemon: DaemonProcess
    keys: dict[str, str]

    @property
    def origin(self) -> str:
        return f"http://{self.daemon.http_address}"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    config, data = folder / "config.toml", folder / "data"
    config.write_text(CONFIG)
    keys = {role.value: new_key(data, role.value, role) for role in (Role.ADMIN, Role.OPERATOR)}
    keys["viewer"] = new_key(data, "viewer", Role.VIEWER)
    keys["mine"] = new_key(data, "mine", Role.OPERATOR, queues=("mail",))
    with DaemonProcess(data, "--config", str(config)) as daemon:
        for name in ("mail", "payroll"):
            with Queue(name, url=daemon.url, key=keys["admin"]) as queue:
                shown = {"user": "ada", "password": SECRET, "api": {"secret": SECRET}}
                queue.add("pay", shown, id=f"{name}-1")
        yield Guarded(daemon, keys)


async def _log_in(page: Page, key: str) -> None:
    await page.get_by_label("Key", exact=True).fill(key)
    await page.get_by_role("button", name="Log in").click()


async def _as(visit: Visit, guarded: Guarded, who: str) -> Page:
    await visit.page.goto("/")
    await _log_in(visit.page, guarded.keys[who])
    await expect(visit.page.locator("h1")).to_have_text("Overview")
    return visit.page


async def test_a_stranger_is_asked_for_a_key_and_comes_to_where_he_wanted(
    browser: Browser, guarded: Guarded
) -> None:
    async with visiting(browser, guarded.origin) as visit:
        page = visit.page
        await page.goto("/queues/mail")
        await expect(page).to_have_url(re.compile("/login"))
        assert SECRET not in await page.content()
        assert await violations(page) == []
        await _log_in(page, guarded.keys["operator"])
        await expect(page).to_have_url(f"{guarded.origin}/queues/mail")
        (cookie,) = [each for each in await visit.context.cookies() if each["httpOnly"]]
        assert cookie["sameSite"] == "Strict"
        await page.get_by_role("button", name="Log out").click()
        await page.goto("/jobs")
        await expect(page).to_have_url(re.compile("/login"))


async def test_a_key_that_is_none_is_refused_in_words(browser: Browser, guarded: Guarded) -> None:
    async with visiting(browser, guarded.origin) as visit:
        visit.expect_problems("401", "403")
        await visit.page.goto("/login")
        await _log_in(visit.page, "hfk_nobody_has_this_one")
        await expect(visit.page.get_by_role("alert")).to_contain_text("key")
        assert await violations(visit.page) == []


async def test_a_viewer_sees_and_has_no_button_and_nothing_by_other_ways(
    browser: Browser, guarded: Guarded
) -> None:
    async with visiting(browser, guarded.origin) as visit:
        page = await _as(visit, guarded, "viewer")
        for path in ("/jobs", "/jobs/mail/mail-1", "/queues", "/queues/mail"):
            await page.goto(path)
            for role in ("button", "link", "checkbox"):
                await expect(page.get_by_role(role, name=ACTIONS)).to_have_count(0)
        visit.expect_problems("403")
        status = await page.evaluate(
            """async () => {
              const body = new URLSearchParams({kind: "delete", job: "waiting/mail/mail-1"});
              return (await fetch("/do/jobs", {method: "POST", body})).status;
            }"""
        )
        assert status == 403


async def test_an_operator_has_the_buttons_that_a_viewer_lacks(
    browser: Browser, guarded: Guarded
) -> None:
    """So that the test before looks for what there is."""
    async with visiting(browser, guarded.origin) as visit:
        page = await _as(visit, guarded, "operator")
        await page.goto("/jobs")
        await expect(page.get_by_role("button", name=ACTIONS).first).to_be_visible()
        await page.goto("/queues/mail")
        await expect(page.get_by_role("link", name=ACTIONS).first).to_be_visible()


async def test_a_key_for_some_queues_sees_no_others(browser: Browser, guarded: Guarded) -> None:
    async with visiting(browser, guarded.origin) as visit:
        page = await _as(visit, guarded, "mine")
        await page.goto("/queues")
        await expect(page.get_by_role("link", name="mail", exact=True)).to_be_visible()
        for path in ("/", "/queues", "/jobs", "/jobs?q=id:payroll*", "/workers"):
            await page.goto(path)
            assert "payroll-1" not in await page.locator("tbody").all_inner_texts()
            assert await page.get_by_role("link", name="payroll").count() == 0
        visit.expect_problems("403", "404")
        await page.goto("/jobs/payroll/payroll-1")
        assert "ada" not in await page.locator("main").inner_text()


async def test_what_is_redacted_nobody_is_shown(browser: Browser, guarded: Guarded) -> None:
    async with visiting(browser, guarded.origin) as visit:
        page = await _as(visit, guarded, "admin")
        for tab in ("data", "copy"):
            await page.goto(f"/jobs/mail/mail-1?tab={tab}")
            assert SECRET not in await page.content()
        await page.goto("/jobs/mail/mail-1?tab=data")
        await expect(page.locator("#tab")).to_contain_text("ada")
