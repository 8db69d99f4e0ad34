"""The door: who may come in, with which rights, and whom the keys no longer let stay.

Where no key is required (see `exposure`) one that is given is checked all the same. The keys are
read again within KEYS_LOOK_S of any change of their file, at each reload, and when somebody comes
with one that is not known; a file that is wrong or gone changes nothing but the log. Those who are
in with a key that was revoked, changed or has expired are put out.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from holdfast.wire.checks import Refusal
from holdfast.wire.constants import ErrorCode
from holdfast.wire.credentials import SECRET_BYTES, is_key_id, is_proof, is_secret, parse_key
from holdfastd import logs
from holdfastd.access import keyfile
from holdfastd.access.backoff import FAILURES_MAX, WINDOW_S, BackOff
from holdfastd.access.keys import KeyRecord, Keys, KeysError
from holdfastd.access.rights import ANYBODY, Identity, Rights
from holdfastd.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

KEYS_LOOK_S: Final = 1.0
"""How often the key file is looked at: a `stat`, some microseconds."""
HINT: Final = "set HOLDFAST_KEY or HOLDFAST_KEY_FILE to one made with `holdfastd keys create`"
_NO_DIGEST: Final = bytes(SECRET_BYTES)
"""In place of that of a key that is not known: looking takes as long, and nobody has the secret."""


class KeyChanges(NamedTuple):
    """Between two readings of the key file, as ids."""

    added: list[str]
    gone: list[str]
    changed: list[str]


class KeysRead(NamedTuple):
    keys: Keys
    stamp: keyfile.Stamp | None
    """Of the file when it was read: if it is another one by the time that these are taken, there
    are news."""


class Door:
    """Attributes:
    keys: those that are in force.
    on_news: reads the key file, which has changed; so a key is good as soon as it is made.
    """

    def __init__(
        self,
        path: Path | None,
        clock: Clock,
        *,
        is_key_required: bool = False,
        is_http_key_required: bool = False,
    ):
        """path: of the key file, read by `open`; None = there is none."""
        self.keys = Keys()
        self.on_news: Callable[[], None] = lambda: None
        self._path = path
        self._clock = clock
        self._is_key_required = is_key_required
        self._is_http_key_required = is_http_key_required
        self._back_off = BackOff()
        self._stamp: keyfile.Stamp | None = None
        self._has_file = False
        self._expired: set[str] = set()
        """Ids of the keys that have been found to be."""

    # ---- the key file ----------------------------------------------------------------------------

    def open(self) -> None:
        """Read the keys for the first time.

        Raises:
            KeysError: they cannot be read, or are required and there is no file.
        """
        if self._path is None:
            return
        self._stamp = keyfile.stamp_of(self._path)
        try:
            self.keys = keyfile.read(self._path)
        except FileNotFoundError:
            if self._is_key_required or self._is_http_key_required:
                raise KeysError(
                    f"a key is required, and there is no key file {self._path}: nobody could come "
                    "in: make a first key with `holdfastd keys create NAME --role admin` and start "
                    "again"
                ) from None
        else:
            self._has_file = True
        if (self._is_key_required or self._is_http_key_required) and not self._valid():
            text = f"no key of {self._path} is valid: nobody can come in until one is created"
            logs.event(log, logging.WARNING, "no_valid_key", text)

    def _valid(self) -> list[KeyRecord]:
        now_ms = self._clock.now_ms()
        return [record for record in self.keys.records if record.is_valid(now_ms)]

    @property
    def has_news(self) -> bool:
        """The key file is another one since it was last read."""
        return self._path is not None and keyfile.stamp_of(self._path) != self._stamp

    def read(self) -> KeysRead:
        """What is in the file now; the keys in force, if there is none and was none. On any thread.

        Raises:
            KeysError: and there are no news until the file is another one again.
        """
        if self._path is None:
            return KeysRead(self.keys, None)
        stamp = keyfile.stamp_of(self._path)
        try:
            return KeysRead(keyfile.read(self._path), stamp)
        except FileNotFoundError:
            if not self._has_file:
                return KeysRead(self.keys, stamp)
            self._stamp = stamp
            raise KeysError(f"the key file {self._path} is gone: put it back") from None
        except KeysError:
            self._stamp = stamp
            raise

    def take(self, found: KeysRead) -> KeyChanges:
        """From now on these are in force. See `listener.put_out` for those that are in."""
        fresh, self._stamp = found
        self._has_file = self._has_file or bool(fresh.records)
        changes = _changes(self.keys, fresh)
        self.keys = fresh
        if any(changes):
            self._tell(changes)
        return changes

    def has_expired(self) -> bool:
        """Some key has, since this was asked the last time."""
        now_ms = self._clock.now_ms()
        expired = {record.id for record in self.keys.records if not record.is_valid(now_ms)}
        fresh, self._expired = expired - self._expired, expired
        return bool(fresh)

    def _tell(self, changes: KeyChanges) -> None:
        parts = [
            f"{len(ids)} {what} ({', '.join(ids)})"
            for what, ids in changes._asdict().items()
            if ids
        ]
        text = f"keys of {self._path}: {'; '.join(parts)}"
        logs.event(log, logging.INFO, "keys_changed", text, **changes._asdict())

    # ---- coming in -------------------------------------------------------------------------------

    def admit(self, auth: object, nonce: bytes, host: str) -> Identity:
        """Who it is, by what IDENTIFY has in `auth`.

        Raises:
            Refusal: NOT_AUTHENTICATED, or BUSY to an address that has tried too often.
        """
        if auth is None:
            if self._is_key_required:
                raise Refusal(ErrorCode.NOT_AUTHENTICATED, f"a key is needed here: {HINT}")
            return ANYBODY
        id, proof = _credentials(auth)
        self._check_not_held(host, id)
        record = self._record(id)
        digest = record.digest if record is not None else _NO_DIGEST
        if not is_proof(proof, nonce, digest):
            record = None
        return self._let_in(record, id, host)

    def admit_bearer(self, header: str | None, host: str) -> Identity:
        """The same for HTTP's `Authorization: Bearer KEY`. Raises Refusal."""
        if header is None:
            if self._is_http_key_required:
                text = "a key is needed here: send it as Authorization: Bearer KEY"
                raise Refusal(ErrorCode.NOT_AUTHENTICATED, text)
            return ANYBODY
        return self.admit_key(_bearer_of(header), host)

    def admit_key(self, text: str, host: str) -> Identity:
        """The same for the key itself, as a person gives it. Raises Refusal, which does not show
        it."""
        try:
            key = parse_key(text)
        except ValueError as error:
            raise Refusal(ErrorCode.NOT_AUTHENTICATED, str(error)) from None
        self._check_not_held(host, key.id)
        record = self._record(key.id)
        digest = record.digest if record is not None else _NO_DIGEST
        if not is_secret(key.secret, digest):
            record = None
        return self._let_in(record, key.id, host)

    def good_record(self, key_id: str) -> KeyRecord | None:
        """Of a key that is good at this moment, whatever the file said a second ago; None = of
        none."""
        if self.has_news:
            self.on_news()
        record = self.keys.get(key_id)
        return record if record is not None and record.is_valid(self._clock.now_ms()) else None

    def _record(self, id: str) -> KeyRecord | None:
        """One that is not known may have been made a moment ago."""
        if self.keys.get(id) is None and self.has_news:
            self.on_news()
        return self.keys.get(id)

    def _check_not_held(self, host: str, key_id: str) -> None:
        held_s = self._back_off.held_s(host, key_id, self._clock.monotonic())
        if held_s > 0:
            raise Refusal(
                ErrorCode.BUSY,
                f"too many wrong keys came from {host}: try again in {held_s:.0f} s",
                {"retry_after_ms": int(held_s * 1000)},
            )

    def _let_in(self, record: KeyRecord | None, id: str, host: str) -> Identity:
        """record: None = the key is wrong."""
        if record is None:
            self._note_failure(id, host)
            raise Refusal(
                ErrorCode.NOT_AUTHENTICATED, f"key {id} is wrong, unknown here or revoked: {HINT}"
            )
        if not record.is_valid(self._clock.now_ms()):
            raise Refusal(
                ErrorCode.NOT_AUTHENTICATED, f"key {id} of {record.name} has expired: {HINT}"
            )
        self._back_off.succeeded(host, id)
        return identity_of(record)

    def _note_failure(self, id: str, host: str) -> None:
        text = f"a wrong key came from {host} (id {id})"
        logs.event(log, logging.WARNING, "wrong_key", text, host=host, key=id)
        if self._back_off.failed(host, self._clock.monotonic()):
            text = (
                f"{FAILURES_MAX} wrong keys came from {host} within {WINDOW_S:g} s: unknown ones "
                "are refused unread for the rest of them"
            )
            logs.event(log, logging.WARNING, "address_held", text, host=host)

    # ---- staying ---------------------------------------------------------------------------------

    def why_out(self, identity: Identity) -> str | None:
        """Why it may not stay; None = it may."""
        if not identity.key_id or identity.rights is None:
            return None
        record = self.keys.get(identity.key_id)
        if record is None:
            return f"key {identity.key_id} of {identity.name} was revoked"
        if not record.is_valid(self._clock.now_ms()):
            return f"key {identity.key_id} of {identity.name} has expired"
        rights = identity.rights
        if (record.name, record.roles, record.queues) != (
            identity.name,
            rights.roles,
            rights.patterns,
        ):
            return f"key {identity.key_id} of {identity.name} was changed: connect again"
        return None


def identity_of(record: KeyRecord) -> Identity:
    return Identity(record.name, record.id, Rights(record.roles, record.queues))


def _bearer_of(header: str) -> str:
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "bearer":  # it may be a secret: it is not shown
        raise Refusal(ErrorCode.NOT_AUTHENTICATED, "the header Authorization must be: Bearer KEY")
    return text


def _credentials(auth: object) -> tuple[str, bytes]:
    if isinstance(auth, dict):
        id, proof = auth.get("key"), auth.get("proof")
        if type(id) is str and type(proof) is bytes and is_key_id(id):
            return id, proof
    raise Refusal(
        ErrorCode.NOT_AUTHENTICATED,
        "auth must be a map with key (a key's id: 8 hex digits) and proof (binary)",
    )


def _changes(before: Keys, after: Keys) -> KeyChanges:
    was = {record.id: record for record in before.records}
    now = {record.id: record for record in after.records}
    return KeyChanges(
        sorted(now.keys() - was.keys()),
        sorted(was.keys() - now.keys()),
        sorted(id for id in now.keys() & was.keys() if now[id] != was[id]),
    )
