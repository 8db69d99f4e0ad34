"""Who is asking, and may he: for every route of the HTTP port.

    identity = await guard.identify(request)            # bearer key, or the cookie of /login
    guard.require(identity, Need.ACT, queue)            # else Refusal
    if guard.allows(identity, Need.ACT, queue): …       # the same as a question, for buttons
    shown = guard.redactor(identity)(data)              # before data, results go out
    guard.redactor(identity).check_search(paths)        # before data is searched
    with guard.stream(request, identity): …             # for as long as a stream is open

A `Refusal` may rise: `web.safe.refusing` makes the answer of it. What a request says of where it
comes from (Host, Origin) has been looked at before a route sees it, by `web.safe.shield`; and each
route asks for its least need by a table, `web.safe.needs`, so that one that forgets is closed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from starlette.requests import HTTPConnection

from holdfast.wire.checks import Refusal
from holdfast.wire.constants import ErrorCode
from holdfastd.access.door import Door, identity_of
from holdfastd.access.rights import CHANGING, NEEDS, Identity, Need
from holdfastd.web.safe.policy import OPEN, Policy
from holdfastd.web.safe.redact import Redactor
from holdfastd.web.safe.sessions import Sessions

__all__ = ["Guard", "Need", "client_host"]

STREAMS_PER_CLIENT_MAX: Final = 128
"""Open at once by one key, or one address without keys: a room full of screens behind one proxy.
Arbitrary."""


class Guard:
    """Attributes:
    policy: in force; a reload replaces it.
    """

    def __init__(self, door: Door, sessions: Sessions, policy: Policy = OPEN):
        self.policy = policy
        self._door = door
        self._sessions = sessions
        self._streams: dict[str, int] = {}
        """Open ones, by client."""

    async def identify(self, request: HTTPConnection) -> Identity:
        """Who it is: by `Authorization: Bearer KEY`, else by the session's cookie.

        Raises:
            Refusal: NOT_AUTHENTICATED, or BUSY to an address that has tried too often.
        """
        header = request.headers.get("authorization")
        if header is None:
            identity = self._of_session(request)
            if identity is not None:
                return identity
        return self._door.admit_bearer(header, client_host(request))

    def _of_session(self, request: HTTPConnection) -> Identity | None:
        """None = it has none, or one that is no longer good: it has to log in again."""
        value = request.cookies.get(self._sessions.cookie)
        if value is None:
            return None
        record = self._sessions.owner_of(value, self._door.good_record)
        return None if record is None else identity_of(record)

    def begin_session(self, key: str, host: str) -> str:
        """What the session's cookie is for a person who gives this key.

        Raises:
            Refusal: as `identify`; it does not show the key.
        """
        identity = self._door.admit_key(key, host)
        record = self._door.good_record(identity.key_id)
        if record is None:  # within this very moment
            raise Refusal(ErrorCode.NOT_AUTHENTICATED, f"key {identity.key_id} was revoked")
        return self._sessions.begin(record)

    def require(self, identity: Identity, need: Need, queue: str | None = None) -> None:
        """queue: None = any; lists leave out those for which `identity.allows_queue` says no.

        Raises:
            Refusal: FORBIDDEN.
        """
        if need in CHANGING and self.policy.is_read_only:
            raise Refusal(
                ErrorCode.FORBIDDEN,
                "nothing can be changed by HTTP here (http.read_only): use `holdfast`, or ask the "
                "operator",
            )
        if identity.rights is not None:
            identity.rights.check_need(need, queue)

    def check_still(self, identity: Identity, need: Need) -> None:
        """The same, some time after `identify`: its key may have been revoked, or changed.

        Raises:
            Refusal: NOT_AUTHENTICATED, FORBIDDEN.
        """
        why = self._door.why_out(identity)
        if why is not None:
            raise Refusal(ErrorCode.NOT_AUTHENTICATED, why)
        self.require(identity, need)

    def allows(self, identity: Identity, need: Need, queue: str | None = None) -> bool:
        try:
            self.require(identity, need, queue)
        except Refusal:
            return False
        return True

    @property
    def cookie(self) -> str:
        """The name of the session's cookie."""
        return self._sessions.cookie

    @property
    def is_read_only(self) -> bool:
        return self.policy.is_read_only

    def redactor(self, identity: Identity) -> Redactor:
        """What of jobs' data he does not see. Patterns hold for everybody, admins too: a screen is
        seen by others."""
        rights = identity.rights
        sees_data = rights is None or bool(rights.roles & NEEDS[Need.ACT])
        return Redactor(self.policy.redact, hides_all=self.policy.hides_data and not sees_data)

    @contextmanager
    def stream(self, request: HTTPConnection, identity: Identity) -> Iterator[None]:
        """For as long as it is open. Raises Refusal (TOO_MANY)."""
        client = identity.key_id or client_host(request)
        if self._streams.get(client, 0) >= STREAMS_PER_CLIENT_MAX:
            raise Refusal(
                ErrorCode.TOO_MANY,
                f"{STREAMS_PER_CLIENT_MAX} streams are open already for {client}: close some",
            )
        self._streams[client] = self._streams.get(client, 0) + 1
        try:
            yield
        finally:
            self._streams[client] -= 1
            if not self._streams[client]:
                del self._streams[client]


def client_host(request: HTTPConnection) -> str:
    """The address that asks; behind a proxy the proxy's."""
    return request.client.host if request.client is not None else "?"
