"""What operators do to jobs and queues, and what the states allow."""

from typing import Any

from holdfast.conformance.checks import Theme
from holdfast.conformance.leasing import ERROR, LOST
from holdfast.conformance.scene import NIL, Scene
from holdfast.conformance.speaking import Speaker
from holdfast.wire import messages as wire
from holdfast.wire.constants import ErrorCode, EventKind, Op, RevokeReason, State

theme = Theme("administering", "Administering")
check = theme.check

WRONG_STATE = int(ErrorCode.WRONG_STATE)
HOUR_MS = 3_600_000


async def states(scene: Scene, speaker: Speaker, queue: str, *ids: str) -> list[int]:
    return [(await scene.job(speaker, queue, id))["state"] for id in ids]


async def waiting_ids(speaker: Speaker, queue: str) -> list[str]:
    """In the order they will run."""
    page = await speaker.ask(wire.List(0, queue, int(State.WAITING)))
    return [job["id"] for job in page["jobs"]]


@check(
    "unknown",
    "Jobs that there are not are refused one by one, a queue that there is not as a whole.",
    ErrorCode.UNKNOWN_JOB,
    ErrorCode.UNKNOWN_QUEUE,
)
async def unknown(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    await scene.add(speaker, queue, "a")
    nobody = scene.queue("nobody")

    def commands(name: str, ids: list[str]) -> list[Any]:
        return [
            wire.Promote(0, name, ids),
            wire.Retry(0, name, ids),
            wire.Change(0, name, ids, {"priority": 1}),
            wire.Move(0, name, ids, scene.queue("target")),
            wire.Cancel(0, name, ids),
            wire.Remove(0, name, ids),
        ]

    for message in commands(queue, ["b"]):
        await speaker.ask_items(message, (0, int(ErrorCode.UNKNOWN_JOB)))
    await speaker.refused(wire.Edit(0, queue, "b", NIL), ErrorCode.UNKNOWN_JOB)
    rest = [wire.Edit(0, nobody, "a", NIL), wire.Drain(0, nobody), wire.Obliterate(0, nobody)]
    for message in [*commands(nobody, ["a"]), *rest]:
        await speaker.refused(message, ErrorCode.UNKNOWN_QUEUE)


@check(
    "no-ids",
    "A command on no jobs at all is refused.",
    ErrorCode.BAD_REQUEST,
    section="Errors",
)
async def no_ids(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    await scene.add(speaker, queue, "a")
    await speaker.refused(wire.Remove(0, queue, []), ErrorCode.BAD_REQUEST)


@check(
    "expected",
    "A job that is in another state than the sender saw is refused, and nothing changes.",
    ErrorCode.WRONG_STATE,
)
async def expected(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    await scene.add(speaker, queue, "a")
    await scene.add(speaker, queue, "b", delay_ms=HOUR_MS)
    for message in (
        wire.Remove(0, queue, ["a", "b"], int(State.DELAYED)),
        wire.Cancel(0, queue, ["a"], int(State.COMPLETED)),
        wire.Change(0, queue, ["a"], {"priority": 1}, int(State.DELAYED)),
        wire.Move(0, queue, ["a"], scene.queue("other"), int(State.DELAYED)),
    ):
        await speaker.ask_items(message, (0, WRONG_STATE))
    edit = wire.Edit(0, queue, "a", b"\x07", int(State.DELAYED))
    await speaker.refused(edit, ErrorCode.WRONG_STATE)
    job = await scene.job(speaker, queue, "a")
    came = (job["state"], job["priority"], job["payload"])
    speaker.same("state, priority, payload", came, (int(State.WAITING), 0, NIL))
    await speaker.refused(wire.Get(0, queue, "b"), ErrorCode.UNKNOWN_JOB)


@check(
    "states",
    "What the table of states does not have is refused: WRONG_STATE.",
    ErrorCode.WRONG_STATE,
    section="States",
)
async def wrong_states(scene: Scene) -> None:
    queue = scene.queue()
    worker, job = await scene.leased(queue)
    await scene.add(worker, queue, "b")
    for both in (wire.Promote(0, queue, ["a", "b"]), wire.Retry(0, queue, ["a", "b"])):
        await worker.ask_items(both, (0, WRONG_STATE), (1, WRONG_STATE))
    for message in (
        wire.Change(0, queue, ["a"], {"priority": 1}),
        wire.Move(0, queue, ["a"], scene.queue("other")),
        wire.Remove(0, queue, ["a"]),
    ):
        await worker.ask_items(message, (0, WRONG_STATE))
    await worker.refused(wire.Edit(0, queue, "a", NIL), ErrorCode.WRONG_STATE)
    await worker.ask_items(wire.Ack(0, [[*job.held, None]]))
    await worker.ask_items(wire.Cancel(0, queue, ["a"]), (0, WRONG_STATE))


@check("remove", "REMOVE deletes the job.", Op.REMOVE, ErrorCode.UNKNOWN_JOB)
async def remove(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    await scene.add(speaker, queue, "a", "b")
    await speaker.ask_items(wire.Remove(0, queue, ["a"]))
    await speaker.refused(wire.Get(0, queue, "a"), ErrorCode.UNKNOWN_JOB)
    speaker.same("waiting jobs", await waiting_ids(speaker, queue), ["b"])
    await scene.add(speaker, queue, "a")


@check(
    "remove-active",
    "REMOVE takes an active job only if active is expected, and its worker is told.",
    Op.REMOVE,
    Op.REVOKE,
    ErrorCode.LEASE_LOST,
)
async def remove_active(scene: Scene) -> None:
    queue = scene.queue()
    worker, job = await scene.leased(queue)
    operator = await scene.enter()
    await operator.ask_items(wire.Remove(0, queue, ["a"]), (0, WRONG_STATE))
    await operator.ask_items(wire.Remove(0, queue, ["a"], int(State.ACTIVE)))
    await worker.is_told(job.token, int(RevokeReason.REMOVED))
    await worker.ask_items(wire.Ack(0, [[*job.held, None]]), LOST)


@check("promote", "PROMOTE makes a delayed job wait, behind those that do.", Op.PROMOTE)
async def promote(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    await scene.add(speaker, queue, "a", delay_ms=HOUR_MS)
    await scene.add(speaker, queue, "b")
    await speaker.ask_items(wire.Promote(0, queue, ["a"]))
    speaker.same("waiting jobs", await waiting_ids(speaker, queue), ["b", "a"])


@check("retry", "RETRY puts a finished job back, with its counters at 0.", Op.RETRY)
async def retry(scene: Scene) -> None:
    queue = scene.queue()
    worker, job = await scene.leased(queue)
    await worker.ask_items(wire.Fail(0, [[*job.held, ERROR, None]]))
    await worker.ask_items(wire.Retry(0, queue, ["a"], int(State.FAILED)))
    found = await scene.job(worker, queue, "a")
    names = ("state", "failures", "crashes", "releases", "reason", "finished_at_ms", "attempt")
    came = [found[name] for name in names]
    worker.same(", ".join(names), came, [int(State.WAITING), 0, 0, 0, 0, 0, 1])
    await worker.say(wire.Credit(1))
    again = await worker.take_job()
    await worker.ask_items(wire.Ack(0, [[*again.held, b"\x01"]]))
    await worker.ask_items(wire.Retry(0, queue, ["a"], int(State.COMPLETED)))
    worker.same("result", (await scene.job(worker, queue, "a"))["result"], None)


@check(
    "change",
    "CHANGE gives jobs another priority or time; what it does not know is refused.",
    Op.CHANGE,
    ErrorCode.BAD_OPTION,
)
async def change(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    await scene.add(speaker, queue, "a", "b", "c")
    await speaker.ask_items(wire.Change(0, queue, ["c", "b"], {"priority": -1}))
    speaker.same("waiting jobs", await waiting_ids(speaker, queue), ["c", "b", "a"])
    await speaker.ask_items(wire.Change(0, queue, ["b"], {"lifo": True}))
    speaker.same("waiting jobs", await waiting_ids(speaker, queue), ["b", "c", "a"])
    await speaker.ask_items(wire.Change(0, queue, ["b"], {"delay_ms": HOUR_MS}))
    speaker.same("state of b", await states(scene, speaker, queue, "b"), [int(State.DELAYED)])
    await speaker.ask_items(wire.Change(0, queue, ["b"], {"delay_ms": 0}))
    speaker.same("state of b", await states(scene, speaker, queue, "b"), [int(State.WAITING)])
    wrong: list[dict[str, Any]] = [{}, {"attempts": 2}, {"priority": "high"}, {"delay_ms": -1}]
    for changes in wrong:
        await speaker.refused(wire.Change(0, queue, ["a"], changes), ErrorCode.BAD_OPTION)


@check("cancel", "CANCEL ends jobs that have not ended.", Op.CANCEL)
async def cancel(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    await scene.add(speaker, queue, "a")
    await scene.add(speaker, queue, "b", delay_ms=HOUR_MS)
    await speaker.ask_items(wire.Cancel(0, queue, ["a", "b"]))
    came = await states(scene, speaker, queue, "a", "b")
    speaker.same("states", came, [int(State.CANCELLED)] * 2)


@check(
    "cancel-active",
    "CANCEL ends the lease of a job that runs, and its worker is told.",
    Op.CANCEL,
    Op.REVOKE,
    ErrorCode.LEASE_LOST,
)
async def cancel_active(scene: Scene) -> None:
    queue = scene.queue()
    worker, job = await scene.leased(queue)
    operator = await scene.enter()
    await operator.ask_items(wire.Cancel(0, queue, ["a"]))
    await worker.is_told(job.token, int(RevokeReason.CANCELLED))
    await worker.ask_items(wire.Ack(0, [[*job.held, None]]), LOST)
    found = await scene.job(worker, queue, "a")
    came = (found["state"], found["errors"][0]["outcome"])
    worker.same("state, outcome of the attempt", came, (int(State.CANCELLED), 4))


@check(
    "move",
    "MOVE takes jobs to another queue, behind those there, with id, priority and time.",
    Op.MOVE,
    ErrorCode.JOB_EXISTS,
    ErrorCode.UNKNOWN_JOB,
)
async def move(scene: Scene) -> None:
    speaker, queue, target = await scene.enter(), scene.queue(), scene.queue("target")
    await scene.add(speaker, queue, "a", "b", "c")
    await scene.add(speaker, queue, "first", priority=-1)
    await scene.add(speaker, queue, "later", delay_ms=HOUR_MS)
    await scene.add(speaker, target, "there", "c")
    before = await scene.job(speaker, queue, "later")
    ids = ["b", "first", "c", "later"]
    await speaker.ask_items(wire.Move(0, queue, ids, target), (2, int(ErrorCode.JOB_EXISTS)))
    speaker.same("waiting jobs", await waiting_ids(speaker, target), ["first", "there", "c", "b"])
    speaker.same("waiting jobs left", await waiting_ids(speaker, queue), ["a", "c"])
    found = await scene.job(speaker, target, "later")
    kept = ("created_at_ms", "run_at_ms", "priority", "payload", "state")
    for name in kept:
        speaker.same(f"{name} as before", found[name], before[name])
    await speaker.refused(wire.Get(0, queue, "b"), ErrorCode.UNKNOWN_JOB)


@check(
    "move-waited-for",
    "Who waits for a job that is moved goes on waiting; both queues have the event.",
    Op.MOVE,
    Op.WAIT,
    Op.EVENTS,
)
async def move_waited_for(scene: Scene) -> None:
    speaker, queue, target = await scene.enter(), scene.queue(), scene.queue("target")
    await scene.add(speaker, queue, "a")
    number = await speaker.post(wire.Wait(0, queue, "a"))
    for name in (queue, target):
        await speaker.ask(wire.Listen(0, name))
    await speaker.ask_items(wire.Move(0, queue, ["a"], target))
    told = await speaker.take_events(3)  # and drained, of the queue that is empty now
    events = [(e.kind, e.details.get("to"), e.details.get("from")) for e in told]
    moved = int(EventKind.MOVED)
    for expected_event in ((moved, target, None), (moved, None, queue)):
        speaker.expect(expected_event in events, f"the event {expected_event}", events)
    await speaker.ask_items(wire.Cancel(0, target, ["a"]))
    result = await speaker.result_of(number)
    speaker.same("queue and state", (result["queue"], result["state"]), (target, 7))


@check(
    "edit",
    "EDIT gives a job another payload.",
    Op.EDIT,
    ErrorCode.EMPTY_PAYLOAD,
)
async def edit(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    await scene.add(speaker, queue, "a")
    speaker.same("result", await speaker.ask(wire.Edit(0, queue, "a", b"\x07")), None)
    await speaker.refused(wire.Edit(0, queue, "a", b""), ErrorCode.EMPTY_PAYLOAD)
    await speaker.ask(wire.Subscribe(0, [queue], 1))
    speaker.same("payload", (await speaker.take_job()).payload, b"\x07")


@check("drain", "DRAIN removes what waits, and what is delayed if that is asked for.", Op.DRAIN)
async def drain(scene: Scene) -> None:
    queue = scene.queue()
    worker, job = await scene.leased(queue)
    await scene.add(worker, queue, "b", "c")
    await scene.add(worker, queue, "later", delay_ms=HOUR_MS)
    worker.same("number removed", await worker.ask(wire.Drain(0, queue)), 2)
    came = await states(scene, worker, queue, "a", "later")
    worker.same("states of a, later", came, [int(State.ACTIVE), int(State.DELAYED)])
    worker.same("number removed", await worker.ask(wire.Drain(0, queue, True)), 1)
    await worker.ask_items(wire.Ack(0, [[*job.held, None]]))


@check(
    "obliterate",
    "OBLITERATE removes the queue with its jobs, active ones only by force.",
    Op.OBLITERATE,
    Op.REVOKE,
    ErrorCode.NOT_EMPTY,
    ErrorCode.UNKNOWN_QUEUE,
)
async def obliterate(scene: Scene) -> None:
    queue = scene.queue()
    worker, job = await scene.leased(queue)
    operator = await scene.enter()
    await scene.add(operator, queue, "b")
    await operator.refused(wire.Obliterate(0, queue), ErrorCode.NOT_EMPTY)
    operator.same("number removed", await operator.ask(wire.Obliterate(0, queue, True)), 2)
    await worker.is_told(job.token, int(RevokeReason.REMOVED))
    await operator.refused(wire.Counts(0, queue), ErrorCode.UNKNOWN_QUEUE)
    await operator.refused(wire.Get(0, queue, "a"), ErrorCode.UNKNOWN_QUEUE)
