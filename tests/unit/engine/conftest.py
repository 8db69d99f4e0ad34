"""The engine that most tests here begin with."""

import pytest

from support.engine import Driver, P, W


@pytest.fixture
def driver() -> Driver:
    """A producer P and a worker W are connected."""
    driver = Driver()
    driver.attach(P, "producer")
    driver.attach(W, "worker", worker="w")
    return driver
