"""CONFIGURE, PAUSE and RESUME: how many jobs run at once, how many start in a time."""

from itertools import pairwise
from typing import Any, Final

from holdfast.conformance.checks import Theme
from holdfast.conformance.scene import Scene
from holdfast.wire import messages as wire
from holdfast.wire.constants import ErrorCode, Op

theme = Theme("limits", "Administering")
check = theme.check

RATE_JOBS: Final = 4
RATE_MS: Final = 400
SLACK_MS: Final = 20
"""Instants are wall clock milliseconds, the rate is timed otherwise. Arbitrary."""


async def settings_of(scene: Scene, queue: str) -> dict[str, Any]:
    speaker = await scene.enter()
    counts = await speaker.ask(wire.Counts(0, queue))
    return dict(counts[0][1]["settings"])


@check("concurrency", "No more jobs run at once than the queue's concurrency.", Op.CONFIGURE)
async def concurrency(scene: Scene) -> None:
    worker, queue = await scene.enter(), scene.queue()
    await worker.ask(wire.Configure(0, queue, {"concurrency": 2}))
    await scene.add(worker, queue, *"abcd")
    other = await scene.worker(queue, credit=1)
    await worker.ask(wire.Subscribe(0, [queue], 4))
    (first,) = await other.take_jobs(1)
    second = await worker.take_job()
    await worker.gets_nothing("no third job at a concurrency of 2")
    await other.ask_items(wire.Ack(0, [[*first.held, None]]))
    await worker.take_job()
    await worker.gets_nothing("two jobs at once, of two workers")
    await worker.ask(wire.Configure(0, queue, {"concurrency": None}))
    await worker.take_job()
    await worker.ask_items(wire.Ack(0, [[*second.held, None]]))


@check("rate", "No more jobs start in a period than the queue's rate allows.", Op.CONFIGURE)
async def rate(scene: Scene) -> None:
    worker, queue = await scene.enter(), scene.queue()
    settings = {"rate": {"limit": RATE_JOBS, "period_ms": RATE_MS, "burst": 1}}
    await worker.ask(wire.Configure(0, queue, settings))
    ids = [f"j{number}" for number in range(4)]
    await scene.add(worker, queue, *ids)
    await worker.ask(wire.Subscribe(0, [queue], len(ids)))
    await worker.take_jobs(len(ids))
    started = [(await scene.job(worker, queue, id))["started_at_ms"] for id in ids]
    apart = [after - before for before, after in pairwise(started)]
    least = RATE_MS // RATE_JOBS - SLACK_MS
    worker.expect(min(apart) >= least, f"starts at least {least} ms apart", apart)


@check("burst", "As many as burst may start at once.", Op.CONFIGURE)
async def burst(scene: Scene) -> None:
    worker, queue = await scene.enter(), scene.queue()
    settings = {"rate": {"limit": 1, "period_ms": 3_600_000, "burst": 3}}
    await worker.ask(wire.Configure(0, queue, settings))
    await scene.add(worker, queue, *"abcde")
    await worker.ask(wire.Subscribe(0, [queue], 5))
    await worker.take_jobs(3)
    await worker.gets_nothing("no fourth job within the hour")


@check("kept", "CONFIGURE changes what it names, and COUNTS shows all settings.", Op.CONFIGURE)
async def kept(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    rate = {"limit": 10, "period_ms": 1000, "burst": 2}
    await speaker.ask(wire.Configure(0, queue, {"concurrency": 3, "rate": rate}))
    completed = {"age_ms": 60_000, "count": 100}
    await speaker.ask(wire.Configure(0, queue, {"retention": {"completed": completed}}))
    settings = await settings_of(scene, queue)
    speaker.same("concurrency", settings["concurrency"], 3)
    speaker.same("rate", settings["rate"], rate)
    speaker.same("retention.completed", settings["retention"]["completed"], completed)
    await speaker.ask(wire.Configure(0, queue, {"concurrency": None, "rate": None}))
    settings = await settings_of(scene, queue)
    came = (settings["concurrency"], settings["rate"])
    speaker.same("concurrency and rate, taken away", came, (None, None))
    speaker.same("retention.completed", settings["retention"]["completed"], completed)


@check("bad-settings", "Settings without sense are refused.", Op.CONFIGURE, ErrorCode.BAD_OPTION)
async def bad_settings(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    await speaker.ask(wire.Configure(0, queue, {"concurrency": 3}))
    wrong: list[dict[str, Any]] = [
        {"concurency": 1},
        {"concurrency": -1},
        {"concurrency": "2"},
        {"rate": 5},
        {"rate": {"limit": 0}},
        {"rate": {"limit": 1, "per": 1}},
        {"retention": {"waiting": {"count": 1}}},
        {"retention": {"completed": {"count": -1}}},
    ]
    for settings in wrong:
        await speaker.refused(wire.Configure(0, queue, settings), ErrorCode.BAD_OPTION)
    speaker.same("concurrency", (await settings_of(scene, queue))["concurrency"], 3)


@check(
    "pause",
    "No job of a paused queue is leased, those that run go on; RESUME lets them start.",
    Op.PAUSE,
    Op.RESUME,
)
async def pause(scene: Scene) -> None:
    queue = scene.queue()
    worker, job = await scene.leased(queue)
    await worker.ask(wire.Pause(0, queue))
    await worker.ask(wire.Pause(0, queue))
    await scene.add(worker, queue, "b")
    await worker.ask_items(wire.Ack(0, [[*job.held, None]], 1))
    await worker.gets_nothing("no job of a paused queue")
    await worker.ask(wire.Resume(0, queue))
    worker.same("id", (await worker.take_job()).id, "b")
