"""schedules.py, scheduling.py: each due instant makes exactly one job, whatever happens."""

from typing import Any, Final

import pytest

from holdfast.wire.constants import JOB_ID_LENGTH_MAX, RUN_LENGTH_MAX, SCHEDULE_ID_LENGTH_MAX
from holdfastd.engine import commands, schedules, scheduling
from holdfastd.engine.model import (
    Backoff,
    BackoffKind,
    Jitter,
    JobOptions,
    NewJob,
    QueueSettings,
    Rate,
)
from holdfastd.engine.outputs import Refusal, Refuse
from holdfastd.engine.recurrence import DUE_MS_MAX, Cron, Every
from holdfastd.engine.schedules import (
    MISSED_AFTER_MS,
    MISSED_COUNTED_MAX,
    Missed,
    Overlap,
    Schedule,
    ScheduleSpec,
    describe_options,
    job_id_of,
    put_over,
    run_id_of,
)
from holdfastd.engine.scheduling import DUE_PER_TICK_MAX, LEFT_ENTRIES_MAX
from support.engine import START_MS, Driver, P, W, ids_of

MINUTE: Final = 60_000
HOUR: Final = 3_600_000
DAY: Final = 86_400_000
EACH_MINUTE: Final = Every(MINUTE)
HOURLY: Final = Cron("0 * * * *", "UTC")


def spec(id: str = "s", recurrence: Any = EACH_MINUTE, **options: Any) -> ScheduleSpec:
    return ScheduleSpec(options.pop("queue", "q"), id, recurrence, "work", b"data", **options)


def put(driver: Driver, *args: Any, **options: Any) -> Any:
    return driver.ask(P, commands.PutSchedule(spec(*args, **options)))


def stored(driver: Driver, id: str = "s") -> Schedule:
    """As it is on the disk, and in memory."""
    (found,) = [each for each in driver.disk.schedules.values() if each.spec.id == id]
    assert driver.engine.schedule(found.spec.queue, id) == found
    return found


def jobs(driver: Driver) -> list[str]:
    """Ids of all durable jobs, in the order in which they were added."""
    return [row.id for row in sorted(driver.rows(), key=lambda row: row.seq)]


def due_id(minutes: float, id: str = "s") -> str:
    """Of the job that is due so long after the start."""
    return job_id_of(id, START_MS + round(minutes * MINUTE))


# ---- firing --------------------------------------------------------------------------------------


def test_each_due_instant_makes_a_job_called_after_it(driver: Driver) -> None:
    put(driver)
    driver.pass_time(59.9)
    assert jobs(driver) == []
    for _ in range(3):
        driver.pass_time(60)
    assert jobs(driver) == ["s@2023-11-14T22:14:20Z", due_id(2), due_id(3)]
    found = stored(driver)
    assert (found.fired, found.missed, found.skipped) == (3, 0, 0)
    assert (found.last_due_at_ms, found.last_job_id) == (START_MS + 3 * MINUTE, due_id(3))
    assert found.next_at_ms == START_MS + 4 * MINUTE


def test_the_engine_asks_to_be_woken_when_one_is_due(driver: Driver) -> None:
    put(driver, recurrence=Every(5_000))
    assert driver.engine.next_tick_s(driver.moment) == pytest.approx(5)
    driver.pass_time(4)
    assert driver.engine.next_tick_s(driver.moment) == pytest.approx(1)


def test_a_job_has_what_its_schedule_says(driver: Driver) -> None:
    options = JobOptions(attempts=7, tags=("eu",))
    put(driver, priority=-3, lifo=True, options=options)
    driver.subscribe(W, "q")
    driver.pass_time(60)
    driver.beat(W)
    ((_, queue, id, name, payload, attempt, attempts, *_),) = driver.take(W)
    assert (queue, id, name, payload) == ("q", due_id(1), "work", b"data")
    assert (attempt, attempts) == (1, 7)
    row = driver.row(id)
    assert (row.priority, row.order < 0, row.options) == (-3, True, options)


def test_job_and_schedule_are_in_one_batch(driver: Driver) -> None:
    put(driver)
    driver.now_ms += MINUTE
    driver.monotonic += 60
    batches: list[tuple[list[str], list[int]]] = []
    while not driver.is_at_rest:
        driver.step()
        if driver.writing is not None:
            batch, _ = driver.writing
            batches.append(([row.id for row in batch.added], [s.fired for s in batch.schedules]))
    assert [each for each in batches if each != ([], [])] == [([due_id(1)], [1])]


