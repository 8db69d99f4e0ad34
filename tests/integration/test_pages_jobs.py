"""The pages on jobs without JavaScript, on a real daemon: jobs are found, looked at, acted on."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from holdfast import Backoff, Queue, Worker
from support.daemon import DaemonProcess
from support.plainbrowser import Page, PlainBrowser

HOSTILE = """<script>alert('x')</script>"><img src=x onerror=alert(1)>{{7*7}}&amp;"""
SMTP = "connection to smtp.example.com reset"


def handler(job: Any) -> Any:
    job.log(f"began {job.id}")
    job.progress(40)
    if job.name == "fail":
        raise ConnectionError(job.data["error"])
    if job.name == "hang":
        while not job.cancelled:
            time.sleep(0.01)
    return {"done": job.data}


class House:
    """A daemon with a worker and a browser."""

    def __init__(self, daemon: DaemonProcess, browser: PlainBrowser, queue: Queue):
        self.daemon = daemon
        self.browser = browser
        self.queue = queue

    def get(self, address: str) -> Page:
        return self.browser.get(address)

    def until(self, is_so: Callable[[], Any], seconds: float = 15.0) -> Any:
        """What is_so gives as soon as it is true. Raises AssertionError when it never is."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = is_so()
            if found:
                return found
            time.sleep(0.02)
        raise AssertionError("it did not come to be in time")

    def state(self, id: str) -> str:
        return self.queue.get(id).state

    def job_page(self, id: str) -> Page:
        return self.get(f"/jobs/{self.queue.name}/{id}")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DaemonProcess, Worker]]:
    directory = tmp_path_factory.mktemp("pages") / "data"
    with DaemonProcess(directory) as daemon:
        worker = Worker(["mail", "busy"], handler, url=daemon.url, concurrency=5)
        thread = threading.Thread(target=worker.run)
        thread.start()
        yield daemon, worker
        worker.stop()
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture
def house(running: tuple[DaemonProcess, Worker]) -> Iterator[House]:
    daemon, _ = running
    with (
        Queue("mail", url=daemon.url, timeout=10) as queue,
        PlainBrowser(daemon.http_address) as browser,
    ):
        yield House(daemon, browser, queue)


def failed(house: House, id: str, error: str = SMTP, **options: Any) -> str:
    house.queue.add("fail", {"error": error}, id=id, **options)
    house.until(lambda: house.state(id) == "failed")
    return id


def rows(page: Page) -> list[str]:
    """Ids of the jobs that the page lists."""
    return [
        each.text
        for row in page.root.all("tr", data_row="")
        for each in row.all("span")
        if each.has_class("job-id")
    ]


# ---- finding -------------------------------------------------------------------------------------


def test_a_failed_job_is_found_with_the_first_line_of_its_error(house: House) -> None:
    failed(house, "found-1", f"{SMTP}\nand more of it")
    page = house.get("/jobs?q=state:failed+queue:mail+id:found-1")
    assert rows(page) == ["found-1"]
    assert SMTP in page.text
    assert "and more of it" not in page.text.replace("\n", " ")
    assert page.headers["cache-control"] == "no-store"


def test_a_query_that_is_wrong_says_what_and_where(house: House) -> None:
    page = house.get("/jobs?q=state:failed+colour:red")
    error = page.root.one("div", id="query-error")
    assert error.one("mark").text.startswith("colour")
    assert page.root.one("input", id="q").attributes["value"] == "state:failed colour:red"


def test_facets_count_and_lead_on(house: House) -> None:
    for n in range(3):
        house.queue.add("later", n, id=f"facet-{n}", delay=3600, tags=["facets"])
    page = house.get("/jobs?q=tag:facets&facets=1")
    assert "3 jobs match" in page.text
    delayed = next(each for each in page.root.all("a") if each.text.startswith("delayed"))
    narrower = house.get(delayed.attributes["href"])
    assert sorted(rows(narrower)) == ["facet-0", "facet-1", "facet-2"]
    assert house.get("/jobs/facets?q=tag:facets").status == 200


def test_pages_follow_one_another_both_ways(house: House) -> None:
    house.queue.add_many(
        [
            ("later", n, {"id": f"page-{n:03}", "delay": 3600, "tags": ["paging"]})
            for n in range(120)
        ]
    )
    first = house.get("/jobs?q=tag:paging")
    second = house.get(first.link("Older"))
    third = house.get(second.link("Older"))
    found = rows(first) + rows(second) + rows(third)
    assert [len(rows(page)) for page in (first, second, third)] == [50, 50, 20]
    assert sorted(found) == [f"page-{n:03}" for n in range(120)]
    assert rows(house.get(third.link("Newer"))) == rows(second)
    assert rows(house.get(house.get(third.link("Newer")).link("Newer"))) == rows(first)
    assert not [each for each in third.root.all("a") if each.text == "Older"]


def test_an_export_has_a_job_on_each_line(house: House) -> None:
    house.queue.add_many(
        [("later", n, {"id": f"out-{n}", "delay": 3600, "tags": ["out"]}) for n in range(60)]
    )
    page = house.get("/jobs/export?q=tag:out")
    lines = [json.loads(line) for line in page.source.splitlines()]
    assert sorted(line["id"] for line in lines) == sorted(f"out-{n}" for n in range(60))
    assert page.headers["content-disposition"] == 'attachment; filename="jobs.ndjson"'


# ---- looking -------------------------------------------------------------------------------------


def test_a_failed_job_shows_its_error_its_log_and_its_life(house: House) -> None:
    failed(house, "look-1", attempts=2, backoff=Backoff.fixed(0.01))
    page = house.job_page("look-1")
    assert "ConnectionError" in page.text
    assert SMTP in page.text
    assert "Traceback" in page.text
    timeline = page.root.one("section", id="job-timeline").text
    assert timeline.count("Failed") == 2
    logs = house.get("/jobs/mail/look-1?tab=logs")
    assert logs.text.count("began look-1") == 2
    assert house.get("/jobs/mail/look-1?part=logs").source.count("began look-1") == 2


def test_data_keeps_all_digits_of_a_whole_number(house: House) -> None:
    house.queue.add("later", {"n": 9_007_199_254_740_993}, id="digits", delay=3600)
    assert "9007199254740993" in house.get("/jobs/mail/digits?tab=data").text
    part = house.get("/jobs/mail/digits?part=data")
    assert json.loads(part.source) == {"n": 9_007_199_254_740_993}
    assert part.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("id", ["a/b", "..", "100%", "ü 🚢", "?#&+", '"<>', "..%2f"])
def test_a_job_of_any_id_has_a_page_that_the_list_leads_to(house: House, id: str) -> None:
    tag = f"ids-{id.encode().hex()}"
    house.queue.add("later", None, id=id, delay=3600, tags=[tag])
    page = house.get(f"/jobs?q=tag:{tag}")
    link = next(each for each in page.root.all("a") if each.has_class("job-name"))
    found = house.get(link.attributes["href"])
    assert found.status == 200
    assert id in [each.text for each in found.root.all("code")]


def test_a_job_that_is_not_there_is_told_of_kindly(house: House) -> None:
    page = house.get("/jobs/mail/never-was")
    assert page.status == 404
    assert "removed by retention" in page.text
    assert house.get("/jobs/no-such-queue/1").status == 404


def test_nothing_that_a_job_says_becomes_markup(house: House) -> None:
    house.queue.add(
        "fail", {"error": HOSTILE, HOSTILE: [HOSTILE]}, id=HOSTILE[:100], tags=["hostile"]
    )
    house.until(lambda: house.state(HOSTILE[:100]) == "failed")
    listed = house.get("/jobs?q=tag:hostile&facets=1")
    link = next(each for each in listed.root.all("a") if each.has_class("job-name")).attributes[
        "href"
    ]
    pages = [listed, house.get("/jobs?q=" + "%3Cscript%3E%22%27%3E")]
    pages += [
        house.get(f"{link}?tab={tab}") for tab in ("data", "errors", "logs", "options", "copy")
    ]
    for page in pages:
        assert not [each for each in page.root.all("script") if "src" not in each.attributes]
        assert not page.root.all("img")
        assert "{{7*7}}" in page.source or "49" not in page.text or page is not listed


# ---- acting --------------------------------------------------------------------------------------


def test_one_failed_job_is_retried_from_its_page(house: House) -> None:
    failed(house, "retry-1")
    page = house.job_page("retry-1")
    house.queue.pause()
    try:
        after = house.browser.submit(page, page.form("/do/jobs"), "Retry")
        assert "1 retried" in after.text
        assert house.state("retry-1") == "waiting"
    finally:
        house.queue.resume()


def test_a_job_that_moved_on_is_left_alone_and_the_page_says_so(house: House) -> None:
    failed(house, "late-1")
    page = house.job_page("late-1")
    house.queue.remove("late-1")
    house.queue.add("later", None, id="late-1", delay=3600)
    after = house.browser.submit(page, page.form("/do/jobs"), "Retry")
    assert house.state("late-1") == "delayed"
    assert "1 had moved on" in after.text
    assert "no longer in the state that you saw" in after.text


def test_what_is_ticked_is_acted_on_after_a_question(house: House) -> None:
    for n in range(3):
        house.queue.add("later", n, id=f"tick-{n}", delay=3600, tags=["tick"])
    page = house.get("/jobs?q=tag:tick")
    form = page.form("/jobs/confirm")
    question = house.browser.submit(
        page, form, "Cancel", job=["delayed/mail/tick-0", "delayed/mail/tick-2"]
    )
    assert "Cancel 2 jobs?" in question.text
    assert house.state("tick-0") == "delayed"
    after = house.browser.submit(question, question.form("/do/jobs"))
    assert "2 cancelled" in after.text
    assert [house.state(f"tick-{n}") for n in range(3)] == ["cancelled", "delayed", "cancelled"]


def test_nothing_ticked_is_no_question(house: House) -> None:
    house.queue.add("later", None, id="untick", delay=3600, tags=["untick"])
    page = house.get("/jobs?q=tag:untick")
    answer = house.browser.submit(page, page.form("/jobs/confirm"), "Delete")
    assert answer.status == 400
    assert "No job is ticked" in answer.text


def test_those_it_cannot_be_done_to_are_told_of_before_and_not_called_moved_on(
    house: House,
) -> None:
    house.queue.add("later", None, id="pass-1", delay=3600, tags=["pass"])
    failed(house, "pass-2", tags=["pass"])
    page = house.get("/jobs?q=tag:pass")
    both = ["delayed/mail/pass-1", "failed/mail/pass-2"]
    question = house.browser.submit(page, page.form("/jobs/confirm"), "Cancel", job=both)
    assert "Cancel 1 job?" in question.text
    assert "1 job will be passed over" in question.text
    after = house.browser.submit(question, question.form("/do/jobs"))
    assert "1 cancelled" in after.text
    assert "moved on" not in after.text
    nobody = house.browser.submit(page, page.form("/jobs/confirm"), "Promote", job=both[1:])
    assert "there is nothing to do" in nobody.text
    assert [each.text for each in nobody.form("/do/jobs").all("button")] == []


def test_all_that_match_are_acted_on_after_five_seconds(house: House) -> None:
    many = [("later", n, {"id": f"all-{n}", "delay": 3600, "tags": ["all"]}) for n in range(130)]
    house.queue.add_many(many)
    page = house.get("/jobs?q=tag:all")
    question = house.browser.submit(page, page.form("/jobs/confirm"), "Cancel", scope="matching")
    assert "Cancel all 130 jobs that match?" in question.text
    after = house.browser.submit(question, question.form("/do/jobs"))
    assert house.state("all-0") == "delayed"
    house.queue.promote("all-7")  # it moves on
    house.until(lambda: "129 cancelled, 1 had moved on" in house.get(after.url).text)
    assert house.state("all-0") == "cancelled"
    house.until(lambda: house.state("all-7") == "completed")


def test_what_has_not_begun_is_undone(house: House) -> None:
    house.queue.add("later", None, id="undo", delay=3600, tags=["undo"])
    page = house.get("/jobs?q=tag:undo")
    question = house.browser.submit(page, page.form("/jobs/confirm"), "Delete", scope="matching")
    begun = house.browser.submit(question, question.form("/do/jobs"))
    undone = house.browser.submit(begun, begun.form("/do/undo"), "Undo")
    assert "nothing has happened" in undone.text
    assert house.state("undo") == "delayed"


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        ("priority", {"priority": "-7"}, {"priority": -7}),
        ("reschedule", {"when": "now"}, {"state": "waiting"}),
        ("edit", {"data": '{"n": 9007199254740993}'}, {"data": {"n": 9_007_199_254_740_993}}),
    ],
)
def test_a_waiting_job_is_changed_by_a_form(
    house: House, kind: str, fields: dict[str, str], expected: dict[str, Any]
) -> None:
    id = f"change-{kind}"
    with Queue("idle", url=house.daemon.url, timeout=10) as idle:
        idle.add("later", {"n": 1}, id=id, delay=3600)
        question = house.get(f"/jobs/confirm?kind={kind}&job=delayed/idle/{id}")
        wrong = house.browser.submit(
            question, question.form("/do/jobs"), **dict.fromkeys(fields, "}")
        )
        assert wrong.status == 400
        after = house.browser.submit(wrong, wrong.form("/do/jobs"), **fields)
        assert "1 " in after.text
        job = idle.get(id)
        assert {name: getattr(job, name) for name in expected} == expected


def test_data_that_would_lose_something_as_json_is_not_edited(house: House) -> None:
    house.queue.add("later", {1: float("inf")}, id="lossy", delay=3600)
    house.queue.add("later", {"raw": b"\x00"}, id="bytes", delay=3600)
    refused = house.get("/jobs/confirm?kind=edit&job=delayed/mail/lossy")
    assert refused.status == 400
    assert "an edit would lose" in refused.text
    question = house.get("/jobs/confirm?kind=edit&job=delayed/mail/bytes")
    house.browser.submit(question, question.form("/do/jobs"))
    assert house.queue.get("bytes").data == {"raw": b"\x00"}


def test_an_answer_leads_to_no_other_site(house: House) -> None:
    failed(house, "astray")
    page = house.job_page("astray")
    form = page.form("/do/jobs")
    after = house.browser.submit(page, form, "Retry", back="//evil.example/jobs")
    assert after.url.startswith("/jobs/mail/astray?action=")


def test_a_job_is_moved_to_another_queue(house: House) -> None:
    house.queue.add("later", None, id="moving", delay=3600)
    question = house.get("/jobs/confirm?kind=move&job=delayed/mail/moving")
    house.browser.submit(question, question.form("/do/jobs"), to="elsewhere")
    with Queue("elsewhere", url=house.daemon.url, timeout=10) as elsewhere:
        assert elsewhere.get("moving").state == "delayed"


def test_an_active_job_is_cancelled_while_it_runs(house: House) -> None:
    with Queue("busy", url=house.daemon.url, timeout=10) as busy:
        busy.add("hang", None, id="hang-1")
        house.until(lambda: busy.get("hang-1").state == "active")
        question = house.get("/jobs/confirm?kind=cancel&job=active/busy/hang-1")
        house.browser.submit(question, question.form("/do/jobs"))
        house.until(lambda: busy.get("hang-1").state == "cancelled")
        page = house.get("/jobs/busy/hang-1?tab=errors")
        assert page.status == 200
        assert "Cancelled while it ran" in page.text


# ---- adding --------------------------------------------------------------------------------------


def test_a_job_is_added_by_a_form_and_wrong_fields_are_named(house: House) -> None:
    page = house.get("/queues/by-form/add")
    form = page.form("/queues/by-form/add")
    wrong = house.browser.submit(page, form, name="", data="{", priority="x")
    assert wrong.status == 400
    assert "3 fields are not right yet" in wrong.text
    again = wrong.form("/queues/by-form/add")
    added = house.browser.submit(
        wrong, again, name="resize", data='{"user": 7}', id="by/form", when="1h", priority="-3",
        attempts="4", backoff="exponential", delay="2s", cap="1m", tags="eu, batch",
    )  # fmt: skip
    assert added.url.partition("?")[0] == "/jobs/by-form/by%2Fform"
    with Queue("by-form", url=house.daemon.url, timeout=10) as queue:
        job = queue.get("by/form")
    assert (job.state, job.priority, job.attempts, job.data) == ("delayed", -3, 4, {"user": 7})
    assert "eu, batch" in house.get("/jobs/by-form/by%2Fform?tab=options").text


def test_a_twin_of_a_job_is_added_from_its_page(house: House) -> None:
    house.queue.add("later", {"deep": [1, {"x": None}]}, id="twin", delay=3600, priority=4)
    page = house.get(house.job_page("twin").link("Duplicate"))
    added = house.browser.submit(page, page.form("/queues/mail/add"))
    assert added.status == 200
    assert "twin" not in added.url
    part = house.get(added.url.partition("?")[0] + "?part=data")
    assert json.loads(part.source) == {"deep": [1, {"x": None}]}
