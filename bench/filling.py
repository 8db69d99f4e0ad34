"""A data directory of millions of jobs within minutes: what a search has to look through.

    python -m bench.filling DIRECTORY [JOBS]

The rows are written as the store writes them, but without its batches, and indexes come last. They
are of 30 days: 20 queues, the first of which has half of all jobs; 12 names; of ten jobs seven are
completed, two wait, and the rest are delayed, failed (with one to three attempts and their errors)
or, a hundred of them, active. One in five has tags. The data is a map of 200 bytes with `user_id`,
`total`, `items` and `note`.
"""

import random
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import msgpack

from holdfastd.engine.model import (
    DEFAULT_OPTIONS,
    AttemptOutcome,
    FailReason,
    JobOptions,
    Keep,
    QueueSettings,
    Retention,
    State,
)
from holdfastd.store.codec import pack_counts, pack_options, pack_settings
from holdfastd.store.files import DATABASE_NAME
from holdfastd.store.schema import migrate

QUEUES: Final = 20
NAMES: Final = tuple(f"task_{number}" for number in range(12))
TAGS: Final = ("eu", "us", "vip", "nightly", "retry-me")
ERRORS: Final = (
    ("TimeoutError", "timed out after 30 s"),
    ("ConnectionError", "connection refused by 10.0.0.7"),
    ("ValueError", "invalid literal for int() with base 10: 'x'"),
)
SPAN_MS: Final = 30 * 24 * 3_600_000
ACTIVE: Final = 100
ROWS_AT_ONCE: Final = 20_000
Row = tuple[Any, ...]
KEEP_ALL: Final = Retention(Keep(None, None), Keep(None, None), Keep(None, None))
TAGGED: Final = {tag: pack_options(JobOptions(attempts=3, tags=(tag,))) for tag in TAGS}
PLAIN: Final = pack_options(DEFAULT_OPTIONS)


def fill(directory: Path, jobs: int, now_ms: int) -> None:
    """Make the database of so many jobs in an empty directory."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / DATABASE_NAME
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    migrate(connection, path)
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -262144")
    connection.execute("PRAGMA temp_store = FILE")
    indexes = connection.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name IN ('job', 'tag') "
        "AND sql IS NOT NULL"
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    counts = _fill(connection, jobs, now_ms)
    for _, sql in indexes:
        connection.execute(sql)
    _close(connection, jobs, counts)


def _fill(connection: sqlite3.Connection, jobs: int, now_ms: int) -> Counter[tuple[int, State]]:
    counts: Counter[tuple[int, State]] = Counter()
    dice = random.Random(1)
    for first in range(1, jobs + 1, ROWS_AT_ONCE):
        seqs = range(first, min(first + ROWS_AT_ONCE, jobs + 1))
        rows, attempts, tags = list[Row](), list[Row](), list[Row]()
        for seq in seqs:
            row = _row(dice, seq, jobs, now_ms)
            counts[row[1], row[4]] += 1
            rows.append(row)
            attempts += _attempts(row)
            if row[9] is not PLAIN:
                tags.append((TAGS[seq % len(TAGS)], seq))
        connection.execute("BEGIN")
        connection.executemany(f"INSERT INTO job VALUES ({','.join('?' * 23)})", rows)
        connection.executemany(f"INSERT INTO attempt VALUES ({','.join('?' * 10)})", attempts)
        connection.executemany("INSERT INTO tag VALUES (?, ?)", tags)
        connection.execute("COMMIT")
    return counts


def _row(dice: random.Random, seq: int, jobs: int, now_ms: int) -> tuple[Any, ...]:
    queue = 1 if seq % 2 else 1 + seq % QUEUES
    created_at_ms = now_ms - SPAN_MS + seq * SPAN_MS // jobs
    id, name = f"{created_at_ms:012x}7{dice.getrandbits(76):019x}", NAMES[seq % 12]
    state = _state(dice, jobs - seq)
    has_ended = state in (State.COMPLETED, State.FAILED)
    failures = 1 + seq % 3 if state is State.FAILED else 0
    payload = _payload(dice, seq)
    return (
        seq, queue, id, name, state, 0, seq,
        now_ms + dice.randrange(SPAN_MS) if state is State.DELAYED else 0,
        created_at_ms, TAGGED[TAGS[seq % len(TAGS)]] if dice.random() < 0.2 else PLAIN,
        failures, 0, 0,
        seq if has_ended or state is State.ACTIVE else 0,
        1 if state is State.ACTIVE else 0,
        created_at_ms + 50 if has_ended or state is State.ACTIVE else 0,
        created_at_ms + dice.randrange(60_000) if has_ended else 0,
        FailReason.ERROR if state is State.FAILED else FailReason.NONE,
        0, crc32(payload, crc32(f"{queue} {created_at_ms} {id} {name}".encode())),
        None, None, payload,
    )  # fmt: skip


def _state(dice: random.Random, from_end: int) -> State:
    if from_end < ACTIVE:
        return State.ACTIVE
    chance = dice.random()
    if chance < 0.7:
        return State.COMPLETED
    if chance < 0.9:
        return State.WAITING
    return State.DELAYED if chance < 0.95 else State.FAILED


def _payload(dice: random.Random, seq: int) -> bytes:
    data = {
        "user_id": dice.randrange(1_000_000),
        "total": dice.randrange(100_000) / 100,
        "items": [{"sku": f"A-{seq % 977}", "count": seq % 5}],
        "note": "x" * 120,
    }
    packed: bytes = msgpack.packb(data)
    return packed


def _attempts(row: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    for number in range(1, row[10] + 1):
        type, message = ERRORS[(row[0] + number) % len(ERRORS)]
        yield (
            row[0], number, number, row[15], row[16], AttemptOutcome.FAILED, type, message, "",
            f"worker-{row[0] % 40}",
        )  # fmt: skip


def _close(connection: sqlite3.Connection, jobs: int, counts: Counter[tuple[int, State]]) -> None:
    settings = pack_settings(QueueSettings(retention=KEEP_ALL))
    connection.execute("BEGIN")
    for key in range(1, QUEUES + 1):
        packed = pack_counts((0, *(counts[key, state] for state in State)))
        connection.execute(
            "INSERT INTO queue (key, name, is_paused, settings, rate_full_at_ms, counts) "
            "VALUES (?, ?, 0, ?, 0, ?)",
            (key, f"queue-{key}", settings, packed),
        )
    connection.execute(
        "INSERT INTO session (key, id, name, last_request, last_refused, seen_at_ms) "
        "VALUES (1, 'filled', 'worker-1', 0, 0, 0)"
    )
    connection.execute(
        "UPDATE part SET next_seq = ?, next_queue = ?, next_session = 2", (jobs + 1, QUEUES + 1)
    )
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()


if __name__ == "__main__":
    started = time.perf_counter()
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000_000
    fill(Path(sys.argv[1]), count, time.time_ns() // 1_000_000)
    print(f"{count:,} jobs in {time.perf_counter() - started:.0f} s")
