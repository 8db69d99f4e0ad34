"""What holds for every request and response of the HTTP port, in front of routes of our own."""

import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route

from holdfast.wire.checks import Refusal
from holdfastd.access.door import Door
from holdfastd.access.rights import NEEDS as ROLES_OF
from holdfastd.access.rights import Identity, Need, Rights, Role
from holdfastd.clock import SystemClock
from holdfastd.engine.broker import Engine
from holdfastd.engine.partition import EngineSettings
from holdfastd.observed import Observed
from holdfastd.store.base import StoreStats
from holdfastd.web import guard as guard_module
from holdfastd.web.app import make_app
from holdfastd.web.guard import Guard
from holdfastd.web.metrics import Metrics
from holdfastd.web.safe import needs, shield
from holdfastd.web.safe.login import Login
from holdfastd.web.safe.needs import NEEDS, need_of, walk
from holdfastd.web.safe.policy import Policy
from holdfastd.web.safe.sessions import LIFE_S, Sessions
from holdfastd.web.snapshot import Snapshots
from support.keys import new_key, revoke

FORM: Final = {"content-type": "application/x-www-form-urlencoded"}
JSON: Final = {"content-type": "application/json"}
MIB: Final = 1024 * 1024
UNKNOWN_KEY: Final = "hfk_00000000_" + "0" * 64


async def show(request: Request) -> Response:
    return PlainTextResponse("shown")


async def cached(request: Request) -> Response:
    headers = {"Cache-Control": "max-age=9", "Content-Security-Policy": "default-src *"}
    return PlainTextResponse("cached", headers=headers)


async def take(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def broken(request: Request) -> Response:
    raise RuntimeError("a bug")


async def streamed(request: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    return StreamingResponse(parts())


async def form(request: Request, error: str, following: str, status: int) -> Response:
    return PlainTextResponse(f"form {following} {error}", status)


OURS: Final[dict[tuple[str, str], Need]] = {
    ("GET", "/seen"): Need.SEE_COUNTS,
    ("GET", "/cached"): Need.SEE_COUNTS,
    ("GET", "/streamed"): Need.SEE_COUNTS,
    ("POST", "/do/it"): Need.ACT,
    ("GET", "/api/queues/{queue}"): Need.SEE_JOBS,
    ("POST", "/api/it"): Need.ADD,
}


def routes() -> list[BaseRoute]:
    api = [Route("/queues/{queue}", show), Route("/it", take, methods=["POST"])]
    return [
        Route("/seen", show),
        Route("/cached", cached),
        Route("/broken", broken),
        Route("/streamed", streamed),
        Route("/do/it", take, methods=["POST"]),
        Mount("/api", routes=api),
    ]


@pytest.fixture(autouse=True)
def _needs_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "NEEDS", {**NEEDS, **OURS})


async def no_stats() -> StoreStats:
    return StoreStats(1, 2, 3, 4)


class Port:
    """The app behind its shield, and clients of it."""

    def __init__(self, folder: Path, policy: Policy):
        clock = SystemClock()
        self.folder = folder
        self.door = Door(folder / "keys.json", clock, is_http_key_required=policy.is_key_required)
        self.door.on_news = lambda: self.door.take(self.door.read()) and None
        self.guard = Guard(self.door, Sessions(clock), policy)
        engine = Engine(EngineSettings(), random.Random(1))
        snapshots = Snapshots(
            engine, Observed(), dict, no_stats, lambda: True, lambda: 0, lambda: 0.0
        )
        metrics = Metrics(snapshots, lambda: 0.0)
        ours = [*routes(), *Login(self.guard, form).routes()]
        self.app = make_app(metrics, lambda: None, self.guard, ours)

    def client(self, **headers: str) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx2.AsyncClient(transport=transport, base_url="http://localhost", headers=headers)

    def key(self, name: str, *roles: Role, queues: tuple[str, ...] = ("*",)) -> str:
        return new_key(self.folder, name, *roles, queues=queues)

    async def as_(self, key: str, method: str, path: str, **more: Any) -> httpx2.Response:
        async with self.client(authorization=f"Bearer {key}") as client:
            return await client.request(method, path, **more)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Port]:
    """Of what an operator has said."""
    return lambda **policy: Port(tmp_path, Policy(**policy))


