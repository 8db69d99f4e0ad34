"""What bench/published holds; of each product and each question the newest run counts."""

import json
import statistics
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

PUBLISHED: Final = Path(__file__).parent / "published"
RAW: Final = "holdfast"
PYTHON: Final = "holdfast-python"


@dataclass(frozen=True)
class Product:
    """One row. figures: medians by name; hour: when; reason: why some are missing, or empty."""

    name: str
    title: str
    version: str
    promise: str
    figures: dict[str, float]
    hour: str
    reason: str

    @property
    def is_ours(self) -> bool:
        return self.name in (RAW, PYTHON)

    @property
    def compared_with(self) -> str:
        """Raw sockets with raw sockets, clients with the client."""
        return RAW if "raw" in self.title else PYTHON

    @property
    def mb_per_million(self) -> float | None:
        """Of the server, by how much it grew with the jobs that waited."""
        jobs = self.figures.get("jobs waiting", 0.0)
        if jobs < 10_000:  # too few to say more than what the server takes to run at all
            return None
        grown = self.figures["server MB, with these waiting"] - self.figures["server MB, empty"]
        return max(0.0, grown) * 1e6 / jobs  # PostgreSQL's even falls: its jobs are on disk


def is_another_hour(one: Product, other: Product) -> bool:
    """More than an hour lies between them."""
    between = datetime.fromisoformat(one.hour) - datetime.fromisoformat(other.hour)
    return abs(between) > timedelta(hours=1)


def publish(paths: list[Path]) -> None:
    PUBLISHED.mkdir(exist_ok=True)
    for path in paths:
        result = json.loads(path.read_text())
        (PUBLISHED / path.name).write_text(json.dumps(result, separators=(",", ":")) + "\n")


def read(kind: str) -> list[dict[str, Any]]:
    """The results of a kind, oldest first."""
    return [json.loads(path.read_text()) for path in sorted(PUBLISHED.glob(f"{kind}-*.json"))]


def products(results: list[dict[str, Any]]) -> dict[str, Product]:
    """By name. Of each figure the newest run; the hour is that of the newest rates."""
    found: dict[str, Product] = {}
    for result in results:
        for name, one in result["peers"].items():
            old = found.get(name)
            medians = {key: statistics.median(runs) for key, runs in one["figures"].items()}
            is_rated = "end to end /s" in medians or old is None
            found[name] = Product(
                name,
                one["title"],
                one.get("version", ""),
                one["promise"],
                {**(old.figures if old else {}), **medians},
                result["machine"]["date"] if is_rated or old is None else old.hour,
                one.get("reason", ""),
            )
    return found


def holdfast_figures(results: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Every run's value, by figure."""
    figures: dict[str, list[float]] = {}
    for result in results:
        figures.update(result["figures"])
    return figures


def others_cores(result: dict[str, Any]) -> float:
    """How many cores others used while it was measured; the median of what was noted."""
    noted = [
        cores
        for one in [result, *result.get("peers", {}).values()]
        for figure, runs in one.get("figures", {}).items()
        if figure.startswith("cores used by others")
        for cores in runs
    ]
    return float(statistics.median(noted or [0.0]))
