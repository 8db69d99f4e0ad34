"""`make bench`: what this machine does, with every confirmation on disk. QUICK=1: one short run."""

import asyncio
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from bench.questions import QUESTIONS, fill, resident_mb

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.daemon import DaemonProcess

RESULTS = Path(__file__).parent / "results"


def fsync_ms(directory: Path) -> float:
    """Median of 50 fdatasync after 4 KiB, in milliseconds."""
    times = []
    with (directory / "probe").open("wb") as file:
        for _ in range(50):
            file.write(bytes(4096))
            file.flush()
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def machine(directory: Path) -> dict[str, object]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return {
        "commit": commit.stdout.strip(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "fdatasync_ms": round(fsync_ms(directory), 3),
    }


def ask_all(directory: Path, runs: int, scale: float) -> dict[str, list[float]]:
    figures: dict[str, list[float]] = {}
    for question in QUESTIONS:
        for run in range(runs):
            with DaemonProcess(directory / f"{question.__name__}-{run}") as daemon:
                found = uvloop.run(question(daemon.port, scale))
            for name, value in found.items():
                figures.setdefault(name, []).append(value)
    return figures


def backlog(directory: Path, million: int) -> dict[str, list[float]]:
    """Memory with a thousand and a million waiting jobs; seconds to READY after SIGKILL."""
    figures: dict[str, list[float]] = {}
    with DaemonProcess(directory / "backlog") as daemon:
        asyncio.run(fill(daemon.port, 1_000))
        figures["daemon MB, 1,000 waiting"] = [resident_mb(daemon.pid)]
        asyncio.run(fill(daemon.port, million))
        figures[f"daemon MB, {million:,} waiting"] = [resident_mb(daemon.pid)]
        daemon.kill()
        started = time.perf_counter()
        daemon.start()
        figures[f"s to READY after SIGKILL, {million:,} waiting"] = [time.perf_counter() - started]
    return figures


def main() -> None:
    quick = bool(os.environ.get("QUICK"))
    runs, scale, million = (1, 0.2, 100_000) if quick else (5, 1.0, 1_000_000)
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-", dir=Path.cwd()) as folder:
        directory = Path(folder)
        where = machine(directory)
        print(" ".join(f"{key}={value}" for key, value in where.items()))
        figures = {**ask_all(directory, runs, scale), **backlog(directory, million)}
    print(f"{'':<48}{'median':>12}{'min':>12}{'max':>12}")
    for name, values in figures.items():
        cells = "".join(f"{f(values):>12,.2f}" for f in (statistics.median, min, max))
        print(f"{name:<48}{cells}")
    RESULTS.mkdir(exist_ok=True)
    result = {"machine": where, "runs": runs, "quick": quick, "figures": figures}
    (RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}.json").write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
