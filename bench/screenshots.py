"""Pictures of the dashboard as it is: `make screenshots` writes them to docs/images.

They show the living system of the tests (tests/support/living.py) in Chromium, light and dark. The
hour before them is worked through in a minute: the daemon's clock (libfaketime) goes from minute
to minute while its people work, so that charts and ages are what they would be: nothing is made up.
Needs Debian's `chromium` and `faketime`.
"""

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, NamedTuple

from PIL import Image
from playwright.async_api import Browser, Page

from bench.machine import ROOT

sys.path.insert(0, str(ROOT / "tests"))

from support.browser import CHROMIUM, chromium, visiting
from support.fakeclock import LIBRARY, FakeClock
from support.living import SHOP, LivingSystem
from support.shop import PACE

IMAGES: Final = ROOT / "docs" / "images"
WINDOW: Final = {"width": 1440, "height": 900}
SCALE: Final = 2.0
COLOURS: Final = 128
"""Of a palette: pages have few, and a picture becomes a quarter of its size."""
BYTES_MAX: Final = 250_000
MINUTES: Final = 60
MINUTE_S: Final = 1.0
"""What a minute of the daemon's clock takes here."""
HURRY: Final = 6.0
"""How much faster jobs are added in it. More is too much for two cores that others use too."""
LOAD_MS: Final = 60_000
"""For a page; whoever else is on the machine may be heavy."""
BUSY: Final = ("images", "mail", "webhooks")


class Shot(NamedTuple):
    name: str
    path: str
    shows: str
    """A selector that is there when the page is."""


SHOTS: Final = (
    Shot("overview", "/", "#charts canvas"),
    Shot("queues", "/queues", "tbody tr"),
    Shot("queue", "/queues/images", "canvas"),
    Shot("jobs", "/jobs?q=state:failed", ".facets-total"),
    Shot("job", "/jobs/mail/welcome-1?tab=errors", "#tab"),
    Shot("job-active", "/jobs/reports/report-2026-01?tab=logs", "#log-1"),
    Shot("schedules", "/schedules", "tbody tr"),
    Shot("schedule", "/schedules/images/front-page", "#schedule-runs li"),
    Shot("workers", "/workers", "tbody tr"),
    Shot("metrics", "/metrics-history", "canvas"),
)
SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")


@contextmanager
def an_hour_old(folder: Path) -> Iterator[LivingSystem]:
    """A living system with an hour behind it."""
    clock, pace = FakeClock(folder / "clock"), folder / "pace"
    clock.set(-60.0 * MINUTES)
    pace.write_text("1")
    environment, said = clock.environment, {PACE: str(pace)}
    shop = _apart(folder / "shop")
    with LivingSystem(folder, environment=environment, shop=shop, shop_environment=said) as living:
        for minute in range(MINUTES - 1, -1, -1):
            _say(pace, HURRY)
            time.sleep(MINUTE_S)
            _say(pace, 0)
            _wait_until_idle(living)  # the minute that is left out happens to no job
            clock.set(-60.0 * minute)
        _say(pace, 1)
        yield living


def _apart(folder: Path) -> Path:
    """The shop and the client where tracebacks do not tell where this checkout is."""
    shutil.copytree(ROOT / "client" / "holdfast", folder / "holdfast")
    return Path(shutil.copy(SHOP, folder / "workers.py"))


def _say(pace: Path, factor: float) -> None:
    new = pace.with_suffix(".new")
    new.write_text(str(factor))
    new.replace(pace)  # nobody may read half of it


def _wait_until_idle(living: LivingSystem) -> None:
    for name in BUSY:
        with living.queue(name) as queue:
            while (counts := queue.counts())["waiting"] + counts["active"] + counts["delayed"]:
                time.sleep(0.02)


async def take_all(origin: str) -> list[Path]:
    async with chromium() as browser:
        return [await _take(browser, origin, shot, scheme) for scheme in SCHEMES for shot in SHOTS]


async def _take(
    browser: Browser, origin: str, shot: Shot, scheme: Literal["light", "dark"]
) -> Path:
    path = IMAGES / f"dashboard-{shot.name}-{scheme}.png"
    look = {"viewport": WINDOW, "device_scale_factor": SCALE, "color_scheme": scheme}
    async with visiting(browser, origin, timezone_id="UTC", **look) as visit:  # type: ignore[arg-type]  # mypy sees the values of a dict as one type
        await visit.page.goto(shot.path, timeout=LOAD_MS)
        await visit.page.locator(shot.shows).first.wait_for()
        await _settle(visit.page)
        await visit.page.screenshot(path=path)
    _shrink(path)
    return path


async def _settle(page: Page) -> None:
    """Fonts and charts are there, and the stream has come once."""
    await page.evaluate("document.fonts.ready")
    await page.wait_for_timeout(1_500)


def _shrink(path: Path) -> None:
    """Raises RuntimeError: it is larger than a page of the documentation should load."""
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
    if path.stat().st_size > BYTES_MAX:
        raise RuntimeError(f"{path.name} has {path.stat().st_size:,} bytes")


def main() -> None:
    if CHROMIUM is None or LIBRARY is None:
        sys.exit("Pictures need chromium and faketime: apt-get install chromium faketime")
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-shots-") as folder,
        an_hour_old(Path(folder)) as living,
    ):
        paths = asyncio.run(take_all(living.origin))
    for path in paths:
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    main()
