"""A shop's people, in one process: workers and those who add jobs. `shop.py URL [KEY]`.

`support.living` starts it. What they do looks like work, and costs the machine nearly nothing: some
ten jobs a second. They go on until SIGTERM.

`shop.py URL KEY doomed` is another worker: its first job kills it.
"""

import asyncio
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from holdfast import Backoff, Worker
from holdfast.active import ActiveJob, Release, Unrecoverable
from holdfast.aio import Queue

RANDOM: Final = random.Random(6)
"""The same shop each time."""
PACE: Final = "HOLDFAST_SHOP_PACE"
"""In the environment: the path of a file with a number."""
CITIES: Final = ("berlin", "lagos", "lima", "osaka", "quebec")
CATALOGUE: Final = {"mug": 12_00, "poster": 19_00, "lamp": 89_00}
"""Prices in cents."""


# ---- what the workers do ---------------------------------------------------------------------


async def resize(job: ActiveJob) -> dict[str, Any]:
    """A photo in several sizes. data: photo, steps, step_s."""
    steps = job.data.get("steps", 4)
    job.log(f"fetched {job.data.get('photo', 'photo.jpg')}")
    for step in range(1, steps + 1):
        await asyncio.sleep(job.data.get("step_s", 0.1))
        job.progress(round(100 * step / steps))
        job.log(f"size {step} of {steps} written")
    return {"url": f"/photos/{job.id}.webp", "sizes": steps}


async def thumbnail(job: ActiveJob) -> dict[str, Any]:
    await asyncio.sleep(RANDOM.uniform(0.01, 0.12))
    return {"width": 320, "height": 240}


async def send_mail(job: ActiveJob) -> dict[str, Any]:
    await asyncio.sleep(RANDOM.uniform(0.02, 0.2))
    _deliver(job.data["to"], job.attempt)
    return {"accepted": [job.data["to"]], "queued_as": job.id[:8]}


def _deliver(address: str, attempt: int) -> None:
    """As a mail server does: it knows some addresses, and is busy at times."""
    user, _, domain = address.partition("@")
    if domain == "nowhere.invalid":
        raise ConnectionRefusedError(111, f"Connect call failed ('{domain}', 25)")
    if user == "greylisted" and attempt == 1:
        raise TimeoutError(f"450 4.2.0 <{address}>: greylisted, try again later")


async def call_webhook(job: ActiveJob) -> dict[str, Any]:
    await asyncio.sleep(RANDOM.uniform(0.05, 0.3))
    if job.data.get("status", 200) == 429 and job.releases == 0:
        raise Release(delay=1.0)
    return {"status": 200}


async def monthly_report(job: ActiveJob) -> dict[str, Any]:
    """Takes minutes, and says how far it is. data: month, lines."""
    lines = job.data.get("lines", 400)
    for line in range(lines):
        await asyncio.sleep(0.5)
        job.progress({"lines": line + 1, "of": lines})
        if line % 4 == 0:
            city = CITIES[line // 4 % len(CITIES)]
            job.log(f"{city}: {RANDOM.randrange(10, 900)} orders summed up")
    return {"file": f"{job.data['month']}.pdf"}


async def price_list(job: ActiveJob) -> int:
    """data: items. One that is not in the catalogue is a mistake that no retry mends."""
    return sum(_price(item) for item in job.data["items"])


def _price(item: str) -> int:
    try:
        return CATALOGUE[item]
    except KeyError as error:
        raise Unrecoverable(f"no price for {item!r}") from error


async def transcode(job: ActiveJob) -> None:
    """The film that every worker dies of."""
    job.log("decoding")
    await asyncio.sleep(0.2)
    os.kill(os.getpid(), signal.SIGKILL)


def workers(url: str, key: str | None) -> list[Worker]:
    worker = partial(Worker, url=url, key=key)
    photos = {"resize": resize, "thumbnail": thumbnail}
    post = {"send": send_mail, "call": call_webhook}
    office = {"monthly-report": monthly_report, "price-list": price_list}
    return [
        worker("images", photos, concurrency=4, name="photos-1"),
        worker("images", photos, concurrency=4, name="photos-2"),
        worker(["mail", "webhooks"], post, concurrency=3, name="post-1"),
        worker("reports", office, concurrency=4, name="office-1"),
    ]


# ---- who adds jobs ---------------------------------------------------------------------------


async def keep_adding(queue: Queue, every_s: float, made: Iterator[tuple[str, Any, Any]]) -> None:
    """One job after another: name, data, options."""
    for name, data, options in made:
        while not (pace := _pace()):
            await asyncio.sleep(0.02)
        await queue.add(name, data, **options)
        await asyncio.sleep(every_s / pace * RANDOM.uniform(0.5, 1.5))


def _pace() -> float:
    """How many times as fast as by default jobs are added, 0 = not at all: as a file says that
    whoever watches the shop may write."""
    path = os.environ.get(PACE)
    return float(Path(path).read_text()) if path else 1.0


def _endless(make: Callable[[int], tuple[str, Any, Any]]) -> Iterator[tuple[str, Any, Any]]:
    number = 0
    while True:
        number += 1
        yield make(number)


def photo(number: int) -> tuple[str, Any, Any]:
    city = CITIES[number % len(CITIES)]
    data = {"photo": f"{city}-{number:05}.jpg", "user_id": 1000 + number, "size": [1600, 1200]}
    if number % 3:
        return "thumbnail", data, {"tags": [city]}
    return "resize", data, {"tags": [city, "shop"], "attempts": 3}


def letter(number: int) -> tuple[str, Any, Any]:
    user = "greylisted" if number % 7 == 0 else f"customer{number}"
    domain = "nowhere.invalid" if number % 23 == 0 else "example.com"
    data = {"to": f"{user}@{domain}", "template": "order-confirmed", "order": 70_000 + number}
    return "send", data, {"attempts": 3, "backoff": Backoff.exponential(0.3, cap=2)}


def hook(number: int) -> tuple[str, Any, Any]:
    data = {"url": f"https://example.com/hooks/{number % 9}", "event": "order.paid"}
    return "call", {**data, "status": 429 if number % 11 == 0 else 200}, {"tags": ["partner"]}


async def trade(url: str, key: str | None) -> None:
    """All of it, until it is cancelled."""
    images, mail, webhooks = (
        Queue(name, url=url, key=key) for name in ("images", "mail", "webhooks")
    )
    async with asyncio.TaskGroup() as group:
        for worker in workers(url, key):
            group.create_task(worker.run_async())
        group.create_task(keep_adding(images, 0.25, _endless(photo)))
        group.create_task(keep_adding(mail, 0.4, _endless(letter)))
        group.create_task(keep_adding(webhooks, 0.3, _endless(hook)))


async def open_until_sigterm(url: str, key: str | None) -> None:
    trading = asyncio.create_task(trade(url, key))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, trading.cancel)
    with suppress(asyncio.CancelledError):
        await trading


def main() -> None:
    url, *more = sys.argv[1:]
    key = (more[0] if more else "") or None
    if more[1:] == ["doomed"]:
        Worker("video", transcode, url=url, key=key, name="cutter-1").run()
    else:
        asyncio.run(open_until_sigterm(url, key))


if __name__ == "__main__":
    main()
