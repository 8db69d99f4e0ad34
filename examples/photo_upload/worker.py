"""The worker: resizes photos and sends the confirmation mails.

    python -m examples.photo_upload.worker

A job may run twice (its worker died between the work and the ack), so everything here can be
repeated: files have one name, rows one key, the mail's job one id, and a mail that is known to be
out is not sent again. What is left is the instant between a mail and its row: a worker that dies
there sends it twice, with the same Message-ID. No queue can do better with SMTP at the other end.
"""

import os

from examples.photo_upload import images, mail, records, storage
from holdfast import ActiveJob, Backoff, Queue, Unrecoverable, Worker

mails = Queue("mail")


def process_image(job: ActiveJob) -> dict[str, str]:
    """A plain function: it runs in a thread and may block."""
    user_id, file_key = job.data["user_id"], job.data["file_key"]
    upload = storage.get_upload(file_key)
    try:
        photo = images.resized(upload)
    except images.NotAPhoto as error:
        raise Unrecoverable(str(error)) from error  # it will not get better by trying again
    job.log(f"{len(upload):,} bytes became {len(photo):,}")
    job.progress(50)
    url = storage.put_photo(file_key, photo)
    records.photo_done(user_id, file_key, url, len(photo))
    mails.add(
        "confirm",
        {"user_id": user_id, "url": url},
        id=f"mail-{file_key}",  # adding it again adds nothing
        attempts=20,
        backoff=Backoff.exponential(0.5, cap=600, jitter="equal"),
    )
    return {"url": url}


def send_mail(job: ActiveJob) -> None:
    if not records.is_mail_sent(job.id):
        mail.send(job.data["user_id"], job.data["url"], message_id=job.id)
        records.mail_sent(job.id)


worker = Worker(
    ["image-processing", "mail"],
    {"process-image": process_image, "confirm": send_mail},
    concurrency=5,
)

if __name__ == "__main__":
    os.nice(5)  # photos can wait, the web application cannot
    worker.run()
