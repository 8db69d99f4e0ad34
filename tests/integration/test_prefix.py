"""The dashboard of a real daemon below a path of another site, as a reverse proxy asks for it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx2
import pytest

from holdfast import Queue
from holdfastd.access.rights import Role
from support.api import Api
from support.daemon import DaemonProcess
from support.keys import new_key
from support.plainbrowser import Element, Page, PlainBrowser

PREFIX: Final = "/tools/holdfast"
PAGES: Final = (
    "/",
    "/queues",
    "/queues?group=yes",
    "/queues/mail",
    "/queues/mail/add",
    "/jobs",
    "/jobs?q=state:waiting&facets=1",
    "/jobs/mail/a%2Fb",
    "/jobs/mail/a%2Fb?tab=errors",
    "/jobs/mail/nobody",
    "/jobs/confirm?kind=delete&job=waiting/mail/a/b",
    "/do/queues/limits?queue=mail",
    "/do/all-queues/pause",
    "/workers",
    "/metrics-history?queue=mail",
    "/server",
    "/nothing-here",
)
INSIDE: Final = frozenset({("input", "value"), ("input", "placeholder")})
"""What is sent back to the daemon, and has no prefix in it."""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    folder = tmp_path_factory.mktemp("prefix")
    config = folder / "config.toml"
    config.write_text(f'[http]\nprefix = "{PREFIX}"\nhosts = ["site.example"]\n')
    with DaemonProcess(folder / "data", "--config", str(config)) as daemon:
        with Queue("mail", url=daemon.url) as queue:
            queue.add_many([("send", n, {"id": f"m{n}"}) for n in range(120)])
            queue.add("send", {}, id="a/b")
        yield daemon


@pytest.fixture(params=["left in place", "taken away"])
def before(request: pytest.FixtureRequest) -> str:
    """What a proxy that does this with the prefix has in front of the daemon's own paths."""
    return PREFIX if request.param == "left in place" else ""


def astray(element: Element) -> Iterator[str]:
    """Addresses that would leave the prefix."""
    for each in element.children:
        if isinstance(each, Element):
            for name, value in each.attributes.items():
                is_inside = (each.tag, name) in INSIDE
                if value.startswith("/") and not is_inside and not value.startswith(f"{PREFIX}/"):
                    yield f"<{each.tag} {name}={value!r}>"
            yield from astray(each)


def test_no_page_leads_out_of_the_prefix(daemon: DaemonProcess, before: str) -> None:
    with PlainBrowser(daemon.http_address) as browser:
        for path in PAGES:
            page = browser.get(f"{before}{path}")
            assert page.status in (200, 404), path
            assert list(astray(page.root)) == [], path


def test_one_that_does_is_found(tmp_path: Path) -> None:
    """The twin: a daemon that knows of no prefix."""
    with DaemonProcess(tmp_path / "data") as daemon, PlainBrowser(daemon.http_address) as browser:
        found = list(astray(browser.get("/").root))
    assert "<a href='/jobs'>" in found
    assert any("script src" in each for each in found)


def links(page: Page) -> set[str]:
    return {
        each.attributes["href"]
        for tag in ("a", "link")
        for each in page.root.all(tag)
        if each.attributes["href"].startswith("/")
    } | {each.attributes["src"] for each in page.root.all("script")}


def test_every_link_of_every_page_leads_somewhere(daemon: DaemonProcess) -> None:
    seen: set[str] = set()
    with PlainBrowser(daemon.http_address) as browser:
        for path in PAGES:
            seen |= links(browser.get(f"{PREFIX}{path}"))
        kinds = {re.sub(r"/mail/m\d+|range=\w+", "", link): link for link in seen}
        assert len(kinds) > 30
        for link in kinds.values():
            assert browser.get(link).status < 400 or "nothing" in link, link


def test_forms_act_and_lead_back(daemon: DaemonProcess) -> None:
    with PlainBrowser(daemon.http_address) as browser, Queue("mail", url=daemon.url) as queue:
        asked = browser.get(browser.get(f"{PREFIX}/queues/mail").link("Pause"))
        paused = browser.submit(asked, asked.form(f"{PREFIX}/do/queues/pause"))
        assert paused.url == f"{PREFIX}/queues/mail"
        assert queue.info()["paused"]
        page = browser.get(f"{PREFIX}/jobs?q=id:m7")
        question = browser.submit(
            page, page.form(f"{PREFIX}/jobs/confirm"), "Delete", job="waiting/mail/m7"
        )
        after = browser.submit(question, question.form(f"{PREFIX}/do/jobs"))
        assert after.url.startswith(f"{PREFIX}/jobs?q=")
        assert "1 deleted" in after.text
        older = browser.get(f"{PREFIX}/jobs?q=queue:mail").root.one("a", rel="next")
        assert browser.get(older.attributes["href"]).status == 200


def test_streams_and_scripts_are_where_the_page_says(daemon: DaemonProcess) -> None:
    base = f"http://{daemon.http_address}"
    page = httpx2.get(f"{base}{PREFIX}/queues/mail").text
    found = re.search(r'hx-sse:connect="([^"]+)"', page)
    assert found is not None
    with httpx2.stream("GET", base + found[1].replace("&amp;", "&"), timeout=10) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        first = next(stream.iter_text())
    assert f'href="{PREFIX}/do/queues/' in first
    script = re.search(r'src="([^"]+/js/app\.js)"', page)
    assert script is not None
    assert "import" in httpx2.get(base + script[1]).text


def test_the_api_says_where_it_is(daemon: DaemonProcess) -> None:
    api = Api(daemon.http_address)
    assert api.get("/openapi.json").body["servers"] == [{"url": PREFIX}]
    with httpx2.Client(base_url=f"http://{daemon.http_address}{PREFIX}") as client:
        added = client.post("/api/v1/queues/new/jobs", json={"name": "n", "id": "x/y"})
        assert added.headers["location"] == f"{PREFIX}/api/v1/queues/new/jobs/x%2Fy"
    job = httpx2.get(f"http://{daemon.http_address}{added.headers['location']}").json()
    assert job["id"] == "x/y"
    for path in ("/livez", "/readyz", "/metrics"):
        for before in ("", PREFIX):
            assert httpx2.get(f"http://{daemon.http_address}{before}{path}").status_code == 200


def test_who_logs_in_is_led_back_and_has_his_cookie_for_this_path_only(tmp_path: Path) -> None:
    data = tmp_path / "data"
    key = new_key(data, "alice", Role.ADMIN)
    config = tmp_path / "config.toml"
    config.write_text(f'[http]\nprefix = "{PREFIX}"\n[auth]\nrequired = "on"\n')
    with (
        DaemonProcess(data, "--config", str(config)) as daemon,
        PlainBrowser(daemon.http_address) as browser,
    ):
        login = browser.get(f"{PREFIX}/jobs?q=state:failed")
        assert login.url.startswith(f"{PREFIX}/login?next=")
        page = browser.submit(login, login.form(f"{PREFIX}/login"), key=key)
        assert page.url == f"{PREFIX}/jobs?q=state:failed"
        (cookie,) = browser._http.cookies.jar
        assert cookie.path == PREFIX
        out = browser.submit(page, page.form(f"{PREFIX}/logout"))
        assert out.url == f"{PREFIX}/login"
        assert list(browser._http.cookies.jar) == []
        # Asked for by another site's link, /login asks for itself once more.
        came = httpx2.get(
            f"http://{daemon.http_address}{PREFIX}/login?next=/jobs",
            headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
        )
        assert came.headers["refresh"].startswith(f"0; url={PREFIX}/login?")
