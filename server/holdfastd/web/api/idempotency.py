"""`Idempotency-Key`: adding the same job twice by mistake adds it once.

There is no table of keys: the job's id is made of the key and the queue, so the queue itself knows
whether it was used, for as long as it keeps the job. Whether the same was asked for is told by the
job that is there.
"""

import hashlib
from typing import Final

from holdfastd.store.base import JobDetail

HEADER: Final = "Idempotency-Key"
LENGTH_MAX: Final = 255
REPLAYED: Final = {"Idempotency-Replayed": "true"}


def job_id(queue: str, key: str) -> str:
    """The same for the same key in the same queue, and for no other."""
    digest = hashlib.sha256(f"{queue}/{key}".encode()).hexdigest()  # no queue's name has a slash
    return f"key-{digest[:40]}"


def is_same(found: JobDetail, name: str, payload: bytes) -> bool:
    """Whether the job that is there is the one asked for, as far as can be told: one whose data was
    edited since is another one."""
    return found.row.is_damaged or (found.row.name, found.row.payload) == (name, payload)
