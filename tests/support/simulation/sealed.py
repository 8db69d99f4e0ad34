"""What a run would learn from outside, given by the simulation; and bounds small enough to be met.

Whatever the code under test reads from the operating system (time, randomness, names) must come
from the seed, or a run could not be repeated.
"""

import logging
import os
import random
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from random import Random
from types import ModuleType
from typing import Any, Final
from unittest.mock import patch

from holdfast import link, sharing, worker
from holdfast.wire import ids
from holdfastd import pipeline
from holdfastd.engine import (
    dispatch,
    events,
    openbatch,
    partition,
    promoting,
    queue,
    schedules,
    scheduling,
    sweeping,
)
from holdfastd.net import peer, reader

SMALL: Final[tuple[tuple[ModuleType, str, Any], ...]] = (
    (partition, "HEAD_JOBS_MAX", 6),
    (partition, "DELAYED_HEAD_JOBS_MAX", 5),
    (queue, "HEAD_BYTES_MAX", 6_000),
    (dispatch, "HEAD_BYTES_MAX", 6_000),
    (dispatch, "PAYLOADS_READ_MAX", 3),
    (dispatch, "PUSH_BYTES_MAX", 6_000),
    (openbatch, "DELIVERY_BYTES_MAX", 3_000),
    (sweeping, "STEP_JOBS_MAX", 4),
    (sweeping, "PRUNE_SLACK_JOBS", 3),
    (promoting, "PROMOTED_PER_TICK_MAX", 3),
    (scheduling, "DUE_PER_TICK_MAX", 2),
    (scheduling, "MISSED_COUNTED_MAX", 20),
    (schedules, "MISSED_COUNTED_MAX", 20),
    (events, "EVENTS_KEPT", 40),
    (pipeline, "OPEN_JOBS_MAX", 12),
    (pipeline, "BATCH_JOBS", 6),
    (pipeline, "BATCH_JOBS_WITH_WORKERS", 3),
    (pipeline, "READS_PER_HOP_MAX", 3),
    (peer, "FULL_BYTES", 8_000),
    (peer, "OUTPUT_BYTES_MAX", 60_000),
    (reader, "READS_WAITING_MAX", 40),
    (link, "LEASES_NAMED_MAX", 2),
    (link, "PENDING_MAX", 40),
)
"""Bounds of the product, cut down so that a few hundred jobs meet all of them: pages and horizons
of heads, parts of pushes, steps of sweeps, a store that falls behind, clients that are full."""


@contextmanager
def sealed(rng: Random, now_ms: Callable[[], float], io_thread: Any) -> Iterator[None]:
    """For as long as it lasts, this process sees nothing but the simulation."""
    outside: list[tuple[Any, str, Any]] = [
        (os, "urandom", rng.randbytes),
        (os, "getpid", lambda: 1),
        (socket, "gethostname", lambda: "simulated"),
        (secrets, "token_hex", lambda count: rng.randbytes(count).hex()),
        (random, "random", rng.random),
        (time, "time_ns", lambda: int(now_ms() * 1_000_000)),
        (time, "monotonic", lambda: io_thread.loop.time()),
        (worker, "io_thread", lambda: io_thread),
        (sharing, "_links", {}),
        (ids, "_last_ms", 0),
        (ids, "_counter", 0),
    ]
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    with ExitStack() as stack:
        for module, name, value in (*SMALL, *outside):
            stack.enter_context(patch.object(module, name, value))
        try:
            yield
        finally:
            logging.disable(disabled)
