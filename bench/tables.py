"""The page of the report, in Markdown."""

import statistics
from typing import Any, Final

from bench.published import (
    Product,
    holdfast_figures,
    is_another_hour,
    others_cores,
    products,
)

COLUMNS: Final = {
    "add one by one /s": "one by one",
    "add in bulk /s": "in bulk",
    "add by 8 producers /s": "8 producers",
    "drain /s": "drain",
    "end to end /s": "end to end",
}


def table(found: dict[str, Product]) -> list[str]:
    head = ["", "promise", *COLUMNS.values(), "add to start p50 / p99 ms", "MB per million"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return lines + [_row(product, found) for product in sorted(found.values(), key=_place)]


def _place(product: Product) -> tuple[bool, float]:
    """Ours first, then by what comes out at the end."""
    return not product.is_ours, -product.figures.get("end to end /s", 0.0)


def _row(product: Product, found: dict[str, Product]) -> str:
    if not product.figures:
        return f"| {product.title} | {product.promise} | {product.reason} |" + " |" * 6
    ours = found[product.compared_with]
    mark = "†" if is_another_hour(product, ours) else ""
    cells = [f"{product.title}{mark} {product.version}", product.promise]
    cells += [
        _cell(product.figures.get(figure), ours.figures[figure], product.is_ours)
        for figure in COLUMNS
    ]
    waits = [product.figures.get(f"add to start {which} ms") for which in ("p50", "p99")]
    cells.append(" / ".join("-" if wait is None else f"{wait:,.1f}" for wait in waits))
    cells.append(_memory(product))
    return f"| {' | '.join(cells)} |"


def _cell(value: float | None, ours: float, is_ours: bool) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if is_ours else f"{value:,.0f} ({ours / value:.1f}x)"


def _memory(product: Product) -> str:
    value = product.mb_per_million
    if value is None:
        return "-"
    is_measured = product.figures["jobs waiting"] >= 1_000_000
    return f"{value:,.0f}" if is_measured else f"~{value:,.0f}"


def list_of_figures(figures: dict[str, list[float]]) -> list[str]:
    lines = ["| | median | min | max |", "|---|---|---|---|"]
    for name, runs in figures.items():
        cells = (f"{pick(runs):,.2f}" for pick in (statistics.median, min, max))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def on_what(results: list[dict[str, Any]]) -> list[str]:
    """The machine of each, and how busy others kept it."""
    lines = []
    for result in results:
        machine = result["machine"]
        lines.append(
            f"- {machine['date']} UTC, commit {machine['commit']}: {machine['cores']} cores, "
            f"{machine['processor']}, kernel {machine['kernel']}, Python {machine['python']}, "
            f"SQLite {machine['sqlite']}, fdatasync {machine['fdatasync_ms']} ms, "
            f"{others_cores(result):.2f} cores used by others"
        )
    return lines


def page(peers: list[dict[str, Any]], ours: list[dict[str, Any]]) -> str:
    found = products(peers)
    reasons = [f"- {one.title}: {one.reason}" for one in found.values() if one.reason]
    return "\n".join(
        [
            "# Benchmarks: what came out",
            "",
            "Made by `make bench-report` from `bench/published`; what each figure means, and how "
            "the others were treated fairly, is in [bench/README.md](../../bench/README.md).",
            "",
            "## The field",
            "",
            "Jobs a second, medians; 200 bytes, handlers that do nothing, server and clients on the"
            " same cores. In brackets: how many times as many Holdfast does, raw wire against raw "
            "sockets, Python client against clients. ~ extrapolated from fewer than a million "
            "jobs. † measured at another hour than Holdfast's figures: less than 1.5 times says "
            "nothing then.",
            "",
            *table(found),
            "",
            *reasons,
            "",
            "![Throughput](../images/throughput.png)",
            "",
            "![Latency](../images/latency.png)",
            "",
            *on_what(peers),
            "",
            *(alone(ours) if ours else []),
        ]
    )


def alone(ours: list[dict[str, Any]]) -> list[str]:
    """What `make bench` found."""
    return [
        "## Holdfast alone",
        "",
        *list_of_figures(holdfast_figures(ours)),
        "",
        "![Backlog](../images/backlog.png)",
        "",
        *on_what(ours),
        "",
    ]
