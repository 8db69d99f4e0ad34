"""The worker: resizes photos and sends the confirmation mails.

    python -m examples.photo_upload.worker

A job may run twice (a worker dies between the work and the ack), so everything here can be
repeated: files have one name, rows one key, and the mail's job has an id, so it is added once.
"""

import os

from examples.photo_upload import images, mail, records, storage
from holdfast import ActiveJob, Backoff, Queue, Worker

mails = Queue("mail")


def process_image(job: ActiveJob) -> dict[str, str]:
    """A plain function: it runs in a thread and may block."""
    user_id, file_key = job.data["user_id"], job.data["file_key"]
    small = images.resized(storage.get_upload(file_key))
    job.progress(50)
    url = storage.put_photo(file_key, small)
    job.log(f"resized to {len(small):,} bytes")
    records.photo_done(user_id, file_key, url)
    mails.add(
        "confirm",
        {"user_id": user_id, "file_key": file_key, "url": url},
        id=f"mail-{file_key}",
        attempts=20,
        backoff=Backoff.exponential(0.25, cap=3, jitter="equal"),
    )
    return {"url": url}


def send_mail(job: ActiveJob) -> None:
    mail.send(job.data["user_id"], job.data["url"], message_id=job.id)


def make_worker() -> Worker:
    handlers = {"process-image": process_image, "confirm": send_mail}
    return Worker(["image-processing", "mail"], handlers, concurrency=5)


if __name__ == "__main__":
    os.nice(5)  # photos can wait, the web application cannot
    make_worker().run()
