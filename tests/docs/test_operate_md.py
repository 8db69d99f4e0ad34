"""docs/how-to/operate.md names every check of the doctor, and every order of top."""

import re
from pathlib import Path

from holdfast.top import COLUMNS, ORDERS
from holdfastd.clock import SystemClock
from holdfastd.config import Config, from_tree
from holdfastd.doctor import database, disk
from holdfastd.doctor.examination import looks
from holdfastd.store.backup import LOG_BYTES_USUAL
from holdfastd.store.files import CHECKPOINT_BYTES
from holdfastd.tls import SOON_MS

OPERATE_MD = (Path(__file__).parents[2] / "docs" / "how-to" / "operate.md").read_text()


def rows() -> dict[str, str]:
    """The table of checks, by name."""
    return dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", OPERATE_MD, re.MULTILINE))


def test_every_check_stands_in_the_table_in_order() -> None:
    assert list(rows()) == list(looks(Config(), SystemClock(), 64))


def test_a_finding_has_the_name_of_its_check(tmp_path: Path) -> None:
    settings = from_tree({"data": {"dir": str(tmp_path)}})
    for name, look in looks(settings, SystemClock(), 64).items():
        assert look().name == name


def test_the_limits_in_the_table_are_those_of_the_code() -> None:
    told = rows()
    assert f"{disk.PROBES} fdatasyncs" in told["fsync"]
    assert (
        f"median over {disk.MEDIAN_MS_SLOW:g} ms, p99 over {disk.P99_MS_SLOW:g} ms"
        in (told["fsync"])
    )
    assert f"under {CHECKPOINT_BYTES // 2**20} MiB" in told["space"]
    assert f"over {LOG_BYTES_USUAL // 2**20} MiB" in told["log"]
    assert f"within {SOON_MS // database.HOUR_MS // 24} days" in told["tls"]


def test_the_columns_and_orders_of_top_are_those_of_the_code() -> None:
    assert ", ".join(ORDERS) in OPERATE_MD
    assert " ".join(column.title for column in COLUMNS) in OPERATE_MD
