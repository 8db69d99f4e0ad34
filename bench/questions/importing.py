"""What `import holdfast` costs a program, and that it brings nothing of the server."""

import statistics
import subprocess
import sys
from typing import Final

from bench.lab import Figures, Lab

PROGRAM: Final = """
import sys, time
started = time.perf_counter()
import holdfast
took_ms = (time.perf_counter() - started) * 1000
print(took_ms, sum(name.partition(".")[0] == "holdfastd" for name in sys.modules))
"""


def ask(lab: Lab) -> Figures:
    found = [_import() for _ in range(lab.jobs(10))]
    return {
        "import holdfast, ms": statistics.median(took_ms for took_ms, _ in found),
        "modules of the server that it loads": max(modules for _, modules in found),
    }


def _import() -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    took_ms, modules = done.stdout.split()
    return float(took_ms), float(modules)