def test_a_kill_at_any_step_leaves_one_job(driver: Driver) -> None:
    for is_written in (False, True):
        for steps in range(6):
            other = Driver()
            other.attach(P, "p")
            put(other)
            other.now_ms += MINUTE
            other.monotonic += 60
            for _ in range(steps):
                other.step()
            other.crash(is_written)
            other.flush()
            assert jobs(other) == [due_id(1)], (is_written, steps)
            assert stored(other).fired == 1


def test_many_that_are_due_at_once_are_dealt_with_in_parts(driver: Driver) -> None:
    count = 3 * DUE_PER_TICK_MAX
    for number in range(count):
        driver.do(P, commands.PutSchedule(spec(f"s{number}")))
    driver.flush()
    driver.now_ms += MINUTE
    driver.engine.tick(driver.moment)
    assert len(driver.engine.take_reads()) == DUE_PER_TICK_MAX
    driver.start()  # what was being read is forgotten, as in a crash
    driver.flush()
    assert len(jobs(driver)) == len(set(jobs(driver))) == count


def test_one_that_has_missed_much_is_dealt_with_alone(driver: Driver) -> None:
    for number in range(3):
        put(driver, f"s{number}", Cron("* * * * *", "UTC"))
    driver.now_ms += 30 * DAY
    driver.engine.tick(driver.moment)
    assert len(driver.engine.take_reads()) == 1


def test_a_paused_queue_gets_its_jobs_and_they_wait(driver: Driver) -> None:
    put(driver)
    driver.ask(P, commands.Pause("q"))
    driver.subscribe(W, "q")
    driver.pass_time(60)
    assert (driver.counts("q"), driver.take(W)) == ({"waiting": 1}, [])


def test_events_and_counts_tell_of_a_schedules_jobs(driver: Driver) -> None:
    put(driver)
    driver.ask(P, commands.Listen("q", None))
    driver.pass_time(60)
    assert [(event.kind, event.id) for event in driver.events] == [(1, due_id(1))]
    assert driver.engine.queues["q"].stats.accepted == 1


def test_a_limit_on_the_queue_holds_for_its_jobs(driver: Driver) -> None:
    driver.ask(P, commands.Configure("q", QueueSettings(rate=Rate(1, HOUR, 1))))
    put(driver)
    driver.subscribe(W, "q", credit=5)
    driver.pass_time(60)
    driver.beat(W)
    driver.pass_time(60)
    assert ids_of(driver.take(W)) == [due_id(1)]


# ---- what is there already -----------------------------------------------------------------------


def test_an_instant_that_has_its_job_makes_none(driver: Driver) -> None:
    put(driver)
    driver.add(P, "q", due_id(1))
    driver.pass_time(60)
    assert jobs(driver) == [due_id(1)]
    found = stored(driver)
    assert (found.fired, found.skipped, found.last_job_id) == (0, 1, None)
    assert found.next_at_ms == START_MS + 2 * MINUTE
    assert driver.engine.schedule_stats.existing == 1


def test_a_job_that_is_made_while_it_is_looked_up_counts(driver: Driver) -> None:
    put(driver)
    driver.now_ms += MINUTE
    driver.engine.tick(driver.moment)
    new = NewJob(due_id(1), True, "work", b"x")  # a client that says it has made that up
    driver.do(P, commands.Enqueue("q", [(0, new)], []))
    driver.flush()
    assert jobs(driver) == [due_id(1)]


def test_the_last_instant_is_not_repeated_though_its_job_is_gone(driver: Driver) -> None:
    put(driver, recurrence=HOURLY)
    driver.pass_time(3600)
    (id,) = jobs(driver)
    driver.ask(P, commands.Remove("q", [id], None))
    driver.now_ms -= 2 * HOUR
    driver.engine.distrust(driver.moment)
    driver.pass_time(HOUR / 1000)  # another instant, that was never due
    driver.pass_time(HOUR / 1000)
    assert len(jobs(driver)) == 2
    driver.now_ms -= HOUR
    driver.engine.distrust(driver.moment)
    driver.ask(P, commands.Remove("q", jobs(driver), None))
    driver.pass_time(HOUR / 1000)
    assert jobs(driver) == []


