"""Keys as the server knows them: whose they are, what they are for, and never what they are."""

import re
import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from holdfast.wire.checks import shown
from holdfast.wire.credentials import KEY_ID_LENGTH, SECRET_BYTES, Key, digest_of
from holdfastd.access.rights import Role, check_pattern

VERSION: Final = 1
"""Of the key file. Raised when an older daemon would misread it; new fields are ignored by it."""
NAME_LENGTH_MAX: Final = 64
VALID_PER_NAME_MAX: Final = 2
"""The old one and the new one of a rotation."""
_NAME: Final = re.compile(rf"[A-Za-z0-9._-]{{1,{NAME_LENGTH_MAX}}}")
_ID: Final = re.compile(rf"[0-9a-f]{{{KEY_ID_LENGTH}}}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class KeysError(ValueError):
    """What was asked of the keys cannot be done, or what was read are none; for the operator."""


class KeyRecord(NamedTuple):
    id: str
    """Stands in the key itself; unique in the file."""
    name: str
    """Of who uses it; two keys have one name during a rotation."""
    roles: frozenset[Role]
    queues: tuple[str, ...]
    """Patterns, see `rights.check_pattern`."""
    digest: bytes
    created_at_ms: int
    expires_at_ms: int | None = None
    """From then on it is worth nothing; None = until it is revoked."""

    def is_valid(self, now_ms: int) -> bool:
        return self.expires_at_ms is None or now_ms < self.expires_at_ms


def check_name(name: str) -> str:
    """Raises KeysError."""
    if _NAME.fullmatch(name):
        return name
    raise KeysError(
        f"{shown(name)} is no name for a key: use 1 to {NAME_LENGTH_MAX} of A-Z a-z 0-9 . _ -"
    )


class Keys:
    """All keys of a file; immutable, a change makes new ones."""

    def __init__(self, records: Iterable[KeyRecord] = ()):
        self.records = tuple(records)
        self._by_id = {record.id: record for record in self.records}

    def get(self, id: str) -> KeyRecord | None:
        return self._by_id.get(id)

    def named(self, name: str) -> list[KeyRecord]:
        """The oldest first."""
        return [record for record in self.records if record.name == name]

    # ---- changes -------------------------------------------------------------------------------

    def create(
        self,
        name: str,
        roles: Iterable[Role],
        queues: Iterable[str],
        now_ms: int,
        expires_at_ms: int | None = None,
    ) -> tuple["Keys", Key]:
        """With one more; the key itself is for its user, and is kept nowhere. Raises KeysError."""
        if self.named(name):
            raise KeysError(f"there is a key {name} already: rotate it, or take another name")
        key = self._new_key()
        record = KeyRecord(
            key.id,
            check_name(name),
            frozenset(roles),
            tuple(map(_checked_pattern, queues)),
            digest_of(key.secret),
            now_ms,
            expires_at_ms,
        )
        return Keys((*self.records, record)), key

    def rotate(
        self, name: str, now_ms: int, old_expires_at_ms: int | None = None
    ) -> tuple["Keys", Key]:
        """With a second key of that name, for the same roles and queues. Raises KeysError.

        Args:
            old_expires_at_ms: when the first stops being valid; None = when it is revoked.
        """
        mine = self.named(name)
        if not mine:
            raise KeysError(self._unknown(name))
        valid = [record for record in mine if record.is_valid(now_ms)]
        if len(valid) >= VALID_PER_NAME_MAX:
            ids = ", ".join(record.id for record in valid)
            raise KeysError(f"{name} has two valid keys ({ids}): revoke the old one first")
        last = mine[-1]
        key = self._new_key()
        fresh = last._replace(
            id=key.id, digest=digest_of(key.secret), created_at_ms=now_ms, expires_at_ms=None
        )
        kept = [
            record._replace(expires_at_ms=_earlier(record.expires_at_ms, old_expires_at_ms))
            if record in valid
            else record
            for record in self.records
            if record in valid or record.name != name  # those that expired are of no more use
        ]
        return Keys((*kept, fresh)), key

    def revoke(self, name_or_id: str, *, all_of_name: bool = False) -> tuple["Keys", list[str]]:
        """Without it; returns the ids that are gone too. Raises KeysError."""
        record = self.get(name_or_id)
        mine = [record] if record is not None else self.named(name_or_id)
        if not mine:
            raise KeysError(self._unknown(name_or_id))
        if len(mine) > 1 and not all_of_name:
            ids = ", ".join(record.id for record in mine)
            raise KeysError(f"{name_or_id} has {len(mine)} keys: give an id ({ids}), or --all")
        gone = {record.id for record in mine}
        return Keys(each for each in self.records if each.id not in gone), sorted(gone)

    def _new_key(self) -> Key:
        while True:
            key = Key(secrets.token_hex(KEY_ID_LENGTH // 2), secrets.token_bytes(SECRET_BYTES))
            if self.get(key.id) is None:
                return key

    def _unknown(self, name: str) -> str:
        names = ", ".join(dict.fromkeys(record.name for record in self.records))
        return f"there is no key {shown(name)}: " + (f"there are {names}" if names else "none is")


def _earlier(one: int | None, other: int | None) -> int | None:
    given = [at_ms for at_ms in (one, other) if at_ms is not None]
    return min(given, default=None)


def _checked_pattern(pattern: str) -> str:
    try:
        return check_pattern(pattern)
    except ValueError as error:
        raise KeysError(str(error)) from None


# ---- as JSON -------------------------------------------------------------------------------------


def to_json(keys: Keys) -> dict[str, Any]:
    return {
        "version": VERSION,
        "keys": [
            {
                "id": record.id,
                "name": record.name,
                "roles": [role.value for role in Role if role in record.roles],
                "queues": list(record.queues),
                "sha256": record.digest.hex(),
                "created_at_ms": record.created_at_ms,
                "expires_at_ms": record.expires_at_ms,
            }
            for record in keys.records
        ],
    }


def from_json(tree: object) -> Keys:
    """The inverse, of a file that people may have edited. Raises KeysError."""
    if not isinstance(tree, Mapping) or not isinstance(tree.get("keys"), list):
        raise KeysError('it must be an object with "version" and "keys"')
    if tree.get("version") != VERSION:
        raise KeysError(f"its version is {shown(tree.get('version'))}, this daemon's is {VERSION}")
    records = [_record(at, entry) for at, entry in enumerate(tree["keys"])]
    seen: set[str] = set()
    for record in records:
        if record.id in seen:
            raise KeysError(f"two keys have the id {record.id}")
        seen.add(record.id)
    return Keys(records)


def _record(at: int, entry: object) -> KeyRecord:
    if not isinstance(entry, Mapping):
        raise KeysError(f"keys[{at}] must be an object")
    try:
        return KeyRecord(
            _text(entry, "id", _ID),
            _text(entry, "name", _NAME),
            frozenset(Role(role) for role in _texts(entry, "roles")),
            tuple(check_pattern(pattern) for pattern in _texts(entry, "queues")),
            bytes.fromhex(_text(entry, "sha256", _DIGEST)),
            _instant(entry, "created_at_ms") or 0,
            _instant(entry, "expires_at_ms"),
        )
    except ValueError as error:
        raise KeysError(f"keys[{at}]: {error}") from None


def _text(entry: Mapping[str, object], name: str, form: re.Pattern[str]) -> str:
    value = entry.get(name)
    if isinstance(value, str) and form.fullmatch(value):
        return value
    raise ValueError(f"{name} is missing or malformed")


def _texts(entry: Mapping[str, object], name: str) -> list[str]:
    values = entry.get(name)
    if isinstance(values, list) and values and all(isinstance(value, str) for value in values):
        return values
    raise ValueError(f"{name} must be a list of texts, of one at least")


def _instant(entry: Mapping[str, object], name: str) -> int | None:
    value = entry.get(name)
    if value is None or (type(value) is int and value >= 0):
        return value
    raise ValueError(f"{name} must be Unix milliseconds or null, not {shown(value)}")
