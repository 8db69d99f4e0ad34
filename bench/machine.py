"""On what was measured: a figure without its machine, commit and date says nothing."""

import os
import platform
import sqlite3
import statistics
import subprocess
import time
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]


def machine(directory: Path) -> dict[str, object]:
    """directory: on the disk that is measured."""
    return {
        "commit": _git("rev-parse", "--short", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "server", "client")),
        "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "processor": _processor(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "fdatasync_ms": round(fdatasync_ms(directory), 3),
    }


def fdatasync_ms(directory: Path) -> float:
    """Median of 50 fdatasync after 4 KiB, in milliseconds."""
    times = []
    probe = directory / "probe"
    with probe.open("wb") as file:
        for _ in range(50):
            file.write(bytes(4096))
            file.flush()
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - started) * 1000)
    probe.unlink()
    return statistics.median(times)


def _git(*arguments: str) -> str:
    found = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return found.stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"
