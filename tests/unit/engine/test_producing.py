"""producing.py: jobs are added and counted."""

from holdfastd.engine import commands
from holdfastd.engine.events import EventNumber
from holdfastd.engine.model import Keep, QueueSettings, Rate, Retention, State
from holdfastd.engine.producing import describe_stats
from holdfastd.engine.stats import QueueStats
from support.engine import START_MS, Driver, P, W, held_of, new_job

# ---- adding --------------------------------------------------------------------------------------


def test_the_same_id_is_reported_as_existing_wherever_the_job_is(driver: Driver) -> None:
    assert driver.add(P, "q", "a") == []
    (existing,) = driver.add(P, "q", "a")  # on disk only
    assert (existing.at, existing.state) == (0, State.WAITING)
    items = list(enumerate([new_job("b"), new_job("b")]))
    (twice,) = driver.ask(P, commands.Enqueue("q", items, []))
    assert twice.at == 1
    driver.do(P, commands.Enqueue("q", [(0, new_job("c"))], []))
    (in_open_batch,) = driver.add(P, "q", "c")
    assert in_open_batch.state == State.WAITING
    assert driver.counts("q") == {"waiting": 3}


def test_an_id_is_noticed_although_the_same_request_pushes_its_job_out_of_memory(
    driver: Driver,
) -> None:
    driver.add(P, "q", "a")
    urgent = [new_job(f"u{number}", priority=-1) for number in range(5)]
    items = list(enumerate([*urgent, new_job("a")]))
    (existing,) = driver.ask(P, commands.Enqueue("q", items, []))
    assert existing.at == 5
    assert driver.counts("q") == {"waiting": 6}


def test_an_id_is_free_again_once_its_job_is_removed(driver: Driver) -> None:
    driver.add(P, "q", "a")
    driver.do(P, commands.Remove("q", ["a"], None))
    assert driver.add(P, "q", "a") == []
    assert driver.counts("q") == {"waiting": 1}
    assert len(driver.disk.jobs) == 1


def test_a_run_at_in_the_past_runs_at_once(driver: Driver) -> None:
    driver.add(P, "q", "a", run_at_ms=5)
    assert driver.counts("q") == {"waiting": 1}


def test_what_was_refused_before_is_part_of_the_answer(driver: Driver) -> None:
    refused = [0, 305, "too large"]
    driver.add(P, "q", "a")
    items = [(1, new_job("b")), (2, new_job("a"))]
    answer = driver.ask(P, commands.Enqueue("q", items, [refused]))
    assert [answer[0], answer[1].at] == [refused, 2]


def test_a_request_of_refused_items_alone_makes_no_queue(driver: Driver) -> None:
    refused = [0, 305, "too large"]
    assert driver.ask(P, commands.Enqueue("q", [], [refused])) == [refused]
    assert driver.engine.queues == {}


def test_only_new_jobs_are_counted_as_accepted(driver: Driver) -> None:
    driver.add(P, "q", "a", "b")
    driver.add(P, "q", "b", "c")
    stats = driver.engine.queues["q"].stats
    assert (stats.accepted, stats.duplicates) == (3, 1)


def test_jobs_that_were_not_taken_are_counted_with_their_queue_or_the_others(
    driver: Driver,
) -> None:
    driver.ask(P, commands.Enqueue("new", [], [[0, 305, "no"], [1, 305, "no"]]))
    assert (driver.engine.ledger.other.rejected, driver.engine.queues) == (2, {})
    driver.add(P, "q", "a")
    driver.ask(P, commands.Enqueue("q", [(1, new_job("b"))], [[0, 305, "no"]]))
    stats = driver.engine.queues["q"].stats
    assert (stats.rejected, stats.accepted) == (1, 2)
    assert driver.engine.ledger.other.rejected == 2


def test_a_job_is_counted_in_its_minute_by_its_name(driver: Driver) -> None:
    driver.add(P, "q", "a", "b")
    driver.add(P, "q", "b")
    assert driver.engine.queues["q"].tallies["work"].added == 2


# ---- counts --------------------------------------------------------------------------------------


def test_counts_describe_a_queue(driver: Driver) -> None:
    driver.add(P, "q", "a")
    driver.add(P, "r", "a")
    found = dict(driver.ask(P, commands.Counts(None, None, 1)))
    assert list(found) == ["q"]
    assert (found["q"]["waiting"], found["q"]["paused"], found["q"]["workers"]) == (1, False, 0)
    assert [name for name, _ in driver.ask(P, commands.Counts(None, "q", 9))] == ["r"]


