"""`make bench`: what this machine does, with every confirmation on disk.

From the environment: QUICK=1 one short run without the huge ones; ONLY=enqueue,drain these
questions; RUNS=n of each; BACKLOG=10m the largest backlog (k and m are understood);
BENCH_LOCK=FILE as `bench.quiet` says.
"""

import os
import tempfile
from pathlib import Path

from bench.lab import Lab
from bench.machine import machine
from bench.processes import end_well_on_sigterm
from bench.questions import ASKED_ONCE, QUESTIONS
from bench.quiet import Others, Turns
from bench.results import new_path, print_figures, print_machine, save


def ask_all(lab: Lab, only: list[str], runs: int) -> dict[str, list[float]]:
    figures: dict[str, list[float]] = {}
    turns = Turns()
    for name in only:
        for _ in range(1 if name in ASKED_ONCE else runs):
            turns.take()
            others = Others()
            for figure, value in QUESTIONS[name](lab).items():
                figures.setdefault(figure, []).append(value)
            figures.setdefault(f"cores used by others: {name}", []).append(others.cores())
    turns.end()
    return figures


def number(text: str) -> int:
    """`10m` is ten million, `1k` a thousand."""
    factors = {"k": 1_000, "m": 1_000_000}
    return int(text.rstrip("km")) * factors.get(text[-1], 1)


def main() -> None:
    end_well_on_sigterm()
    quick = bool(os.environ.get("QUICK"))
    only = os.environ.get("ONLY", ",".join(QUESTIONS)).split(",")
    runs = int(os.environ.get("RUNS", "1" if quick else "5"))
    backlogs = {1_000, 100_000 if quick else 1_000_000, number(os.environ.get("BACKLOG", "1k"))}
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-", dir=Path.cwd()) as folder:
        directory = Path(folder)
        lab = Lab(directory, 0.1 if quick else 1.0, tuple(sorted(backlogs)), 5 if quick else 20)
        where = machine(directory)
        print_machine(where)
        figures = ask_all(lab, only, runs)
    print_figures(figures)
    result = {"machine": where, "runs": runs, "quick": quick, "figures": figures}
    path = new_path("holdfast")
    save(path, result)
    print(path)


if __name__ == "__main__":
    main()
