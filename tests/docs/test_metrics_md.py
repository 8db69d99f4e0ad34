"""docs/reference/metrics.md lists what the daemon exports, no more and no less."""

import re
from pathlib import Path

from support.metrics import exported

TEXT = (Path(__file__).parents[2] / "docs" / "reference" / "metrics.md").read_text()


async def test_every_metric_is_described_with_its_type_and_labels() -> None:
    told = {
        name: (kind, set() if labels == "-" else set(labels.split(", ")))
        for name, kind, labels in re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]+) \|", TEXT, re.M)
    }
    assert told == await exported()
