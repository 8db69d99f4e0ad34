"""What a backup costs those who work meanwhile: the same load without one, and beside many."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from bench.daemon import DaemonProcess
from bench.lab import Figures, Lab, new_queue
from bench.processes import role, run_together
from bench.questions.latency import CREDIT, percentile

WAITING = 300_000
"""Jobs in the database: 100 MB."""
SECONDS = 15
RATES_PER_S = (1_000, 10_000)


def ask(lab: Lab) -> Figures:
    figures: Figures = {}
    with lab.daemon() as daemon:
        run_together(role("fill", port=daemon.port, queue="old", jobs=lab.jobs(WAITING, 100)))
        for per_s in RATES_PER_S:
            jobs = int(per_s * SECONDS * lab.scale)
            figures |= _waits(daemon, per_s, jobs, f"at {per_s:,} jobs/s, no backup")
            with BackToBack(daemon) as backups:
                figures |= _waits(daemon, per_s, jobs, f"at {per_s:,} jobs/s, backups")
            figures |= backups.figures(f"at {per_s:,} jobs/s")
    return figures


def _waits(daemon: DaemonProcess, per_s: int, jobs: int, name: str) -> Figures:
    spec = {"port": daemon.port, "queue": new_queue(), "jobs": jobs}
    _, worker = run_together(
        role("timed_add", per_s=per_s, **spec), role("timed_work", credit=CREDIT, **spec)
    )
    waits_ms = sorted(wait * 1000 for wait in worker["waits_s"])
    return {
        f"enqueue to start {text} ms, {name}": percentile(waits_ms, share)
        for text, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0))
    }


class BackToBack:
    """Backups, one after another, while the block runs; the last one is waited for."""

    def __init__(self, daemon: DaemonProcess):
        self._daemon = daemon
        self._made: list[dict[str, Any]] = []
        self._log_bytes = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "BackToBack":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        path = self._daemon.directory.with_name("backup.db")
        while not self._is_over.is_set():
            command = [sys.executable, "-m", "holdfastd", "backup", str(path), "--json"]
            done = subprocess.run(
                [*command, "--data", str(self._daemon.directory)],
                stdout=subprocess.PIPE,
                check=True,
            )
            self._made.append(json.loads(done.stdout))
            wal = Path(self._daemon.directory / "holdfast.db-wal")
            self._log_bytes = max(self._log_bytes, wal.stat().st_size)
            path.unlink()

    def figures(self, name: str) -> Figures:
        count = len(self._made)
        return {
            f"backups made, {name}": count,
            f"backup MB, {name}": self._made[-1]["bytes"] / 1e6,
            f"backup s, {name}": sum(made["seconds"] for made in self._made) / count,
            f"of it copying s, {name}": sum(made["copy_seconds"] for made in self._made) / count,
            f"log MB after a backup, at most, {name}": self._log_bytes / 1e6,
        }
