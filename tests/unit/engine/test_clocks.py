"""The wall clock jumps, by days and years, both ways: leases do not notice, nothing runs early by
more than the jump, nothing waits for ever, no limit is passed."""

import pytest

from holdfastd.engine import commands
from holdfastd.engine.model import Keep, QueueSettings, Rate, Retention, State
from holdfastd.engine.promoting import PROMOTED_PER_TICK_MAX
from support.engine import SETTINGS, Driver, P, V, W, ids_of, new_job

DAY_MS = 86_400_000
JUMPS = [DAY_MS, -DAY_MS, 3_650 * DAY_MS, -3_650 * DAY_MS]


@pytest.mark.parametrize("jump_ms", JUMPS)
def test_a_lease_is_neither_cut_short_nor_drawn_out(driver: Driver, jump_ms: int) -> None:
    driver.lease()
    driver.now_ms += jump_ms
    driver.pass_time(SETTINGS.lease_ms / 1000 - 1)
    assert driver.row("a").state is State.ACTIVE
    driver.now_ms -= jump_ms
    driver.pass_time(2)
    assert driver.row("a").crashes == 1


@pytest.mark.parametrize("jump_ms", JUMPS)
def test_a_delayed_job_runs_at_its_instant_of_the_wall_clock(driver: Driver, jump_ms: int) -> None:
    due_at_ms = driver.now_ms + 60_000
    driver.subscribe(W, "q", credit=5)
    driver.add(P, "q", "late", run_at_ms=due_at_ms)
    driver.now_ms += jump_ms
    driver.pass_time(1)
    assert ids_of(driver.take(W)) == (["late"] if driver.now_ms >= due_at_ms else [])
    driver.beat(W)
    driver.now_ms = due_at_ms - 1
    driver.flush()
    assert driver.counts("q") == ({"active": 1} if jump_ms > 0 else {"delayed": 1})
    driver.now_ms = due_at_ms
    driver.flush()
    assert driver.counts("q") == {"active": 1}


def test_a_jump_forward_makes_no_burst_of_one_batch(driver: Driver) -> None:
    jobs = [new_job(f"j{n}", run_at_ms=driver.now_ms + 1_000 * n + 1_000) for n in range(3_000)]
    driver.ask(P, commands.Enqueue("q", list(enumerate(jobs)), []))
    driver.now_ms += DAY_MS
    driver.step()
    assert driver.engine.queues["q"].counts[State.WAITING] <= PROMOTED_PER_TICK_MAX
    driver.flush()
    assert driver.counts("q") == {"waiting": 3_000}


def test_no_number_of_jumps_is_worth_a_start_above_the_rate(driver: Driver) -> None:
    driver.ask(P, commands.Configure("q", QueueSettings(rate=Rate(10, 1_000, 5))))
    driver.subscribe(W, "q", credit=1_000)
    driver.add(P, "q", *(f"j{number}" for number in range(200)))
    started = len(driver.take(W))
    for jump_ms in JUMPS * 5:
        driver.now_ms += jump_ms
        driver.pass_time(0.1)
        driver.beat(W)
        started += len(driver.take(W))
    assert started == 5 + 20


def test_a_rate_is_kept_over_a_restart(driver: Driver) -> None:
    driver.ask(P, commands.Configure("q", QueueSettings(rate=Rate(1, 1_000, 5))))
    driver.subscribe(W, "q", credit=1_000)
    driver.add(P, "q", *(f"j{number}" for number in range(20)))
    assert len(driver.take(W)) == 5
    driver.monotonic = 3.0  # another start of the machine
    driver.start()
    driver.attach(W, "worker", worker="w")
    driver.subscribe(W, "q", credit=1_000)
    again = len(driver.take(W))  # those whose lease the new connection did not name
    driver.pass_time(3.001)
    driver.beat(W)
    assert (again, len(driver.take(W))) == (5, 3)


# ---- what is dropped for its age ------------------------------------------------------------


def finished(driver: Driver, age_ms: int) -> None:
    """A job that is done, in a queue that keeps such for age_ms."""
    keep = Keep(age_ms, None)
    settings = QueueSettings(retention=Retention(keep, keep, keep))
    driver.ask(P, commands.Configure("q", settings))
    driver.ack(W, driver.lease())


def jump(driver: Driver, jump_ms: int) -> None:
    """As the pipeline does it."""
    driver.now_ms += jump_ms
    driver.engine.distrust(driver.moment)


def pass_minutes(driver: Driver, count: int) -> None:
    for _ in range(count):
        driver.pass_time(61)


def test_a_false_time_that_is_put_right_within_the_hour_drops_nothing(driver: Driver) -> None:
    finished(driver, DAY_MS)
    pass_minutes(driver, 70)
    for jump_ms in (3_650 * DAY_MS, -3_650 * DAY_MS):
        jump(driver, jump_ms)
        pass_minutes(driver, 50)
        assert driver.counts("q") == {"completed": 1}


def test_a_new_time_that_stays_is_believed(driver: Driver) -> None:
    finished(driver, DAY_MS)
    jump(driver, 2 * DAY_MS)
    pass_minutes(driver, 61)
    assert driver.counts("q") == {}


def test_a_short_age_is_waited_for_and_no_more(driver: Driver) -> None:
    finished(driver, 120_000)
    jump(driver, DAY_MS)
    pass_minutes(driver, 1)
    assert driver.counts("q") == {"completed": 1}
    pass_minutes(driver, 3)
    assert driver.counts("q") == {}


def test_a_machine_that_wakes_up_with_a_false_time_drops_nothing_at_its_start(
    driver: Driver,
) -> None:
    finished(driver, DAY_MS)
    driver.now_ms += 3_650 * DAY_MS
    driver.start()
    pass_minutes(driver, 50)
    assert driver.counts("q") == {"completed": 1}


@pytest.mark.parametrize("jump_ms", JUMPS)
def test_an_absent_session_is_remembered_over_a_jump(driver: Driver, jump_ms: int) -> None:
    driver.attach(V, "v")
    driver.add(V, "q", "a")
    driver.detach(V)
    jump(driver, jump_ms)
    pass_minutes(driver, 50)
    assert "v" in driver.engine.sessions


def test_a_session_that_was_seen_in_a_false_future_is_forgotten_in_time(driver: Driver) -> None:
    jump(driver, 3_650 * DAY_MS)
    driver.attach(V, "v")
    driver.add(V, "q", "a")
    driver.detach(V)
    jump(driver, -3_650 * DAY_MS)
    pass_minutes(driver, 61)
    driver.pass_time(SETTINGS.session_ms / 1000)
    driver.pass_time(61)
    assert "v" not in driver.engine.sessions


@pytest.mark.parametrize("jump_ms", JUMPS)
def test_a_connected_session_is_remembered_however_long_ago_it_was_heard_of(
    driver: Driver, jump_ms: int
) -> None:
    driver.attach(V, "v")
    driver.add(V, "q", "a")
    last_request = driver.request
    jump(driver, jump_ms)
    pass_minutes(driver, 70)
    driver.detach(V)
    driver.flush()
    assert driver.attach(V, "v").last_request == last_request