# ---- headers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/seen", 200),
        ("/gone", 404),
        ("/broken", 500),
        ("/streamed", 200),
        ("/do/it", 405),
        ("/livez", 200),
        ("/metrics", 200),
        ("/robots.txt", 200),
        ("/login", 200),
    ],
)
async def test_every_response_has_them(make: Callable[..., Port], path: str, status: int) -> None:
    async with make().client() as client:
        answer = await client.get(path)
    assert answer.status_code == status
    for name, value in shield.HEADERS.items():
        assert answer.headers.get_list(name) == [value]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"


async def test_a_route_cannot_weaken_them_and_may_let_files_be_kept(
    make: Callable[..., Port],
) -> None:
    async with make().client() as client:
        answer = await client.get("/cached")
        refused = await client.get("/seen", headers={"host": "evil.example"})
        robots = await client.get("/robots.txt")
    assert answer.headers.get_list("content-security-policy") == [shield.CSP]
    assert answer.headers["cache-control"] == "max-age=9"
    assert (refused.status_code, refused.headers["x-frame-options"]) == (403, "DENY")
    assert "cross-origin-opener-policy" not in refused.headers, "the browser would complain of it"
    assert robots.text == "User-agent: *\nDisallow: /\n"


def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere() -> None:
    rules = dict(rule.strip().split(" ", 1) for rule in shield.CSP.split(";"))
    assert rules.pop("img-src") == "'self' data:"
    assert {name: value for name, value in rules.items() if value != "'self'"} == {
        "default-src": "'none'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    assert "unsafe" not in shield.CSP


# ---- sizes ---------------------------------------------------------------------------------------


async def test_a_body_is_bounded_whether_it_says_its_length_or_not(
    make: Callable[..., Port],
) -> None:
    async def pieces(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield bytes(MIB)

    async with make().client(**FORM) as client:
        assert (await client.post("/do/it", content=bytes(8 * MIB))).text == str(8 * MIB)
        assert (await client.post("/do/it", content=pieces(8))).text == str(8 * MIB)
        for body in (bytes(8 * MIB + 1), pieces(9)):
            answer = await client.post("/do/it", content=body)
            assert answer.status_code == 413
            assert "8,388,608 bytes" in answer.text
        assert (await client.post("/login", content=bytes(9_000))).status_code == 413


def test_one_client_has_so_many_streams_and_others_theirs(
    make: Callable[..., Port], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard_module, "STREAMS_PER_CLIENT_MAX", 2)
    guard = make().guard
    request = Request({"type": "http", "headers": [], "client": ("10.0.0.1", 1)})
    alice = Identity("alice", "a", Rights(frozenset({Role.VIEWER}), ("*",)))
    with guard.stream(request, alice), guard.stream(request, alice):
        with pytest.raises(Refusal, match="2 streams are open"), guard.stream(request, alice):
            pass
        with guard.stream(request, Identity()):
            pass
    with guard.stream(request, alice):
        pass
    assert guard._streams == {}


# ---- who may -------------------------------------------------------------------------------------


async def test_each_route_asks_for_what_the_table_says(make: Callable[..., Port]) -> None:
    port = make(is_key_required=True)
    for role in Role:
        key = port.key(role.value, role)
        for (method, path), need in OURS.items():
            headers = JSON if path.startswith("/api") else FORM
            answer = await port.as_(key, method, path.format(queue="mail"), headers=headers)
            assert (answer.status_code != 403) is (role in ROLES_OF[need]), (role, path)
    async with port.client() as client:
        for method, path in OURS:
            answer = await client.request(method, path)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


async def test_a_route_that_is_not_in_the_table_is_for_admins(make: Callable[..., Port]) -> None:
    port = make(is_key_required=True)
    boss, operator = port.key("boss", Role.ADMIN), port.key("op", Role.OPERATOR)
    assert (await port.as_(boss, "GET", "/broken")).status_code == 500
    assert (await port.as_(operator, "GET", "/broken")).status_code == 403


async def test_a_key_for_other_queues_sees_none_of_this_one(make: Callable[..., Port]) -> None:
    port = make(is_key_required=True)
    key = port.key("a", Role.ADMIN, queues=("mail*",))
    assert (await port.as_(key, "GET", "/api/queues/mail2")).status_code == 200
    answer = await port.as_(key, "GET", "/api/queues/other")
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "FORBIDDEN"
    assert (await port.as_(key, "GET", "/metrics")).status_code == 403, "it names them all"


async def test_read_only_refuses_changes_to_everybody(make: Callable[..., Port]) -> None:
    port = make(is_read_only=True)
    key = port.key("boss", Role.ADMIN)
    for answer in (
        await port.as_(key, "POST", "/do/it", headers=FORM),
        await port.as_(key, "POST", "/api/it", headers=JSON),
    ):
        assert answer.status_code == 403
        assert "http.read_only" in answer.text
    async with port.client() as anybody:
        assert (await anybody.post("/do/it", headers=FORM)).status_code == 403
        assert (await anybody.get("/seen")).status_code == 200
        assert not port.guard.allows(Identity(), Need.ACT)
        port.guard.policy = Policy()
        assert port.guard.allows(Identity(), Need.ACT)
        assert (await anybody.post("/do/it", headers=FORM)).status_code == 200


def test_data_is_hidden_from_those_who_may_not_act(make: Callable[..., Port]) -> None:
    guard = make(hides_data=True, redact=("password",)).guard
    data = {"user": 7, "password": "hunter2"}
    for role in Role:
        shown = guard.redactor(Identity("n", "i", Rights(frozenset({role}), ("*",))))(data)
        is_shown = role in (Role.OPERATOR, Role.ADMIN)
        assert shown == ({"user": 7, "password": "[redacted]"} if is_shown else "[hidden]")
    assert guard.redactor(Identity())(data)["user"] == 7


def test_what_cannot_be_guarded_is_not_served() -> None:
    with pytest.raises(TypeError, match="cannot be guarded"):
        list(walk([Mount("/x", app=PlainTextResponse("open"))]))
    assert need_of("HEAD", "/livez") is needs.EVERYBODY
    assert need_of("GET", "/new") is Need.DESTROY


# ---- logging in ----------------------------------------------------------------------------------

OWN: Final = {"sec-fetch-site": "same-origin"}
FOLLOWED: Final = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}


async def test_a_person_logs_in_goes_on_and_logs_out(make: Callable[..., Port]) -> None:
    port = make(is_key_required=True)
    key = port.key("alice", Role.VIEWER)
    async with port.client() as client:
        assert (await client.get("/seen")).status_code == 401
        answer = await client.post("/login", data={"key": f" {key} ", "next": "/jobs?q=a%20b"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/jobs?q=a%20b")
        set_cookie = answer.headers["set-cookie"]
        for part in ("HttpOnly", "SameSite=strict", "Path=/", f"Max-Age={LIFE_S}"):
            assert part in set_cookie
        for part in ("Secure", "Domain", key, key[13:]):
            assert part not in set_cookie
        assert (await client.get("/seen")).text == "shown"
        assert (await client.post("/do/it", headers={**FORM, **OWN})).status_code == 403, "viewer"
        login = await client.get("/login?next=/jobs")
        assert (login.status_code, login.headers["location"]) == (303, "/jobs")
        assert (await client.post("/logout")).status_code == 403, "not from anywhere"
        out = await client.post("/logout", headers=OWN)
        assert (out.status_code, out.headers["location"]) == (303, "/login")
        assert (await client.get("/seen")).status_code == 401


@pytest.mark.parametrize(
    ("policy", "origin", "is_secure"),
    [
        ({"has_tls": True}, "http://localhost", True),
        ({}, "https://localhost", True),
        ({}, "http://localhost", False),
    ],
)
async def test_a_cookie_that_came_through_tls_goes_through_nothing_else(
    make: Callable[..., Port], policy: dict[str, Any], origin: str, is_secure: bool
) -> None:
    port = make(**policy)
    async with port.client(origin=origin) as client:
        answer = await client.post("/login", data={"key": port.key("a", Role.VIEWER)})
    assert ("Secure" in answer.headers["set-cookie"]) is is_secure


async def test_a_session_ends_with_its_key(make: Callable[..., Port]) -> None:
    port = make(is_key_required=True)
    async with port.client() as client:
        await client.post("/login", data={"key": port.key("a", Role.ADMIN)})
        assert (await client.get("/seen")).status_code == 200
        revoke(port.folder, "a")
        assert (await client.get("/seen")).status_code == 401


@pytest.mark.parametrize("wrong", ["", "x", UNKNOWN_KEY, "hfk_" + "é" * 9])
async def test_a_wrong_key_is_told_so_and_not_shown(make: Callable[..., Port], wrong: str) -> None:
    port = make()
    async with port.client() as client:
        answer = await client.post("/login", data={"key": wrong, "next": "/jobs"})
        assert answer.status_code == 401
        assert answer.text.startswith("form /jobs ")
        assert "set-cookie" not in answer.headers
        assert len(wrong) < 2 or wrong not in answer.text
        for _ in range(11):
            answer = await client.post("/login", data={"key": UNKNOWN_KEY})
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")


@pytest.mark.parametrize(
    "following",
    [
        "",
        "x",
        "//evil.example",
        "/\\evil.example",
        "\t//evil.example",
        "/\t/evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "/a\nSet-Cookie: x",
        "/a\\..\\..",
        "/" + "a" * 5_000,
    ],
)
async def test_after_logging_in_nobody_lands_elsewhere(
    make: Callable[..., Port], following: str
) -> None:
    port = make()
    async with port.client() as client:
        data = {"key": port.key("a", Role.VIEWER), "next": following}
        answer = await client.post("/login", data=data)
        assert answer.headers["location"] == "/"
        again = await client.get("/login", params={"next": following})
        assert again.headers["location"] == "/"


async def test_who_follows_a_link_is_not_asked_again(make: Callable[..., Port]) -> None:
    """The browser keeps the cookie back from what another site began."""
    port = make(is_key_required=True)
    async with port.client() as client, port.client() as without:
        await client.post("/login", data={"key": port.key("a", Role.VIEWER)})
        page = await without.get("/login?next=/jobs%3Fq%3D1", headers=FOLLOWED)
        assert page.text.startswith("form /jobs?q=1")
        wait, where = page.headers["refresh"].split("; url=")
        assert wait == "0"
        on = await client.get(where, headers=OWN)
        assert (on.status_code, on.headers["location"]) == (303, "/jobs?q=1")
        stranger = await without.get(where, headers=FOLLOWED)
        assert "refresh" not in stranger.headers, "once, and not for ever"
        assert "refresh" not in (await without.get("/login", headers=OWN)).headers
        assert "refresh" in (await without.get("/login")).headers, "in the clear it is not told"


@pytest.mark.parametrize("body", [b"key", b"\xff\xfe", b"&" * 500, b"key=%ff%fe", b"key=a&" * 99])
async def test_what_is_no_form_is_no_key(make: Callable[..., Port], body: bytes) -> None:
    async with make().client() as client:
        assert (await client.post("/login", content=body, headers=FORM)).status_code == 401
