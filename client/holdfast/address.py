"""Where the server is."""

import os
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from holdfast.errors import MisuseError
from holdfast.wire.constants import DEFAULT_PORT

DEFAULT_URL: Final = f"holdfast://127.0.0.1:{DEFAULT_PORT}"
SCHEMES: Final = ("holdfast", "holdfasts")


class Address(NamedTuple):
    host: str
    port: int
    is_tls: bool = False

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{SCHEMES[self.is_tls]}://{host}:{self.port}"


def address_of(url: str | None) -> Address:
    """url, else $HOLDFAST_URL, else the default. Raises MisuseError."""
    url = url or os.environ.get("HOLDFAST_URL") or DEFAULT_URL
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORT
    except ValueError as error:
        raise MisuseError(f"{url!r} is no address ({error}): use {DEFAULT_URL}") from None
    if "@" in parts.netloc:
        raise MisuseError(
            "a key does not belong into the address, where logs and process lists show it: use "
            "HOLDFAST_KEY or HOLDFAST_KEY_FILE"
        )
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise MisuseError(
            f"{url!r} is no address: use one like {DEFAULT_URL}, or holdfasts:// with TLS"
        )
    return Address(parts.hostname, port, parts.scheme == "holdfasts")