# ---- time in which the daemon was down -----------------------------------------------------------


def test_after_a_long_time_one_job_is_made_for_the_last_instant(driver: Driver) -> None:
    put(driver)
    driver.now_ms += 10 * DAY + 5_000
    driver.start()
    driver.flush()
    assert jobs(driver) == [due_id(10 * 24 * 60)]
    found = stored(driver)
    assert (found.fired, found.missed) == (1, 10 * 24 * 60 - 1)
    assert found.next_at_ms == START_MS + 10 * DAY + MINUTE
    assert driver.engine.schedule_stats.lag_seconds.total == pytest.approx(5)


def test_missed_instants_of_a_pattern_are_counted_up_to_a_bound(driver: Driver) -> None:
    put(driver, recurrence=Cron("* * * * *", "UTC"))
    driver.now_ms += 30 * DAY
    driver.start()
    driver.flush()
    assert (stored(driver).fired, stored(driver).missed) == (1, MISSED_COUNTED_MAX)


@pytest.mark.parametrize(("late_ms", "fired"), [(MISSED_AFTER_MS, 1), (MISSED_AFTER_MS + 1, 0)])
def test_with_missed_skip_nothing_is_made_long_after_its_time(
    driver: Driver, late_ms: int, fired: int
) -> None:
    put(driver, recurrence=Every(HOUR), missed=Missed.SKIP)
    driver.now_ms += 3 * HOUR + late_ms
    driver.start()
    driver.flush()
    found = stored(driver)
    assert (found.fired, found.missed, len(jobs(driver))) == (fired, 3 - fired, fired)
    assert found.next_at_ms == START_MS + 4 * HOUR
    assert driver.engine.schedule_stats.missed == 3 - fired


def test_a_full_disk_makes_it_wait_and_then_makes_one(driver: Driver) -> None:
    put(driver)
    driver.engine.refuses_jobs = Refusal.DISK_FULL
    driver.now_ms += 5 * MINUTE
    driver.engine.tick(driver.moment)
    assert not driver.engine.wants_reads
    assert driver.engine.next_tick_s(driver.moment) > 0
    driver.engine.refuses_jobs = None
    driver.flush()
    assert (jobs(driver), stored(driver).missed) == ([due_id(5)], 4)


def test_a_disk_that_fills_while_it_is_looked_up_makes_it_wait_too(driver: Driver) -> None:
    put(driver)
    driver.now_ms += MINUTE
    driver.engine.tick(driver.moment)
    driver.engine.refuses_jobs = Refusal.DISK_FULL
    driver.read()
    assert not driver.engine.has_open_batch
    driver.engine.refuses_jobs = None
    driver.flush()
    assert jobs(driver) == [due_id(1)]


def test_a_daemon_that_goes_down_leaves_it_to_the_next(driver: Driver) -> None:
    put(driver)
    driver.engine.drain()
    driver.now_ms += MINUTE
    driver.engine.tick(driver.moment)
    assert not driver.engine.wants_reads
    driver.start()
    driver.flush()
    assert jobs(driver) == [due_id(1)]


# ---- a clock that is set -------------------------------------------------------------------------


@pytest.mark.parametrize("jump_ms", [DAY, 3_650 * DAY])
def test_a_clock_set_forward_and_back_neither_bursts_nor_silences(
    driver: Driver, jump_ms: int
) -> None:
    put(driver)
    driver.now_ms += jump_ms
    driver.engine.distrust(driver.moment)
    driver.flush()
    assert len(jobs(driver)) == 1, "a burst"
    driver.now_ms -= jump_ms
    driver.engine.distrust(driver.moment)
    for _ in range(3):
        driver.pass_time(60)
    assert jobs(driver)[1:] == [due_id(1), due_id(2), due_id(3)], "silence"


def test_a_false_time_that_a_restart_puts_right_silences_nothing(driver: Driver) -> None:
    put(driver)
    driver.now_ms += DAY
    driver.flush()
    driver.now_ms -= DAY
    driver.start()
    driver.pass_time(60)
    assert jobs(driver) == [due_id(24 * 60), due_id(1)]


