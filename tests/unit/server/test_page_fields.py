"""pages.fields: what is typed into forms."""

import pytest

from holdfastd.web.pages import fields
from holdfastd.web.pages.fields import FieldError

NOW_MS = 1_800_000_000_000


def test_whole_numbers_within_their_bounds() -> None:
    assert fields.whole(" -5 ", -10, 10) == -5
    assert fields.whole("\N{MINUS SIGN}5", -10, 10) == -5
    for text in ("", "x", "1.5", "11", "1e3", "٣"):
        with pytest.raises(FieldError):
            fields.whole(text, -10, 10)


def test_lengths_of_time_with_units_alone_and_added_up() -> None:
    assert fields.length_ms("500ms") == 500
    assert fields.length_ms("1.5 h") == 5_400_000
    assert fields.length_ms("1h 30m") == 5_400_000
    assert fields.length_ms("2d") == 172_800_000
    for text in ("", "10", "10 parsecs", "-5s", "h"):
        with pytest.raises(FieldError):
            fields.length_ms(text)


def test_an_instant_is_a_length_from_now_or_is_written_in_utc() -> None:
    assert fields.when_ms("10m", NOW_MS) == NOW_MS + 600_000
    assert fields.when_ms("in 10m", NOW_MS) == NOW_MS + 600_000
    assert fields.when_ms("now", NOW_MS) == NOW_MS
    assert fields.when_ms("2026-12-01 08:00", NOW_MS) == 1_796_112_000_000
    assert fields.when_ms("2026-12-01T08:00:00+02:00", NOW_MS) == 1_796_104_800_000
    for text in ("", "tomorrow", "2026-13-01"):
        with pytest.raises(FieldError):
            fields.when_ms(text, NOW_MS)


def test_json_keeps_every_digit_and_says_where_it_is_wrong() -> None:
    assert fields.json_value('{"n": 9007199254740993}') == {"n": 9_007_199_254_740_993}
    assert fields.json_value("  ") is None
    with pytest.raises(FieldError, match="line 2, column 3"):
        fields.json_value('{"a": 1,\n  b: 2}')
    for text in ("NaN", "Infinity", "[" * 500 + "]" * 500, "[" * 100_000):
        with pytest.raises(FieldError):
            fields.json_value(text)


def test_words_between_commas_each_once() -> None:
    assert fields.words(" eu, batch ,,eu") == ["eu", "batch"]
