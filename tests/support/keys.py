"""Keys for tests, made as `holdfastd keys` makes them."""

from pathlib import Path

from holdfast.wire.credentials import key_text
from holdfastd.access import keyfile
from holdfastd.access.rights import Role
from holdfastd.clock import SystemClock


def new_key(
    directory: Path,
    name: str,
    *roles: Role,
    queues: tuple[str, ...] = ("*",),
    expires_after_ms: int | None = None,
) -> str:
    """One more in the key file of a data directory; of an admin unless roles are given."""
    now_ms = SystemClock().now_ms()
    directory.mkdir(exist_ok=True)
    wanted = roles or (Role.ADMIN,)
    expires_at_ms = None if expires_after_ms is None else now_ms + expires_after_ms
    key = keyfile.change(
        directory / keyfile.NAME,
        lambda keys: keys.create(name, wanted, queues, now_ms, expires_at_ms),
    )
    return key_text(key)


def revoke(directory: Path, name_or_id: str) -> None:
    keyfile.change(directory / keyfile.NAME, lambda keys: keys.revoke(name_or_id))
