"""Results as files: what was found, with the machine, the commit and the date."""

import json
import statistics
import time
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path(__file__).parent / "results"


def new_path(kind: str) -> Path:
    """kind: "holdfast" or "peers"."""
    RESULTS.mkdir(exist_ok=True)
    return RESULTS / f"{kind}-{time.strftime('%Y%m%d-%H%M%S')}.json"


def save(path: Path, result: dict[str, Any]) -> None:
    path.write_text(json.dumps(result, indent=1) + "\n")


def print_machine(machine: dict[str, object]) -> None:
    print(" ".join(f"{key}={value}" for key, value in machine.items()))


def print_figures(figures: dict[str, list[float]]) -> None:
    print(f"{'':<58}{'median':>12}{'min':>12}{'max':>12}")
    for name, values in figures.items():
        cells = "".join(f"{pick(values):>12,.2f}" for pick in (statistics.median, min, max))
        print(f"{name:<58}{cells}")
