"""Fixtures for all tests."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from support import javascript
from support.daemon import DaemonProcess

settings.register_profile(
    "quick", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("quick")


def pytest_configure() -> None:
    """Without this pytest-asyncio asks for the current loop before its first test, and is made one.
    `asyncio.run` in a later test drops it unclosed, and a test in which the collector runs
    fails for that."""
    asyncio.set_event_loop(None)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    with DaemonProcess(tmp_path / "data") as running:
        yield running


@pytest.fixture(scope="session")
def example_in_javascript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """examples/protocol-js, installed. Where that cannot be, its tests are left out."""
    return javascript.install(tmp_path_factory.mktemp("javascript") / "example")
