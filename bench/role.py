"""The frame of a load process that is written in Python; what it is told and says: `processes`."""

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, TypeAlias

Run: TypeAlias = Callable[[], dict[str, Any] | None]
"""The part between go and the end; what it returns goes into the result."""
Role: TypeAlias = Callable[[dict[str, Any]], Run]
"""Makes all ready that is not to be measured, as its spec says."""


def play(*roles: Role) -> None:
    """The one that the command line names, with the spec (JSON) after its name."""
    name, text = sys.argv[1:]
    spec = json.loads(text)
    run = next(role for role in roles if role.__name__ == name)(spec)
    print("ready", flush=True)
    sys.stdin.readline()
    used_s = _cpu_s()
    started_at_s = time.perf_counter()
    found = run() or {}
    ended_at_s = time.perf_counter()
    result = {
        "jobs": spec.get("jobs", 0),
        "started_at_s": started_at_s,
        "ended_at_s": ended_at_s,
        "cpu_s": _cpu_s() - used_s,
        **found,
    }
    print(json.dumps(result), flush=True)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