def test_one_that_was_made_at_a_false_time_is_not_silent_before_it(driver: Driver) -> None:
    driver.now_ms += 400 * DAY
    put(driver)
    driver.now_ms -= 401 * DAY
    driver.engine.distrust(driver.moment)
    driver.pass_time(60)
    assert jobs(driver) == [job_id_of("s", START_MS - DAY + MINUTE)]


def test_instants_that_come_again_make_no_second_job(driver: Driver) -> None:
    put(driver)
    for _ in range(5):
        driver.pass_time(60)
    driver.now_ms -= 5 * MINUTE
    driver.engine.distrust(driver.moment)
    for _ in range(6):
        driver.pass_time(60)
    assert jobs(driver) == [due_id(minute) for minute in range(1, 7)]
    assert (stored(driver).fired, stored(driver).skipped) == (6, 5)


def test_a_jump_back_while_it_is_looked_up_puts_it_off(driver: Driver) -> None:
    put(driver, recurrence=HOURLY)
    due = stored(driver).next_at_ms
    assert due is not None
    driver.now_ms = due
    driver.engine.tick(driver.moment)
    driver.now_ms -= DAY
    driver.engine.distrust(driver.moment)
    driver.flush()
    assert jobs(driver) == [], "it is not due, by the time that it is now"
    driver.now_ms = due
    driver.flush()
    assert jobs(driver) == [job_id_of("s", due)]


# ---- overlap -------------------------------------------------------------------------------------


def test_with_overlap_skip_nothing_is_added_while_the_last_job_has_not_ended(
    driver: Driver,
) -> None:
    put(driver, overlap=Overlap.SKIP)
    driver.pass_time(60)
    driver.pass_time(60)
    assert (jobs(driver), stored(driver).skipped) == ([due_id(1)], 1)
    assert driver.engine.schedule_stats.skipped == 1
    driver.beat(W)
    driver.subscribe(W, "q")
    (item,) = driver.take(W)
    for _ in range(3):
        driver.pass_time(20)
        driver.beat(W)
    assert stored(driver).skipped == 2, "it runs"
    driver.beat(W)
    driver.ack(W, item)
    driver.pass_time(60)
    assert jobs(driver) == [due_id(1), due_id(4)]


def test_with_overlap_skip_a_job_that_was_removed_has_ended(driver: Driver) -> None:
    put(driver, overlap=Overlap.SKIP)
    driver.pass_time(60)
    driver.ask(P, commands.Remove("q", jobs(driver), None))
    driver.pass_time(60)
    assert jobs(driver) == [due_id(2)]


def test_with_overlap_allow_they_are_added_all_the_same(driver: Driver) -> None:
    put(driver)
    driver.pass_time(60)
    driver.pass_time(60)
    assert len(jobs(driver)) == 2


# ---- commands ------------------------------------------------------------------------------------


def test_putting_it_again_changes_nothing(driver: Driver) -> None:
    first = put(driver)
    driver.pass_time(30)
    batch = driver.batch
    again = put(driver)
    assert again == first
    assert (stored(driver).next_at_ms, stored(driver).anchor_ms) == (START_MS + MINUTE, START_MS)
    assert driver.batch == batch + 1, "only the request's number is written"


def test_other_data_leaves_the_plan_alone_and_another_plan_begins_now(driver: Driver) -> None:
    put(driver)
    driver.pass_time(30)
    put(driver, priority=5)
    assert stored(driver).next_at_ms == START_MS + MINUTE
    put(driver, recurrence=Every(2 * MINUTE), priority=5)
    found = stored(driver)
    assert found.next_at_ms == START_MS + 30_000 + 2 * MINUTE
    assert (found.created_at_ms, found.changed_at_ms) == (START_MS, START_MS + 30_000)
    driver.pass_time(120)
    assert driver.row(due_id(2.5)).priority == 5
    assert len(jobs(driver)) == 1


def test_a_paused_one_stays_paused_whatever_is_put(driver: Driver) -> None:
    put(driver)
    driver.ask(P, commands.PauseSchedule("q", "s", True))
    assert put(driver, recurrence=HOURLY)["paused"] is True
    driver.pass_time(2 * 3600)
    assert (jobs(driver), stored(driver).next_at_ms) == ([], None)


