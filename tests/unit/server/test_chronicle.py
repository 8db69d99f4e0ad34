"""Charts of a real engine on a model store: what is on disk and what is in memory make one."""

from itertools import pairwise

import pytest

from holdfastd.chronicle import (
    POINTS_MAX,
    ROWS_MAX,
    STEPS_MS,
    Chronicle,
    Percentiles,
    Point,
    step_of,
)
from holdfastd.engine.history import HOUR_MS, HOURS_KEPT_MS, MINUTE_MS, MINUTES_KEPT_MS
from holdfastd.store.base import Place
from support.engine import START_MS, Driver, P, W

MINUTE_AT_MS = START_MS - START_MS % MINUTE_MS
DAY_MS = 24 * HOUR_MS


class DriversClock:
    def __init__(self, driver: Driver):
        self._driver = driver

    def now_ms(self) -> int:
        return self._driver.now_ms

    def monotonic(self) -> float:
        return self._driver.monotonic


class Charted(Driver):
    """With charts."""

    @property
    def chronicle(self) -> Chronicle:
        return Chronicle(self.store, self.engine.history, DriversClock(self))

    async def added(self, step_ms: int, back_ms: int = 10 * MINUTE_MS) -> list[int]:
        """Of the last points of a chart of all."""
        points = await self.chronicle.read(
            None, None, self.now_ms - back_ms, self.now_ms + 1, step_ms
        )
        return [point.added for point in points]


@pytest.fixture
def driver() -> Charted:
    driver = Charted()
    driver.attach(P, "producer")
    driver.attach(W, "worker", worker="w")
    return driver


def end_minute(driver: Driver) -> None:
    driver.pass_time((MINUTE_MS - driver.now_ms % MINUTE_MS) / 1000)


async def test_the_running_minute_is_in_the_chart(driver: Charted) -> None:
    driver.add(P, "q", "a", "b")
    assert (await driver.added(MINUTE_MS))[-2:] == [0, 2]
    assert (await driver.added(HOUR_MS))[-1:] == [2]


async def test_a_minute_is_counted_once_at_each_point_of_its_way_to_the_disk(
    driver: Charted,
) -> None:
    driver.add(P, "q", "a", "b")
    driver.now_ms += MINUTE_MS
    driver.monotonic += 60
    for _ in range(6):
        assert (await driver.added(MINUTE_MS))[-2:] == [2, 0]
        assert (await driver.added(HOUR_MS))[-1:] == [2]
        driver.step()
    assert driver.is_at_rest
    assert driver.disk.history
    driver.add(P, "q", "c")
    assert (await driver.added(MINUTE_MS))[-2:] == [2, 1]
    assert (await driver.added(HOUR_MS))[-1:] == [3]


async def test_a_chart_is_the_same_after_a_restart_within_the_minute(driver: Charted) -> None:
    driver.add(P, "q", "a", "b")
    driver.engine.finish(driver.moment)
    driver.flush()
    driver.start()
    assert (await driver.added(MINUTE_MS))[-1] == 2
    driver.attach(P, "producer")
    driver.add(P, "q", "c")
    assert (await driver.added(MINUTE_MS))[-1] == 3
    assert (await driver.added(HOUR_MS))[-1] == 3


async def test_a_point_says_all_that_happened_until_the_next(driver: Charted) -> None:
    driver.add(P, "q", *(f"job-{number}" for number in range(100)))
    driver.subscribe(W, "q", credit=100)
    for number, item in enumerate(driver.take(W)):
        driver.now_ms += 1
        if number == 99:
            driver.fail(W, item, -1)
        else:
            driver.ack(W, item)
    end_minute(driver)
    driver.pass_time(240)
    (point,) = [
        point
        for point in await driver.chronicle.read("q", "work", START_MS, driver.now_ms, 5 * 60_000)
        if point.added
    ]
    assert point == Point(
        MINUTE_AT_MS - MINUTE_AT_MS % 300_000,
        100,
        99,
        1,
        0,
        0,
        Percentiles(0, 0, 0),
        Percentiles(point.run_ms.p50, point.run_ms.p95, point.run_ms.p99),
    )
    assert point.run_ms.p50 == pytest.approx(50, rel=1 / 8)
    assert point.run_ms.p95 == pytest.approx(95, rel=1 / 8)
    assert point.run_ms.p99 == pytest.approx(99, rel=1 / 8)


async def test_where_nothing_happened_are_points_without_percentiles(driver: Charted) -> None:
    points = await driver.chronicle.read("none", None, START_MS - HOUR_MS, START_MS, MINUTE_MS)
    assert len(points) == 61
    nothing = Percentiles(None, None, None)
    assert {point.wait_ms for point in points} == {nothing}
    steps = {after.at_ms - point.at_ms for point, after in pairwise(points)}
    assert steps == {MINUTE_MS}


