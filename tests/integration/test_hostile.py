"""374 hostile texts wherever a job, a schedule, a worker or a question about them can carry one:
each page has the elements and attributes that it has for plain texts, and no others; each answer of
the API has the texts as they are.

In Chromium the same is tried by tests/browser/test_hostile.py.
"""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, quote

import httpx2
import pytest

from holdfast import Queue, Worker
from holdfast.active import ActiveJob
from holdfast.wire.constants import SCHEDULE_ID_LENGTH_MAX
from holdfastd.search.query import quoted
from support import sabotaged_daemon
from support.daemon import DaemonProcess
from support.hostile import KINDS, MARKER, PAYLOADS, as_tag, printable
from support.markup import Markup

PLAIN: Final = tuple(f"plain {number}" for number in range(1_001, 1_001 + len(PAYLOADS)))
"""As many that harm nobody."""
PER_JOB: Final = 30
"""Texts in data, result, logs and progress of one job."""
TABS: Final = ("data", "result", "errors", "logs", "progress", "copy")


def test_there_are_enough_of_each_kind() -> None:
    assert len(PAYLOADS) == len(set(map(printable, PAYLOADS))) == 374
    assert all(len(forms) > 15 for forms in KINDS.values())
    assert all(MARKER in payload for payload in PAYLOADS if "(" in payload)


# ---- a daemon full of them -----------------------------------------------------------------------


def after_of(address: str) -> str:
    """From where on a page of jobs is."""
    return next(iter(parse_qs(address.partition("?")[2]).get("after", [])), "")


class House:
    """A daemon whose queues `brief` and `full` have jobs with hostile texts, and `brief-plain` and
    `full-plain` as many with plain ones."""

    def __init__(self, daemon: DaemonProcess):
        self.daemon = daemon
        self.client = httpx2.Client(base_url=f"http://{daemon.http_address}", timeout=20)

    def page(self, path: str, **query: str) -> Markup:
        answer = self.client.get(path, params=query or None)
        assert answer.headers["content-type"].startswith("text/html"), (path, answer.status_code)
        assert answer.status_code in (200, 400), (path, query, answer.status_code)
        return Markup(answer.text)

    def json(self, path: str, **query: str) -> Any:
        answer = self.client.get(path, params=query or None)
        assert answer.headers["content-type"].partition(";")[0] == "application/json"
        return answer.json()

    def lists(self, queue: str) -> Iterator[Markup]:
        """Pages that show its jobs, all of them."""
        for place in ("/", "/workers", "/queues", f"/queues/{queue}", "/server"):
            yield self.page(place)
        addresses = [f"/jobs?q=queue:{queue}"]
        for address in addresses:  # which grow by that of the next page
            page = self.page(address)
            yield page
            known = {after_of(each) for each in addresses}
            links = [text for text in page.texts if text.startswith("/jobs?") and after_of(text)]
            addresses += [link for link in links if after_of(link) not in known][:1]
        assert len(addresses) > len(PAYLOADS) // 100

    def schedule(self, queue: str, text: str) -> None:
        """One that carries the text wherever it can."""
        id = schedule_id(text)
        body = {"name": printable(text), "data": {text: text}, "tags": [as_tag(text)]}
        path = f"/api/v1/queues/{queue}/schedules/{quote(id, safe='')}"
        made = self.client.put(path, json={**body, "every_ms": 365 * 24 * 3600 * 1000})
        assert made.status_code == 201, made.text

    def schedule_pages(self, queue: str, texts: Sequence[str]) -> Iterator[Markup]:
        """The list, page by page; and of these each by itself, with a job, form and questions."""
        for id in map(schedule_id, texts):
            path = f"/api/v1/queues/{queue}/schedules/{quote(id, safe='')}/run"
            assert self.client.post(path).status_code == 201
        after = ""
        while True:
            page = self.page("/schedules", queue=queue, match="", after=after)
            yield page
            links = [text for text in page.texts if text.startswith("/schedules?")]
            following = [found for found in map(after_of, links) if found and found != after]
            if not following:
                break
            after = following[-1]
        for id in map(schedule_id, texts):
            yield self.page(f"/schedules/{queue}/{quote(id, safe='')}")
            yield self.page("/schedules/edit", queue=queue, id=id)
            for kind in ("run", "pause", "delete"):
                yield self.page(f"/do/schedules/{kind}", queue=queue, id=id)

    def typed(self, text: str) -> Markup:
        """The form that makes a schedule, with the text in every field."""
        names = ("id", "name", "data", "rule", "cron", "tz", "every", "missed", "overlap", "tags")
        more = ("priority", "attempts", "backoff", "delay", "cap")
        origin = str(self.client.base_url).rstrip("/")
        answer = self.client.post(
            "/schedules/new",
            data={"queue": "typed", **dict.fromkeys([*names, *more], text)},
            headers={"Origin": origin, "Sec-Fetch-Site": "same-origin"},
        )
        assert answer.status_code == 400, answer.text[:500]
        return Markup(answer.text)

    def ids(self, queue: str) -> list[str]:
        with Queue(queue, url=self.daemon.url) as jobs:
            return [job.id for state in ("completed", "failed") for job in jobs.jobs(state)]

    def job_pages(
        self, queue: str, ids: Sequence[str], tabs: Sequence[str] = TABS
    ) -> Iterator[Markup]:
        for id in ids:
            for tab in tabs:
                yield self.page(f"/jobs/{queue}/{quote(id, safe='')}", tab=tab)


