"""Many seeds: `python -m support.simulation`, or `make simulate SEEDS=… SECONDS=… SEED=…`.

SEED alone runs that one and says what came of it. SEEDS runs so many from SEED on (default: from a
new one), SECONDS begins none after that time. A seed that fails is printed with the line that runs
it again. Each tenth seed is on SQLite.
"""

import itertools
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import Final

from support.simulation.world import Outcome, simulate

SEEDS: Final = 1_000
SEEDS_PER_PROCESS: Final = 100
"""Then a fresh one; arbitrary."""


def main() -> int:
    first = int(os.environ.get("SEED", str(time.time_ns() % 1_000_000_000)))
    count = int(os.environ.get("SEEDS", "1" if "SEED" in os.environ else str(SEEDS)))
    seconds = float(os.environ.get("SECONDS", "inf"))
    cores = int(os.environ.get("CORES", "2"))
    print(f"seeds from {first} on: SEED={first} SEEDS={count} make simulate tries them again")
    started = time.monotonic()
    total = Total()
    for outcome in outcomes(begun_in_time(range(first, first + count), seconds), cores):
        total.add(outcome)
        if outcome.wrong:
            print(report(outcome), flush=True)
    print(total.report(time.monotonic() - started))
    return 1 if total.failures else 0


def begun_in_time(seeds: Iterable[int], seconds: float) -> Iterator[int]:
    until = time.monotonic() + seconds
    return itertools.takewhile(lambda _: time.monotonic() < until, seeds)


def outcomes(seeds: Iterator[int], cores: int) -> Iterator[Outcome]:
    """As they come; one more is begun when one has ended."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(cores, context, max_tasks_per_child=SEEDS_PER_PROCESS) as pool:
        running: set[Future[Outcome]] = set()
        for seed in seeds:
            running.add(pool.submit(simulate, seed))
            if len(running) > cores:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        yield from (future.result() for future in wait(running).done)


class Total:
    """Of all seeds that were run."""

    def __init__(self) -> None:
        self.seeds = self.steps = self.failures = 0
        self.simulated_s = self.cpu_s = 0.0
        self.seen: Counter[str] = Counter()

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.steps += outcome.steps
        self.failures += bool(outcome.wrong)
        self.simulated_s += outcome.simulated_s
        self.cpu_s += outcome.cpu_s
        self.seen += outcome.seen

    def report(self, seconds: float) -> str:
        """For people."""
        lines = [
            f"{self.seeds:,} seeds, {self.simulated_s / 3600:,.1f} simulated hours, "
            f"{self.steps:,} steps in {seconds:,.0f} s, {self.cpu_s:,.0f} s of one core; "
            f"{self.failures} failed",
            *(f"  {name:<44}{number:>12,}" for name, number in sorted(self.seen.items())),
        ]
        return "\n".join(lines)


def report(outcome: Outcome) -> str:
    lines = [f"seed {outcome.seed} failed; SEED={outcome.seed} make simulate runs it again:"]
    return "\n  ".join(lines + outcome.wrong[:10])


if __name__ == "__main__":
    sys.exit(main())
