"""The dashboard on a real daemon, as HTML: what a browser without JavaScript makes of it, and the
streams of live pages."""

import asyncio
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import pytest

from holdfast import Queue, aio
from support.daemon import DaemonProcess
from support.plainbrowser import Page, PlainBrowser

PAGES: Final = ("/", "/queues", "/workers", "/metrics-history", "/server")
HOSTILE: Final = """<img src=x onerror=alert(1)>"'</script><b>{{7*7}}"""
QUEUES: Final = 1_000


class Inline(HTMLParser):
    """Collects what the Content-Security-Policy would refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._is_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        self.found += [f"{tag} {name}" for name in names if name == "style" or name[:2] == "on"]
        self.found += [f"{tag} {value}" for value in names.values() if _runs(value)]
        if tag == "style" or (tag == "script" and "src" not in names):
            self.found.append(tag)


def _runs(value: str | None) -> bool:
    return (value or "").strip().lower().startswith(("javascript:", "js:"))


def inline(source: str) -> list[str]:
    parser = Inline()
    parser.feed(source)
    return parser.found


def check(page: Page) -> None:
    """What holds for every page."""
    assert page.status == 200, page.source[:500]
    assert len(page.root.all("h1")) == 1
    assert page.root.one("html").attributes["lang"] == "en"
    assert page.root.one("title").text.endswith("Holdfast")
    assert inline(page.source) == []
    ids = re.findall(r'\bid="([^"]*)"', page.source)
    assert len(ids) == len(set(ids)), sorted(id for id in ids if ids.count(id) > 1)
    for table in page.root.all("table"):
        assert table.all("caption"), "a table without a caption"
    fields = [each for each in page.root.all("input") if each.attributes.get("type") != "hidden"]
    labelled = {each.attributes.get("for") for each in page.root.all("label")}
    for each in fields:
        assert "aria-label" in each.attributes or each.attributes.get("id") in labelled
    for each in page.root.all("a"):
        assert each.attributes.get("href"), each.text


def links(page: Page) -> set[str]:
    """Addresses on this port that the page leads to, without their fragments."""
    found = {urljoin(page.url, each.attributes["href"]) for each in page.root.all("a")}
    paths = {link.partition("#")[0] for link in found if not urlsplit(link).netloc}
    return {path for path in paths if path}


def until(is_so: Callable[[], Any], seconds: float = 10.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = is_so()
        if found:
            return found
        time.sleep(0.02)  # the other side is another process
    raise AssertionError("it did not come to be in time")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with DaemonProcess(tmp_path_factory.mktemp("empty") / "data") as daemon:
        yield daemon


async def fill(daemon: DaemonProcess) -> None:
    """With all of the queues but one, a job in each."""

    async def add(number: int) -> None:
        async with aio.Queue(f"group-{number % 7}:{number:03}", url=daemon.url) as queue:
            await queue.add("job", {})

    for start in range(0, QUEUES - 1, 100):
        await asyncio.gather(*map(add, range(start, min(start + 100, QUEUES - 1))))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """A thousand queues, one of them with jobs of hostile names."""
    with DaemonProcess(tmp_path_factory.mktemp("full") / "data") as daemon:
        asyncio.run(fill(daemon))
        with Queue("hostile", url=daemon.url) as queue:
            for number in range(3):
                queue.add(HOSTILE, {"text": HOSTILE}, id=f"{HOSTILE}{number}")
        yield daemon


@pytest.fixture
def browser(full: DaemonProcess) -> Iterator[PlainBrowser]:
    with PlainBrowser(full.http_address) as browser:
        yield browser


def test_a_sabotaged_page_is_found() -> None:
    """The twin of every check below."""
    assert inline('<p style="color: red">') == ["p style"]
    assert inline('<a href="JavaScript:alert(1)" onclick="x()">') != []
    assert inline("<script>1</script><style>a{}</style>") == ["script", "style"]
    assert inline('<script src="/static/app.js"></script>') == []


def test_an_empty_daemon_shows_how_to_add_a_first_job(empty: DaemonProcess) -> None:
    with PlainBrowser(empty.http_address) as browser:
        for path in PAGES:
            check(browser.get(path))
        overview = browser.get("/")
        assert "Add the first job" in overview.text
        assert f"curl http://{empty.http_address}/api/v1/queues/hello/jobs" in overview.text
        assert "holdfast add hello greet" in overview.text


def test_every_page_reads_without_javascript_and_every_link_leads_somewhere(
    browser: PlainBrowser,
) -> None:
    seen: set[str] = set()
    followed = [*PAGES, "/queues?group=yes&sort=-name", "/queues/hostile", "/?range=24h"]
    followed += ["/metrics-history?queue=hostile&range=7d&kind=slowest"]
    for path in followed:
        page = browser.get(path)
        check(page)
        seen |= links(page)
    # One of each kind: a thousand queues have a thousand links.
    kinds = {re.sub(r"group-\d(?:%3A|:)\d+|range=\w+|after=\d+", "", link): link for link in seen}
    assert len(kinds) > 20
    for link in kinds.values():
        assert browser.get(link).status < 400, link


def test_a_thousand_queues_are_found_page_by_page(browser: PlainBrowser) -> None:
    names: list[str] = []
    address = "/queues"
    while address:
        page = browser.get(address)
        rows = [row for row in page.root.all("tr") if "data-row" in row.attributes]
        names += [row.one("a").text for row in rows]
        following = page.root.all("a", rel="next")
        address = following[0].attributes["href"] if following else ""
    assert len(names) == QUEUES
    assert names == sorted(names)
    assert "of 1,000" in browser.get("/").text
    filtered = browser.get("/queues?match=group-3*")
    rows = [row for row in filtered.root.all("tr") if "data-row" in row.attributes]
    assert len(rows) == 100
    assert all(row.one("a").text.startswith("group-3") for row in rows)
    assert "No queue matches" in browser.get("/queues?match=nothing-like-it").text


def test_queues_are_grouped_by_what_their_names_begin_with(browser: PlainBrowser) -> None:
    page = browser.get("/queues?group=yes&match=group-6*")
    (group,) = [row for row in page.root.all("tr") if row.has_class("group-row")]
    assert group.text.startswith("group")


def test_hostile_names_are_words_and_nothing_else(browser: PlainBrowser) -> None:
    page = browser.get("/queues/hostile?state=waiting")
    check(page)
    assert HOSTILE in page.text
    assert "<img" not in page.source
    assert "{{7*7}}" in page.source
    for path in (f"/queues?match={HOSTILE}", f"/metrics-history?queue={HOSTILE}&name={HOSTILE}"):
        answer = browser.get(path)
        assert answer.status < 500
        assert "<img" not in answer.source
        assert inline(answer.source) == []


def test_what_is_not_there_is_a_page_that_says_so(browser: PlainBrowser) -> None:
    for path in ("/nothing", "/queues/none-of-this-name", "/static/x/y.js"):
        assert browser.get(path).status == 404
    page = browser.get("/queues/none-of-this-name")
    assert page.root.one("h1").text == "There is nothing here"
    assert inline(page.source) == []


def test_a_queue_is_paused_and_resumed_by_forms(full: DaemonProcess) -> None:
    with (
        PlainBrowser(full.http_address) as browser,
        Queue("by-forms", url=full.url) as queue,
    ):
        queue.add("job", {})
        asked = browser.get(browser.get("/queues/by-forms").link("Pause"))
        assert "1 job" in asked.text
        paused = browser.submit(asked, asked.form("/do/queues/pause"))
        assert paused.url == "/queues/by-forms"
        assert "paused" in paused.text
        asked = browser.get(paused.link("Resume"))
        resumed = browser.submit(asked, asked.form("/do/queues/resume"))
        assert resumed.link("Pause")


def test_limits_are_set_by_a_form_that_says_what_is_wrong(full: DaemonProcess) -> None:
    with PlainBrowser(full.http_address) as browser, Queue("limited", url=full.url) as queue:
        queue.add("job", {})
        asked = browser.get("/do/queues/limits?queue=limited")
        form = asked.form("/do/queues/limits")
        wrong = browser.submit(asked, form, concurrency="many")
        assert wrong.status == 400
        assert "many" in wrong.text
        again = wrong.form("/do/queues/limits")
        page = browser.submit(wrong, again, concurrency="3", limit="10", period="1m", burst="")
        assert "at most 3 at once" in page.text
        assert "10 every 1 min, bursts of 10" in page.text
        asked = browser.get("/do/queues/limits?queue=limited")
        form = asked.form("/do/queues/limits")
        assert "no limit" in browser.submit(asked, form, concurrency="", limit="").text


def test_a_drain_says_how_many_it_takes_and_a_deletion_wants_the_name(
    full: DaemonProcess,
) -> None:
    with PlainBrowser(full.http_address) as browser, Queue("doomed", url=full.url) as queue:
        queue.add_many([("job", {}) for _ in range(12)])
        asked = browser.get("/do/queues/drain?queue=doomed")
        assert "Remove 12 jobs" in asked.text
        drained = browser.submit(asked, asked.form("/do/queues/drain"))
        assert drained.url == "/queues/doomed"
        until(lambda: queue.counts()["waiting"] == 0)
        asked = browser.get("/do/queues/obliterate?queue=doomed")
        form = asked.form("/do/queues/obliterate")
        assert browser.submit(asked, form, typed="dooomed").status == 400
        gone = browser.submit(asked, form, typed="doomed")
        assert gone.url == "/queues"
        assert browser.get("/queues/doomed").status == 404


def test_all_queues_are_paused_by_a_form_and_undone(tmp_path: Path) -> None:
    with (
        DaemonProcess(tmp_path / "data") as daemon,
        PlainBrowser(daemon.http_address) as browser,
        Queue("one", url=daemon.url) as one,
        Queue("two", url=daemon.url) as two,
    ):
        one.add("job", {})
        two.add("job", {})
        asked = browser.get(browser.get("/").link("Pause all"))
        assert "Pause all 2 queues?" in asked.text
        assert "2 jobs will wait" in asked.text
        paused = browser.submit(asked, asked.form("/do/all-queues/pause"))
        check(paused)
        assert "2 queues paused" in paused.text
        assert one.info()["paused"]
        assert two.info()["paused"]
        undone = browser.submit(paused, paused.form("/do/undo"), "Undo")
        assert "Undone: 2 queues as before" in undone.text
        assert not one.info()["paused"]
        assert [each.text for each in undone.root.all("a") if each.text == "Resume all"] == []
        browser.get("/do/all-queues/pause")
        again = browser.get("/do/all-queues/pause")
        browser.submit(again, again.form("/do/all-queues/pause"))
        server = browser.get("/server")
        browser.submit(server, server.form("/do/undo"), "Undo")
        assert not two.info()["paused"]
        assert browser.get("/do/all-queues/drain").status == 404


# ---- live ----------------------------------------------------------------------------------------


class Stream:
    """One /live stream, read as it comes."""

    def __init__(self, daemon: DaemonProcess, query: str = "topic=overview"):
        host, _, port = daemon.http_address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), 10)
        head = f"GET /live?{query} HTTP/1.1\r\nHost: {daemon.http_address}\r\n\r\n"
        self._socket.sendall(head.encode())
        self._left = b""
        self.head = self._until(b"\r\n\r\n").decode()

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._left:
            piece = self._socket.recv(1 << 16)
            if not piece:
                raise EOFError
            self._left += piece
        found, _, self._left = self._left.partition(mark)
        return found

    def message(self, seconds: float = 10.0) -> bytes:
        """The next event, as it came. Raises TimeoutError, EOFError."""
        self._socket.settimeout(seconds)
        return self._until(b"\n\n")


def test_tabs_that_watch_the_same_get_the_same_bytes_and_only_what_is_new(
    full: DaemonProcess,
) -> None:
    query = "topic=queue&name=hostile"
    with Stream(full, query) as one, Stream(full, query) as other:
        assert "text/event-stream" in one.head
        first = one.message()
        assert first == other.message()
        assert b'hx-target="#totals"' in first
        with Queue("hostile", url=full.url) as queue:
            queue.add("one-more", {})
        news = one.message()
        assert news == other.message()
        assert b'hx-target="#totals"' in news
        assert b'hx-target="#queue-settings"' not in news


def test_nothing_is_sent_while_nothing_changes(empty: DaemonProcess) -> None:
    with Stream(empty, "topic=queues") as stream, pytest.raises(TimeoutError):
        stream.message(2.5)
    with Stream(empty, "topic=workers") as stream:
        stream.message()
        with pytest.raises(TimeoutError):
            stream.message(2.5)


def test_a_topic_that_is_none_is_refused_in_one_line(empty: DaemonProcess) -> None:
    with Stream(empty, "topic=everything") as stream:
        assert " 404 " in stream.head


def test_streams_end_at_once_when_the_daemon_stops(tmp_path: Path) -> None:
    with DaemonProcess(tmp_path / "data") as daemon:
        with Stream(daemon, "topic=workers") as stream:
            stream.message()
            began = time.monotonic()
            assert daemon.stop() == 0
            with pytest.raises((EOFError, ConnectionResetError)):
                stream.message(5)
            assert time.monotonic() - began < 5
        assert "Traceback" not in daemon.log()


def test_the_chart_of_a_page_is_json_and_a_table(full: DaemonProcess) -> None:
    with PlainBrowser(full.http_address) as browser:

        def charted() -> Page | None:
            page = browser.get("/")
            return page if "data-chart" in page.source else None

        if charted() is None:
            return  # nothing has ended in this daemon: its charts say so in words
        page = until(charted)
        figure = page.root.one("figure", id="chart-throughput")
        (drawn,) = [each for each in figure.all("div") if "data-chart" in each.attributes]
        assert set(json.loads(drawn.attributes["data-chart"])) == {"unit", "times", "series"}
        assert figure.one("table")
