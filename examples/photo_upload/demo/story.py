"""What happens: fifty uploads, a worker killed in mid-job, a mail server that comes late."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import httpx2
import websockets

from examples.photo_upload.demo import camera
from examples.photo_upload.demo.stage import Stage
from holdfast.aio import Queue

PHOTOS: Final = 50
USERS: Final = 7
UPLOADS_AT_ONCE: Final = 8
MAIL_DOWN_S: Final = 4.0
"""Counted from the kill, at least, so that none is out before it."""


@dataclass(frozen=True)
class Upload:
    """One photo on its way: what its user gave and got."""

    jpeg: bytes
    user_id: int
    job_id: str
    answer_ms: float
    """From the request's first byte to the 202."""
    pushed: dict[str, Any]
    """What the websocket said when the job had ended."""

    @property
    def key(self) -> str:
        return self.job_id.removeprefix("photo-")

    @property
    def mail_id(self) -> str:
        return f"mail-{self.key}"


@dataclass(frozen=True)
class Played:
    """What is left to check when the story is over."""

    uploads: list[Upload]
    killed_at: datetime


async def play(stage: Stage, photos: Queue, mails: Queue) -> Played:
    say(f"taking {PHOTOS} photos of 2 to 4 megapixels, with EXIF and GPS")
    jpegs = await asyncio.gather(*(asyncio.to_thread(camera.photo, n) for n in range(PHOTOS)))
    say(f"uploading them, {UPLOADS_AT_ONCE} at a time; the mail server is down")
    async with asyncio.TaskGroup() as tasks:
        progress = tasks.create_task(show_progress(photos, mails))
        uploads = tasks.create_task(upload_all(stage, jpegs))
        trouble = tasks.create_task(make_trouble(stage, photos, mails))
        await until_mailed(mails, await uploads)
        progress.cancel()
    return Played(uploads.result(), trouble.result())


async def upload_all(stage: Stage, jpegs: Sequence[bytes]) -> list[Upload]:
    """Returns when the last user has been told that the photo is done."""
    slots = asyncio.Semaphore(UPLOADS_AT_ONCE)
    async with httpx2.AsyncClient(base_url=stage.web, timeout=30) as browser:

        async def upload(number: int, jpeg: bytes) -> Upload:
            user_id = number % USERS
            body: dict[str, Any] = (
                {"files": {"photo": jpeg}} if number % 2 else {"content": jpeg}
            )  # as a form and as it is, in turn
            async with slots:
                started = time.perf_counter()
                answer = await browser.post("/upload", params={"user_id": user_id}, **body)
                answer_ms = (time.perf_counter() - started) * 1000
            if answer.status_code != 202:
                raise RuntimeError(f"expected 202, found {answer.status_code}: {answer.text}")
            job_id = answer.json()["job_id"]
            return Upload(jpeg, user_id, job_id, answer_ms, await end_of(stage, job_id))

        return await asyncio.gather(*(upload(n, jpeg) for n, jpeg in enumerate(jpegs)))


async def end_of(stage: Stage, job_id: str) -> dict[str, Any]:
    """What the page shows to the user who waits for the photo."""
    page = stage.web.replace("http:", "ws:")
    async with websockets.connect(f"{page}/jobs/{job_id}", open_timeout=30) as socket:
        news: dict[str, Any] = json.loads(await socket.recv())
        return news


async def until_mailed(mails: Queue, uploads: Sequence[Upload]) -> None:
    for upload in uploads:
        await (await mails.get(upload.mail_id)).wait()


async def make_trouble(stage: Stage, photos: Queue, mails: Queue) -> datetime:
    """Kill a worker, later start the mail server. Returns when the worker was killed."""
    pid = await busy_worker(photos)
    name = stage.kill(pid)
    killed_at = datetime.now(UTC)
    say(f"killed {name} (pid {pid}) in mid-job; its jobs run again within seconds")
    await asyncio.sleep(MAIL_DOWN_S)
    await until_one_has_failed(mails)
    await stage.mailbox.open()
    say("the mail server is up")
    return killed_at


async def busy_worker(photos: Queue) -> int:
    """The pid of the first worker that is seen with two jobs at once: one alone might be ending."""
    while (counts := await photos.counts())["completed"] < PHOTOS:
        if counts["active"]:
            running = Counter([job.worker async for job in photos.jobs("active")])
            busiest, jobs = max(running.items(), key=lambda item: item[1], default=("", 0))
            if jobs >= 2:
                return int(busiest.rpartition(":")[2])  # workers are named HOST:PID
        await asyncio.sleep(0.02)
    raise RuntimeError("no worker ever had two photos at once: none was killed in mid-job")


async def until_one_has_failed(mails: Queue) -> None:
    """A slow machine comes to its first mail late."""
    async for event in mails.events():
        if event.kind == "retrying":
            return


async def show_progress(photos: Queue, mails: Queue) -> None:
    while True:
        await asyncio.sleep(1)
        resized, mailed = (await photos.counts())["completed"], (await mails.counts())["completed"]
        say(f"  photos {resized:2}/{PHOTOS}   mails {mailed:2}/{PHOTOS}")


def say(text: str) -> None:
    print(text, flush=True)
