"""Where a request comes from, as far as a browser says: another site must not act in one's name.

A program sends what it likes, and proves itself by its key. A browser sends requests for any page
that is open in it, and says which: `Sec-Fetch-Site` (to https and to localhost), else `Origin`. So
what changes anything is refused to other sites, and what only reads is, but for a link that a
person follows. Where no key is required, a name that somebody else's DNS points at this machine
must not make his pages ours ("DNS rebinding"): the port answers to loopback names, and to those
that the operator gave.
"""

import re
from typing import Final

from starlette.datastructures import Headers

from holdfast.wire.checks import Refusal, shown
from holdfast.wire.constants import ErrorCode
from holdfastd.access.exposure import is_loopback_host
from holdfastd.web.safe.policy import Policy
from holdfastd.web.safe.refusing import API, WrongType

READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
OPEN_PATHS: Final = frozenset({"/livez", "/readyz"})
"""Supervisors ask for these by whatever address they know, and they tell nothing."""
OURS: Final = ("same-origin", "none")
"""Values of Sec-Fetch-Site; none = a person typed it, or has it as a bookmark."""
JSON_TYPE: Final = "application/json"
FORM_TYPE: Final = "application/x-www-form-urlencoded"
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\[\]:/?#@\\\s]+)(?::(\d{1,5}))?", re.ASCII)
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


def check(method: str, path: str, headers: Headers, policy: Policy, *, has_session: bool) -> None:
    """Whether a route may see this request at all.

    Args:
        has_session: it has a cookie of a session, which browsers add of themselves.

    Raises:
        Refusal: FORBIDDEN, or that its body is of a wrong type.
    """
    if path in OPEN_PATHS:
        return
    if not policy.is_key_required:
        _check_host(headers.get("host", ""), policy.hosts)
    if method in READING:
        _check_reader(headers)
    else:
        _check_sender(headers, has_session=has_session)
        _check_type(path, headers)


def _check_host(said: str, hosts: frozenset[str]) -> None:
    name = name_of(said)
    if not is_loopback_host(name.strip("[]")) and name not in hosts:
        raise Refusal(
            ErrorCode.FORBIDDEN,
            f"this port is asked for as {shown(said)}, and that is none of its names: use "
            "localhost, or have the operator add it to http.hosts",
        )


def name_of(host: str) -> str:
    """Of the header Host, without the port, in lower case; "" = it has none."""
    found = _HOST.fullmatch(host)
    return found[1].lower().rstrip(".") if found is not None else ""


def _check_reader(headers: Headers) -> None:
    site = headers.get("sec-fetch-site", "none")
    is_followed = headers.get("sec-fetch-mode") == "navigate"
    if site not in OURS and not is_followed:
        raise Refusal(ErrorCode.FORBIDDEN, "pages of other sites cannot read from this port")


def _check_sender(headers: Headers, *, has_session: bool) -> None:
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        is_ours = site in OURS
    elif origin is not None:
        is_ours = _is_same(origin, headers.get("host", ""))
    else:  # no browser of this decade
        is_ours = not has_session
    if not is_ours:
        raise Refusal(
            ErrorCode.FORBIDDEN,
            "this came from a page of another site, or through a proxy that changes Host: nothing "
            "was done",
        )


def _is_same(origin: str, host: str) -> bool:
    """The scheme does not count: a proxy may add TLS."""
    scheme, separator, rest = origin.partition("://")
    default = _DEFAULT_PORTS.get(scheme)
    theirs, ours = _HOST.fullmatch(rest), _HOST.fullmatch(host)
    if not separator or default is None or theirs is None or ours is None:
        return False
    return (theirs[1].lower(), theirs[2] or default) == (ours[1].lower(), ours[2] or default)


def _check_type(path: str, headers: Headers) -> None:
    """A page of another site can send a form, and cannot send JSON unasked."""
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return
    given = headers.get("content-type", "").partition(";")[0].strip().lower()
    wanted = JSON_TYPE if path.startswith(API) else FORM_TYPE
    if given != wanted:
        raise WrongType(f"Content-Type must be {wanted} here, not {shown(given)}")