def test_what_is_due_while_it_is_paused_is_not_missed(driver: Driver) -> None:
    put(driver)
    for _ in range(2):  # the second time changes nothing
        assert driver.ask(P, commands.PauseSchedule("q", "s", True)) is None
    driver.pass_time(600)
    assert driver.engine.paused_schedule_count == driver.engine.schedule_count == 1
    for _ in range(2):
        driver.ask(P, commands.PauseSchedule("q", "s", False))
    assert jobs(driver) == []
    driver.pass_time(60)
    assert (jobs(driver), stored(driver).missed) == ([due_id(11)], 0)


def test_one_that_is_paused_while_it_is_looked_up_makes_nothing(driver: Driver) -> None:
    put(driver)
    driver.now_ms += MINUTE
    driver.engine.tick(driver.moment)
    driver.do(P, commands.PauseSchedule("q", "s", True))
    driver.flush()
    assert jobs(driver) == []


def test_one_that_is_removed_makes_nothing_and_its_jobs_stay(driver: Driver) -> None:
    put(driver)
    driver.pass_time(60)
    driver.now_ms += MINUTE
    driver.engine.tick(driver.moment)
    number = driver.do(P, commands.RemoveSchedule("q", "s"))
    driver.flush()
    assert driver.answers[P, number] is None
    assert (jobs(driver), driver.disk.schedules) == ([due_id(1)], {})
    driver.pass_time(600)
    assert jobs(driver) == [due_id(1)]


def test_removed_and_put_in_one_batch_it_is_there(driver: Driver) -> None:
    put(driver)
    driver.do(P, commands.RemoveSchedule("q", "s"))
    driver.do(P, commands.PutSchedule(spec(priority=9)))
    driver.flush()
    assert stored(driver).spec.priority == 9
    driver.start()
    assert [each.spec.priority for each in driver.engine.schedules()] == [9]


def test_run_by_hand_it_makes_one_job_and_keeps_its_plan(driver: Driver) -> None:
    put(driver)
    id = driver.ask(P, commands.RunSchedule("q", "s", "abc"))
    assert id == "s@now-abc"
    assert driver.ask(P, commands.RunSchedule("q", "s", "abc")) == id
    assert jobs(driver) == [id]
    found = stored(driver)
    assert (found.last_job_id, found.last_due_at_ms, found.fired) == (id, None, 0)
    assert found.next_at_ms == START_MS + MINUTE
    assert driver.engine.schedule_stats.manual == 1


def test_a_run_by_hand_counts_for_the_overlap(driver: Driver) -> None:
    put(driver, overlap=Overlap.SKIP)
    driver.ask(P, commands.RunSchedule("q", "s", "abc"))
    driver.pass_time(60)
    assert jobs(driver) == ["s@now-abc"]


def test_a_paused_one_can_be_run_by_hand(driver: Driver) -> None:
    put(driver)
    driver.ask(P, commands.PauseSchedule("q", "s", True))
    driver.ask(P, commands.RunSchedule("q", "s", "abc"))
    assert jobs(driver) == ["s@now-abc"]


@pytest.mark.parametrize(
    "command",
    [
        commands.RemoveSchedule("q", "none"),
        commands.PauseSchedule("q", "none", True),
        commands.RunSchedule("q", "none", "x"),
        commands.Schedules("q", "none", None, 10),
        commands.RemoveSchedule("nowhere", "s"),
        commands.RunSchedule("nowhere", "s", "x"),
    ],
    ids=lambda command: type(command).__name__,
)
def test_what_does_not_exist_is_refused(driver: Driver, command: Any) -> None:
    put(driver)
    refused = driver.ask(P, command)
    assert isinstance(refused, Refuse)
    assert refused.refusal is Refusal.UNKNOWN_SCHEDULE
    assert refused.message.startswith("no schedule ")


@pytest.mark.parametrize(
    ("why", "put_is", "run_is"),
    [
        (Refusal.DISK_FULL, Refusal.DISK_FULL, Refusal.DISK_FULL),
        (Refusal.DRAINING, None, Refusal.DRAINING),
    ],
)
def test_without_room_for_jobs_none_is_made_by_hand(
    driver: Driver, why: Refusal, put_is: Refusal | None, run_is: Refusal
) -> None:
    put(driver)
    driver.engine.refuses_jobs = why
    number = driver.do(P, commands.PutSchedule(spec("other")))
    second = driver.do(P, commands.RunSchedule("q", "s", "x"))
    driver.read()  # what the second needs
    driver.flush()
    found = [driver.refusals.get((P, each)) for each in (number, second)]
    assert [each and each.refusal for each in found] == [put_is, run_is]


