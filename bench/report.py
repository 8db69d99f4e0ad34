"""From results to a table and plots: `make bench-report`.

With files on the command line (from bench/results) it first keeps them, compact, in
bench/published, so that every figure has a source. Then it makes docs/explanation/benchmarks.md and
docs/images/*.png from all that is there. What was measured at another hour than Holdfast's newest
figures is marked, since a machine has good and bad hours.
"""

import sys
from pathlib import Path
from typing import Final

from bench.machine import ROOT
from bench.plots import plot_backlog, plot_latency, plot_throughput
from bench.published import holdfast_figures, products, publish, read
from bench.tables import page

PAGE: Final = ROOT / "docs" / "explanation" / "benchmarks.md"
IMAGES: Final = ROOT / "docs" / "images"


def main() -> None:
    publish([Path(argument) for argument in sys.argv[1:]])
    peers, ours = read("peers"), read("holdfast")
    if not peers:
        sys.exit('bench/published has no peers: say RESULTS="bench/results/FILE …"')
    PAGE.write_text(page(peers, ours))
    IMAGES.mkdir(exist_ok=True)
    shown = [one for one in products(peers).values() if one.figures]
    plot_throughput(shown, IMAGES / "throughput.png")
    plot_latency(shown, IMAGES / "latency.png")
    if ours:
        plot_backlog(holdfast_figures(ours), shown, IMAGES / "backlog.png")
    for path in (PAGE, *sorted(IMAGES.glob("*.png"))):
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
