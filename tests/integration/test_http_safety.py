"""The HTTP port of a real daemon: who comes in, what he may, what other sites may not."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from holdfast import Queue
from holdfast.wire.credentials import parse_key
from holdfastd.access.rights import CHANGING, Need, Role
from holdfastd.access.rights import NEEDS as ROLES_OF
from holdfastd.web.safe.needs import NEEDS
from holdfastd.web.safe.shield import HEADERS
from support.daemon import DaemonProcess
from support.keys import new_key, revoke

SECRET: Final = "hunter2-correct-horse"
CONFIG: Final = """
[auth]
required = "on"
[log]
level = "debug"
[http]
redact = ["password", "*.secret"]
"""
OWN: Final = {"sec-fetch-site": "same-origin"}
VALUES: Final = {
    "{queue}": "mail",
    "{id}": "m1",
    "{id:path}": "m1",
    "{version}": "0",
    "{name:path}": "app.css",
    "{kind}": "pause",
    "{session}": "0",
    "{name}": "mail",
}
"""What stands in a route's path, in place of its parameters."""


def address_of(path: str) -> str:
    for parameter, value in VALUES.items():
        path = path.replace(parameter, value)
    assert "{" not in path, f"say what stands there: {path}"
    return path


def rows(*needs: object) -> list[tuple[str, str]]:
    return [(method, address_of(path)) for (method, path), need in NEEDS.items() if need in needs]


class House:
    """A daemon that asks for keys, with a job `m1` that has secrets in it; and people."""

    def __init__(self, folder: Path, more: str = ""):
        self.config = folder / "config.toml"
        self.config.write_text(CONFIG + more)
        self.data = folder / "data"
        self.keys = {role: new_key(self.data, role.value, role) for role in Role}
        self.daemon = DaemonProcess(self.data, "--config", str(self.config))

    def add_job(self, name: str = "mail", id: str = "m1") -> None:
        data = {"user": "ada", "password": SECRET, "api": [{"secret": SECRET}]}
        with Queue(name, url=self.daemon.url, key=self.keys[Role.ADMIN]) as queue:
            queue.add("welcome", data, id=id, delay=3600)

    def state_of_job(self) -> str:
        with Queue("mail", url=self.daemon.url, key=self.keys[Role.ADMIN]) as queue:
            return str(queue.get("m1").state)

    def client(self, **headers: str) -> httpx2.Client:
        address = f"http://{self.daemon.http_address}"
        return httpx2.Client(base_url=address, headers=headers, timeout=10)

    @contextmanager
    def person(self, key: str) -> Iterator[httpx2.Client]:
        """Who has logged in with it, in a browser."""
        with self.client(**OWN) as client:
            answer = client.post("/login", data={"key": key, "next": "/"})
            assert answer.status_code == 303, answer.text
            yield client

    def until(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not is_so():
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("safe"))
    with house.daemon:
        house.add_job()
        yield house
        log = house.daemon.log()
        assert "Traceback" not in log
        assert SECRET not in log
        for key in house.keys.values():
            assert parse_key(key).secret.hex() not in log


# ---- strangers -----------------------------------------------------------------------------------


def test_strangers_get_nothing_of_any_route(house: House) -> None:
    closed = rows(*Need)
    assert len(closed) > 25
    with house.client() as stranger:
        for method, path in closed:
            kind = "application/json" if path.startswith("/api/") else FORM
            answer = stranger.request(method, path, headers={"content-type": kind})
            to_login = answer.headers.get("location", "").startswith("/login")
            assert answer.status_code == 401 or to_login, (method, path, answer.status_code)
            assert "welcome" not in answer.text


FORM: Final = "application/x-www-form-urlencoded"


def test_what_is_open_tells_nothing(house: House) -> None:
    with house.client() as stranger:
        for path in ("/livez", "/readyz", "/robots.txt", "/login"):
            answer = stranger.get(path)
            assert answer.status_code == 200
            assert "mail" not in answer.text.replace("name@", "")
            for name, value in HEADERS.items():
                assert answer.headers.get_list(name) == [value], path