def test_their_number_and_their_data_are_bounded(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduling, "SCHEDULES_MAX", 2)
    put(driver, "a")
    put(driver, "b")
    refused = put(driver, "c")
    assert (refused.refusal, refused.message) == (
        Refusal.TOO_MANY,
        "there are 2 schedules already: remove some",
    )
    assert put(driver, "b", priority=1)["options"]["priority"] == 1
    driver.ask(P, commands.RemoveSchedule("q", "a"))
    assert put(driver, "c")["id"] == "c"
    monkeypatch.setattr(scheduling, "SCHEDULES_BYTES_MAX", 10)
    large = spec("c")._replace(payload=b"12345678")
    refused = driver.ask(P, commands.PutSchedule(large))
    assert refused.refusal is Refusal.TOO_MANY
    assert "has 8 bytes, and may have 10" in refused.message
    small = large._replace(payload=b"123456")
    assert driver.ask(P, commands.PutSchedule(small))["payload"] == b"123456"


# ---- with its queue ------------------------------------------------------------------------------


def test_a_queue_comes_into_being_with_its_schedule_and_takes_it_along(driver: Driver) -> None:
    put(driver)
    put(driver, queue="other")
    assert set(driver.engine.queues) == {"q", "other"}
    driver.pass_time(60)
    assert driver.ask(P, commands.Obliterate("q", False)) == 1
    assert [each.spec.queue for each in driver.engine.schedules()] == ["other"]
    driver.pass_time(60)
    assert set(driver.engine.queues) == {"other"}
    driver.start()
    assert [each.spec.queue for each in driver.engine.schedules()] == ["other"]


def test_while_its_queue_is_being_removed_none_is_put(driver: Driver) -> None:
    driver.add(P, "q", "a", "b")
    driver.do(P, commands.Obliterate("q", False))
    number = driver.do(P, commands.PutSchedule(spec()))
    driver.flush()
    assert driver.refusals[P, number].refusal is Refusal.BUSY
    assert driver.engine.schedules() == []


def test_while_its_queue_is_drained_it_is_put_and_fires(driver: Driver) -> None:
    put(driver)
    driver.add(P, "q", "a", "b")
    driver.do(P, commands.Drain("q", False))
    assert driver.ask(P, commands.PutSchedule(spec("t")))["id"] == "t"
    driver.pass_time(60)
    assert sorted(jobs(driver)) == [due_id(1), due_id(1, "t")]


# ---- looking -------------------------------------------------------------------------------------


def test_they_are_listed_by_queue_and_id_page_by_page(driver: Driver) -> None:
    for queue, id in (("b", "1"), ("a", "2"), ("a", "1"), ("c", "1")):
        put(driver, id, queue=queue)
    page = driver.ask(P, commands.Schedules(None, None, None, 3))
    assert [(each["queue"], each["id"]) for each in page["schedules"]] == [
        ("a", "1"),
        ("a", "2"),
        ("b", "1"),
    ]
    assert page["next"] == ["b", "1"]
    page = driver.ask(P, commands.Schedules(None, None, ("b", "1"), 3))
    assert ([each["queue"] for each in page["schedules"]], page["next"]) == (["c"], None)
    page = driver.ask(P, commands.Schedules("a", None, None, 3))
    assert [each["id"] for each in page["schedules"]] == ["1", "2"]
    page = driver.ask(P, commands.Schedules(None, None, None, 9, lambda queue: queue != "a"))
    assert [each["queue"] for each in page["schedules"]] == ["b", "c"]
    (one,) = driver.ask(P, commands.Schedules("a", "2", None, 9))["schedules"]
    assert (one["id"], one["payload"], one["words"]) == ("2", b"data", "Every minute")
    assert [each.spec.id for each in driver.engine.schedules("a", ("a", "1"), 5)] == ["2"]
    assert driver.engine.schedule("a", "3") is None
    assert driver.engine.schedule("z", "1") is None


def test_a_page_is_cut_by_its_bytes(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "PAGE_BYTES_MAX", 7)
    for id in ("a", "b", "c"):
        put(driver, id)
    page = driver.ask(P, commands.Schedules(None, None, None, 10))
    assert ([each["id"] for each in page["schedules"]], page["next"]) == (["a", "b"], ["q", "b"])


