"""The plots of the report."""

import re
import statistics
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

from bench.published import Product

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, ScalarFormatter

DURABLE: Final = "fsync"
COLOURS: Final = {"ours": "#1a7f37", "fsync": "#57ab5a", "some": "#d4a72c", "none": "#cf222e"}
"""Holdfast; on disk before it is confirmed; survives some of what can happen; promises nothing."""
MEANINGS: Final = {
    "ours": "Holdfast: on disk before each confirmation",
    "fsync": "on disk before each confirmation",
    "some": "loses something in a crash or a power cut",
    "none": "memory only",
}
PANELS: Final = {
    "add in bulk /s": "add, in bulk or pipelined",
    "drain /s": "drain, one worker process",
    "end to end /s": "end to end",
}
MEMORY_SHOWN: Final = ("bullmq", "beanstalkd", "bunqueue", "rabbitmq")
"""One of each server: all on Redis have much the same line."""
DOTS_PER_INCH: Final = 80
"""Three plots of less than 100 KiB each."""


def _kind(product: Product) -> str:
    if product.is_ours:
        return "ours"
    if product.promise == DURABLE:
        return "fsync"
    return "none" if product.promise == "none" else "some"


def _legend(figure: Any, kinds: set[str]) -> None:
    handles = [Rectangle((0, 0), 1, 1, color=COLOURS[kind]) for kind in COLOURS if kind in kinds]
    names = [MEANINGS[kind] for kind in COLOURS if kind in kinds]
    figure.legend(handles, names, loc="lower center", ncols=2, frameon=False, fontsize=9)


def plot_throughput(products: list[Product], path: Path) -> None:
    """A bar per product and question, by end to end. Who cannot add in bulk has its singles."""
    ordered = sorted(products, key=lambda one: one.figures.get("end to end /s", 0))
    figure, panels = plt.subplots(1, 3, figsize=(12, 0.33 * len(ordered) + 1.6), sharey=True)
    for panel, (name, title) in zip(panels, PANELS.items(), strict=True):
        values = [one.figures.get(name, one.figures.get("add one by one /s", 0)) for one in ordered]
        colours = [COLOURS[_kind(one)] for one in ordered]
        bars = panel.barh([one.title for one in ordered], values, color=colours)
        panel.bar_label(bars, [f"{value:,.0f}" for value in values], padding=3, fontsize=8)
        panel.set_title(f"{title}, jobs/s", fontsize=10)
        panel.set_xlim(0, max(values) * 1.22)
        panel.xaxis.set_major_locator(MaxNLocator(4))
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    _legend(figure, {_kind(one) for one in ordered})
    _save(figure, path, bottom=0.6 / figure.get_figheight())


def plot_latency(products: list[Product], path: Path) -> None:
    """From p50 to p99 of each product, on a logarithmic axis."""
    known = [one for one in products if "add to start p99 ms" in one.figures]
    ordered = sorted(known, key=lambda one: -one.figures["add to start p50 ms"])
    figure, panel = plt.subplots(figsize=(9, 0.33 * len(ordered) + 1.6))
    for place, one in enumerate(ordered):
        ends = [one.figures[f"add to start {which} ms"] for which in ("p50", "p99")]
        panel.plot(ends, [place, place], color=COLOURS[_kind(one)], linewidth=5, alpha=0.5)
        panel.plot(ends[0], place, "o", color=COLOURS[_kind(one)])
        panel.annotate(f"{ends[0]:,.1f} / {ends[1]:,.1f}", (ends[1], place), (6, -3),
                       textcoords="offset points", fontsize=8)  # fmt: skip
    panel.set_yticks(range(len(ordered)), [one.title for one in ordered], fontsize=8)
    panel.set_xscale("log")
    panel.set_xlim(right=panel.get_xlim()[1] * 2)
    panel.set_title("add to start of the handler at 100 jobs/s: p50 (dot) to p99, ms", fontsize=10)
    panel.spines[["top", "right"]].set_visible(False)
    _legend(figure, {_kind(one) for one in ordered})
    _save(figure, path, bottom=0.6 / figure.get_figheight())


def plot_backlog(figures: dict[str, list[float]], products: list[Product], path: Path) -> None:
    """Holdfast's throughput and memory against the jobs that wait; others' memory beside it."""
    figure, (rates, memory) = plt.subplots(1, 2, figsize=(11, 4))
    for name, label in (
        ("enqueues/s, 100 per call", "enqueues, 100 per call"),
        ("end to end jobs/s, 100 per call", "end to end, 100 per call"),
    ):
        points = _by_backlog(figures, name)
        rates.plot(*zip(*points, strict=True), "o-", label=label)
    rates.set_ylim(bottom=0)
    rates.set_title("Holdfast: jobs/s while so many wait", fontsize=10)
    points = _by_backlog(figures, "daemon MB, filled")
    memory.plot(*zip(*points, strict=True), "o-", color=COLOURS["ours"], label="Holdfast, measured")
    most = points[-1][0]
    for one in products:
        if one.name not in MEMORY_SHOWN or one.mb_per_million is None:
            continue
        empty_mb = one.figures["server MB, empty"]
        sizes = [size for size in (1_000, 10_000, 100_000, 1_000_000, 10_000_000) if size <= most]
        extrapolated = [empty_mb + one.mb_per_million * size / 1e6 for size in sizes]
        memory.plot(sizes, extrapolated, "--", linewidth=1, label=one.title)
    memory.set_yscale("log")
    memory.set_ylim(10, None)
    memory.yaxis.set_major_formatter(ScalarFormatter())
    memory.set_title("memory of the server, MB (dashed: extrapolated)", fontsize=10)
    for panel in (rates, memory):
        panel.set_xscale("log")
        panel.set_xlabel("waiting jobs", fontsize=9)
        panel.legend(fontsize=7, frameon=False)
        panel.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _by_backlog(figures: dict[str, list[float]], name: str) -> list[tuple[int, float]]:
    """(waiting jobs, median), smallest first."""
    found = []
    for figure, runs in figures.items():
        match = re.fullmatch(rf"([\d,]+) waiting: {re.escape(name)}", figure)
        if match:
            found.append((int(match[1].replace(",", "")), statistics.median(runs)))
    return sorted(found)


def _save(figure: Any, path: Path, bottom: float = 0.0) -> None:
    figure.tight_layout(rect=(0, bottom, 1, 1))
    figure.savefig(path, dpi=DOTS_PER_INCH)
    plt.close(figure)
