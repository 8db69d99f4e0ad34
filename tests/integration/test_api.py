"""/api/v1 of a real daemon: adding, waiting, finding and acting without a client."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast import Worker
from holdfast.active import ActiveJob
from holdfastd.access.rights import Role
from holdfastd.web.api.jobs import WAIT_MS_MAX
from support.api import Api
from support.daemon import DaemonProcess
from support.keys import new_key

ENVIRONMENT = {**os.environ, "HOLDFAST_AUTH_REQUIRED": "on"}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with DaemonProcess(tmp_path_factory.mktemp("api") / "data") as daemon:
        yield daemon


@pytest.fixture
def api(daemon: DaemonProcess) -> Api:
    return Api(daemon.http_address)


@pytest.fixture
def work(daemon: DaemonProcess) -> Iterator[Callable[..., None]]:
    """Start a worker in a thread; it ends with the test."""
    running: list[tuple[Worker, threading.Thread]] = []

    def start(queue: str, handler: Callable[[ActiveJob], Any], **options: Any) -> None:
        worker = Worker(queue, handler, url=daemon.url, **options)
        thread = threading.Thread(target=worker.run)
        thread.start()
        running.append((worker, thread))

    yield start
    for worker, thread in running:
        worker.stop()
        thread.join(10)


def until(is_so: Callable[[], Any], seconds: float = 10.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = is_so()
        if found:
            return found
        time.sleep(0.02)  # the other side is another process
    raise AssertionError("it did not come to be in time")


# ---- adding and waiting --------------------------------------------------------------------------


def test_a_python_worker_gets_what_curl_has_sent(api: Api, work: Callable[..., None]) -> None:
    got = []

    def double(job: ActiveJob) -> dict[str, Any]:
        got.append(job.data)
        return {"twice": job.data["n"] * 2}

    work("numbers", double)
    data = {"n": 2**60, "parts": [1.5, None, True], "raw": {"$bytes": "AAH/"}}
    added = api.post("/queues/numbers/jobs", {"name": "double", "data": data, "tags": ["eu"]})
    assert (added.status, added.body["created"]) == (201, True)
    assert added.headers["location"] == f"/api/v1/queues/numbers/jobs/{added.body['id']}"
    done = api.get(f"/queues/numbers/jobs/{added.body['id']}/wait")
    assert (done.status, done.body["state"]) == (200, "completed")
    assert done.body["result"] == {"twice": 2**61}
    assert got == [{**data, "raw": b"\x00\x01\xff"}]
    assert done.body["data"] == data
    assert done.body["tags"] == ["eu"]


def test_waiting_longer_than_the_time_says_that_it_goes_on(api: Api) -> None:
    api.post("/queues/slow/jobs", {"name": "n", "id": "a"})
    going_on = api.get("/queues/slow/jobs/a/wait?timeout_ms=50")
    assert (going_on.status, going_on.body["state"]) == (202, "waiting")
    assert api.get("/queues/slow/jobs/none/wait").status == 404
    assert api.get(f"/queues/slow/jobs/a/wait?timeout_ms={WAIT_MS_MAX + 1}").status == 400


def test_many_are_added_all_or_none(api: Api) -> None:
    added = api.post("/queues/many/batches", {"jobs": [{"name": "a"}, {"name": "b", "id": "2"}]})
    assert added.status == 201
    assert [job["created"] for job in added.body["jobs"]] == [True, True]
    refused = api.post(
        "/queues/many/batches", {"jobs": [{"name": "a"}, {"name": "b", "priority": "high"}]}
    )
    assert refused.status == 400
    assert "jobs[1].priority must be a whole number" in refused.message
    assert api.get("/queues/many").body["counts"]["waiting"] == 2


def test_a_key_adds_one_job_however_often_it_is_sent(api: Api) -> None:
    job = {"name": "charge", "data": {"cents": 100}}
    first = api.post("/queues/pay/jobs", job, Idempotency_Key="order-7")
    again = api.post("/queues/pay/jobs", job, Idempotency_Key="order-7")
    assert (first.status, first.body["id"]) == (again.status, again.body["id"])
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    other = {"name": "charge", "data": {"cents": 999}}
    refused = api.post("/queues/pay/jobs", other, Idempotency_Key="order-7")
    assert (refused.status, refused.code) == (409, "JOB_EXISTS")
    elsewhere = api.post("/queues/pay2/jobs", job, Idempotency_Key="order-7")
    assert elsewhere.body["id"] != first.body["id"]
    assert api.post("/queues/pay/jobs", job, Idempotency_Key="order-8").body["created"]
    assert api.get("/queues/pay").body["counts"]["waiting"] == 2
    both = api.post("/queues/pay/jobs", {**job, "id": "x"}, Idempotency_Key="order-9")
    assert both.status == 400


# ---- what is wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"name": "n", "nme": 1}, "'nme' is not one of them"),
        ({}, "needs name"),
        ({"name": ""}, "name must have 1 to"),
        ({"name": "n\n"}, "job name"),
        ({"name": "n", "priority": True}, "priority must be a whole number, not True"),
        ({"name": "n", "backoff": {"kind": "soon"}}, "backoff.kind must be one of fixed"),
        ({"name": "n", "backoff": {"kind": "fixed"}}, "needs delay_ms"),
        ({"name": "n", "delay_ms": 1, "run_at_ms": 1}, "exclude each other"),
        ({"name": "n", "data": {"$bytes": "?"}}, "data cannot be packed"),
        ({"name": "n", "data": 2**70}, "data cannot be packed"),
        ([], "the body must be a map"),
        (b"{", "the body is no JSON"),
        (b"", "the body is no JSON"),
        (b'{"name": NaN}', "NaN is none of its numbers"),
        (b'{"name": "n", "data": ' + b"[" * 5_000 + b"]" * 5_000 + b"}", "nested too deeply"),
        (b'{"name": "n", "data": ' + b"[" * 600 + b"]" * 600 + b"}", "data cannot be packed"),
        (b'{"name": "\xff"}', "the body is no JSON"),
        (b'{"name": "n", "data": "\\ud800"}', "data cannot be packed"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_body_is_refused_with_the_field(api: Api, body: Any, said: str) -> None:
    refused = api.post("/queues/wrong/jobs", body)
    assert refused.status == 400, refused.body
    assert said in refused.message
    assert api.get("/queues/wrong").status == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("PUT", "/queues", 405),
        ("GET", "/queues/none", 404),
        ("GET", "/queues/no%20name", 400),
        ("GET", "/queues?limit=0", 400),
        ("GET", "/queues?limit=x", 400),
        ("GET", "/queues?limit=1&limit=2", 400),
        ("GET", "/queues?colour=red", 400),
        ("GET", "/jobs?q=nope:1", 400),
        ("GET", "/jobs?after=nonsense", 400),
        ("GET", "/history?step_ms=59999", 400),
        ("GET", "/history?from_ms=2&to_ms=1", 400),
        ("GET", "/workers/123", 404),
        ("POST", "/workers/123/stop", 404),
        ("POST", "/actions/none/undo", 404),
        ("GET", "/actions/none", 404),
        ("GET", "/queues/none/events", 404),
        ("GET", "/queues/none/jobs/a/events", 404),
        ("POST", "/queues/none/pause", 404),
        ("POST", "/queues/none/drain", 404),
    ],
)
def test_errors_are_json_with_a_status(api: Api, method: str, path: str, status: int) -> None:
    refused = api.ask(method, path, None, {})
    assert refused.status == status, refused.body
    assert refused.code
    assert refused.message
    assert "\n" not in refused.message


def test_a_body_is_json_and_not_too_large(api: Api) -> None:
    job = b'{"name": "n"}'
    assert api.post("/queues/q/jobs", job, Content_Type="text/plain").status == 415
    big = {"name": "n", "data": "x" * (1024 * 1024)}
    assert api.post("/queues/q/jobs", big).status == 413


# ---- acting on one -------------------------------------------------------------------------------


def test_an_id_may_have_slashes_and_words_of_the_api(api: Api) -> None:
    for id, quoted in (("a/b", "a%2Fb"), ("x/retry", "x%2Fretry"), ("ä%", "%C3%A4%25")):
        api.post("/queues/odd/jobs", {"name": "n", "id": id})
        assert api.get(f"/queues/odd/jobs/{quoted}").body["id"] == id
        assert api.post(f"/queues/odd/jobs/{quoted}/cancel").body["state"] == "cancelled"
        assert api.post(f"/queues/odd/jobs/{quoted}/retry").body["state"] == "waiting"


def test_a_job_is_changed_moved_and_deleted(api: Api) -> None:
    api.post("/queues/life/jobs", {"name": "n", "id": "a", "delay_ms": 60_000, "data": 1})
    one = "/queues/life/jobs/a"
    at_ms = int(time.time() * 1000) + 3_600_000
    changed = api.patch(one, {"priority": -5, "data": {"b": 2}, "run_at_ms": at_ms})
    told = changed.body
    assert (told["priority"], told["data"], told["run_at_ms"]) == (-5, {"b": 2}, at_ms)
    assert api.patch(one, {}).status == 400
    assert api.post(f"{one}/promote").body["state"] == "waiting"
    assert api.post(f"{one}/promote").code == "WRONG_STATE"
    moved = api.post(f"{one}/move", {"to": "life2"})
    assert (moved.body["queue"], moved.body["state"]) == ("life2", "waiting")
    assert api.get(one).status == 404
    assert api.delete("/queues/life2/jobs/a").status == 204
    assert api.delete("/queues/life2/jobs/a").status == 404


def test_a_job_that_has_moved_on_is_left_alone(api: Api) -> None:
    api.post("/queues/seen/jobs", {"name": "n", "id": "a"})
    assert api.post("/queues/seen/jobs/a/cancel", {"expected": "delayed"}).status == 409
    assert api.delete("/queues/seen/jobs/a?expected=failed").status == 409
    assert api.get("/queues/seen/jobs/a").body["state"] == "waiting"
    assert api.post("/queues/seen/jobs/a/cancel", {"expected": "waiting"}).status == 200


# ---- acting on many ------------------------------------------------------------------------------


def test_a_selection_is_acted_on_as_it_was_seen(api: Api) -> None:
    api.post("/queues/some/batches", {"jobs": [{"name": "n", "id": str(n)} for n in range(3)]})
    api.post("/queues/some/jobs/1/cancel")
    refs = [{"queue": "some", "id": str(n), "state": "waiting"} for n in range(3)]
    acted = api.post("/actions", {"kind": "delete", "jobs": refs})
    assert acted.status == 200
    assert (acted.body["done"], acted.body["skipped"], acted.body["state"]) == (2, 1, "done")
    assert api.get("/queues/some/jobs/1").body["state"] == "cancelled"
    assert api.get("/queues/some/jobs/0").status == 404
    assert api.get(f"/actions/{acted.body['id']}").body == acted.body
    assert acted.body in api.get("/actions").body["actions"]
    assert api.post("/actions", {"kind": "delete"}).status == 400
    assert api.post("/actions", {"kind": "delete", "jobs": refs, "query": ""}).status == 400


def test_many_queues_are_paused_and_those_go_on_that_were(tmp_path: Path) -> None:
    with DaemonProcess(tmp_path / "data") as daemon:
        api = Api(daemon.http_address)
        for name in ("mail", "mail-eu", "pay"):
            api.post(f"/queues/{name}/jobs", {"name": "n"})
        api.post("/queues/pay/pause")

        def paused() -> list[str]:
            return [q["name"] for q in api.get("/queues").body["queues"] if q["is_paused"]]

        mails = api.post("/actions", {"kind": "pause", "queues": "mail*"})
        assert (mails.status, mails.body["done"], mails.body["can_undo"]) == (200, 2, True)
        assert paused() == ["mail", "mail-eu", "pay"]
        assert api.post(f"/actions/{mails.body['id']}/undo").body["state"] == "undone"
        assert paused() == ["pay"]
        assert api.post("/actions", {"kind": "resume", "queues": "*"}).body["done"] == 1
        assert paused() == []
        for wrong in (
            {"kind": "delete", "queues": "*"},
            {"kind": "pause", "query": ""},
            {"kind": "pause", "queues": "*", "query": ""},
            {"kind": "pause", "queues": "*", "params": {"priority": 1}},
        ):
            assert api.post("/actions", wrong).status == 400, wrong


def test_an_action_that_a_kill_cut_short_is_told_of_by_the_next_daemon(tmp_path: Path) -> None:
    with DaemonProcess(tmp_path / "data") as daemon:
        api = Api(daemon.http_address)
        api.post("/queues/q/batches", {"jobs": [{"name": "n"} for _ in range(5)]})
        begun = api.post("/actions", {"kind": "delete", "query": "queue:q"}).body
        until(lambda: (tmp_path / "data" / "actions.json").exists())
        until(lambda: begun["id"] in (tmp_path / "data" / "actions.json").read_text())
        daemon.kill()
        daemon.start()
        told = Api(daemon.http_address).get(f"/actions/{begun['id']}").body
        assert (told["state"], told["done"]) == ("stopped", 0)
        assert "before it began: nothing was done" in told["why"]
        assert Api(daemon.http_address).get("/queues/q").body["counts"]["waiting"] == 5


def test_all_that_match_begin_in_the_background(api: Api, daemon: DaemonProcess) -> None:
    api.post("/queues/all/batches", {"jobs": [{"name": "n"} for _ in range(1_200)]})
    asked = {"kind": "cancel", "query": "queue:all", "expected_count": 1_200}
    begun = api.post("/actions", asked)
    assert (begun.status, begun.body["state"]) == (202, "pending")
    undone = api.post("/actions", {"kind": "delete", "query": "queue:all"})
    told = api.post(f"/actions/{undone.body['id']}/undo")
    assert told.body["state"] == "undone"
    again = api.post(f"/actions/{undone.body['id']}/undo")
    assert (again.status, again.code) == (409, "WRONG_STATE")
    assert api.get("/queues/all").body["counts"]["waiting"] == 1_200
    path = f"/actions/{begun.body['id']}"
    until(lambda: api.get(path).body["state"] == "done", 20)
    assert api.get(path).body["done"] == 1_200
    assert api.get("/queues/all").body["counts"]["cancelled"] == 1_200
    audited = [line for line in daemon.log().splitlines() if "audit: CANCEL" in line]
    assert any("began" in line for line in audited)
    assert any("done" in line for line in audited)


# ---- queues, workers, the past -------------------------------------------------------------------


def test_a_queue_is_paused_limited_drained_and_deleted(api: Api) -> None:
    api.post("/queues/ops/jobs", {"name": "n"})
    assert api.post("/queues/ops/pause").body["is_paused"] is True
    assert api.post("/queues/ops/resume").body["is_paused"] is False
    settings = {"concurrency": 3, "rate": {"limit": 10}, "retention": {"failed": {"count": 5}}}
    told = api.patch("/queues/ops/settings", settings).body["settings"]
    assert (told["concurrency"], told["rate"]["limit"]) == (3, 10)
    assert told["retention"]["failed"]["count"] == 5
    assert api.patch("/queues/ops/settings", {"rate": None}).body["settings"]["rate"] is None
    assert api.post("/queues/ops/drain").body == {"done": 1}
    assert api.delete("/queues/ops").status == 200
    assert api.get("/queues/ops").status == 404


def test_queues_come_in_pages(api: Api) -> None:
    for name in ("page:a", "page:b", "page:c"):
        api.post(f"/queues/{name}/jobs", {"name": "n"})
    first = api.get("/queues?match=page:*&limit=2").body
    rest = api.get(f"/queues?match=page:*&limit=2&after={first['next']}").body
    assert [queue["name"] for queue in first["queues"]] == ["page:a", "page:b"]
    assert [queue["name"] for queue in rest["queues"]] == ["page:c"]
    assert rest["next"] is None


def test_jobs_are_found_in_pages_and_counted(api: Api) -> None:
    api.post("/queues/find/batches", {"jobs": [{"name": "n", "data": {"u": n}} for n in range(5)]})
    first = api.get("/jobs?q=queue:find&limit=3").body
    rest = api.get(f"/jobs?q=queue:find&limit=3&after={first['next']}").body
    assert (len(first["jobs"]), len(rest["jobs"]), rest["next"]) == (3, 2, None)
    (found,) = api.get("/jobs?q=queue:find+data.u:4").body["jobs"]
    assert api.get(f"/queues/find/jobs/{found['id']}").body["data"] == {"u": 4}
    assert api.get("/jobs/facets?q=queue:find").body["total"] == 5


def test_a_worker_is_seen_quieted_and_stopped(api: Api, daemon: DaemonProcess) -> None:
    worker = Worker("staff", lambda job: None, url=daemon.url, name="wim")
    thread = threading.Thread(target=worker.run)
    thread.start()
    wim = until(lambda: [w for w in api.get("/workers").body["workers"] if w["name"] == "wim"])[0]
    path = f"/workers/{wim['session']}"
    assert api.post(f"{path}/quiet").body["is_quiet"] is True
    assert api.get(path).body["is_quiet"] is True
    assert api.post(f"{path}/unquiet").body["is_quiet"] is False
    assert api.post(f"{path}/stop").status == 200
    thread.join(10)
    assert not thread.is_alive()


def test_the_past_and_the_daemon_are_told(api: Api) -> None:
    api.post("/queues/past/jobs", {"name": "n"})
    assert sum(point["added"] for point in api.get("/history?queue=past").body["points"]) == 1
    assert api.get("/top?kind=busiest").status == 200
    assert api.get("/server").body["protocol"] == 1
    assert api.get("/overview").body["totals"]["waiting"] > 0


# ---- who may -------------------------------------------------------------------------------------


def test_keys_may_do_over_http_what_their_roles_say(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    keys = {
        role: new_key(folder, role.value, role, queues=("mine",))
        for role in (Role.PRODUCER, Role.VIEWER, Role.OPERATOR, Role.ADMIN, Role.MONITOR)
    }
    boss = new_key(folder, "boss", Role.ADMIN, queues=("*",))
    with DaemonProcess(folder, environment=ENVIRONMENT) as daemon:
        asked = {role: Api(daemon.http_address, key) for role, key in keys.items()}
        admin = Api(daemon.http_address, boss)
        assert Api(daemon.http_address).get("/queues").status == 401
        assert (
            asked[Role.PRODUCER].post("/queues/mine/jobs", {"name": "n", "id": "a"}).status == 201
        )
        assert admin.post("/queues/theirs/jobs", {"name": "n", "id": "a"}).status == 201
        for role in (Role.VIEWER, Role.OPERATOR, Role.MONITOR):
            assert asked[role].post("/queues/mine/jobs", {"name": "n"}).status == 403
        for role in (Role.PRODUCER, Role.VIEWER, Role.MONITOR):
            assert asked[role].post("/queues/mine/jobs/a/cancel").status == 403
            assert asked[role].post("/actions", {"kind": "cancel", "query": ""}).status == 403
        assert asked[Role.MONITOR].get("/queues/mine/jobs/a").status == 403
        assert asked[Role.MONITOR].get("/jobs").status == 403
        assert asked[Role.MONITOR].get("/queues/mine").status == 200
        assert asked[Role.OPERATOR].delete("/queues/mine").status == 403
        for api in asked.values():
            assert [queue["name"] for queue in api.get("/queues").body["queues"]] == ["mine"]
            assert api.get("/queues/theirs").status == 403
            assert api.get("/queues/theirs/jobs/a").status == 403
            assert api.get("/queues/theirs/events").status == 403
        found = asked[Role.VIEWER].get("/jobs").body["jobs"]
        assert [job["queue"] for job in found] == ["mine"]
        move = {"to": "theirs"}
        assert asked[Role.OPERATOR].post("/queues/mine/jobs/a/move", move).status == 403
        theirs = [{"queue": "theirs", "id": "a", "state": "waiting"}]
        refused = asked[Role.OPERATOR].post("/actions", {"kind": "cancel", "jobs": theirs})
        assert refused.status == 403
        assert admin.get("/queues/theirs/jobs/a").body["state"] == "waiting"
        assert admin.delete("/queues/theirs?force=true").status == 200