def test_counts_tell_what_has_happened_since_the_start_whatever_was_removed(
    driver: Driver,
) -> None:
    for id in ("a", "b", "c"):
        lease = driver.lease(id, attempts=2 if id == "b" else 1)
        if id == "a":
            driver.ack(W, held_of(lease))
        else:
            driver.fail(W, held_of(lease))
    driver.ask(P, commands.Remove("q", ["a"], None))
    ((_, found),) = driver.ask(P, commands.Counts("q", None, 1))
    assert found["completed"] == 0
    assert found["since_start"] == {
        "added": 3,
        "completed": 1,
        "failed": 1,
        "retries": 1,
        "lost": 0,
    }


def test_counts_tell_the_settings_as_configure_takes_them(driver: Driver) -> None:
    driver.ask(P, commands.Configure("q", QueueSettings(5, Rate(10, 1000, 2))))
    ((_, shown),) = driver.ask(P, commands.Counts("q", None, 1))
    assert shown["settings"]["concurrency"] == 5
    assert shown["settings"]["rate"] == {"limit": 10, "period_ms": 1000, "burst": 2}
    assert shown["settings"]["retention"]["failed"] == {"age_ms": 30 * 86_400_000, "count": None}


def test_counts_are_those_of_the_commands_before_them(driver: Driver) -> None:
    item = driver.lease()
    driver.add(P, "q", "b")
    driver.do(W, commands.Ack([(held_of(item), None)], 0))
    ((_, shown),) = driver.ask(P, commands.Counts(None, None, 9))
    assert (shown["completed"], shown["waiting"], shown["active"]) == (1, 1, 0)


def test_a_queue_is_described_in_full(driver: Driver) -> None:
    keep = Retention(Keep(1, 2), Keep(3, None), Keep(None, 4))
    driver.ask(P, commands.Configure("q", QueueSettings(5, None, keep)))
    driver.subscribe(W, "q", credit=1)
    driver.add(P, "q", "a", "b", "c", attempts=2)
    driver.add(P, "q", "later", run_at_ms=START_MS + 60_000)
    driver.ask(P, commands.Pause("q"))
    driver.ask(P, commands.Cancel("q", ["c"], None))
    ((name, found),) = driver.ask(P, commands.Counts("q", None, 1))
    assert (name, found) == (
        "q",
        {
            "waiting": 1,
            "delayed": 1,
            "active": 1,
            "blocked": 0,
            "completed": 0,
            "failed": 0,
            "cancelled": 1,
            "paused": True,
            "workers": 1,
            "settings": {
                "concurrency": 5,
                "rate": None,
                "retention": {
                    "completed": {"age_ms": 1, "count": 2},
                    "failed": {"age_ms": 3, "count": None},
                    "cancelled": {"age_ms": None, "count": 4},
                },
            },
            "since_start": {"added": 4, "completed": 0, "failed": 0, "retries": 0, "lost": 0},
        },
    )


def test_what_has_happened_is_told_by_what_it_was() -> None:
    stats = QueueStats(accepted=1, completed=2, jobs_failed=3, retries=4, attempts_lost=5)
    told = {"added": 1, "completed": 2, "failed": 3, "retries": 4, "lost": 5}
    assert describe_stats(stats) == told


def test_a_listing_has_the_queues_one_may_see_by_name(driver: Driver) -> None:
    for name in ("c", "a", "b"):
        driver.ask(P, commands.Pause(name))

    def names(command: commands.Counts) -> list[str]:
        return [name for name, _ in driver.ask(P, command)]

    assert names(commands.Counts(None, None, 9)) == ["a", "b", "c"]
    assert names(commands.Counts(None, None, 2)) == ["a", "b"]
    assert names(commands.Counts(None, "a", 9)) == ["b", "c"]
    assert names(commands.Counts(None, None, 9, lambda name: name != "b")) == ["a", "c"]


def test_a_job_that_is_added_is_told_with_its_instant(driver: Driver) -> None:
    driver.ask(P, commands.Listen("q", None))
    driver.add(P, "q", "a")
    driver.add(P, "q", "b", run_at_ms=START_MS + 5_000)
    told = [(event.kind, event.id, event.details) for event in driver.events]
    assert told == [
        (EventNumber.ADDED, "a", {}),
        (EventNumber.ADDED, "b", {"run_at_ms": START_MS + 5_000}),
    ]