def test_it_is_described_as_it_was_put(driver: Driver) -> None:
    backoff = Backoff(BackoffKind.EXPONENTIAL, (1_000,), 3.0, 60_000, Jitter.FULL)
    found = put(driver, recurrence=Cron("0 2 * * *", "Europe/Berlin"))
    assert found["when"] == {"cron": "0 2 * * *", "tz": "Europe/Berlin"}
    assert found["options"] == {
        "missed": "once", "overlap": "allow", "priority": 0, "lifo": False, "attempts": 1,
        "max_crashes": 3, "tags": [],
    }  # fmt: skip
    told = describe_options(spec(options=JobOptions(backoff=backoff)))["backoff"]
    assert (told["kind"], told["cap_ms"]) == ("exponential", 60_000)


def test_the_next_instants_are_told_beforehand(driver: Driver) -> None:
    put(driver)
    found = stored(driver)
    assert found.upcoming(START_MS, 3) == [START_MS + n * MINUTE for n in (1, 2, 3)]
    assert found.upcoming(START_MS + 10 * MINUTE, 1) == [START_MS + MINUTE], "it is due"
    driver.ask(P, commands.PauseSchedule("q", "s", True))
    assert stored(driver).upcoming(START_MS, 3) == []


# ---- numbers -------------------------------------------------------------------------------------


def test_a_job_is_called_by_its_instant_with_milliseconds_if_need_be() -> None:
    assert job_id_of("nightly", 1_795_660_200_000) == "nightly@2026-11-26T02:30:00Z"
    assert job_id_of("s", 1_795_660_200_500) == "s@2026-11-26T02:30:00.500Z"
    longest = "x" * SCHEDULE_ID_LENGTH_MAX
    assert len(job_id_of(longest, DUE_MS_MAX)) <= JOB_ID_LENGTH_MAX
    assert len(run_id_of(longest, "r" * RUN_LENGTH_MAX)) <= JOB_ID_LENGTH_MAX


def test_a_plan_put_again_and_again_does_not_fill_the_memory(driver: Driver) -> None:
    for number in range(5 * LEFT_ENTRIES_MAX):
        driver.do(P, commands.PutSchedule(spec(recurrence=Every(HOUR + number * 1_000))))
    driver.flush()
    assert len(driver.engine._scheduling._heap) <= LEFT_ENTRIES_MAX + 3
    assert driver.engine.next_tick_s(driver.moment) <= 60


def test_one_that_is_never_due_again_is_left_alone(driver: Driver) -> None:
    put(driver, recurrence=Cron("0 0 1 1 *", "UTC"))
    driver.now_ms = DUE_MS_MAX
    driver.flush()
    found = stored(driver)
    assert (found.next_at_ms, found.fired, found.is_paused) == (None, 1, False)
    driver.now_ms = START_MS
    driver.engine.distrust(driver.moment)
    assert driver.engine.schedules()[0].next_at_ms is not None, "the clock was wrong"


def test_put_over_itself_it_is_the_same_object() -> None:
    made = schedules.new_schedule(Driver().engine._partition.add_queue("q").key, spec(), START_MS)
    assert put_over(made, spec(), START_MS + 5) is made


def test_one_that_is_not_due_yet_asks_for_nothing(driver: Driver) -> None:
    put(driver)
    schedule = stored(driver)
    assert schedule.next_at_ms is not None
    assert schedules.due(schedule, schedule.next_at_ms - 1) is None
    assert schedules.due(schedule, schedule.next_at_ms) is not None


def test_a_last_job_that_is_removed_while_it_is_looked_up_has_ended(driver: Driver) -> None:
    driver.subscribe(W, "q", credit=0)  # its jobs are in memory
    put(driver, overlap=Overlap.SKIP)
    driver.pass_time(60)
    assert jobs(driver) == [due_id(1)]
    driver.now_ms += MINUTE
    driver.monotonic += 60
    driver.engine.tick(driver.moment)
    driver.write()
    driver.begin_read()
    driver.do(P, commands.Remove("q", [due_id(1)], None))
    driver.end_read()
    driver.flush()
    assert jobs(driver) == [due_id(2)]
