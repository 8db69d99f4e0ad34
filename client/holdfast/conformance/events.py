"""LISTEN, and what happens to a queue: each event once, in order, and again after a cut."""

from typing import Any

from holdfast.conformance.checks import Theme
from holdfast.conformance.leasing import ERROR
from holdfast.conformance.scene import Scene
from holdfast.conformance.speaking import Event
from holdfast.wire import messages as wire
from holdfast.wire.constants import EventKind, Op

theme = Theme("events", "Events")
check = theme.check

HOUR_MS = 3_600_000


def kinds(events: list[Event]) -> list[str]:
    return [EventKind(event.kind).name.lower() for event in events]


@check("life", "A job's life is told event by event, in order, with rising numbers.", Op.EVENTS)
async def life(scene: Scene) -> None:
    queue = scene.queue()
    listener = await scene.enter()
    told = await listener.ask(wire.Listen(0, queue))
    listener.same("missed", told.get("missed"), False)
    worker, job = await scene.leased(queue, attempts=2)
    await worker.ask_items(wire.Heartbeat(0, [[*job.held, b"\x28", []]]))
    await worker.ask_items(wire.Fail(0, [[*job.held, ERROR, HOUR_MS]]))
    await worker.ask_items(wire.Promote(0, queue, ["a"]))
    await worker.say(wire.Credit(1))
    job = await worker.take_job()
    await worker.ask_items(wire.Release(0, [[*job.held, HOUR_MS]]))
    await worker.ask_items(wire.Promote(0, queue, ["a"]))
    await worker.say(wire.Credit(1))
    job = await worker.take_job()
    await worker.ask_items(wire.Ack(0, [[*job.held, None]]))
    expected = [
        *("added", "active", "progress", "retrying", "waiting", "active"),
        *("delayed", "waiting", "active", "completed", "drained"),
    ]
    events = await listener.take_events(len(expected))
    listener.same("events", kinds(events), expected)
    numbers = [event.number for event in events]
    listener.same("rising numbers", numbers, sorted(set(numbers)))
    listener.expect(numbers[0] > told["last"], f"numbers above {told['last']}", numbers)
    ids = {event.id for event in events[:-1]}
    listener.same("ids", ids, {"a"})
    listener.same("id of drained", events[-1].id, None)


@check("acts", "What operators do is told too.", Op.EVENTS)
async def acts(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    await speaker.ask(wire.Listen(0, queue))
    await speaker.ask(wire.Pause(0, queue))
    await scene.add(speaker, queue, "a", "b", "c")
    await speaker.ask_items(wire.Cancel(0, queue, ["a"]))
    await speaker.ask_items(wire.Remove(0, queue, ["b"]))
    await speaker.ask_items(wire.Change(0, queue, ["c"], {"delay_ms": HOUR_MS}))
    await speaker.ask(wire.Resume(0, queue))
    expected = [
        *("paused", "added", "added", "added", "cancelled", "removed"),
        *("delayed", "resumed"),
    ]
    speaker.same("events", kinds(await speaker.take_events(len(expected))), expected)


@check("failed", "A job that fails for good is told as failed, with its reason.", Op.EVENTS)
async def failed(scene: Scene) -> None:
    queue = scene.queue()
    worker, job = await scene.leased(queue)
    await worker.ask(wire.Listen(0, queue))
    await worker.ask_items(wire.Fail(0, [[*job.held, ERROR, None]]))
    events = await worker.take_events(2)
    worker.same("events", kinds(events), ["failed", "drained"])


@check("resume", "Who comes back and names the last event it saw gets the rest.", Op.LISTEN)
async def resume(scene: Scene) -> None:
    queue = scene.queue()
    first, producer = await scene.enter(), await scene.enter()
    await first.ask(wire.Listen(0, queue))
    await scene.add(producer, queue, "a", "b")
    events = await first.take_events(2)
    first.cut()
    await scene.add(producer, queue, "c")
    second = await scene.enter()
    told = await second.ask(wire.Listen(0, queue, events[0].number))
    second.same("missed", told.get("missed"), False)
    rest = await second.take_events(2)
    second.same("the second event, as before", rest[0], events[1])
    second.same("ids", [event.id for event in rest], ["b", "c"])
    second.same("last", told.get("last"), rest[-1].number)


@check("missed", "Who asks for events that are not kept learns that some are missing.", Op.LISTEN)
async def missed(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    await scene.add(speaker, queue, "a")
    told = await speaker.ask(wire.Listen(0, queue, 0))
    speaker.same("missed", told.get("missed"), True)


@check("unlisten", "After UNLISTEN no event comes.", Op.UNLISTEN)
async def unlisten(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    await speaker.ask(wire.Listen(0, queue))
    await scene.add(speaker, queue, "a")
    await speaker.take_events(1)
    await speaker.ask(wire.Unlisten(0, queue))
    await scene.add(speaker, queue, "b")
    await speaker.gets_nothing("no event after UNLISTEN")


@check("own-queue", "Only the events of the queue that was named come.", Op.LISTEN)
async def own_queue(scene: Scene) -> None:
    speaker, queue, other = await scene.enter(), scene.queue(), scene.queue("other")
    await speaker.ask(wire.Listen(0, queue))
    await scene.add(speaker, other, "a")
    await scene.add(speaker, queue, "b")
    events: list[Any] = await speaker.take_events(1)
    speaker.same("id", events[0].id, "b")
    await speaker.gets_nothing("no event of another queue")
