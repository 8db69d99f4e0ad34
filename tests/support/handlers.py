"""Handlers that a spawned process can import."""

import os
import signal
import time
from pathlib import Path
from typing import Any


def in_a_process(job: Any) -> int:
    if job.data == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    job.log(f"pid {os.getpid()}")
    return os.getpid()


def says_and_waits(job: Any) -> str:
    """Says how far it is, and goes on when the file named in its data is there."""
    job.progress(50)
    job.log("half way")
    while not Path(job.data).exists():
        time.sleep(0.01)
    job.log("done")
    return "done"
