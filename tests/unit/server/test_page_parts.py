"""What pages are put together from: facts in words, controls, what is remembered."""

from typing import Any

import pytest

from holdfastd.access.rights import ANYBODY
from holdfastd.web.pages import controls, facts, views
from holdfastd.web.pages.fields import FieldError
from holdfastd.web.pages.sparks import MINUTE_MS, MINUTES, READ_AT_ONCE, Sparks
from holdfastd.web.remembered import KEPT_MAX, Remembered

NOW_MS = 1_700_000_000_000


@pytest.mark.parametrize(
    ("key", "value", "name", "text"),
    [
        ("wal_bytes", 4_194_304, "Write-ahead log", "4 MiB"),
        ("disk_free_bytes", 900, "Disk free", "900 bytes"),
        ("mean_commit_seconds", 0.0004, "Mean commit", "0.4 ms"),
        ("every_ms", 86_400_000, "Every", "1 d"),
        ("is_ready", True, "Ready", "yes"),
        ("directory", "", "Directory", "\N{EN DASH}"),
        ("last_at_ms", None, "Last", "\N{EN DASH}"),
        ("sqlite", "3.45.1", "SQLite", "3.45.1"),
        ("commits", 12_345, "Commits", "12,345"),
    ],
)
def test_a_fact_is_written_by_its_unit(key: str, value: Any, name: str, text: str) -> None:
    assert facts.name(key) == name
    assert facts.value(key, value, NOW_MS) == text


def test_an_instant_among_the_facts_is_told_as_its_age() -> None:
    assert ">3 min ago<" in facts.value("last_at_ms", NOW_MS - 180_000, NOW_MS)


def queue(**changed: Any) -> dict[str, Any]:
    counts = {"waiting": 3, "delayed": 2, "active": 1, "completed": 4}
    settings = {"concurrency": None, "rate": None}
    told = {"name": "mail", "counts": counts, "active": 1, "settings": settings}
    return {**told, **changed}


@pytest.mark.parametrize(
    ("kind", "says"),
    [("pause", "3 jobs will wait"), ("drain", "5 jobs now"), ("obliterate", "10 jobs now")],
)
def test_a_question_says_how_many_jobs_it_is_about(kind: str, says: str) -> None:
    assert says in controls.QUEUES[kind].ask(queue()).text


def test_limits_of_a_form_are_what_acting_takes() -> None:
    params = controls.QUEUES["limits"].params
    typed = {"concurrency": " 5 ", "limit": "10", "period": "1m", "burst": ""}
    rate = {"limit": 10, "period_ms": 60_000, "burst": 10}
    assert params(queue(), typed) == {"concurrency": 5, "rate": rate}
    assert params(queue(), {}) == {"concurrency": None, "rate": None}
    for wrong in ({"concurrency": "x"}, {"limit": "0"}, {"limit": "1", "period": "soon"}):
        with pytest.raises(FieldError):
            params(queue(), wrong)


def test_a_form_of_limits_begins_with_those_in_force_and_keeps_what_was_typed() -> None:
    rate = {"limit": 10, "period_ms": 3_600_000, "burst": 2}
    asked = controls.QUEUES["limits"].ask(queue(settings={"concurrency": 4, "rate": rate}))
    assert [field.value for field in asked.fields] == ["4", "10", "1h", "2"]
    typed = asked.with_typed({"concurrency": "many"})
    assert [field.value for field in typed.fields] == ["many", "10", "1h", "2"]


def test_a_queue_is_deleted_only_by_who_types_its_name() -> None:
    params = controls.QUEUES["obliterate"].params
    assert params(queue(), {"typed": " mail "}) == {}
    for typed in ("", "Mail", "mail2"):
        with pytest.raises(FieldError):
            params(queue(), {"typed": typed})


def test_limits_and_retention_are_told_in_a_few_words() -> None:
    rate = {"limit": 10, "period_ms": 1_000, "burst": 10}
    assert views.limits({"concurrency": 5, "rate": rate}) == "5 at once, 10 per s"
    assert views.limits({"concurrency": None, "rate": None}) == "\N{EN DASH}"
    assert views.retention({"age_ms": 86_400_000, "count": 1_000}) == "for 1 d, at most 1,000"
    assert views.retention({"age_ms": None, "count": None}) == "for good"


def test_the_oldest_of_a_queue_is_an_instant_that_does_not_change_while_time_passes() -> None:
    told = [views.queue({"oldest_waiting_age_ms": age}, NOW_MS + age) for age in (5, 900, 7_003)]
    assert {each["oldest_at_ms"] for each in told} == {NOW_MS}
    assert views.queue({"oldest_waiting_age_ms": None}, NOW_MS)["oldest_at_ms"] is None


async def test_what_is_remembered_is_made_once_while_it_is_good_and_does_not_pile_up() -> None:
    now, made = 0.0, 0

    async def make() -> int:
        nonlocal made
        made += 1
        return made

    remembered: Remembered[int] = Remembered(10, lambda: now)
    assert [await remembered.get("a", make) for _ in range(3)] == [1, 1, 1]
    now = 10.0
    assert await remembered.get("a", make) == 2
    for key in range(KEPT_MAX * 2):
        await remembered.get(key, make)
    assert len(remembered._kept) == KEPT_MAX


class Past:
    """A board that has one point of each queue, and counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def history(self, identity: Any, queue: str, *more: Any) -> list[dict[str, Any]]:
        self.asked.append(queue)
        to_ms = more[2]
        return [{"at_ms": to_ms - MINUTE_MS, "completed": 7}]


async def test_lines_of_many_queues_are_read_a_few_at_a_time() -> None:
    past = Past()
    sparks = Sparks(past, lambda: NOW_MS, lambda: 1.0)  # type: ignore[arg-type]  # see Past
    queues = [f"q{number}" for number in range(READ_AT_ONCE + 2)]
    first = await sparks.of(ANYBODY, queues)
    assert past.asked == queues[:READ_AT_ONCE]
    assert first[queues[0]] == [0] * (MINUTES - 1) + [7]
    assert first[queues[-1]] == []
    second = await sparks.of(ANYBODY, queues)
    assert past.asked == queues
    assert all(second.values())
