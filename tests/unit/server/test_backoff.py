"""How often an address may try a wrong key."""

from holdfastd.access.backoff import ADDRESSES_MAX, FAILURES_MAX, WINDOW_S, BackOff


def held_after(failures: int, host: str = "h") -> BackOff:
    back_off = BackOff()
    for _ in range(failures):
        back_off.failed(host, 0.0)
    return back_off


def test_an_address_is_held_after_ten_wrong_keys_until_the_minute_is_over() -> None:
    assert held_after(FAILURES_MAX - 1).held_s("h", "k", 1.0) == 0
    back_off = held_after(FAILURES_MAX)
    assert back_off.held_s("h", "k", 1.0) == WINDOW_S - 1
    assert back_off.held_s("other", "k", 1.0) == 0
    assert back_off.held_s("h", "k", WINDOW_S) == 0
    assert not back_off.failed("h", WINDOW_S), "a new window begins"


def test_of_a_hundred_thousand_wrong_keys_ten_a_minute_are_looked_at() -> None:
    back_off, looked_at = BackOff(), 0
    for number in range(100_000):
        now_s = number * 0.01  # a hundred a second: 1,000 s
        if not back_off.held_s("h", f"k{number}", now_s):
            looked_at += 1
            back_off.failed("h", now_s)
    minutes = 100_000 * 0.01 / WINDOW_S
    assert looked_at <= FAILURES_MAX * (minutes + 1)


def test_a_key_that_was_good_there_stays_good() -> None:
    back_off = BackOff()
    back_off.succeeded("h", "good")
    for _ in range(FAILURES_MAX):
        back_off.failed("h", 0.0)
    assert back_off.held_s("h", "good", 1.0) == 0
    assert back_off.held_s("h", "new", 1.0) > 0
    assert back_off.held_s("h", "", 1.0) > 0


def test_a_site_has_one_count_for_all_its_addresses() -> None:
    back_off = BackOff()
    for number in range(FAILURES_MAX):
        back_off.failed(f"2001:db8:1:2::{number:x}", 0.0)
    assert back_off.held_s("2001:db8:1:2:ffff::1", "k", 1.0) > 0
    assert back_off.held_s("2001:db8:1:3::1", "k", 1.0) == 0
    mapped = held_after(FAILURES_MAX, "::ffff:10.0.0.7")
    assert mapped.held_s("10.0.0.7", "k", 1.0) > 0
    assert mapped.held_s("::ffff:10.0.0.8", "k", 1.0) == 0


def test_what_is_remembered_is_bounded() -> None:
    back_off = BackOff()
    for number in range(ADDRESSES_MAX + 5):
        back_off.failed(f"h{number}", 0.0)
    assert len(back_off._records) == ADDRESSES_MAX
    for number in range(1_000):
        back_off.succeeded("h", f"k{number}")
    assert len(back_off._record("h").good) == 100
