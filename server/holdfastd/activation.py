"""Listening sockets that a service manager has opened and hands over: sd_listen_fds(3) of systemd.

They stay open in the manager while the daemon restarts: who connects meanwhile waits in the
kernel's queue, and is not refused. Where they listen is stronger than what is configured, and is
judged like it: a socket that other machines can reach asks for keys.
"""

import os
import socket
from collections.abc import Iterator, MutableMapping
from typing import Final

from holdfastd.config import Address

FIRST_DESCRIPTOR: Final = 3
"""SD_LISTEN_FDS_START."""
NAMES: Final = ("tcp", "http")
_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


class ActivationError(Exception):
    """What was handed over cannot be used; the text is for the operator."""


def take(environment: MutableMapping[str, str]) -> dict[str, socket.socket]:
    """The sockets by name: "tcp", "http", or none. They are the caller's.

    The variables are removed, so that no process we start takes the sockets for its own.

    Raises:
        ActivationError: one has another name, is none of TCP, or does not listen.
    """
    pid, count, names, _ = (environment.pop(variable, "") for variable in _VARIABLES)
    if pid != str(os.getpid()):
        return {}  # meant for the process that started us
    if not count.isascii() or not count.isdigit():
        raise ActivationError(
            f"LISTEN_FDS = {count!r} is not a number of sockets: leave it to systemd"
        )
    found: dict[str, socket.socket] = {}
    for name, descriptor in _named(int(count), names):
        if name in found:
            raise ActivationError(
                f"two sockets named {name} were handed over: one .socket unit with one "
                "ListenStream= for each name ([::]:PORT takes IPv4 too)"
            )
        found[name] = _checked(name, descriptor)
    return found


def address(listening: socket.socket) -> Address:
    """Where it listens."""
    host, port = listening.getsockname()[:2]
    return Address(host, port)


def _named(count: int, names: str) -> Iterator[tuple[str, int]]:
    given = names.split(":")
    for at in range(count):
        yield (given[at] if at < len(given) else ""), FIRST_DESCRIPTOR + at


def _checked(name: str, descriptor: int) -> socket.socket:
    if name not in NAMES:
        raise ActivationError(
            f"a socket named {name!r} was handed over: say FileDescriptorName=tcp or "
            "FileDescriptorName=http in its .socket unit"
        )
    try:
        found = socket.socket(fileno=descriptor)
    except OSError as error:
        raise ActivationError(
            f"what was handed over as {name} is no socket ({error.strerror})"
        ) from error
    is_tcp = found.family in (socket.AF_INET, socket.AF_INET6) and found.type == socket.SOCK_STREAM
    if not is_tcp or not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        found.detach()
        raise ActivationError(
            f"the socket named {name} is not one that listens for TCP connections: say "
            "ListenStream=HOST:PORT and not Accept=yes in its .socket unit"
        )
    found.set_inheritable(False)
    return found