FORGED: Final = ["x", "00000000.9999999999." + "0" * 64, "", "null", '"; Path=/', "a" * 4_000]


@pytest.mark.parametrize("value", FORGED)
def test_a_forged_cookie_is_none(house: House, value: str) -> None:
    with house.person(house.keys[Role.VIEWER]) as person, house.client() as stranger:
        (name,) = (cookie.name for cookie in person.cookies.jar)
        good = person.cookies[name]
        assert stranger.get("/jobs", headers={"cookie": f"{name}={good}"}).status_code == 200
        own = parse_key(house.keys[Role.ADMIN]).id + good[8:]
        for forged in (value, own):
            answer = stranger.get("/jobs", headers={"cookie": f"{name}={forged}"})
            assert (answer.status_code, answer.headers["location"][:6]) == (303, "/login")


# ---- people --------------------------------------------------------------------------------------


def test_a_restart_logs_nobody_out_and_a_revoked_key_is_out_at_once(tmp_path: Path) -> None:
    house = House(tmp_path)
    with house.daemon as daemon:
        with house.person(house.keys[Role.VIEWER]) as person:
            assert person.get("/jobs").status_code == 200
            assert daemon.stop() == 0
            daemon.start()
            assert person.get("/jobs").status_code == 200
            revoke(house.data, "viewer")
            assert person.get("/jobs").headers["location"].startswith("/login")
        secret = house.data / "session.secret"
        assert secret.stat().st_mode & 0o777 == 0o600
        assert daemon.stop() == 0
        secret.chmod(0o644)
        with pytest.raises(RuntimeError, match=r"session\.secret can be read or changed by others"):
            daemon.start()


def test_wrong_keys_are_held_back_on_both_ports_together(tmp_path: Path) -> None:
    house = House(tmp_path)
    with house.daemon, house.client(**OWN) as stranger:
        for _ in range(10):
            wrong = f"hfk_00000000_{os.urandom(32).hex()}"
            answer = stranger.post("/login", data={"key": wrong})
            assert answer.status_code == 401
            assert wrong[13:] not in answer.text
        answer = stranger.post("/login", data={"key": house.keys[Role.ADMIN]})
        assert answer.status_code == 429
        bearer = {"authorization": f"Bearer {house.keys[Role.ADMIN]}"}
        assert stranger.get("/metrics", headers=bearer).status_code == 429
        assert "address_held" in house.daemon.log() or "wrong keys came" in house.daemon.log()


@pytest.mark.parametrize("role", list(Role), ids=lambda role: role.value)
def test_each_role_is_let_through_to_what_is_its_own(house: House, role: Role) -> None:
    with house.person(house.keys[role]) as person:
        for need in (Need.SEE_COUNTS, Need.SEE_JOBS):
            for method, path in rows(need):
                # A stream has no end, a wait takes its time, and metrics name every queue.
                is_slow = path == "/live" or path.endswith(("/events", "/wait"))
                if method == "GET" and path != "/metrics" and not is_slow:
                    answer = person.get(path, headers={"accept": "*/*"})
                    is_let = answer.status_code != 403
                    assert is_let is (role in ROLES_OF[need]), (path, answer.status_code)
                    assert answer.status_code < 500, path


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MONITOR, Role.WORKER])
def test_who_may_only_look_changes_nothing(house: House, role: Role) -> None:
    before = house.state_of_job()
    changes = rows(*CHANGING)
    assert len(changes) > 5
    with house.person(house.keys[role]) as person:
        for method, path in changes:
            kind = "application/json" if path.startswith("/api/") else FORM
            answer = person.request(method, path, headers={"content-type": kind})
            assert answer.status_code == 403, (method, path)
    assert house.state_of_job() == before == "delayed"


# ---- other sites ---------------------------------------------------------------------------------

DELETE: Final = {"kind": "delete", "job": "delayed/mail/m2"}


