"""One browser and one living system for all tests of this folder.

Their loop lives as long: a module says `pytestmark = pytest.mark.asyncio(loop_scope="session")`.
"""

from collections.abc import AsyncIterator, Iterator
from functools import partial

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from support.browser import PATIENCE_MS, Visit, Visitor, chromium, need_chromium, visiting
from support.living import LivingSystem


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    need_chromium()
    expect.set_options(timeout=PATIENCE_MS)
    async with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def living(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivingSystem]:
    need_chromium()
    with LivingSystem(tmp_path_factory.mktemp("living")) as system:
        yield system


@pytest.fixture
def visitor(browser: Browser, living: LivingSystem) -> Visitor:
    """Another one at the living system, who may look at it in another way (`support.browser.Look`):
    async with visitor(color_scheme="dark") as visit."""
    return partial(visiting, browser, living.origin)


@pytest_asyncio.fixture(loop_scope="session")
async def visit(visitor: Visitor) -> AsyncIterator[Visit]:
    """Somebody at a desk, at the living system."""
    async with visitor() as visit:
        yield visit


@pytest.fixture
def page(visit: Visit) -> Page:
    """Their tab."""
    return visit.page
