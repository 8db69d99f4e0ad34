"""What a server says of itself before it takes requests: is it one that we can speak with?"""

from typing import Final

from holdfast.errors import PeerError
from holdfast.wire import messages as wire
from holdfast.wire.constants import PROTOCOL_VERSION

_WELCOME: Final = {
    "heartbeat_ms": int,
    "resumed": bool,
    "last_request": int,
    "last_refused": int,
}
"""What we cannot do without, and what that has to be."""


def check_hello(hello: wire.Hello) -> None:
    """That our version is one of its own. Raises PeerError."""
    spoken = hello.info.get("protocol")
    if not isinstance(spoken, list) or [type(version) for version in spoken] != [int, int]:
        raise PeerError("it does not say which versions of the protocol it speaks")
    low, high = spoken
    if not low <= PROTOCOL_VERSION <= high:
        raise PeerError(
            f"it speaks version {low} to {high} of the protocol, and this client speaks "
            f"{PROTOCOL_VERSION}: use a client of that version"
        )


def check_welcome(welcome: wire.Welcome) -> None:
    """Raises PeerError."""
    for name, kind in _WELCOME.items():
        if type(welcome.info.get(name)) is not kind:
            raise PeerError(f"its WELCOME has no {name} that is of the type {kind.__name__}")
    if welcome.info["heartbeat_ms"] <= 0:
        raise PeerError(f"it wants a heartbeat every {welcome.info['heartbeat_ms']} ms")
