"""What most tests here begin with."""

import pytest

from holdfastd.engine import partition
from support.engine import SMALL_HEAD, Driver, P, W


@pytest.fixture
def driver() -> Driver:
    """A producer P and a worker W are connected."""
    driver = Driver()
    driver.attach(P, "producer")
    driver.attach(W, "worker", worker="w")
    return driver


@pytest.fixture
def small_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads of SMALL_HEAD jobs, so that a few jobs pass a horizon."""
    monkeypatch.setattr(partition, "HEAD_JOBS_MAX", SMALL_HEAD)
    monkeypatch.setattr(partition, "DELAYED_HEAD_JOBS_MAX", SMALL_HEAD)
