"""A living system: a real daemon, real workers and producers, jobs in every state.

Tests look at it, screenshots are of it, and by hand: `cd tests && ../.venv/bin/python -m
support.living` prints the address and goes on until Ctrl-C.

What stands still is made here; what goes on is `support.shop`. Each test makes what it changes
itself, under names of its own, and counts on what is listed in `STANDING` for the rest.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

from holdfast import Backoff, Queue
from support.daemon import DaemonProcess

SHOP: Final = Path(__file__).with_name("shop.py")
PATIENCE_S: Final = 30.0
"""Until all that is told of below has happened; it takes 2 s alone on a machine."""
GRACE_MS: Final = 300
"""So that the jobs of the worker that dies are known to be lost at once."""
STANDING: Final = {
    "billing": "paused, with jobs that wait",
    "archive": "nobody works on it",
    "newsletter": "due tomorrow",
    "reports": "two at once: what it may is in use, more wait",
    "webhooks": "5 a second",
    "video": "a job that killed its worker",
    "mail": "some fail: at the first attempt, or at all three",
    "images": "busy, without trouble",
}
"""The queues, and what is special about each."""
SOUGHT: Final = "invoice-2026-0042"
"""The id of the one job with user_id 42 in its data; in `billing`."""


Condition: TypeAlias = Callable[[dict[str, int]], bool]
"""Of a queue's jobs by state."""


class LivingSystem:
    """Attributes:
    daemon: the process. origin: http://HOST:PORT of its pages.
    """

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        key: str | None = None,
        environment: dict[str, str] | None = None,
        shop: Path = SHOP,
        shop_environment: dict[str, str] | None = None,
    ):
        """key: of an admin, where the daemon wants one. environment: of the daemon. shop: another
        copy of its program, and what it finds in its environment."""
        settings = {"HOLDFAST_LEASES_GRACE_MS": str(GRACE_MS)}
        self.key = key
        self._environment = {**os.environ, **settings, **(environment or {})}
        self.daemon = DaemonProcess(directory / "data", *arguments, environment=self._environment)
        self._log = directory / "shop.log"
        self._program = shop
        self._shop_environment = {**os.environ, **(shop_environment or {})}
        self._shop: subprocess.Popen[bytes] | None = None

    @property
    def origin(self) -> str:
        return f"http://{self.daemon.http_address}"

    def queue(self, name: str) -> Queue:
        """To be closed by the caller."""
        return Queue(name, url=self.daemon.url, key=self.key)

    def __enter__(self) -> Self:
        self.daemon.start()
        try:
            self._furnish()
            self._shop = self._start()
            self._lose_a_worker()
            self._wait_until_it_lives()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        if self._shop is not None:
            self._shop.terminate()
            try:
                self._shop.wait(10)
            except subprocess.TimeoutExpired:
                self._shop.kill()
                self._shop.wait()
        self.daemon.__exit__(*exc)

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(self._program), self.daemon.url, self.key or "", *arguments]
        with self._log.open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=self._shop_environment)

    # ---- what stands still -------------------------------------------------------------------

    def _furnish(self) -> None:
        with self.queue("billing") as billing:
            billing.pause()
            billing.add_many([_invoice(number) for number in range(30, 54)])
            billing.add("charge", {"user_id": 7, "cents": 1}, id="invoice-by-mistake")
            billing.cancel("invoice-by-mistake")
        with self.queue("archive") as archive:
            year = [("store", {"month": month}, {"priority": month % 3}) for month in range(1, 13)]
            archive.add_many(year)
        with self.queue("newsletter") as newsletter:
            newsletter.add_many([_issue(number) for number in range(25)])
        with self.queue("webhooks") as webhooks:
            webhooks.configure(rate=(5, 1))
        with self.queue("reports") as reports:
            reports.configure(concurrency=2)
            reports.add_many([_report(month) for month in range(1, 6)])
            wrong = {"items": ["mug", "sofa"]}
            reports.add("price-list", wrong, id="prices-of-may", priority=-5)
        with self.queue("mail") as mail:
            mail.add_many([_hopeless(number) for number in range(6)])
        self._plan()

    def _plan(self) -> None:
        """What comes again and again: by the clock of a place, by an interval, and paused."""
        with self.queue("reports") as reports:
            reports.schedule(
                "nightly", "monthly-report", {"month": "2026-11"},
                cron="30 2 * * 1-5", tz="Europe/Berlin", overlap="skip", attempts=3,
            )  # fmt: skip
            reports.schedule("stock", "price-list", {"items": ["mug"]}, every=3600, missed="skip")
        with self.queue("images") as images:
            data = {"photo": "front-page.jpg"}
            images.schedule("front-page", "thumbnail", data, every=60, tags=["shop"])
            images.run_schedule("front-page")
        with self.queue("newsletter") as newsletter:
            newsletter.schedule("first-of-month", "collect", cron="0 8 1 * *", tz="America/Lima")
            newsletter.pause_schedule("first-of-month")

    def _lose_a_worker(self) -> None:
        with self.queue("video") as video:
            video.add("transcode", {"film": "holiday.mov"}, id="holiday", max_crashes=1)
        self._start("doomed").wait(PATIENCE_S)

    # ---- until it lives ----------------------------------------------------------------------

    def _wait_until_it_lives(self) -> None:
        """Raises RuntimeError with what its people said."""
        deadline = time.monotonic() + PATIENCE_S
        wanted: dict[str, Condition] = {
            "images": lambda counts: counts["completed"] >= 5,
            "mail": lambda counts: counts["failed"] >= 6 and counts["completed"] >= 3,
            "webhooks": lambda counts: counts["completed"] >= 1,
            "reports": lambda counts: counts["active"] == 2 and counts["failed"] == 1,
            "video": lambda counts: counts["failed"] == 1,
        }
        for name, is_there in wanted.items():
            with self.queue(name) as queue:
                while not is_there(counts := queue.counts()):
                    if time.monotonic() > deadline:
                        said = self._log.read_text()
                        raise RuntimeError(f"{name} does not live: {counts}\n{said}")
                    time.sleep(0.05)  # it is another process that does it


def _invoice(number: int) -> tuple[str, Any, dict[str, Any]]:
    data = {"user_id": number, "cents": 100 * number + 99, "currency": "EUR"}
    options = {"id": f"invoice-2026-{number:04}", "tags": ["invoice", "eu"], "attempts": 5}
    return "charge", data, options


def _issue(number: int) -> tuple[str, Any, dict[str, Any]]:
    data = {"to": f"reader{number}@example.com", "issue": "2026-12"}
    return "send-issue", data, {"delay": 86_400 + 60 * number, "tags": ["newsletter"]}


def _report(month: int) -> tuple[str, Any, dict[str, Any]]:
    return "monthly-report", {"month": f"2026-{month:02}"}, {"id": f"report-2026-{month:02}"}


def _hopeless(number: int) -> tuple[str, Any, dict[str, Any]]:
    """A letter whose three attempts fail within a second."""
    data = {"to": f"lost{number}@nowhere.invalid", "template": "welcome", "order": number}
    options = {"attempts": 3, "backoff": Backoff.fixed(0.1), "tags": ["welcome"]}
    return "send", data, {**options, "id": f"welcome-{number}"}


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-living-") as folder,
        LivingSystem(Path(folder)) as living,
    ):
        print(f"{living.origin}  ({living.daemon.url})  until Ctrl-C")
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            print("over")


if __name__ == "__main__":
    main()