async def test_charts_of_a_queue_and_of_all_are_sums_of_names(driver: Charted) -> None:
    driver.add(P, "q", "a", "b")
    driver.add(P, "r", "c")
    for _ in range(2):
        for queue, name, expected in ((None, None, 3), ("q", None, 2), ("q", "work", 2)):
            points = await driver.chronicle.read(
                queue, name, driver.now_ms - HOUR_MS, driver.now_ms + 1, MINUTE_MS
            )
            assert sum(point.added for point in points) == expected
        end_minute(driver)


@pytest.mark.parametrize("back_ms", [MINUTE_MS, HOUR_MS, DAY_MS, 2 * DAY_MS, 7 * DAY_MS, 10**13])
@pytest.mark.parametrize("step_ms", [1, MINUTE_MS, 7 * MINUTE_MS, HOUR_MS, DAY_MS, 10**10])
async def test_a_chart_has_a_bounded_number_of_points_and_reads_a_bounded_number_of_rows(
    driver: Charted, back_ms: int, step_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Place] = []
    history = driver.store.history

    async def counting(queue: str, name: str, places: list[Place]) -> object:
        asked.extend(places)
        return await history(queue, name, places)

    monkeypatch.setattr(driver.store, "history", counting)
    points = await driver.chronicle.read(
        None, None, driver.now_ms - back_ms, driver.now_ms, step_ms
    )
    assert 1 <= len(points) <= POINTS_MAX
    assert len(asked) <= ROWS_MAX


async def test_a_time_that_is_not_there_makes_an_empty_chart(driver: Charted) -> None:
    now_ms = driver.now_ms
    for from_ms, to_ms in ((now_ms, now_ms - 1), (now_ms + 5, now_ms + 10**9), (0, 10)):
        assert await driver.chronicle.read(None, None, from_ms, to_ms, MINUTE_MS) == []


def test_a_step_is_the_next_longer_one_of_which_the_history_is_there() -> None:
    now_ms = 10**12
    assert step_of(now_ms - HOUR_MS, now_ms, 1, now_ms) == MINUTE_MS
    assert step_of(now_ms - HOUR_MS, now_ms, 3 * MINUTE_MS, now_ms) == 5 * MINUTE_MS
    assert step_of(now_ms - DAY_MS, now_ms, 1, now_ms) == 5 * MINUTE_MS
    assert step_of(now_ms - MINUTES_KEPT_MS, now_ms, 1, now_ms) == 10 * MINUTE_MS
    assert step_of(now_ms - MINUTES_KEPT_MS - 1, now_ms, 1, now_ms) == HOUR_MS
    assert step_of(now_ms - HOURS_KEPT_MS, now_ms, 1, now_ms) == 6 * HOUR_MS
    assert step_of(now_ms - HOUR_MS, now_ms, 10**12, now_ms) == STEPS_MS[-1] == DAY_MS


async def test_hours_go_on_where_minutes_are_gone(driver: Charted) -> None:
    driver.add(P, "q", "a")
    end_minute(driver)
    driver.pass_time(60 * 24 * 3_600)
    driver.attach(P, "producer")
    driver.add(P, "q", "b")
    end_minute(driver)
    assert sum(await driver.added(MINUTE_MS, MINUTES_KEPT_MS - HOUR_MS)) == 1
    assert sum(await driver.added(MINUTE_MS, 89 * DAY_MS)) == 2


async def test_the_top_names_are_found_by_what_they_did(driver: Charted) -> None:
    driver.subscribe(W, "slow", credit=1)
    driver.add(P, "slow", "a")
    (item,) = driver.take(W)
    driver.pass_time(9)
    driver.ack(W, item)
    driver.subscribe(W, "bad", "busy", credit=10)
    driver.add(P, "bad", "a", "b")
    for item in driver.take(W):
        driver.fail(W, item, -1)
    driver.add(P, "busy", *"abcde")
    for item in driver.take(W):
        driver.ack(W, item)
    end_minute(driver)
    for back_ms in (HOUR_MS, DAY_MS):
        found = {
            kind: await driver.chronicle.top(kind, driver.now_ms - back_ms, driver.now_ms, 1)
            for kind in ("failing", "slowest", "busiest")
        }
        names = {kind: [top.queue for top in tops] for kind, tops in found.items()}
        assert names == {"failing": ["bad"], "slowest": ["slow"], "busiest": ["busy"]}
        (failing,) = found["failing"]
        assert (failing.name, failing.ended, failing.failed) == ("work", 2, 2)
        assert found["slowest"][0].run_p95_ms == pytest.approx(9_000, rel=1 / 8)


def test_the_last_minute_of_a_queue_and_of_all(driver: Charted) -> None:
    driver.add(P, "q", "a", "b")
    driver.add(P, "r", "c")
    assert driver.chronicle.per_minute("q").added == 2
    assert driver.chronicle.per_minute().added == 3
