"""The statements that read pages: how they find their rows, and how much they read of them."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfastd.engine.changes import (
    AddedRow,
    Batch,
    DelayedPage,
    FinishedPage,
    JobsById,
    JobsBySeq,
    QueuePage,
    WaitingPage,
)
from holdfastd.engine.model import (
    DEFAULT_OPTIONS,
    FINISHED,
    NO_SESSION,
    QueueKey,
    Seq,
    State,
    Token,
)
from holdfastd.store import reading
from holdfastd.store.base import JobCursor
from holdfastd.store.schema import migrate
from holdfastd.store.statements import write_batch

Q = QueueKey(1)
READS = [
    WaitingPage(Q, None, 10, 1000),
    WaitingPage(Q, (0, 5), 10, 1000),
    DelayedPage((0, 5), 10),
    JobsById(Q, ("a", "b")),
    JobsBySeq((Seq(1), Seq(2)), 1000),
    *(FinishedPage(Q, state, 1_700_000_000_000, 10) for state in FINISHED),
    FinishedPage(Q, State.COMPLETED, None, 10),
    *(QueuePage(Q, state, (5, 5), 10) for state in State),
]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(tmp_path / "holdfast.db", isolation_level=None)
    migrate(connection, tmp_path)
    yield connection
    connection.close()


def plans(connection: sqlite3.Connection, read: Any) -> list[str]:
    """The query plans of all statements that a call of read(connection) executes."""
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    read(connection)
    connection.set_trace_callback(None)
    return [
        row[3]
        for statement in statements
        for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")
    ]


def assert_through_an_index(found: list[str]) -> None:
    tables = [step for step in found if re.search(r"\bjob\b", step)]
    assert tables
    assert all(step.startswith("SEARCH job USING") for step in tables), found
    assert not any("TEMP B-TREE" in step for step in found), found


@pytest.mark.parametrize("read", READS, ids=lambda read: type(read).__name__)
def test_no_page_for_the_engine_is_sorted_or_scanned_for(
    connection: sqlite3.Connection, read: Any
) -> None:
    reader = reading.READERS[type(read)]
    assert_through_an_index(plans(connection, lambda connection: reader(connection, read)))


@pytest.mark.parametrize("state", list(State), ids=lambda state: state.name.lower())
@pytest.mark.parametrize("after", [None, JobCursor(5, 5)], ids=["first page", "next page"])
def test_no_page_of_a_listing_is_sorted_or_scanned_for(
    connection: sqlite3.Connection, state: State, after: JobCursor | None
) -> None:
    def read(connection: sqlite3.Connection) -> None:
        reading.read_jobs(connection, Q, state, after, 10, 1000)

    assert_through_an_index(plans(connection, read))


def test_a_job_is_found_by_its_id(connection: sqlite3.Connection) -> None:
    def read(connection: sqlite3.Connection) -> None:
        reading.read_detail(connection, Q, "a")

    assert_through_an_index(plans(connection, read))


def test_what_is_removed_with_a_job_is_found_by_its_number(connection: sqlite3.Connection) -> None:
    """Of jobs without tags too, so it must cost nothing."""
    found = plans(connection, lambda connection: write_batch(connection, Batch(removed=[Seq(1)])))
    for table in ("job", "attempt", "log", "tag"):
        (step,) = [step for step in found if re.search(rf"\b{table}\b", step)]
        assert step.startswith(f"SEARCH {table} USING"), found


class Rows:
    """Jobs of queue Q, written as the store writes them."""

    def __init__(self, connection: sqlite3.Connection):
        self.connection = connection
        self.next_seq = 1

    def add(self, payload: bytes, count: int = 1) -> None:
        rows = [_added(Seq(seq), payload) for seq in range(self.next_seq, self.next_seq + count)]
        self.next_seq += count
        write_batch(self.connection, Batch(added=rows))


def _added(seq: Seq, payload: bytes) -> AddedRow:
    return AddedRow(
        seq, Q, f"job {seq}", "n", State.WAITING, 0, seq, 0, 1, DEFAULT_OPTIONS, payload,
        Token(0), NO_SESSION, 0,
    )  # fmt: skip


@pytest.mark.parametrize("payload", [b"\x00", b"\x00a\x00", b"\xff\xfe", "ü€".encode(), bytes(700)])
def test_bytes_of_any_kind_come_back_as_they_were(
    connection: sqlite3.Connection, payload: bytes
) -> None:
    rows = Rows(connection)
    for each in (b"before", payload, b"after"):
        rows.add(each)
    page = reading.read_page(connection, WaitingPage(Q, None, 10, 1000))
    assert [row.payload for row in page.rows] == [b"before", payload, b"after"]
    assert not any(row.is_damaged for row in page.rows)
