"""The confirmation mail."""

import os
import smtplib
from email.message import EmailMessage


def send(user_id: int, url: str, message_id: str) -> None:
    """Raises OSError or SMTPException while the server is down: the job is tried again.

    message_id: the same for a mail that is sent again, so that the receiver's side can tell.
    """
    message = EmailMessage()
    message["From"] = "photos@example.org"
    message["To"] = f"user-{user_id}@example.org"
    message["Subject"] = "Your photo is ready"
    message["Message-ID"] = f"<{message_id}@example.org>"
    message.set_content(f"It is here: {url}\n")
    host, _, port = os.environ["SMTP_SERVER"].rpartition(":")
    with smtplib.SMTP(host, int(port), timeout=30) as server:
        server.send_message(message)
