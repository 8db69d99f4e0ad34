"""Words, small pictures and trees of the pages; nothing gets through unescaped."""

import json

import pytest
from jinja2 import UndefinedError

from holdfastd.web.assets import Assets
from holdfastd.web.pages import charts, jsontree, series, words
from holdfastd.web.pages.rendering import Rendering

HOSTILE = "<script>alert(1)</script>\"'&"


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, "\N{EN DASH}"),
        (0, "0 ms"),
        (850.4, "850 ms"),
        (3_250, "3.2 s"),
        (59_999, "60 s"),
        (250_000, "4 min 10 s"),
        (3_600_000, "1 h"),
        (183_600_000, "2 d 3 h"),
        (-5, "0 ms"),
    ],
)
def test_lengths_are_told_in_their_two_largest_units(ms: float | None, text: str) -> None:
    assert words.duration(ms) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (9_999, "9,999"), (12_345, "12.3k"), (1_000_000, "1M"), (2.25, "2.2"), (3.0, "3")],
)
def test_numbers_are_short_above_ten_thousand(value: float, text: str) -> None:
    assert words.short(value) == text


def test_an_instant_is_exact_in_the_page_and_coarse_in_its_words() -> None:
    html = str(words.ago(1_700_000_000_123, 1_700_000_190_000))
    assert 'datetime="2023-11-14T22:13:20.123Z"' in html
    assert 'data-at="1700000000123"' in html
    assert html.endswith(">3 min ago</time>")
    assert "in 10 s" in words.ago(20_000, 10_000)
    assert words.ago(10**18, 0).startswith("<time")


def test_names_in_addresses_are_quoted() -> None:
    assert words.page_url("/queues", "a/b?c#d") == "/queues/a%2Fb%3Fc%23d"
    assert words.page_url("/jobs", q="queue:a b", after=None) == "/jobs?q=queue%3Aa+b"


def test_a_bar_shows_every_state_that_has_jobs_and_fills_its_width() -> None:
    segments = charts._segments([("waiting", 1_000_000), ("failed", 1)])
    assert [state for state, _, _ in segments] == ["waiting", "failed"]
    assert segments[1][2] >= charts.SEGMENT_MIN
    assert segments[-1][1] + segments[-1][2] == charts.WIDTH
    assert "fill-waiting" not in charts.bar({"waiting": 0})


def test_a_sparkline_of_nothing_is_a_flat_line() -> None:
    assert "M0 27H120" in charts.sparkline([0, 0, 0], "nothing")
    assert "&lt;script&gt;" in charts.sparkline([1, 2], HOSTILE)


def test_a_tree_keeps_every_digit_and_runs_nothing() -> None:
    big = 2**63 + 1
    html = str(jsontree.tree({"id": big, HOSTILE: [HOSTILE, None, True, 1.5]}))
    assert str(big) in html
    assert "<script>" not in html
    assert html.count("&lt;script&gt;") >= 2
    assert json.loads(jsontree.text({"id": big}))["id"] == big


def test_a_tree_is_bounded() -> None:
    wide = str(jsontree.tree(list(range(jsontree.NODES_MAX * 3))))
    assert wide.count("<li>") <= jsontree.NODES_MAX
    assert f"{jsontree.NODES_MAX * 2 + 1:,} more" in wide
    deep: object = 1
    for _ in range(jsontree.DEPTH_MAX * 3):
        deep = [deep]
    assert "nested deeper" in jsontree.tree(deep)


def test_a_name_that_a_template_does_not_get_is_an_error() -> None:
    rendering = Rendering(Assets(), lambda: 0)
    with pytest.raises(UndefinedError):
        rendering.text("toast.html", text="done")
    assert "&lt;script&gt;" in rendering.text("toast.html", text=HOSTILE, link=None, kind="")


def test_a_chart_has_a_point_for_every_step_and_its_last_is_a_rate_too() -> None:
    hour = series.range_named("1h")
    now_ms = 1_700_000_030_000
    minute = now_ms // 60_000 * 60_000
    point = {"at_ms": minute, "completed": 10, "failed": 0}
    chart = series.throughput(series.Past([point], hour, now_ms))
    completed = chart.series[0].values
    assert len(chart.times_ms) == len(completed) == 60
    assert chart.times_ms[-1] == minute
    passed_min = (now_ms - minute) / 60_000
    assert completed[-1] == pytest.approx(10 / passed_min, abs=0.01)
    assert completed[:-1] == [0] * 59
    assert chart.has_values
    assert not series.throughput(series.Past([], hour, now_ms)).has_values


def test_an_unknown_range_is_the_first_one() -> None:
    assert series.range_named("<b>") is series.RANGES[0]
