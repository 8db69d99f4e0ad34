"""What the daemon exports, by its own account, with every metric there."""

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from holdfastd.engine import commands
from holdfastd.engine.model import QueueSettings, Rate
from holdfastd.engine.partition import EngineSettings
from holdfastd.observed import Observed
from holdfastd.store.base import StoreStats
from holdfastd.web.metrics import Metrics
from holdfastd.web.snapshot import Snapshots
from support.engine import Driver, P


async def page() -> list[Metric]:
    """A page on which nothing is missing, parsed."""
    driver = Driver(settings=EngineSettings(task_series_max=1))
    driver.attach(P, "p")
    settings = QueueSettings(concurrency=1, rate=Rate(1, 1_000, 1))
    driver.ask(P, commands.Configure("q", settings))
    observed = Observed()
    observed.commands["enqueue", "ok"] = 1
    observed.command_seconds["enqueue"].observe(0.001)
    observed.connections_rejected["limit"] = 1
    observed.protocol_errors["bad_frame"] = 1
    observed.backup_at_ms, observed.backup_seconds, observed.backup_bytes = 1, 1.0, 1

    async def stats() -> StoreStats:
        return StoreStats(1, 2, 3, 4)

    snapshots = Snapshots(
        driver.engine,
        observed,
        lambda: {"producer": 1},
        stats,
        lambda: True,
        lambda: 0,
        lambda: 0.0,
    )
    text = (await Metrics(snapshots, lambda: 0.0).render()).decode()
    return list(text_string_to_metric_families(text))


def name_of(family: Metric) -> str:
    """As it is exported: counters have `_total` behind their name."""
    return family.name + ("_total" if family.type == "counter" else "")


async def exported() -> dict[str, tuple[str, set[str]]]:
    """Type and labels of each metric, by its name."""
    return {
        name_of(family): (
            family.type,
            {label for sample in family.samples for label in sample.labels} - {"le"},
        )
        for family in await page()
    }


async def series_names() -> set[str]:
    """The names that a query may use, such as `..._bucket`."""
    return {sample.name for family in await page() for sample in family.samples}
