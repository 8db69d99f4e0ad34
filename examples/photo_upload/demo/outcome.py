"""Was every outcome as it must be? A missed check says what was expected and what was found."""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Any, Final

import fsspec
import httpx2

from examples.photo_upload import images
from examples.photo_upload.demo import camera
from examples.photo_upload.demo.stage import Stage
from examples.photo_upload.demo.story import Played, Upload
from holdfast.aio import Job, Queue

GRACE_S: Final = 10.0
"""After it the jobs of a dead worker run again: `grace_ms` of config.toml, by default."""
GRACE_SLACK_S: Final = 2.0
"""Arbitrary: the machine is busy."""
ANSWER_MS_MAX: Final = 1000.0
"""Of the slowest upload. Doing the work inside the request took 4 s."""
TABLES: Final = ("photos", "sizes", "activity")


class Outcome:
    """Attributes: problems (empty = all is as it must be), rows (of the table to print)."""

    def __init__(self, stage: Stage, played: Played):
        self.problems: list[str] = []
        self.rows: list[tuple[str, str]] = []
        self._stage = stage
        self._played = played

    async def check(self, photos: Queue, mails: Queue) -> None:
        uploads = self._played.uploads
        photo_jobs = [await photos.get(upload.job_id) for upload in uploads]
        mail_jobs = [await mails.get(upload.mail_id) for upload in uploads]
        await self._check_answers(uploads)
        for upload, job in zip(uploads, photo_jobs, strict=True):
            await asyncio.to_thread(self._check_photo, upload, job)
            self._check_mail(upload, job)
        self._check_tables(uploads)
        for queue in (photos, mails):
            counts = {state: count for state, count in (await queue.counts()).items() if count}
            self._expect(f"jobs of {queue.name}", {"completed": len(uploads)}, counts)
        self._expect("mails in all", len(uploads), len(self._stage.mailbox.mails))
        self._measure(photo_jobs, mail_jobs)

    def _expect(self, what: str, expected: Any, found: Any) -> None:
        if expected != found:
            self.problems.append(f"{what}: expected {expected}, found {found}")

    async def _check_answers(self, uploads: Sequence[Upload]) -> None:
        """What the users saw: the push, and the page that polls."""
        async with httpx2.AsyncClient(base_url=self._stage.web) as browser:
            for upload in uploads:
                self._expect(f"push of {upload.job_id}", "completed", upload.pushed["state"])
                polled = (await browser.get(f"/jobs/{upload.job_id}")).json()
                self._expect(f"poll of {upload.job_id}", "completed", polled.get("state"))

    def _check_photo(self, upload: Upload, job: Job) -> None:
        self._expect(f"GPS in the upload of {job.id}", True, camera.has_place(upload.jpeg))
        self._expect(f"state of {job.id}", "completed", job.state)
        if job.state != "completed":
            return
        with fsspec.open(job.result["url"], "rb") as file:
            jpeg = file.read()
        expected = camera.size_within(upload.jpeg, images.SIDE_MAX)
        self._expect(f"size of {job.id}", expected, camera.size_of(jpeg))
        self._expect(f"EXIF in {job.id}", False, camera.has_exif(jpeg))

    def _check_mail(self, upload: Upload, job: Job) -> None:
        """Exactly one delivery, though SMTP can promise at least one: no worker dies while the mail
        server is up."""
        message_id = f"<{upload.mail_id}@example.org>"
        found = [mail for mail in self._stage.mailbox.mails if mail["Message-ID"] == message_id]
        receivers = [mail["To"] for mail in found]
        self._expect(f"mails of {job.id}", [f"user-{upload.user_id}@example.org"], receivers)
        for mail in found:
            body = str(mail.get_payload())
            self._expect(f"{upload.key} in the mail of {job.id}", True, upload.key in body)

    def _check_tables(self, uploads: Sequence[Upload]) -> None:
        expected = {upload.key for upload in uploads}
        with closing(sqlite3.connect(self._stage.database)) as database:
            for table in TABLES:
                found = {key for (key,) in database.execute(f"SELECT file_key FROM {table}")}
                self._expect(f"rows missing in {table}", set(), expected - found)
                self._expect(f"strange rows in {table}", set(), found - expected)

    def _measure(self, photo_jobs: list[Job], mail_jobs: list[Job]) -> None:
        """Fill the table, and check what its numbers must show."""
        jobs = photo_jobs + mail_jobs
        answers_ms = sorted(upload.answer_ms for upload in self._played.uploads)
        retries = sum(job.failures for job in mail_jobs)
        reruns_s = [
            (error.ended_at - self._played.killed_at).total_seconds()
            for job in jobs
            for error in job.errors
            if error.outcome == "lost"
        ]
        lost = sum(job.state != "completed" for job in jobs)
        p99_ms = answers_ms[len(answers_ms) * 99 // 100]
        self._expect(f"slowest upload under {ANSWER_MS_MAX:g} ms", True, p99_ms < ANSWER_MS_MAX)
        self._expect("retries while the mail server was down", True, retries > 0)
        self._expect("redeliveries after the kill", True, len(reruns_s) > 0)
        in_time = GRACE_S + GRACE_SLACK_S
        late = [seconds for seconds in reruns_s if seconds > in_time]
        self._expect(f"jobs of the dead worker given out later than {in_time:g} s", [], late)
        self._expect("lost jobs", 0, lost)
        self.rows = [
            ("upload p50", f"{answers_ms[len(answers_ms) // 2]:.0f} ms"),
            ("upload p99", f"{p99_ms:.0f} ms"),
            ("jobs", f"{len(jobs)}"),
            ("retries (mail server down)", f"{retries}"),
            ("redeliveries (worker killed)", f"{len(reruns_s)}"),
            ("  given out again after", f"{max(reruns_s, default=0.0):.1f} s"),
            ("lost", f"{lost}"),
        ]
