"""How a lease is lost, and how it is kept over a cut. Most take as long as a lease."""

import asyncio
from typing import Any

from holdfast.conformance.checks import Theme
from holdfast.conformance.leasing import LOST
from holdfast.conformance.scene import Scene
from holdfast.conformance.speaking import Speaker
from holdfast.wire import messages as wire
from holdfast.wire.constants import ErrorCode, EventKind, FailReason, Op, RevokeReason, State

theme = Theme("losing", "Leases")
check = theme.check


def times_s(speaker: Speaker) -> tuple[float, float, float]:
    """Heartbeat, lease and grace, in seconds."""
    assert speaker.welcome is not None, "it was let in"
    info = speaker.welcome.info
    return info["heartbeat_ms"] / 1000, info["lease_ms"] / 1000, info["grace_ms"] / 1000


def lost_of(speaker: Speaker) -> Any:
    assert speaker.welcome is not None, "it was let in"
    return speaker.welcome.info.get("lost")


@check(
    "silence",
    "A worker that is silent for lease_ms loses its leases, is told, and gets no job until it is "
    "heard again.",
    Op.REVOKE,
    ErrorCode.LEASE_LOST,
)
async def silence(scene: Scene) -> None:
    queue = scene.queue()
    worker, job = await scene.leased(queue)
    _, lease_s, _ = times_s(worker)
    within_s = scene.waits(lease_s, "losing a lease by silence")
    await worker.say(wire.Credit(1))
    revoked = [job.token, int(RevokeReason.LEASE_LOST)]
    await worker.until(lambda: revoked in worker.revoked, f"REVOKE {revoked}", within_s)
    await worker.ask_items(wire.Ack(0, [[*job.held, None]]), LOST)
    worker.same("jobs pushed to a worker that is silent", worker.jobs, [])
    await worker.ask_items(wire.Heartbeat(0, []))
    again = await worker.take_job()
    came = (again.id, again.attempt, again.crashes)
    worker.same("id, attempt, crashes", came, ("a", 2, 1))
    worker.expect(again.token > job.token, f"a token above {job.token}", again.token)
    await worker.ask_items(wire.Ack(0, [[*job.held, None]]), LOST)
    error = (await scene.job(worker, queue, "a"))["errors"][0]
    worker.same("attempt and outcome of errors[0]", (error["attempt"], error["outcome"]), (1, 2))


@check("heartbeats", "HEARTBEAT and EXTEND keep all leases.", Op.HEARTBEAT, Op.EXTEND)
async def heartbeats(scene: Scene) -> None:
    queue = scene.queue()
    worker, job = await scene.leased(queue)
    heartbeat_s, lease_s, _ = times_s(worker)
    scene.waits(1.5 * lease_s, "keeping a lease for longer than lease_ms")
    loop = asyncio.get_running_loop()
    until, turn = loop.time() + 1.5 * lease_s, 0
    while loop.time() < until:
        await asyncio.sleep(min(heartbeat_s, lease_s / 3))
        turn += 1
        beat: Any = wire.Heartbeat(0, []) if turn % 2 else wire.Extend(0, [job.held])
        await worker.ask_items(beat)
    worker.same("REVOKE", worker.revoked, [])
    await worker.ask_items(wire.Ack(0, [[*job.held, None]]))


@check(
    "grace",
    "A worker that does not come back within grace_ms has lost its leases: a crash of the job, "
    "which waits at its old place.",
    Op.JOBS,
    Op.EVENTS,
)
async def grace(scene: Scene) -> None:
    queue = scene.queue()
    worker, job = await scene.leased(queue)
    _, lease_s, grace_s = times_s(worker)
    within_s = scene.waits(min(grace_s, lease_s), "losing a lease by absence")
    other = await scene.enter()
    await scene.add(other, queue, "b")
    await other.ask(wire.Listen(0, queue))
    worker.cut()
    lost = (await other.take_events(1, within_s))[0]
    other.same("event", (lost.kind, lost.id), (int(EventKind.LOST), "a"))
    await other.ask(wire.Subscribe(0, [queue], 2))
    again = (await other.take_jobs(2))[0]
    came = (again.id, again.attempt, again.crashes)
    other.same("id, attempt, crashes", came, ("a", 2, 1))
    back = await scene.enter(session=worker.session, leases=[job.token])
    back.same("lost", lost_of(back), [job.token])


@check(
    "max-crashes",
    "A job whose workers are lost max_crashes times fails as crashed.",
    Op.WAIT,
)
async def max_crashes(scene: Scene) -> None:
    queue = scene.queue()
    worker, _ = await scene.leased(queue, max_crashes=1, attempts=9)
    _, lease_s, grace_s = times_s(worker)
    within_s = scene.waits(min(grace_s, lease_s), "losing a lease by absence")
    other = await scene.enter()
    number = await other.post(wire.Wait(0, queue, "a"))
    worker.cut()
    await other.until(lambda: other.answers.get(number), "REPLY to WAIT", within_s)
    found = await other.result_of(number)
    came = (found["state"], found["reason"], found["crashes"])
    other.same("state, reason, crashes", came, (int(State.FAILED), int(FailReason.CRASHED), 1))


@check("resumed", "Who comes back in time, and names its lease, keeps it.", Op.WELCOME)
async def resumed(scene: Scene) -> None:
    queue = scene.queue()
    worker, job = await scene.leased(queue)
    back = await scene.resume(worker, leases=[job.token])
    back.same("lost", lost_of(back), [])
    await back.gets_nothing("nothing pushed again of what was named")
    await back.ask_items(wire.Ack(0, [[*job.held, None]]))
    back.same("crashes", (await scene.job(back, queue, "a"))["crashes"], 0)


@check(
    "pushed-again",
    "A lease that is not named when its session is resumed is pushed again, with the same token, "
    "at no credit.",
    Op.JOBS,
)
async def pushed_again(scene: Scene) -> None:
    queue = scene.queue()
    worker, job = await scene.leased(queue)
    back = await scene.resume(worker, leases=[])
    again = await back.take_job()
    back.same("the job as it was pushed before", again, job)
    await scene.add(back, queue, "b")
    await back.ask(wire.Subscribe(0, [queue], 1))
    back.same("the job that takes the credit", (await back.take_job()).id, "b")
    await back.ask_items(wire.Ack(0, [[*job.held, None]]))


@check("named-in-vain", "Tokens that the server does not have come back in lost.", Op.WELCOME)
async def named_in_vain(scene: Scene) -> None:
    queue = scene.queue()
    worker, job = await scene.leased(queue)
    await worker.ask_items(wire.Ack(0, [[*job.held, None]]))
    back = await scene.resume(worker, leases=[job.token, 5])
    back.same("lost", lost_of(back), [job.token, 5])


@check(
    "goodbye",
    "GOODBYE releases what is still held; it counts as no crash.",
    Op.GOODBYE,
    section="Connecting",
)
async def goodbye(scene: Scene) -> None:
    queue = scene.queue()
    worker, _ = await scene.leased(queue)
    other = await scene.worker(queue, credit=1)
    await worker.leave()
    again = await other.take_job()
    came = (again.id, again.attempt, again.crashes, again.releases)
    other.same("id, attempt, crashes, releases", came, ("a", 1, 0, 1))
