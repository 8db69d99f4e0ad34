"""`make demo`: fifty uploads end to end, with the mail server down and a worker killed.

Everything is real: the daemon, a web application under uvicorn, two workers and an SMTP server,
each in its own process or thread on loopback, in a temporary directory. Every outcome is checked;
the exit code is 0 only if all hold. KEEP=1 leaves it up and prints the addresses.
"""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import websockets
from aiosmtpd.controller import Controller

from examples.photo_upload import camera, images
from holdfast.aio import Queue

PHOTOS: Final = 50
USERS: Final = 7
UPLOADS_AT_ONCE: Final = 8
MAIL_DOWN_S: Final = 4.0
DEADLINE_S: Final = 50.0
"""The whole demo; it takes some 20 s."""


class Mailbox:
    """What the SMTP server received: Message-ID to number of deliveries."""

    def __init__(self) -> None:
        self.received: Counter[str] = Counter()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        found = re.search(rb"^Message-ID: <(.+)@", envelope.content, re.MULTILINE)
        if found is not None:
            self.received[found[1].decode()] += 1
        return "250 kept"


@dataclass
class Demo:
    """One run: its directory, its processes, what it saw."""

    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    mailbox: Mailbox = field(default_factory=Mailbox)
    smtp: Controller | None = None
    upload_ms: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    web: str = ""
    metrics: str = ""
    smtp_port: int = 0

    # ---- processes -------------------------------------------------------------------------

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *command], env=self.environment, stdout=log, stderr=log
            )
        self.processes[name] = process
        return process

    async def until_logged(self, name: str, pattern: str) -> re.Match[str]:
        """Wait until a process has said something."""
        path = self.folder / f"{name}.log"
        for _ in range(200):
            found = re.search(pattern, path.read_text())
            if found:
                return found
            if self.processes[name].poll() is not None:
                break
            await asyncio.sleep(0.05)
        raise RuntimeError(f"{name} did not start:\n{path.read_text()}")

    async def start_all(self) -> None:
        self.smtp_port = _free_port()
        self.environment = {
            **os.environ,
            "STORAGE_URL": str(self.folder / "objects"),
            "APP_DATABASE": str(self.folder / "app.db"),
            "SMTP_SERVER": f"127.0.0.1:{self.smtp_port}",
        }
        serve = ["serve", "--data", str(self.folder / "queue")]
        addresses = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]
        self.start("holdfastd", "-m", "holdfastd", *serve, *addresses)
        ready = await self.until_logged("holdfastd", r"listening on (\S+), http on (\S+),")
        self.metrics = f"http://{ready[2]}/metrics"
        self.environment["HOLDFAST_URL"] = f"holdfast://{ready[1]}"
        for number in (1, 2):
            self.start(f"worker-{number}", "-m", "examples.photo_upload.worker")
        app = "examples.photo_upload.app_fastapi:app"
        self.start("web", "-m", "uvicorn", app, "--port", "0", "--no-access-log")
        self.web = (await self.until_logged("web", r"running on (http://\S+)"))[1]

    def start_mail(self) -> None:
        self.smtp = Controller(self.mailbox, hostname="127.0.0.1", port=self.smtp_port)
        self.smtp.start()

    def stop_all(self) -> None:
        """Workers first, so that they can say goodbye; nothing is left running."""
        for name in ("worker-1", "worker-2", "web", "holdfastd"):
            process = self.processes.get(name)
            if process is not None and process.poll() is None:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        if self.smtp is not None:
            self.smtp.stop()

    # ---- the story -------------------------------------------------------------------------

    async def run(self) -> None:
        say("starting holdfastd, a web application and two workers; the mail server stays down")
        await self.start_all()
        photos = Queue("image-processing", url=self.environment["HOLDFAST_URL"])
        mails = Queue("mail", url=self.environment["HOLDFAST_URL"])
        async with asyncio.TaskGroup() as tasks:
            uploading = tasks.create_task(self.upload_all(pushed := asyncio.Event()))
            tasks.create_task(self.make_trouble(photos))
            tasks.create_task(self.until_done(photos, mails))
            tasks.create_task(pushed.wait())
        job_ids = uploading.result()
        await self.check_all(photos, mails, job_ids)
        await self.report(photos, mails)
        await photos.close()
        await mails.close()

    async def upload_all(self, pushed: asyncio.Event) -> list[str]:
        say(f"uploading {PHOTOS} photos with EXIF and GPS, {UPLOADS_AT_ONCE} at a time")
        jpegs = [await asyncio.to_thread(camera.photo, seed) for seed in range(PHOTOS)]
        if not all(camera.has_place(jpeg) for jpeg in jpegs):
            self.problems.append("the photos for the demo have no GPS: nothing would be proven")
        slots = asyncio.Semaphore(UPLOADS_AT_ONCE)
        async with httpx.AsyncClient(timeout=30) as client:

            async def upload(number: int) -> str:
                async with slots:
                    started = time.perf_counter()
                    url = f"{self.web}/upload?user_id={number % USERS}"
                    answer = await client.post(url, content=jpegs[number])
                    self.upload_ms.append((time.perf_counter() - started) * 1000)
                if answer.status_code != 202:
                    raise RuntimeError(f"upload {number}: {answer.status_code} {answer.text}")
                job_id: str = answer.json()["job_id"]
                return job_id

            first = await upload(0)
            self._push = asyncio.create_task(self.await_push(first, pushed))
            rest = await asyncio.gather(*(upload(number) for number in range(1, PHOTOS)))
        return [first, *rest]

    async def await_push(self, job_id: str, pushed: asyncio.Event) -> None:
        """The page that shows the first user that his photo is done."""
        address = self.web.replace("http:", "ws:")
        async with websockets.connect(f"{address}/jobs/{job_id}") as page:
            news = json.loads(await page.recv())
        if news.get("state") != "completed":
            self.problems.append(f"the websocket of {job_id} pushed {news}, not completed")
        pushed.set()

    async def make_trouble(self, photos: Queue) -> None:
        """Kill a worker in mid-job, and only later start the mail server: so the one that dies
        cannot have sent a mail without saying so, and each mail must arrive exactly once."""
        await self.kill_a_worker(photos)
        await asyncio.sleep(MAIL_DOWN_S)
        self.start_mail()
        say(f"the mail server is up, after {MAIL_DOWN_S:g} s and more")

    async def kill_a_worker(self, photos: Queue) -> None:
        """SIGKILL, when the queue says that this worker is running some of its jobs."""
        victim = self.processes["worker-1"]
        await self.until(
            lambda: self.runs_jobs(photos, victim.pid), "worker-1 never had an active job"
        )
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        say(f"killed worker-1 (pid {victim.pid}) in mid-job; its jobs run again within 10 s")

    async def runs_jobs(self, photos: Queue, pid: int) -> bool:
        if not (await photos.counts())["active"]:
            return False
        return any([job.worker.endswith(f":{pid}") async for job in photos.jobs("active")])

    async def until_done(self, photos: Queue, mails: Queue) -> None:
        shown = -1

        async def done() -> bool:
            nonlocal shown
            resized = (await photos.counts())["completed"]
            mailed = (await mails.counts())["completed"]
            if resized + mailed != shown:
                shown = resized + mailed
                say(f"  photos {resized:2}/{PHOTOS}   mails {mailed:2}/{PHOTOS}")
            return resized >= PHOTOS and mailed >= PHOTOS

        await self.until(done, "not all photos and mails were done")

    async def until(self, condition: Callable[[], Awaitable[bool]], problem: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not await condition():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{problem} within {DEADLINE_S:g} s")
            await asyncio.sleep(0.1)

    # ---- checks ----------------------------------------------------------------------------

    async def check_all(self, photos: Queue, mails: Queue, job_ids: list[str]) -> None:
        for job_id in job_ids:
            job = await photos.get(job_id)
            self.expect(f"state of {job_id}", "completed", job.state)
            jpeg = await asyncio.to_thread(Path(job.result["url"]).read_bytes)
            self.check_photo(job_id, jpeg)
            sent = self.mailbox.received[job_id.replace("photo-", "mail-")]
            self.expect(f"mails for {job_id}", 1, sent)
        self.expect("different mails", PHOTOS, len(self.mailbox.received))
        self.expect("failed photo jobs", 0, (await photos.counts())["failed"])
        self.expect("failed mail jobs", 0, (await mails.counts())["failed"])
        database = sqlite3.connect(self.environment["APP_DATABASE"])
        for table in ("photo", "feed", "quota"):
            query = f"SELECT count(*), count(DISTINCT file_key) FROM {table}"
            self.expect(f"rows in {table}", (PHOTOS, PHOTOS), database.execute(query).fetchone())
        database.close()

    def check_photo(self, job_id: str, jpeg: bytes) -> None:
        width, height = camera.size_of(jpeg)
        self.expect(f"longer side of {job_id}", images.SIDE_MAX, max(width, height))
        self.expect(f"EXIF in {job_id}", False, camera.has_exif(jpeg))

    def expect(self, what: str, expected: Any, found: Any) -> None:
        if expected != found:
            self.problems.append(f"{what}: expected {expected}, found {found}")

    async def report(self, photos: Queue, mails: Queue) -> None:
        async with httpx.AsyncClient() as client:
            page = (await client.get(self.metrics)).text
        lost = (
            2 * PHOTOS - (await photos.counts())["completed"] - (await mails.counts())["completed"]
        )
        ordered = sorted(self.upload_ms)
        rows = [
            ("upload p50", f"{ordered[len(ordered) // 2]:.0f} ms"),
            ("upload p99", f"{ordered[int(len(ordered) * 0.99)]:.0f} ms"),
            ("jobs done", f"{2 * PHOTOS - lost}"),
            ("retries (mail server down)", f"{_metric(page, 'holdfast_job_retries_total'):.0f}"),
            ("redeliveries (worker killed)", f"{_lost_attempts(page):.0f}"),
            ("lost", f"{lost}"),
        ]
        self.expect("some retries while the mail server was down", True, rows[3][1] != "0")
        self.expect("some redeliveries after the kill", True, rows[4][1] != "0")
        say("")
        for name, value in rows:
            say(f"  {name:<30}{value:>10}")


def _metric(page: str, name: str, label: str = "") -> float:
    """Sum of a metric over its series that have the label."""
    lines = [line for line in page.splitlines() if line.startswith(name + "{") and label in line]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def _lost_attempts(page: str) -> float:
    return _metric(page, "holdfast_job_attempts_total", 'outcome="lost"')


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def say(text: str) -> None:
    print(text, flush=True)


async def _run(demo: Demo) -> None:
    async with asyncio.timeout(DEADLINE_S + 10):
        await demo.run()
    if os.environ.get("KEEP"):
        say(f"\nweb {demo.web}   metrics {demo.metrics}   {demo.environment['HOLDFAST_URL']}")
        say(f"files in {demo.folder}; Ctrl-C ends it")
        await asyncio.Event().wait()


def main() -> int:
    demo = Demo(Path(tempfile.mkdtemp(prefix="holdfast-demo-")))
    try:
        asyncio.run(_run(demo))
    except KeyboardInterrupt:
        say("interrupted")
    except Exception as error:
        demo.problems.append(f"{type(error).__name__}: {error}")
        for log in sorted(demo.folder.glob("*.log")):
            say(f"---- {log.name}, last lines\n" + "\n".join(log.read_text().splitlines()[-15:]))
    finally:
        demo.stop_all()
        shutil.rmtree(demo.folder, ignore_errors=True)
    for problem in demo.problems:
        say(f"  FAILED  {problem}")
    say("" if demo.problems else "\nEvery photo, mail and row is there. Nothing was lost.")
    return 1 if demo.problems else 0


if __name__ == "__main__":
    sys.exit(main())
