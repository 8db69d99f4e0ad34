"""Sessions of people: a signed cookie that says which key somebody logged in with, and until when.

    ID.UNTIL.SIGNATURE    the key's id, Unix seconds, HMAC-SHA-256 in hex over both and the key's
                          digest

Nothing is kept of a session, so a restart ends none; the secret that signs is in the data
directory. Each request looks at the key again: one that was revoked, has expired or was made anew
with the same id ends its sessions at once. Logging out takes the cookie from the browser; a copy of
it stays good until its hours are over or the key is revoked.
"""

import hmac
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from holdfastd.access.keyfile import MODE, check_private
from holdfastd.access.keys import KeyRecord, KeysError
from holdfastd.clock import Clock

NAME: Final = "session.secret"
"""In the data directory."""
SECRET_BYTES: Final = 32
LIFE_S: Final = 12 * 3600
"""A working day."""
_FORM: Final = re.compile(r"([0-9a-f]{8})\.([0-9]{1,12})\.([0-9a-f]{64})", re.ASCII)

GoodRecord: TypeAlias = Callable[[str], KeyRecord | None]
"""Id -> the record of a key that is good now; None = no such key has it."""


class Sessions:
    def __init__(self, clock: Clock):
        self._clock = clock
        self._secret = secrets.token_bytes(SECRET_BYTES)

    def open(self, directory: Path) -> None:
        """Sign with the secret of this directory from now on; made if there is none.

        Raises:
            KeysError: it cannot be read or made, or others could read it.
        """
        self._secret = _kept_secret(directory / NAME)

    @property
    def cookie(self) -> str:
        """Its name. Another one for each data directory: browsers give cookies to every port of a
        host, and two daemons may live on one."""
        return f"hf_{hmac.digest(self._secret, b'name', 'sha256')[:4].hex()}"

    def begin(self, record: KeyRecord) -> str:
        """The cookie's value for who has just logged in with this key."""
        until_s = self._clock.now_ms() // 1000 + LIFE_S
        return f"{record.id}.{until_s}.{self._signature(record.id, until_s, record.digest)}"

    def owner_of(self, value: str, good_record: GoodRecord) -> KeyRecord | None:
        """Whose session it is; None = of nobody: it is forged, over, or its key is no longer
        good."""
        found = _FORM.fullmatch(value)
        if found is None:
            return None
        key_id, until_s, signature = found[1], int(found[2]), found[3]
        record = good_record(key_id)
        # With nobody's digest it is compared all the same: it takes as long for an unknown id.
        digest = record.digest if record is not None else bytes(SECRET_BYTES)
        is_right = hmac.compare_digest(signature, self._signature(key_id, until_s, digest))
        is_over = self._clock.now_ms() >= until_s * 1000
        return record if is_right and not is_over else None

    def _signature(self, key_id: str, until_s: int, digest: bytes) -> str:
        text = f"session {key_id} {until_s} {digest.hex()}".encode()
        return hmac.digest(self._secret, text, "sha256").hex()


def _kept_secret(path: Path) -> bytes:
    try:
        try:
            return _read(path)
        except FileNotFoundError:
            return _made(path)
    except OSError as error:
        raise KeysError(
            f"{path}, which signs the sessions of the HTTP port, cannot be used "
            f"({error.strerror}): it must belong to the daemon's user ({os.geteuid()})"
        ) from error


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        check_private(file.fileno(), path)
        secret = file.read(SECRET_BYTES + 1)
    if len(secret) != SECRET_BYTES:
        raise KeysError(
            f"{path} must have {SECRET_BYTES} bytes: remove it, a new one is made at the start, "
            "and everybody has to log in again"
        )
    return secret


def _made(path: Path) -> bytes:
    """Written beside it and renamed: a crash leaves the whole of it or nothing."""
    secret = secrets.token_bytes(SECRET_BYTES)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, MODE)
    try:
        os.write(descriptor, secret)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.replace(path)
    return secret
