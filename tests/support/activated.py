"""Hands listening sockets to a program as systemd does: `activated.py NAMES FD,FD ARGUMENT …`.

The descriptors become 3 and so on, and Python runs with the arguments in this very process, whose
number is in LISTEN_PID. NAMES: as in LISTEN_FDNAMES.
"""

import os
import sys
from fcntl import F_DUPFD, fcntl
from typing import Final

FIRST: Final = 3
ABOVE: Final = 100
"""Out of the way of those that are taken next."""

if __name__ == "__main__":
    names, descriptors, *arguments = sys.argv[1:]
    given = [fcntl(int(descriptor), F_DUPFD, ABOVE) for descriptor in descriptors.split(",")]
    for at, descriptor in enumerate(given):
        os.dup2(descriptor, FIRST + at)  # inheritable
    activation = {
        "LISTEN_PID": str(os.getpid()),
        "LISTEN_FDS": str(len(given)),
        "LISTEN_FDNAMES": names,
    }
    os.execve(sys.executable, [sys.executable, *arguments], {**os.environ, **activation})
