"""What `holdfast top` makes of two samples of COUNTS."""

from typing import Any

import pytest

from holdfast.top import RATES, STATES, Sample, compare, facts, table


def queue(waiting: int = 0, *, is_paused: bool = False, **since_start: int) -> dict[str, Any]:
    """As COUNTS describes one."""
    return {
        **dict.fromkeys(STATES, 0),
        "waiting": waiting,
        "workers": 2,
        "paused": is_paused,
        "settings": {},
        "since_start": {**dict.fromkeys(RATES, 0), **since_start},
    }


def rates(before: dict[str, Any] | None, now: dict[str, Any]) -> dict[str, float | None]:
    samples = Sample(10.0, {"q": before} if before else {}), Sample(12.0, {"q": now})
    (row,) = compare(*samples).rows
    return row.per_second


def test_a_rate_is_what_happened_over_the_time_between_the_samples() -> None:
    found = rates(queue(added=5, completed=100), queue(added=25, completed=101))
    assert found == {"added": 10, "completed": 0.5, "failed": 0, "retries": 0, "lost": 0}


@pytest.mark.parametrize(
    ("before", "now"),
    [
        pytest.param(None, queue(added=1), id="the queue is new"),
        pytest.param(queue(added=9), queue(added=1), id="the daemon was started anew"),
        pytest.param(queue(), {**queue(), "since_start": None}, id="an older daemon"),
    ],
)
def test_a_rate_that_cannot_be_known_is_none(
    before: dict[str, Any] | None, now: dict[str, Any]
) -> None:
    assert rates(before, now) == dict.fromkeys(RATES)


def test_one_sample_alone_has_no_rates_and_a_dash_in_their_place() -> None:
    view = compare(None, Sample(1.0, {"q": queue(3)}))
    assert view.seconds is None
    header, line = table(view, "waiting", None, None)
    assert line.split() == ["q", "3", "0", "0", "0", "0", "0", "2", "-", "-", "-", "-", "-"]
    assert len(header.split()) == len(line.split())


def sample() -> Sample:
    return Sample(1.0, {f"queue-{at}": queue(at, is_paused=at == 1) for at in range(1, 6)})


def test_the_largest_come_first_and_the_sum_last() -> None:
    lines = list(table(compare(None, sample()), "waiting", None, None))
    assert [line.split()[0] for line in lines] == ["queue", *names(5, 4, 3, 2, 1), "all"]
    assert lines[-1].split()[1] == "15"
    by_name = list(table(compare(None, sample()), "name", None, None))
    assert [line.split()[0] for line in by_name] == ["queue", *names(1, 2, 3, 4, 5), "all"]
    assert "paused" in by_name[1]


def names(*numbers: int) -> list[str]:
    return [f"queue-{at}" for at in numbers]


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("height", [4, 6, 8, 50])
def test_it_fits_whatever_the_size_of_the_terminal(width: int, height: int) -> None:
    lines = list(table(compare(None, sample()), "waiting", width, height))
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert ("and 4 more queues" in lines) == (height == 4)


def test_a_long_name_is_cut_before_a_column_is() -> None:
    view = compare(None, Sample(1.0, {"n" * 128: queue(7)}))
    header, line = table(view, "waiting", 115, None)
    assert "lost/s" in header
    assert "n…" in line


def test_for_programs_unknown_rates_are_null_and_the_order_is_kept() -> None:
    found = facts(compare(None, sample()), "waiting")
    assert list(found["queues"]) == names(5, 4, 3, 2, 1)
    assert found["queues"]["queue-1"]["paused"] is True
    assert found["queues"]["queue-1"]["per_second"] == dict.fromkeys(RATES)
    assert found["seconds"] is None
