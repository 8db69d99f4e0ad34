"""Holdfast's client: add jobs to a durable queue, run them.

    from holdfast import Queue, Worker            # blocking
    from holdfast.aio import Queue                # asyncio; same names, awaited

Importing this loads nothing but this file; each name is loaded when it is first used.
"""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from holdfast.active import ActiveJob, Release, Retry, Unrecoverable
    from holdfast.errors import (
        AccessDenied,
        Closed,
        HoldfastError,
        JobFailed,
        LeaseLost,
        MisuseError,
        NotPackable,
        PeerError,
        Refused,
        Unreachable,
    )
    from holdfast.models import Event, Explanation, JobError
    from holdfast.options import Backoff
    from holdfast.schedules import Schedule
    from holdfast.sync import Job, Queue, search
    from holdfast.worker import Worker

__all__ = [
    "AccessDenied",
    "ActiveJob",
    "Backoff",
    "Closed",
    "Event",
    "Explanation",
    "HoldfastError",
    "Job",
    "JobError",
    "JobFailed",
    "LeaseLost",
    "MisuseError",
    "NotPackable",
    "PeerError",
    "Queue",
    "Refused",
    "Release",
    "Retry",
    "Schedule",
    "Unreachable",
    "Unrecoverable",
    "Worker",
    "search",
]

__version__: Final = "0.1.0"
"""As in pyproject.toml; a test compares the two."""

_MODULES = {
    "errors": (
        "AccessDenied Closed HoldfastError JobFailed LeaseLost MisuseError NotPackable PeerError "
        "Refused Unreachable"
    ),
    "models": "Event Explanation JobError",
    "options": "Backoff",
    "schedules": "Schedule",
    "sync": "Job Queue search",
    "active": "ActiveJob Release Retry Unrecoverable",
    "worker": "Worker",
}
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'holdfast' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"holdfast.{_HOME[name]}"), name)