def schedule_id(text: str) -> str:
    return printable(text, SCHEDULE_ID_LENGTH_MAX)


class Failed(Exception):
    """Of a type that is named as hostile as its message is."""


async def handle(job: ActiveJob) -> Any:
    if job.queue.startswith("brief"):
        job.log(job.data)
        raise type(job.data[:60].replace("\0", "") or "x", (Failed,), {})(job.data)
    for text in job.data["list"]:
        job.log(text)
    job.progress(dict.fromkeys(job.data["list"][:5], job.data["list"][5]))
    return job.data


def brief(text: str) -> tuple[str, Any, dict[str, Any]]:
    name = printable(text)
    return name, text, {"id": name, "tags": [as_tag(text)]}


def full(texts: Sequence[str]) -> tuple[str, Any, dict[str, Any]]:
    data = {"list": list(texts), "map": {text: {text: text} for text in texts}}
    return printable(texts[0]), data, {"id": printable(texts[1])}


async def fill(daemon: DaemonProcess) -> None:
    count = 0
    over = asyncio.Event()
    parts = range(0, len(PAYLOADS), PER_JOB)
    target = 2 * (len(PAYLOADS) + len(parts))

    def ended(job: ActiveJob, outcome: object) -> None:
        nonlocal count
        count += 1
        if count == target:
            over.set()

    names = [*PAYLOADS[:: len(PAYLOADS) // 6], "plain"]
    queues = ["brief", "brief-plain", "full", "full-plain"]
    workers = [
        Worker(queues, handle, concurrency=20, url=daemon.url, name=printable(name))
        for name in names
    ]
    for worker in workers:
        worker.on("completed", ended)
        worker.on("failed", ended)
    running = [asyncio.create_task(worker.run_async()) for worker in workers]
    async with asyncio.timeout(30):
        await over.wait()
    for worker in workers:
        worker.stop()
    await asyncio.gather(*running)


def filled(daemon: DaemonProcess) -> House:
    for suffix, texts in (("", PAYLOADS), ("-plain", PLAIN)):
        with Queue(f"brief{suffix}", url=daemon.url) as queue:
            queue.add_many([brief(text) for text in texts])
        with Queue(f"full{suffix}", url=daemon.url) as queue:
            parts = [texts[at : at + PER_JOB] for at in range(0, len(texts), PER_JOB)]
            queue.add_many([full(part) for part in parts])
    asyncio.run(fill(daemon))
    return House(daemon)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with DaemonProcess(tmp_path_factory.mktemp("hostile") / "data") as daemon:
        house = filled(daemon)
        yield house
        house.client.close()
        assert "Traceback" not in daemon.log()


# ---- pages ---------------------------------------------------------------------------------------


def strange(hostile: Sequence[Markup], plain: Sequence[Markup]) -> list[object]:
    """What the hostile pages have and should not."""
    ours = set().union(*(page.made_of for page in plain))
    theirs = set().union(*(page.made_of for page in hostile))
    wrong = {each for page in [*hostile, *plain] for each in page.wrong}
    return sorted([*(theirs - ours), *wrong], key=str)


def test_lists_are_made_of_what_they_are_made_of(house: House) -> None:
    hostile, plain = list(house.lists("brief")), list(house.lists("brief-plain"))
    assert strange(hostile, plain) == []
    shown = "\n".join(page.text for page in hostile)
    assert [text for text in PAYLOADS if printable(text).strip() not in shown] == []


def test_a_jobs_page_is_made_of_what_it_is_made_of(house: House) -> None:
    hostile = list(house.job_pages("full", house.ids("full")))
    plain = list(house.job_pages("full-plain", house.ids("full-plain")[:3]))
    hostile += house.job_pages("brief", house.ids("brief")[::40], ("errors", "logs"))
    plain += house.job_pages("brief-plain", house.ids("brief-plain")[:2])
    assert strange(hostile, plain) == []
    shown = "".join("".join(page.text.split()) for page in hostile)
    missing = [text for text in PAYLOADS if "".join(printable(text, 40).split()) not in shown]
    assert len(missing) < 60, "those that are written in another way, such as quotes in JSON"


def test_schedules_are_shown_as_they_are(house: House) -> None:
    """A few on pages of their own, all in the list; and the job of each on its page."""
    hostile_few, plain_few = PAYLOADS[::40], PLAIN[:2]
    for queue, texts in (("plan", PAYLOADS), ("plan-plain", PLAIN[:60])):  # two pages
        for text in texts:
            house.schedule(queue, text)
    hostile = list(house.schedule_pages("plan", hostile_few))
    plain = list(house.schedule_pages("plan-plain", plain_few))
    for queue, pages, few in (("plan", hostile, hostile_few), ("plan-plain", plain, plain_few)):
        pages += [house.page(f"/queues/{queue}"), *map(house.typed, few)]
        for text in few:
            found = house.json("/api/v1/jobs", q=f"queue:{queue} id:{quoted(schedule_id(text))}*")
            assert found["jobs"], text
            pages += house.job_pages(queue, [found["jobs"][0]["id"]], ("data",))
    assert strange(hostile, plain) == []
    shown = "\n".join(page.text for page in hostile)
    assert [text for text in PAYLOADS if schedule_id(text).strip() not in shown] == []


def test_a_question_is_shown_as_it_is(house: House) -> None:
    plain = [house.page("/jobs", q=text) for text in ("plain", 'id:"', "nofield:x", "data..x:1")]
    plain += house.lists("brief-plain")
    hostile = [house.page("/jobs", q=text) for text in PAYLOADS[::8]]
    assert strange(hostile, plain) == []


# ---- answers -------------------------------------------------------------------------------------


def test_the_api_gives_every_text_as_it_is(house: House) -> None:
    found = []
    after: str | None = ""
    while after is not None:
        more = {"after": after} if after else {}
        page = house.json("/api/v1/jobs", q="queue:brief", limit="100", **more)
        found += page["jobs"]
        after = page["next"]
    assert {job["id"] for job in found} == set(map(printable, PAYLOADS))
    # A list has the first line of an error.
    assert {job["error"] for job in found} == {text.split("\n")[0] for text in PAYLOADS}
    assert {tag for job in found for tag in job["tags"]} == set(map(as_tag, PAYLOADS))


# ---- the twin ------------------------------------------------------------------------------------


def test_pages_that_escape_nothing_are_found_out(tmp_path: Path) -> None:
    daemon = DaemonProcess(tmp_path / "data")
    daemon.program = [sabotaged_daemon.__file__, "escapes_nothing"]
    with daemon:
        with (
            Queue("brief", url=daemon.url) as hostile,
            Queue("brief-plain", url=daemon.url) as plain,
        ):
            hostile.add_many([brief(text) for text in PAYLOADS])
            plain.add_many([brief(text) for text in PLAIN])
        house = House(daemon)
        found = strange(list(house.lists("brief")), list(house.lists("brief-plain")))
        house.client.close()
    assert ("img", "onerror") in found
    assert ("script", "") not in found, "the page has scripts of its own"
    assert "<script> inline" in found
    assert len(found) > 100


def test_the_marks_of_code_are_known() -> None:
    for html in (
        "<p onclick=x>",
        "<a href=javascript:x>",
        "<a href=//evil.example>",
        "<script>x</script>",
        "<p style=color:red>",
        "<style></style>",
        "<iframe srcdoc=x>",
        "<!-- x -->",
        "<div hx-vals='js:x'>",
    ):
        assert Markup(html).wrong, html
    assert Markup('<a href="/x?y"><script src="/static/x"></script></a>').wrong == []
