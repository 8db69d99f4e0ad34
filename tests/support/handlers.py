"""Handlers that a spawned process can import."""

import os
import signal
from typing import Any


def in_a_process(job: Any) -> int:
    if job.data == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    job.log(f"pid {os.getpid()}")
    return os.getpid()
