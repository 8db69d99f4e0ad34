"""Which requests a route sees at all, by what they say of where they come from."""

import pytest
from starlette.datastructures import Headers

from holdfast.wire.checks import Refusal
from holdfastd.web.safe.origins import check
from holdfastd.web.safe.policy import Policy
from holdfastd.web.safe.refusing import status_of

OPEN = Policy(hosts=frozenset({"queue.example", "[fd00::1]"}))
KEYED = Policy(is_key_required=True)


def why(
    method: str, path: str = "/", policy: Policy = OPEN, session: bool = False, **headers: str
) -> int | None:
    """The status of the refusal; None = it is let through."""
    given = {"host": "localhost:4654", **headers}
    named = Headers({name.replace("_", "-"): value for name, value in given.items()})
    try:
        check(method, path, named, policy, has_session=session)
    except Refusal as refusal:
        return status_of(refusal)
    return None


# ---- Host ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:4654",
        "localhost.",
        "127.0.0.1:4654",
        "127.8.8.8",
        "[::1]:4654",
        "queue.example",
        "Queue.Example:443",
        "[fd00::1]",
    ],
)
def test_without_keys_it_answers_to_its_names(host: str) -> None:
    assert why("GET", host=host) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:4654",
        "",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "[::2]",
        "0.0.0.0",
        "a@localhost",
        "localhost:80:80",
        "localhost/x",
        "localhost, evil.example",
        "evil.example#localhost",
        "[::1",
        "x.queue.example",
        "2130706433",
    ],
)
def test_without_keys_it_answers_to_no_other(host: str) -> None:
    """Else a page of evil.example, whose name then stands for 127.0.0.1, would be one of ours."""
    assert why("GET", host=host) == 403
    assert why("POST", host=host, sec_fetch_site="same-origin") == 403


def test_with_keys_any_name_will_do_as_no_other_site_has_one() -> None:
    assert why("GET", policy=KEYED, host="evil.example") is None


def test_supervisors_ask_as_they_like() -> None:
    for path in ("/livez", "/readyz"):
        assert why("GET", path, host="10.0.0.1:4654") is None
    assert why("GET", "/metrics", host="10.0.0.1:4654") == 403


# ---- changes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("policy", [OPEN, KEYED])
@pytest.mark.parametrize("session", [True, False])
def test_other_sites_change_nothing(method: str, policy: Policy, session: bool) -> None:
    for headers in (
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "cross-site", "origin": "http://localhost:4654"},
        {"sec_fetch_site": "new-word"},
        {"sec_fetch_site": ""},
        {"origin": "http://evil.example"},
        {"origin": "http://localhost:8000"},
        {"origin": "http://localhost"},
        {"origin": "http://localhost:4654.evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "file://"},
        {"origin": "http://evil.example", "authorization": "Bearer x"},
    ):
        assert why(method, policy=policy, session=session, **headers) == 403, headers


def test_ours_do_and_programs_do() -> None:
    for session in (True, False):
        for site in ("same-origin", "none"):
            assert why("POST", session=session, sec_fetch_site=site, origin="null") is None
        assert why("POST", session=session, origin="http://localhost:4654") is None
    assert why("POST", host="queue.example", origin="https://queue.example:443") is None
    assert why("POST", host="queue.example:443", origin="https://Queue.example") is None
    assert why("POST", authorization="Bearer x") is None
    assert why("POST") is None, "curl on the machine itself"
    assert why("POST", session=True) == 403, "a cookie comes from a browser, and those tell"


# ---- reading -------------------------------------------------------------------------------------


def test_a_link_from_elsewhere_can_be_followed_and_nothing_be_fetched() -> None:
    assert why("GET", sec_fetch_site="cross-site", sec_fetch_mode="navigate") is None
    for mode in ("cors", "no-cors", "websocket"):
        assert why("GET", sec_fetch_site="cross-site", sec_fetch_mode=mode) == 403
    assert why("GET", sec_fetch_site="same-origin", sec_fetch_mode="cors") is None
    assert why("GET") is None


# ---- types ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "given", "expected"),
    [
        ("/api/v1/jobs", "application/json", None),
        ("/api/v1/jobs", "Application/JSON; charset=utf-8", None),
        ("/api/v1/jobs", "application/x-www-form-urlencoded", 415),
        ("/api/v1/jobs", "text/plain", 415),
        ("/api/v1/jobs", "multipart/form-data; boundary=x", 415),
        ("/api/v1/jobs", "text/plain; application/json", 415),
        ("/api/v1/jobs", "", 415),
        ("/do/jobs", "application/x-www-form-urlencoded", None),
        ("/do/jobs", "application/json", 415),
        ("/login", "multipart/form-data; boundary=x", 415),
    ],
)
def test_the_api_takes_json_and_pages_take_forms(
    path: str, given: str, expected: int | None
) -> None:
    assert why("POST", path, content_type=given, content_length="5") == expected
    assert why("POST", path, content_type=given, transfer_encoding="chunked") == expected
    assert why("POST", path, content_type=given, content_length="0") is None
