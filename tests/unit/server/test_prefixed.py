"""The port below a path of another site: what comes in loses the prefix, what goes out has it."""

from typing import Any, Final

import pytest

from holdfastd.config import ConfigError, load
from holdfastd.config.rules import PathPrefix
from holdfastd.web.prefixed import Prefixed
from holdfastd.web.safe.needs import NEEDS

PREFIX: Final = "/tools/holdfast"


async def ask(path: str, raw: str = "", prefix: str = PREFIX, **headers: str) -> Any:
    """What the application was asked for, as (path, raw_path), and the headers of its answer."""
    seen: list[tuple[str, bytes]] = []
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["path"], scope["raw_path"]))
        raw_headers = [(name.replace("_", "-"), value) for name, value in headers.items()]
        pairs = [(name.encode(), value.encode()) for name, value in raw_headers]
        await send({"type": "http.response.start", "status": 200, "headers": pairs})
        await send({"type": "http.response.body"})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": path, "raw_path": (raw or path).encode()}
    await Prefixed(app, prefix)(scope, None, send)  # type: ignore[arg-type]  # nothing is received
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return seen[0], found


@pytest.mark.parametrize(
    ("asked", "inside"),
    [
        (f"{PREFIX}/jobs", "/jobs"),
        (f"{PREFIX}/", "/"),
        (PREFIX, "/"),
        ("/jobs", "/jobs"),
        (f"{PREFIX}s/jobs", f"{PREFIX}s/jobs"),
        (f"{PREFIX}{PREFIX}", PREFIX),
    ],
)
async def test_the_prefix_is_taken_from_what_a_proxy_leaves_it_in(asked: str, inside: str) -> None:
    (path, raw), _ = await ask(asked)
    assert (path, raw.decode()) == (inside, inside)


async def test_what_is_quoted_in_a_path_stays_so() -> None:
    (path, raw), _ = await ask(f"{PREFIX}/jobs/mail/a/b", f"{PREFIX}/jobs/mail/a%2Fb")
    assert (path, raw) == ("/jobs/mail/a/b", b"/jobs/mail/a%2Fb")


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("location", "/login?next=%2Fjobs", f"{PREFIX}/login?next=%2Fjobs"),
        ("location", "/", f"{PREFIX}/"),
        ("HX_Redirect", "/queues", f"{PREFIX}/queues"),
        ("refresh", "0; url=/login?again=1", f"0; url={PREFIX}/login?again=1"),
        (
            "set_cookie",
            "hf_1=a; HttpOnly; Path=/; Secure",
            f"hf_1=a; HttpOnly; Path={PREFIX}; Secure",
        ),
        ("set_cookie", "hf_1=a; Path=/", f"hf_1=a; Path={PREFIX}"),
        ("content_type", "/", "/"),
    ],
)
async def test_what_leads_a_browser_on_has_the_prefix(name: str, inside: str, outside: str) -> None:
    _, found = await ask("/jobs", **{name: inside})
    assert found == {name.replace("_", "-"): outside}
    _, found = await ask("/jobs", prefix="", **{name: inside})
    assert found == {name.replace("_", "-"): inside}, "without one nothing is touched"


@pytest.mark.parametrize("prefix", ["", "/holdfast", "/a/b-c_d.e~f", "/Queue"])
def test_a_prefix_is_a_path(prefix: str) -> None:
    assert load(None, {}, {"http.prefix": prefix}).http.prefix == prefix


@pytest.mark.parametrize(
    "prefix",
    [
        *("holdfast", "/", "/a/", "//a", "/a b", "/a?b", '/"', "/ü", "/..", "/a/."),
        *("/" + "a" * 300, "/jobs", "/api", "/jobs/x"),
    ],
)
def test_what_is_no_path_or_could_be_ours_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigError, match=r'http\.prefix must be a path such as "/holdfast"'):
        load(None, {}, {"http.prefix": prefix})


def test_every_path_of_the_port_begins_with_what_no_prefix_may() -> None:
    first = {path.split("/")[1].partition("{")[0] for _, path in NEEDS} - {""}
    assert first <= PathPrefix.TAKEN
