"""Jobs as a shop has them: data with fields to search in, a few names and tags, some queues."""

from typing import Any, Final

import msgpack

from bench.raw import RawClient, send_all
from holdfast.wire import messages as wire
from holdfast.wire.ids import new_id

NAMES: Final = ("charge", "refund", "resize", "send", "sync", "export", "index", "notify")
TAGS: Final = ("eu", "us", "asia", "trial", "partner")
FILLER: Final = "x" * 120
"""Brings the data to some 200 bytes, as in the other questions."""
PER_CALL: Final = 200
PART: Final = 50_000
"""Packed at once: for more jobs than one likes to hold packed."""


def record(number: int) -> list[Any]:
    """The item of an ENQUEUE. data: order and user_id are the job's number."""
    data = {"order": number, "user_id": number, "city": "Lisbon", "note": FILLER}
    options = {"tags": [TAGS[number % len(TAGS)]]} if number % 4 == 0 else None
    return [new_id(), NAMES[number % len(NAMES)], msgpack.packb(data), options]


def fill(client: RawClient, queues: list[str], jobs: int) -> None:
    """So many over these queues, 200 in turn."""
    made = 0
    while made < jobs:
        stop = min(jobs, made + PART)
        frames = []
        for start in range(made, stop, PER_CALL):
            items = [record(number) for number in range(start, min(stop, start + PER_CALL))]
            queue = queues[start // PER_CALL % len(queues)]
            frames.append(client.frame(wire.Enqueue(0, queue, items)))
        send_all(client, frames, 20)
        made = stop
