"""Schedules: put, due, paused, run by hand; where HELLO has the feature."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from holdfast.conformance.checks import Theme
from holdfast.conformance.scene import NIL, Scene
from holdfast.conformance.speaking import Speaker
from holdfast.wire import messages as wire
from holdfast.wire.constants import (
    EVERY_MS_MIN,
    RUN_LENGTH_MAX,
    SCHEDULE_ID_LENGTH_MAX,
    ErrorCode,
    ItemStatus,
    Op,
    State,
)

theme = Theme("schedules", "Schedules")
check = theme.check

HOUR_MS: Final = 3_600_000
SECOND: Final = {"every_ms": EVERY_MS_MIN}
HOURLY: Final = {"every_ms": HOUR_MS}
FIRINGS_S: Final = 3.0
"""Enough for two instants that are a second apart, and a busy server."""


def feature(speaker: Speaker, scene: Scene) -> None:
    """Raises Skipped where the server has none."""
    assert speaker.hello is not None, "it was let in"
    if "schedules" not in speaker.hello.info["features"]:
        scene.skip("this server has no schedules: HELLO has no feature of that name")


async def entered(scene: Scene) -> tuple[Speaker, str]:
    speaker = await scene.enter()
    feature(speaker, scene)
    return speaker, scene.queue()


def schedule(queue: str, id: str, when: dict[str, Any], **options: Any) -> wire.Schedule:
    return wire.Schedule(0, queue, id, "report", b"\x07", when, options)


async def shown(speaker: Speaker, queue: str, id: str) -> dict[str, Any]:
    """As SCHEDULES tells of it."""
    page = await speaker.ask(wire.Schedules(0, queue, id))
    speaker.same("ids in the page", [each["id"] for each in page["schedules"]], [id])
    speaker.same("next", page["next"], None)
    return dict(page["schedules"][0])


def id_at(id: str, due_at_ms: int) -> str:
    """Of the job of a due instant."""
    at = datetime.fromtimestamp(due_at_ms // 1000, UTC) + timedelta(milliseconds=due_at_ms % 1000)
    how = "milliseconds" if due_at_ms % 1000 else "seconds"
    return f"{id}@{at.replace(tzinfo=None).isoformat(timespec=how)}Z"


@check("put", "SCHEDULE makes a schedule; SCHEDULES shows it.", Op.SCHEDULE, Op.SCHEDULES)
async def put(scene: Scene) -> None:
    speaker, queue = await entered(scene)
    message = schedule(queue, "nightly", HOURLY, attempts=3, tags=["eu"], overlap="skip")
    made = await speaker.ask(message)
    expected = {
        "queue": queue,
        "id": "nightly",
        "name": "report",
        "payload": b"\x07",
        "when": HOURLY,
        "origin": "client",
        "paused": False,
        "last_due_at_ms": None,
        "last_job": None,
        "fired": 0,
        "missed": 0,
        "skipped": 0,
    }
    for name, value in expected.items():
        speaker.same(f"the schedule's {name}", made.get(name), value)
    options = {"missed": "once", "overlap": "skip", "priority": 0, "lifo": False}
    options |= {"attempts": 3, "max_crashes": 3, "tags": ["eu"]}
    speaker.same("options", made["options"], options)
    speaker.expect(made["words"], "words for people", made)
    until_ms = made["next_at_ms"] - made["created_at_ms"]
    speaker.expect(0 < until_ms <= HOUR_MS, "next_at_ms within an hour", made)
    speaker.same("what SCHEDULES shows", await shown(speaker, queue, "nightly"), made)


@check("put-again", "Saying it again changes nothing; another one takes its place.", Op.SCHEDULE)
async def put_again(scene: Scene) -> None:
    speaker, queue = await entered(scene)
    first = await speaker.ask(schedule(queue, "s", HOURLY))
    again = await speaker.ask(schedule(queue, "s", HOURLY))
    speaker.same("the schedule that was said again", again, first)
    other = await speaker.ask(schedule(queue, "s", HOURLY, priority=5))
    came = (other["options"]["priority"], other["next_at_ms"], other["created_at_ms"])
    expected = (5, first["next_at_ms"], first["created_at_ms"])
    speaker.same("priority, next_at_ms, created_at_ms", came, expected)


@check(
    "due",
    "When it is due it adds its job, whose id is made of the schedule's and the instant.",
    Op.SCHEDULE,
    Op.JOBS,
)
async def due(scene: Scene) -> None:
    speaker, queue = await entered(scene)
    within_s = scene.waits(FIRINGS_S, "two instants of a schedule")
    await speaker.ask(wire.Subscribe(0, [queue], 2))
    made = await speaker.ask(schedule(queue, "tick", SECOND, priority=4))
    for number in range(2):
        due_at_ms = made["next_at_ms"] + number * EVERY_MS_MIN
        job = await speaker.take_job(within_s)
        came = (job.id, job.name, job.payload)
        speaker.same("id, name, payload", came, (id_at("tick", due_at_ms), "report", b"\x07"))
        found = await scene.job(speaker, queue, job.id)
        speaker.same("priority", found["priority"], 4)
        speaker.expect(found["created_at_ms"] >= due_at_ms, "no job before its time", found)
    after = await shown(speaker, queue, "tick")
    came = (after["fired"], after["last_job"], after["last_due_at_ms"])
    speaker.same("fired, last_job, last_due_at_ms", came, (2, job.id, due_at_ms))
    speaker.same("next_at_ms", after["next_at_ms"], due_at_ms + EVERY_MS_MIN)


@check(
    "overlap",
    "With overlap skip nothing is added while the last job has not ended; it is counted.",
    Op.SCHEDULE,
)
async def overlap(scene: Scene) -> None:
    speaker, queue = await entered(scene)
    within_s = scene.waits(FIRINGS_S, "two instants of a schedule")
    await speaker.ask(wire.Subscribe(0, [queue], 2))
    await speaker.ask(schedule(queue, "tick", SECOND, overlap="skip"))
    job = await speaker.take_job(within_s)
    for _ in range(50):
        told = await shown(speaker, queue, "tick")
        if told["skipped"]:
            break
        await speaker.sees(lambda: bool(speaker.jobs), 0.1)
        await speaker.ask_items(wire.Heartbeat(0, []))  # whoever is silent gets no job
    speaker.expect(told["skipped"] >= 1, "skipped above 0", told)
    speaker.same("jobs pushed beside the one that runs", speaker.jobs, [])
    await speaker.ask_items(wire.Ack(0, [[*job.held, None]]))
    await speaker.take_job(within_s)


@check(
    "cron",
    "A cron pattern is due by the clock of its zone, which is UTC unless it says otherwise.",
    Op.SCHEDULE,
)
async def cron(scene: Scene) -> None:
    speaker, queue = await entered(scene)
    new_year = {"cron": "0 0 1 1 *"}
    made = await speaker.ask(schedule(queue, "utc", new_year))
    speaker.same("when", made["when"], {**new_year, "tz": "UTC"})
    now = datetime.fromtimestamp(made["created_at_ms"] / 1000, UTC)
    next_at = datetime(now.year + 1, 1, 1, tzinfo=UTC)
    expected_ms = int(next_at.timestamp()) * 1000
    speaker.same("next_at_ms, of a new year in UTC", made["next_at_ms"], expected_ms)
    kolkata = {**new_year, "tz": "Asia/Kolkata"}  # 5:30 ahead, all the year
    made = await speaker.ask(schedule(queue, "kolkata", kolkata))
    ahead_ms = (5 * 60 + 30) * 60_000
    now_there = now + timedelta(milliseconds=ahead_ms)
    there = datetime(now_there.year + 1, 1, 1, tzinfo=UTC)
    expected_ms = int(there.timestamp()) * 1000 - ahead_ms
    speaker.same("next_at_ms, of a new year in Kolkata", made["next_at_ms"], expected_ms)


@check(
    "bad",
    "What is never due, or no schedule at all, is refused, and nothing is made.",
    ErrorCode.BAD_OPTION,
    ErrorCode.UNKNOWN_SCHEDULE,
)
async def bad(scene: Scene) -> None:
    speaker, queue = await entered(scene)
    whens: list[dict[str, Any]] = [
        {},
        {"cron": "* * * * *", "every_ms": HOUR_MS},
        {"cron": "every day"},
        {"cron": "61 * * * *"},
        {"cron": "0 0 30 2 *"},
        {"cron": "* * * * *", "tz": "Mars/Olympus"},
        {"every_ms": EVERY_MS_MIN - 1},
        {"every_ms": "1h"},
    ]
    for when in whens:
        await speaker.refused(schedule(queue, "s", when), ErrorCode.BAD_OPTION)
    wrong: list[dict[str, Any]] = [
        {"delay_ms": 1},
        {"run_at_ms": 1},
        {"missed": "all"},
        {"overlap": True},
        {"priority": "high"},
    ]
    for options in wrong:
        await speaker.refused(schedule(queue, "s", HOURLY, **options), ErrorCode.BAD_OPTION)
    for id in ("", "a\nb", "x" * (SCHEDULE_ID_LENGTH_MAX + 1)):
        await speaker.refused(schedule(queue, id, HOURLY), ErrorCode.BAD_OPTION)
    empty = wire.Schedule(0, queue, "s", "report", b"", HOURLY, {})
    await speaker.refused(empty, ErrorCode.EMPTY_PAYLOAD)
    await speaker.refused(wire.Schedules(0, queue, "s"), ErrorCode.UNKNOWN_SCHEDULE)


@check(
    "pause",
    "A paused schedule is not due, and stays paused when it is put again; RESUME_SCHEDULE goes on "
    "from then.",
    Op.PAUSE_SCHEDULE,
    Op.RESUME_SCHEDULE,
)
async def pause(scene: Scene) -> None:
    speaker, queue = await entered(scene)
    await speaker.ask(schedule(queue, "s", HOURLY))
    for _ in range(2):
        await speaker.ask(wire.PauseSchedule(0, queue, "s"))
    told = await shown(speaker, queue, "s")
    speaker.same("paused, next_at_ms", (told["paused"], told["next_at_ms"]), (True, None))
    again = await speaker.ask(schedule(queue, "s", {"every_ms": 2 * HOUR_MS}))
    speaker.same("paused, next_at_ms", (again["paused"], again["next_at_ms"]), (True, None))
    await speaker.ask(wire.ResumeSchedule(0, queue, "s"))
    told = await shown(speaker, queue, "s")
    speaker.same("paused", told["paused"], False)
    is_ahead = told["next_at_ms"] > told["changed_at_ms"]
    speaker.expect(is_ahead, "next_at_ms behind the instant of RESUME_SCHEDULE", told)


@check(
    "run",
    "RUN_SCHEDULE adds one job now, and the same `run` no second one; the plan stays.",
    Op.RUN_SCHEDULE,
)
async def run(scene: Scene) -> None:
    speaker, queue = await entered(scene)
    made = await speaker.ask(schedule(queue, "s", HOURLY))
    for _ in range(2):
        id = await speaker.ask(wire.RunSchedule(0, queue, "s", "r1"))
        speaker.same("the job's id", id, "s@now-r1")
    found = await scene.job(speaker, queue, "s@now-r1")
    speaker.same("state", found["state"], int(State.WAITING))
    counts = await speaker.ask(wire.Counts(0, queue))
    speaker.same("waiting jobs", counts[0][1]["waiting"], 1)
    told = await shown(speaker, queue, "s")
    came = (told["next_at_ms"], told["fired"], told["last_job"])
    speaker.same("next_at_ms, fired, last_job", came, (made["next_at_ms"], 0, "s@now-r1"))
    for name in ("", "x" * (RUN_LENGTH_MAX + 1)):
        await speaker.refused(wire.RunSchedule(0, queue, "s", name), ErrorCode.BAD_OPTION)
    longest = "s" * SCHEDULE_ID_LENGTH_MAX
    await speaker.ask(schedule(queue, longest, HOURLY))
    id = await speaker.ask(wire.RunSchedule(0, queue, longest, "x" * RUN_LENGTH_MAX))
    await scene.job(speaker, queue, id)


@check(
    "unschedule",
    "UNSCHEDULE takes the schedule away; its jobs stay.",
    Op.UNSCHEDULE,
    ErrorCode.UNKNOWN_SCHEDULE,
)
async def unschedule(scene: Scene) -> None:
    speaker, queue = await entered(scene)
    await speaker.ask(schedule(queue, "s", HOURLY))
    id = await speaker.ask(wire.RunSchedule(0, queue, "s", "r1"))
    await speaker.ask(wire.Unschedule(0, queue, "s"))
    await scene.job(speaker, queue, id)
    for message in (
        wire.Unschedule(0, queue, "s"),
        wire.PauseSchedule(0, queue, "s"),
        wire.ResumeSchedule(0, queue, "s"),
        wire.RunSchedule(0, queue, "s", "r2"),
        wire.Schedules(0, queue, "s"),
    ):
        await speaker.refused(message, ErrorCode.UNKNOWN_SCHEDULE)


@check("pages", "SCHEDULES goes through a queue, or all, page by page, in order.", Op.SCHEDULES)
async def pages(scene: Scene) -> None:
    speaker, queue = await entered(scene)
    ids = [f"s{number}" for number in range(5)]
    for id in reversed(ids):
        await speaker.ask(schedule(queue, id, HOURLY))
    found, after = [], None
    for _ in ids:
        page = await speaker.ask(wire.Schedules(0, queue, None, after, 2))
        found += [each["id"] for each in page["schedules"]]
        after = page["next"]
        if after is None:
            break
    speaker.same("ids, over all pages", found, ids)
    everywhere = await speaker.ask(wire.Schedules(0, None, None, [queue, "s0"], 2))
    places = [(each["queue"], each["id"]) for each in everywhere["schedules"]]
    speaker.same("of all queues, behind the first", places, [(queue, "s1"), (queue, "s2")])
    await speaker.refused(wire.Schedules(0, None, "s1"), ErrorCode.BAD_REQUEST)


@check(
    "its-own-id",
    "A job with the id of an instant is there already: no second one is made of it.",
    Op.SCHEDULE,
    Op.ENQUEUE,
)
async def its_own_id(scene: Scene) -> None:
    speaker, queue = await entered(scene)
    await speaker.ask(schedule(queue, "s", HOURLY))
    id = await speaker.ask(wire.RunSchedule(0, queue, "s", "r1"))
    items = [[id, "n", NIL, None]]
    await speaker.ask_items(wire.Enqueue(0, queue, items), (0, ItemStatus.EXISTING))


@check("obliterate", "The queue's schedules go with it.", Op.OBLITERATE)
async def obliterate(scene: Scene) -> None:
    speaker, queue = await entered(scene)
    await speaker.ask(schedule(queue, "s", HOURLY))
    await speaker.ask(wire.RunSchedule(0, queue, "s", "r1"))
    speaker.same("jobs removed", await speaker.ask(wire.Obliterate(0, queue)), 1)
    await speaker.refused(wire.Schedules(0, queue, "s"), ErrorCode.UNKNOWN_SCHEDULE)