def test_another_site_cannot_act_in_ones_name(house: House) -> None:
    house.add_job(id="m2")
    with house.person(house.keys[Role.ADMIN]) as person:
        for headers in (
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
            {"sec-fetch-site": "", "origin": "http://evil.example"},
            {"sec-fetch-site": "", "origin": "null"},
        ):
            answer = person.post("/do/jobs", data=DELETE, headers=headers)
            assert answer.status_code == 403
        with Queue("mail", url=house.daemon.url, key=house.keys[Role.ADMIN]) as queue:
            assert queue.get("m2").state == "delayed"
            answer = person.post("/do/jobs", data=DELETE)
            assert answer.status_code < 400, "the same from our own page"
            house.until(lambda: "m2" not in {job.id for job in queue.jobs("delayed")})


def test_without_keys_it_answers_to_its_own_names(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[http]\nhosts = ["queue.example"]\n')
    with DaemonProcess(tmp_path / "data", "--config", str(config)) as daemon:
        port = daemon.http_address.rpartition(":")[2]

        def status(host: str, path: str = "/queues") -> int:
            answer = httpx2.get(f"http://{daemon.http_address}{path}", headers={"host": host})
            return int(answer.status_code)

        for host in (f"localhost:{port}", f"127.0.0.1:{port}", "queue.example"):
            assert status(host) == 200
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example"):
            assert status(host) == 403
            assert status(host, "/metrics") == 403
            assert status(host, "/livez") == 200
        config.write_text("")
        os.kill(daemon.pid, signal.SIGHUP)
        deadline = time.monotonic() + 10
        while status("queue.example") != 403:
            assert time.monotonic() < deadline


def test_the_api_takes_keys_and_json_and_no_forms(house: House) -> None:
    key = {"authorization": f"Bearer {house.keys[Role.PRODUCER]}"}
    with house.client(**key) as program:
        path = "/api/v1/queues/forms/jobs"
        assert program.post(path, json={"name": "n"}).status_code == 201
        assert program.post(path, data={"name": "n"}).status_code == 415
        text = {"content-type": "text/plain"}
        assert program.post(path, content='{"name": "n"}', headers=text).status_code == 415
        for site in ("cross-site", "same-site"):
            said = program.post(path, json={"name": "n"}, headers={"sec-fetch-site": site})
            assert said.status_code == 403
            assert said.json()["error"]["code"] == "FORBIDDEN"
    with house.client() as stranger:
        said = stranger.get("/api/v1/queues")
        assert (said.status_code, said.json()["error"]["code"]) == (401, "NOT_AUTHENTICATED")


def test_a_stream_ends_with_its_key(tmp_path: Path) -> None:
    house = House(tmp_path)
    with house.daemon:
        house.add_job()
        key = new_key(house.data, "carol", Role.VIEWER)
        with (
            house.person(key) as person,
            person.stream("GET", "/live?topic=overview") as live,
            person.stream("GET", "/api/v1/queues/mail/events") as events,
        ):
            assert (live.status_code, events.status_code) == (200, 200)
            revoke(house.data, "carol")
            is_over = False

            def add_until_over() -> None:  # an event a turn: they are never quiet
                while not is_over:
                    house.add_job(id=f"m{time.monotonic()}")

            adding = threading.Thread(target=add_until_over)
            adding.start()
            try:
                for stream in (events, live):
                    stream.read()  # until it ends, or the client gives up
            finally:
                is_over = True
                adding.join(10)


# ---- what an operator says -----------------------------------------------------------------------


def test_read_only_is_for_everybody_and_takes_the_buttons(tmp_path: Path) -> None:
    house = House(tmp_path)
    with house.daemon as daemon:
        house.add_job()
        with house.person(house.keys[Role.ADMIN]) as person:
            assert "/do/jobs" in person.get("/jobs/mail/m1").text
            house.config.write_text(f"{CONFIG}read_only = true\n")
            os.kill(daemon.pid, signal.SIGHUP)
            body = {"kind": "delete", "job": "delayed/mail/m1"}
            house.until(lambda: "/do/jobs" not in person.get("/jobs/mail/m1").text)
            answer = person.post("/do/jobs", data=body)
            assert answer.status_code == 403
            assert "http.read_only" in answer.text
            assert SECRET not in person.get("/jobs/mail/m1?tab=data").text
            house.config.write_text(CONFIG.partition("[http]")[0])
            os.kill(daemon.pid, signal.SIGHUP)  # the twin of the tests on what is hidden
            house.until(lambda: SECRET in person.get("/jobs/mail/m1?tab=data").text)
        assert house.state_of_job() == "delayed"


def everything_shown(client: httpx2.Client) -> Iterator[tuple[str, str]]:
    """Of the job m1: each page and answer that could have its data."""
    tabs = ("data", "result", "errors", "logs", "progress", "copy", "raw", "options")
    for path in (
        "/",
        "/jobs",
        "/jobs?q=id:m1",
        "/queues/mail",
        "/queues/mail/add?like=m1",
        "/jobs/export?q=id:m1",
        *(f"/jobs/mail/m1?tab={tab}" for tab in tabs),
        "/api/v1/jobs?q=id:m1",
        "/api/v1/jobs/export?q=id:m1&whole=true",
        "/api/v1/queues/mail/jobs/m1",
        "/api/v1/queues/mail/jobs/m1/wait?timeout_ms=0",
    ):
        answer = client.get(path)
        yield path, answer.text if answer.status_code in (200, 202) else ""


def test_what_is_redacted_is_in_no_page_and_no_answer(house: House) -> None:
    for role in (Role.ADMIN, Role.VIEWER):
        with house.person(house.keys[role]) as person:
            shown = dict(everything_shown(person))
            assert [path for path, text in shown.items() if SECRET in text] == []
            exported = "/api/v1/jobs/export?q=id:m1&whole=true"
            for path in ("/jobs/mail/m1?tab=data", "/api/v1/queues/mail/jobs/m1", exported):
                assert "ada" in shown[path], path
                assert "[redacted]" in shown[path], path
            for query in ("data.password:*", f"data.password:{SECRET}", "data.api.0.secret:*"):
                for path in ("/jobs", "/jobs/facets", "/jobs/export"):
                    answer = person.get(path, params={"q": query})
                    assert "mail/m1" not in answer.text, (path, query)
                for path in ("/api/v1/jobs", "/api/v1/jobs/facets", "/api/v1/jobs/export"):
                    assert person.get(path, params={"q": query}).status_code == 403, (path, query)
            said = person.get("/jobs", params={"q": "data.password:x"}).text
            assert "cannot be searched for" in said
            assert "mail/m1" in person.get("/jobs", params={"q": "data.user:ada"}).text
            found = person.get("/api/v1/jobs", params={"q": "data.user:ada"}).json()
            assert [job["id"] for job in found["jobs"]] == ["m1"]


def test_hidden_data_is_for_those_who_act(tmp_path: Path) -> None:
    house = House(tmp_path, "hide_data = true\n")
    with house.daemon:
        house.add_job()
        with house.person(house.keys[Role.VIEWER]) as viewer:
            shown = dict(everything_shown(viewer))
            assert [
                path for path, text in shown.items() if "ada" in text.replace("adapt", "")
            ] == []
            assert "welcome" in shown["/jobs"]
        with house.person(house.keys[Role.OPERATOR]) as operator:
            assert "ada" in dict(everything_shown(operator))["/jobs/mail/m1?tab=data"]


def test_what_was_hidden_is_not_overwritten_by_its_stand_in(house: House) -> None:
    with house.person(house.keys[Role.ADMIN]) as person:
        data = {"user": "bob", "password": "[redacted]"}
        body: dict[str, Any] = {
            "kind": "edit",
            "job": "delayed/mail/m1",
            "data": json.dumps(data),
        }
        answer = person.post("/do/jobs", data=body)
        assert "stands for what is hidden" in answer.text
        edited = person.patch("/api/v1/queues/mail/jobs/m1", json={"data": data})
        again = person.post("/api/v1/queues/mail/jobs", json={"name": "again", "data": data})
        for refused in (edited, again):
            assert refused.status_code == 403
            assert "stands for what is hidden" in refused.json()["error"]["message"]
    with Queue("mail", url=house.daemon.url, key=house.keys[Role.ADMIN]) as queue:
        assert queue.get("m1").data["password"] == SECRET
