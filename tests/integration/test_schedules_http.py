"""Schedules of a real daemon over HTTP: the API, and the pages as a browser without JavaScript has
them."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from holdfast import Queue
from holdfastd.access.rights import Role
from support.api import Api, Said
from support.daemon import DaemonProcess
from support.keys import new_key
from support.plainbrowser import Page, PlainBrowser

YEAR_MS = 365 * 24 * 3600 * 1000
"""Often enough for what is to be looked at only."""
NIGHTLY = {"name": "report", "cron": "30 2 * * 1-5", "tz": "Europe/Berlin", "data": {"n": 1}}
ENVIRONMENT = {**os.environ, "HOLDFAST_HTTP_REDACT": "secret"}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    folder = tmp_path_factory.mktemp("schedules")
    environment = {**ENVIRONMENT, "HOLDFAST_AUDIT_FILE": str(folder / "audit.log")}
    with DaemonProcess(folder / "data", environment=environment) as daemon:
        yield daemon
        assert "Traceback" not in daemon.log()


@pytest.fixture
def api(daemon: DaemonProcess) -> Api:
    return Api(daemon.http_address)


@pytest.fixture
def browser(daemon: DaemonProcess) -> Iterator[PlainBrowser]:
    with PlainBrowser(daemon.http_address) as browser:
        yield browser


def put(api: Api, path: str, body: Any) -> Said:
    return api.ask("PUT", f"/queues/{path}", body, {})


def until(is_so: Callable[[], Any], seconds: float = 10.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = is_so()
        if found:
            return found
        time.sleep(0.05)  # the other side is another process
    raise AssertionError("it did not come to be in time")


# ---- the API -------------------------------------------------------------------------------------


def test_a_schedule_is_made_seen_replaced_paused_run_and_deleted(api: Api) -> None:
    path = "/queues/reports/schedules/nightly"
    made = put(api, "reports/schedules/nightly", NIGHTLY)
    assert made.status == 201, made.body
    told = made.body
    assert (told["cron"], told["tz"], told["every_ms"]) == ("30 2 * * 1-5", "Europe/Berlin", None)
    assert (told["name"], told["data"], told["origin"]) == ("report", {"n": 1}, "api")
    assert len(told["next_five"]) == 5
    assert told["next_five"][0] == told["next_at_ms"]
    assert (told["last_job_id"], told["last_job_state"], told["fired"]) == (None, None, 0)
    assert told == api.get(path).body

    again = put(api, "reports/schedules/nightly", {**NIGHTLY, "attempts": 4, "overlap": "skip"})
    assert (again.status, again.body["options"]["attempts"]) == (200, 4)
    assert again.body["next_at_ms"] == told["next_at_ms"]

    paused = api.post(f"{path}/pause")
    assert (paused.status, paused.body["is_paused"], paused.body["next_five"]) == (200, True, [])
    ran = api.post(f"{path}/run")
    assert ran.status == 201
    job = api.get(ran.headers["location"].removeprefix("/api/v1")).body
    assert (job["name"], job["data"], job["attempts"]) == ("report", {"n": 1}, 4)
    assert job["id"].startswith("nightly@")
    assert api.get(path).body["last_job_id"] == job["id"]
    assert api.post(f"{path}/resume").body["next_at_ms"] == told["next_at_ms"]

    assert api.delete(path).status == 204
    gone = api.get(path)
    assert (gone.status, "no schedule 'nightly'" in gone.message) == (404, True)
    assert api.post(f"{path}/run").status == 404
    assert api.delete(path).status == 404


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"cron": "61 * * * *"}, "no cron pattern"),
        ({"cron": "30 2"}, "no cron pattern"),
        ({"cron": "0 0 30 2 *"}, "no cron pattern"),
        ({"tz": "Europe/Berlln"}, "Europe/Berlin"),
        ({"every_ms": 1_000}, "every_ms"),
        ({"cron": None, "tz": None}, "cron"),
        ({"cron": None, "tz": None, "every_ms": 999}, "every_ms"),
        ({"delay_ms": 5}, "delay_ms"),
        ({"missed": "never"}, "missed must be one of"),
        ({"name": ""}, "name"),
        ({"attempts": 0}, "attempts"),
        ({"data": 2**70}, "cannot be packed"),
    ],
    ids=str,
)
def test_what_is_wrong_is_refused_with_the_field_and_nothing_is_made(
    api: Api, changed: dict[str, Any], said: str
) -> None:
    body = {name: value for name, value in {**NIGHTLY, **changed}.items() if value is not None}
    refused = put(api, "reports/schedules/wrong", body)
    assert refused.status == 400, refused.body
    assert said in refused.message
    assert api.get("/queues/reports/schedules/wrong").status == 404


def test_schedules_are_found_page_by_page_by_queue_and_by_text(api: Api) -> None:
    for number in range(5):
        for queue in ("paged-a", "paged-b"):
            body = {"name": f"job-{number}", "every_ms": YEAR_MS}
            assert put(api, f"{queue}/schedules/s%2F{number}", body).status == 201

    def ids(query: str) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        after = ""
        while True:
            page = api.get(f"/schedules?limit=3&{query}{after}").body
            found += [(each["queue"], each["id"]) for each in page["schedules"]]
            if page["next"] is None:
                return found
            after = f"&after={quote(page['next'], safe='')}"

    a = [("paged-a", f"s/{number}") for number in range(5)]
    b = [("paged-b", f"s/{number}") for number in range(5)]
    assert ids("match=s%2F*") == a + b
    assert ids("queue=paged-b") == b
    assert ids("queue=paged-b&match=JOB-3") == b[3:4]
    assert ids("queue=none") == []
    assert api.get("/schedules?after=nonsense").status == 400


def test_jobs_that_it_makes_by_itself_are_told_of_with_their_lag(
    api: Api, browser: PlainBrowser
) -> None:
    path = "/queues/ticking/schedules/tick"
    put(api, "ticking/schedules/tick", {"name": "tick", "every_ms": 1_000})
    until(lambda: api.get(path).body["fired"] >= 2)
    api.post(f"{path}/pause")
    told = until(lambda: (found := api.get(path).body)["last_job_state"] and found)
    assert told["last_job_state"] == "waiting"
    assert 0 <= told["lag_ms"] < 5_000
    page = browser.get("/schedules/ticking/tick")
    jobs = [row.one("a").text for row in page.root.all("li", data_row="")]
    assert jobs[0] == told["last_job_id"]
    assert len(jobs) == told["fired"]

    newest = browser.get(page.link(jobs[0]))
    assert newest.link("tick") == "/schedules/ticking/tick"
    before = browser.get(newest.link("previous run"))
    assert before.root.one("h1").text == "tick"
    assert jobs[1] in before.text
    assert jobs[0] in browser.get(before.link("next run")).text


def test_what_was_done_stands_in_the_audit_log(api: Api, daemon: DaemonProcess) -> None:
    path = "/queues/audited/schedules/a"
    put(api, "audited/schedules/a", {"name": "n", "every_ms": YEAR_MS, "data": {"secret": "x7"}})
    for kind in ("run", "pause", "resume"):
        api.post(f"{path}/{kind}")
    api.delete(path)
    api.delete(path)
    text = (daemon.directory.parent / "audit.log").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    mine = [(each["command"], each["result"]) for each in lines if each["queue"] == "audited"]
    assert mine == [
        ("SCHEDULE", "ok"),
        ("RUN_SCHEDULE", "ok"),
        ("PAUSE_SCHEDULE", "ok"),
        ("RESUME_SCHEDULE", "ok"),
        ("UNSCHEDULE", "ok"),
        ("UNSCHEDULE", "UNKNOWN_SCHEDULE"),
    ]
    assert "x7" not in text


def test_a_key_sees_and_does_what_its_roles_and_queues_allow(tmp_path: Path) -> None:
    environment = {**os.environ, "HOLDFAST_AUTH_REQUIRED": "on"}
    daemon = DaemonProcess(tmp_path / "data", environment=environment)
    keys = {role: new_key(daemon.directory, role.value, role) for role in Role}
    elsewhere = new_key(daemon.directory, "elsewhere", queues=("other*",))
    with daemon:
        admin = Api(daemon.http_address, keys[Role.ADMIN])
        body = {"name": "n", "every_ms": YEAR_MS}
        path = "/queues/mail/schedules/a"
        assert put(admin, "mail/schedules/a", body).status == 201
        asked: dict[str, Callable[[Api], int]] = {
            "see": lambda api: api.get(path).status,
            "list": lambda api: api.get("/schedules").status,
            "run": lambda api: api.post(f"{path}/run").status,
            "put": lambda api: put(api, "mail/schedules/a", body).status,
        }
        allowed = {
            name: {role for role in Role if ask(Api(daemon.http_address, keys[role])) < 300}
            for name, ask in asked.items()
        }
        readers = {Role.PRODUCER, Role.VIEWER, Role.OPERATOR, Role.ADMIN}
        assert allowed["see"] == allowed["list"] == readers
        assert allowed["run"] == {Role.OPERATOR, Role.ADMIN}
        assert allowed["put"] == {Role.PRODUCER, Role.ADMIN}
        other = Api(daemon.http_address, elsewhere)
        assert other.get("/schedules").body["schedules"] == []
        assert other.get(path).status == put(other, "mail/schedules/a", body).status == 403


# ---- pages ---------------------------------------------------------------------------------------


def made_by_form(browser: PlainBrowser, **fields: Any) -> Page:
    form = browser.get("/schedules/new?queue=formed")
    typed = {"id": "a", "name": "send", "data": "{}", "cron": "*/5 * * * *", **fields}
    return browser.submit(form, form.form("/schedules/new"), **typed)


def test_a_schedule_is_made_by_a_form_that_says_what_is_wrong(browser: PlainBrowser) -> None:
    wrong = made_by_form(browser, cron="every night", tz="Mars/Olympus", priority="high")
    assert wrong.status == 400
    assert "1 field is not right yet" in wrong.text
    still = browser.submit(wrong, wrong.form("/schedules/new"), priority="3")
    assert still.status == 400
    assert "there is no time zone" in still.text
    again = browser.submit(still, still.form("/schedules/new"), tz="Asia/Tokyo")
    assert "is no cron pattern" in again.text
    page = browser.submit(again, again.form("/schedules/new"), cron="0 9 * * *")
    assert (page.status, page.url) == (200, "/schedules/formed/a")
    assert "Asia/Tokyo" in page.text
    assert "09:00:00 JST" in page.text
    assert "It was made here" in page.text
    twice = made_by_form(browser)
    assert "There is a schedule of this id" in twice.text
    row = next(each for each in browser.get("/schedules?match=a").root.all("tr", data_row=""))
    assert row.one("a").attributes["href"].startswith("/schedules/")
    assert browser.get("/queues/formed").status == 404 or browser.get("/queues/formed").link("a")


def test_who_changes_one_keeps_what_the_form_cannot_show(
    browser: PlainBrowser, api: Api, daemon: DaemonProcess
) -> None:
    backoff = {"kind": "list", "delays_ms": [10, 20], "jitter": "full"}
    data = {"secret": "hidden", "to": "x"}
    body = {**NIGHTLY, "data": data, "backoff": backoff, "attempts": 3, "max_crashes": 9}
    put(api, "edited/schedules/e", body)
    form = browser.get(browser.get("/schedules/edited/e").link("Edit"))
    assert "[redacted]" in form.source
    page = browser.submit(form, form.form("/schedules/edit"), cron="0 4 * * *", missed="skip")
    assert page.url == "/schedules/edited/e"
    told = api.get("/queues/edited/schedules/e").body
    assert (told["cron"], told["missed_policy"], told["origin"]) == ("0 4 * * *", "skip", "api")
    assert told["options"]["backoff"] == backoff
    assert told["options"]["max_crashes"] == 9
    ran = api.post("/queues/edited/schedules/e/run").body["id"]
    with Queue("edited", url=daemon.url) as queue:
        assert queue.get(ran).data == data
    refused = browser.submit(form, form.form("/schedules/edit"), data='{"secret": "[redacted]"}')
    assert refused.status == 400
    assert "stands for what is hidden" in refused.text


def test_what_can_be_done_at_once_asks_first(browser: PlainBrowser, api: Api) -> None:
    put(api, "asked/schedules/once", {"name": "send", "every_ms": YEAR_MS})
    page = browser.get("/schedules/asked/once")
    assert "A program made this schedule over the HTTP API" in page.text
    asked = browser.get(page.link("Run now"))
    assert "Adds one job, send, to asked at once" in asked.text
    page = browser.submit(asked, asked.form("/do/schedules/run"))
    assert page.url == "/schedules/asked/once"
    assert "once@now-" in page.text
    asked = browser.get(page.link("Pause"))
    page = browser.submit(asked, asked.form("/do/schedules/pause"))
    assert "None while it is paused" in page.text
    asked = browser.get(page.link("Resume"))
    page = browser.submit(asked, asked.form("/do/schedules/resume"))
    asked = browser.get(page.link("Delete"))
    assert "the schedule is back" in asked.text
    gone = browser.submit(asked, asked.form("/do/schedules/delete"))
    assert gone.url == "/schedules"
    assert browser.get("/schedules/asked/once").status == 404


def test_a_queues_page_tells_of_its_schedules(browser: PlainBrowser, api: Api) -> None:
    put(api, "told/schedules/hourly", {"name": "n", "every_ms": 3_600_000})
    api.post("/queues/told/schedules/hourly/run")
    page = browser.get("/queues/told")
    assert page.link("hourly") == "/schedules/told/hourly"
    assert "Every hour" in page.text
    assert page.link("New schedule") == "/schedules/new?queue=told"
