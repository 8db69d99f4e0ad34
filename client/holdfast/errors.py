"""Everything the client raises.

HoldfastError
├── MisuseError            the caller's mistake, nothing was sent (also a ValueError)
│   └── NotPackable        the data has a part that msgpack cannot carry
├── Refused                the server said no; `code` says why
│   ├── LeaseLost          the job is no longer this worker's
│   └── AccessDenied       the key is missing or wrong, or is not for that
├── PeerError              what answered is no Holdfast server, or broke the protocol
├── Unreachable            no answer in time; see `last_error` (also a TimeoutError)
├── Closed                 the queue or worker was closed
└── JobFailed              a job that was waited for ended without a result; `job` is it
"""

import os
import re
from typing import Any

from holdfast.models import JobInfo
from holdfast.wire.checks import Refusal
from holdfast.wire.constants import ERROR_CODES, ErrorCode


class HoldfastError(Exception):
    """Base of all."""


class MisuseError(HoldfastError, ValueError):
    """An argument that cannot be sent: nothing was."""


class NotPackable(MisuseError):
    """Attributes: path (such as `data['user']['born']`), kind (name of the type)."""

    def __init__(self, path: str, kind: str):
        self.path = path
        self.kind = kind
        super().__init__(
            f"{path} is a {kind}, which msgpack cannot carry: use numbers, str, bytes, bool, None, "
            "lists and dicts"
        )


class Refused(HoldfastError):
    """Attributes:
    code: from the protocol's table.
    message: the server's words.
    details: data for programs, such as `index` of the item.
    """

    def __init__(self, code: ErrorCode, message: str, details: dict[str, Any] | None = None):
        self.code = code
        self.message = message
        self.details = details or {}
        super().__init__(f"{message} [{code.name}]")

    @property
    def is_retryable(self) -> bool:
        return ERROR_CODES[self.code].retryable


class LeaseLost(Refused):
    """The lease ran out or was taken back; what the handler did may be done again elsewhere."""


class AccessDenied(Refused):
    """NOT_AUTHENTICATED: without another key nothing is answered. FORBIDDEN: the key is good, and
    not for this command or queue."""


class PeerError(HoldfastError):
    """The other side does not speak our protocol, or another version of it."""


class Unreachable(HoldfastError, TimeoutError):
    """Attributes: url, seconds (how long it was tried), last_error (text of the last failure)."""

    def __init__(self, url: str, seconds: float, last_error: str):
        self.url = url
        self.seconds = seconds
        self.last_error = last_error
        super().__init__(
            f"no answer from {url} within {seconds:g} s ({last_error}): is holdfastd running there?"
        )


class Closed(HoldfastError):
    def __init__(self) -> None:
        super().__init__("this queue or its connection was closed: make a new Queue")


class JobFailed(HoldfastError):
    """Attributes: job (as it ended, with `errors`)."""

    def __init__(self, job: JobInfo):
        self.job = job
        last = job.errors[-1] if job.errors else None
        why = f": {last.type}: {last.message}" if last else ""
        how = f" ({job.reason})" if job.reason else ""
        super().__init__(f"job {job.id} in queue {job.queue} is {job.state}{how}{why}")


def words_of(error: Exception) -> str:
    """What went wrong with a connection. asyncio's own words have the address in them, and those of
    a name with several addresses as often as it has."""
    numbers = dict.fromkeys(re.findall(r"\[Errno (\d+)\]", str(error)))
    known = ", ".join(os.strerror(int(number)) for number in numbers)
    return known or getattr(error, "strerror", None) or str(error) or type(error).__name__


def misuse(refusal: Refusal) -> MisuseError:
    """A local check's refusal, for the caller."""
    return MisuseError(refusal.message)


def refused(code: int, message: str, details: dict[str, Any] | None = None) -> Refused:
    """The server's refusal. A code that this version does not know counts as BAD_REQUEST."""
    known = ErrorCode(code) if code in ErrorCode._value2member_map_ else ErrorCode.BAD_REQUEST
    return _KINDS.get(known, Refused)(known, message, details)


_KINDS: dict[ErrorCode, type[Refused]] = {
    ErrorCode.LEASE_LOST: LeaseLost,
    ErrorCode.NOT_AUTHENTICATED: AccessDenied,
    ErrorCode.FORBIDDEN: AccessDenied,
}
"""Those that have a class of their own."""
