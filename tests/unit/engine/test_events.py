"""events.py: the last events of a queue, numbered."""

from holdfastd.engine.events import EVENTS_KEPT, EventRing, QueueEvent


def test_a_ring_gives_what_came_after_a_number_and_says_what_is_missing() -> None:
    ring = EventRing(3 << 40)
    events = [ring.add(1, 5, f"j{number}", "n", {}) for number in range(5)]
    assert events[0].number == (3 << 40) + 1
    assert ring.after(events[2].number) == (events[3:], False)
    assert ring.after(ring.last) == ([], False)
    assert ring.after((2 << 40) + 7) == (events, True)
    assert ring.after(ring.last + 1) == ([], True)


def test_a_ring_is_bounded() -> None:
    ring = EventRing(1 << 40)
    first = ring.add(1, 0, None, None, {})
    for _ in range(EVENTS_KEPT):
        ring.add(1, 0, None, None, {})
    kept, missed = ring.after(first.number)
    assert (len(kept), missed) == (EVENTS_KEPT, False)
    assert ring.after(first.number - 1)[1]


def test_an_event_is_numbered_after_the_last_and_says_what_it_was_given() -> None:
    ring = EventRing(41)
    event = ring.add(3, 1_000, "a", "work", {"to": "r"})
    assert event == QueueEvent(42, 3, 1_000, "a", "work", {"to": "r"})
    assert ring.last == 42
    assert ring.add(3, 1_000, None, None, {}).number == 43


def test_of_an_empty_ring_only_the_last_number_misses_nothing() -> None:
    ring = EventRing(41)
    assert [ring.after(number)[1] for number in (40, 41, 42)] == [True, False, True]
