"""ids.py: job ids that rise within a process and that nobody else can have."""

import time

import pytest

from holdfast.wire import ids
from holdfast.wire.ids import new_id

AT_MS = 1_700_000_000_000


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands at AT_MS, and no id was made before."""
    set_clock(monkeypatch, AT_MS)
    monkeypatch.setattr(ids, "_last_ms", 0)
    monkeypatch.setattr(ids, "_counter", 0)


def set_clock(monkeypatch: pytest.MonkeyPatch, at_ms: int) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: at_ms * 1_000_000 + 999_999)


def ms_of(id: bytes) -> int:
    return int.from_bytes(id[:6])


def counter_of(id: bytes) -> int:
    return int.from_bytes(id[6:8]) & 0xFFF


def test_an_id_is_a_uuid_of_version_7_with_the_time_in_front() -> None:
    id = new_id()
    assert (len(id), ms_of(id), id[6] >> 4, id[8] >> 6) == (16, AT_MS, 7, 2)


def test_ids_of_one_millisecond_rise_from_a_number_with_room_above_it() -> None:
    first, *rest = [new_id() for _ in range(100)]
    assert counter_of(first) < 2_048
    assert [counter_of(id) for id in rest] == [counter_of(first) + step for step in range(1, 100)]
    assert {ms_of(id) for id in rest} == {AT_MS}


def test_the_next_millisecond_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    new_id()
    monkeypatch.setattr(ids, "_counter", 4_000)
    set_clock(monkeypatch, AT_MS + 1)
    id = new_id()
    assert ms_of(id) == AT_MS + 1
    assert counter_of(id) < 2_048


def test_a_millisecond_that_is_full_borrows_from_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    new_id()
    monkeypatch.setattr(ids, "_counter", 0xFFE)
    last, over, after = new_id(), new_id(), new_id()
    assert (ms_of(last), counter_of(last)) == (AT_MS, 0xFFF)
    assert (ms_of(over), counter_of(over)) == (AT_MS + 1, 0)
    assert (ms_of(after), counter_of(after)) == (AT_MS + 1, 1)


def test_a_clock_that_is_set_back_takes_no_id_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = new_id()
    set_clock(monkeypatch, AT_MS - 3_600_000)
    after = new_id()
    assert (ms_of(after), counter_of(after)) == (AT_MS, counter_of(before) + 1)
    assert after > before


def test_the_rest_of_an_id_is_random() -> None:
    tails = [int.from_bytes(new_id()[8:]) & (2**62 - 1) for _ in range(200)]
    assert len(set(tails)) == 200
    ones, zeros = 0, 0
    for tail in tails:
        ones, zeros = ones | tail, zeros | ~tail
    assert ones == 2**62 - 1, "each of its bits is set in some"
    assert zeros & (2**62 - 1) == 2**62 - 1, "and not in others"
