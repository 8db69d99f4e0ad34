"""unread.py: what is held for all clients together has a bound, and those who hold most pay."""

import pytest

from holdfastd.net import unread
from holdfastd.net.unread import Unread


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread, "UNREAD_BYTES_MAX", 100)
    monkeypatch.setattr(unread, "UNREAD_BYTES_AFTER_CUT", 75)


class FakeSink:
    def __init__(self) -> None:
        self.held_bytes = 0
        self.is_cut = False

    def cut(self) -> None:
        self.held_bytes = 0
        self.is_cut = True


def noted(all_of_them: Unread, sink: FakeSink, held_bytes: int) -> None:
    sink.held_bytes = held_bytes
    all_of_them.note(sink)


def test_those_who_hold_most_are_cut_until_there_is_room() -> None:
    all_of_them, sinks = Unread(), [FakeSink() for _ in range(4)]
    for sink, held_bytes in zip(sinks, (10, 40, 30, 20), strict=True):
        noted(all_of_them, sink, held_bytes)
    assert not any(sink.is_cut for sink in sinks)
    noted(all_of_them, sinks[0], 11)
    assert [sink.is_cut for sink in sinks] == [False, True, False, False]


def test_what_was_read_meanwhile_is_not_counted() -> None:
    all_of_them, fast, slow = Unread(), FakeSink(), FakeSink()
    noted(all_of_them, fast, 90)
    fast.held_bytes = 0
    noted(all_of_them, slow, 60)
    assert [fast.is_cut, slow.is_cut] == [False, False]


def test_who_has_gone_is_not_counted() -> None:
    all_of_them, gone, slow = Unread(), FakeSink(), FakeSink()
    noted(all_of_them, gone, 90)
    all_of_them.forget(gone)
    all_of_them.forget(gone)
    noted(all_of_them, slow, 99)
    assert not slow.is_cut
    noted(all_of_them, slow, 101)
    assert slow.is_cut
