"""The frame of a peer's producer in Python; what it is told and says: `bench.processes`.

Only the standard library: this runs in the peers' own environments. A peer's program names its
forms: how to add one job and wait for it, and how to add many in its fastest way. The spec (JSON on
the command line) has the form, and `jobs` or `seconds` as the end; with `per_s` one job at a time
is added at that rate, carrying the instant.
"""

import asyncio
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from bench.clients.tally import PAYLOAD, stamped

Add: TypeAlias = Callable[[str], int | None]
"""Adds a job with this payload, or several of them; returns how many (None: one)."""
AddAsync: TypeAlias = Callable[[str], Awaitable[int | None]]


def produce(**forms: Add) -> None:
    spec = json.loads(sys.argv[1])
    add = forms[spec["form"]]
    clock = Clock(spec)
    for payload in clock:
        clock.added += add(payload) or 1
    clock.tell()


async def produce_async(**forms: AddAsync) -> None:
    spec = json.loads(sys.argv[1])
    add = forms[spec["form"]]
    clock = Clock(spec)
    per_s = spec.get("per_s")
    for payload in clock:
        clock.added += await add(payload) or 1
        if per_s:  # let the client's own tasks run in the pauses
            await asyncio.sleep(0)
    clock.tell()


class Clock:
    """Gives a payload as often as a job is to be added, and stops in time."""

    def __init__(self, spec: dict[str, Any]):
        self._jobs = spec.get("jobs", float("inf"))
        self._seconds = spec.get("seconds", float("inf"))
        self._per_s = spec.get("per_s")
        self.added = 0
        self._started_at_s = 0.0
        self._cpu_s = 0.0

    def __iter__(self) -> "Clock":
        print("ready", flush=True)
        sys.stdin.readline()
        self._cpu_s = _cpu_s()
        self._started_at_s = time.time()
        return self

    def __next__(self) -> str:
        now = time.time()
        if self.added >= self._jobs or now - self._started_at_s >= self._seconds:
            raise StopIteration
        if not self._per_s:
            return PAYLOAD
        pause_s = self._started_at_s + self.added / self._per_s - now
        if pause_s > 0:
            time.sleep(pause_s)
        return stamped()

    def tell(self) -> None:
        result = {
            "jobs": self.added,
            "started_at_s": self._started_at_s,
            "ended_at_s": time.time(),
            "cpu_s": _cpu_s() - self._cpu_s,
        }
        print(json.dumps(result), flush=True)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
