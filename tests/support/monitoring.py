"""What `deploy/` has for Prometheus and Grafana, as tests look at it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
PROMETHEUS: Final = ROOT / "deploy" / "prometheus"
ALERTS: Final = (PROMETHEUS / "alerts.yml").read_text()
ALERTS_TEST: Final = (PROMETHEUS / "alerts_test.yml").read_text()
DASHBOARD: Final = json.loads(
    (ROOT / "deploy" / "grafana" / "dashboards" / "holdfast.json").read_text()
)
ALERT_NAMES: Final = re.findall(r"- alert: (\w+)", ALERTS)
RECORDED: Final = set(re.findall(r"record: (\S+)", ALERTS))


def expressions(tree: Any) -> Iterator[str]:
    """Every query of the dashboard: of its panels, variables and annotations."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key in ("expr", "query", "definition") and isinstance(value, str):
                yield value
            else:
                yield from expressions(value)
    elif isinstance(tree, list):
        for each in tree:
            yield from expressions(each)
