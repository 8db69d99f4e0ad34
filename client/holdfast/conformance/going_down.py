"""A restart of the server, by the command of who asks: what its clients hear, and what stays."""

import asyncio
import contextlib

from holdfast.conformance.checks import Theme
from holdfast.conformance.outcomes import Failed
from holdfast.conformance.scene import NIL, Scene
from holdfast.conformance.speaking import Speaker
from holdfast.wire import messages as wire
from holdfast.wire.constants import TOKEN_COUNTER_BITS, Op

theme = Theme("going-down", "Connecting")
check = theme.check

TRY_AGAIN_S = 0.05


async def back_again(scene: Scene, before: Speaker, *leases: int) -> Speaker:
    """The session, on the server that came back."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + scene.server.patience_s
    while True:
        with contextlib.suppress(Failed):
            speaker = await scene.connect()
            await scene.identify(
                speaker, scene.identity(speaker, session=before.session, leases=list(leases))
            )
            return speaker
        if loop.time() > deadline:
            before.fail("the server to come back", f"nobody in {scene.server.patience_s:g} s")
        await asyncio.sleep(TRY_AGAIN_S)


@check(
    "restart",
    "A server that goes down says GOAWAY, answers what is due, and closes; sessions, leases and "
    "jobs are there when it is back, and tokens rise.",
    Op.GOAWAY,
    is_alone=True,
)
async def restart(scene: Scene) -> None:
    if scene.server.restart is None:
        scene.skip("give a command that restarts the server: --restart COMMAND")
    queue = scene.queue()
    worker, job = await scene.leased(queue)
    await scene.add(worker, queue, "b")
    process = await asyncio.create_subprocess_shell(scene.server.restart)
    try:
        await worker.until(lambda: worker.went, "GOAWAY", scene.server.patience_s)
        late = await worker.post(wire.Enqueue(0, queue, [["late", "n", NIL, None]]))
        await worker.ends(scene.server.patience_s)
        refused = worker.answers.get(late)
        is_refused = refused is None or isinstance(refused, wire.Error)
        worker.expect(is_refused, "DRAINING or the end, in answer to ENQUEUE", refused)
        back = await back_again(scene, worker, job.token)
    finally:
        await process.wait()
    assert back.welcome is not None, "it was let in"
    came = (back.welcome.info["resumed"], back.welcome.info["lost"])
    back.same("resumed, lost", came, (True, []))
    await back.ask_items(wire.Ack(0, [[*job.held, None]]))
    await back.ask(wire.Subscribe(0, [queue], 1))
    again = await back.take_job()
    back.expect(again.token > job.token, f"a token above {job.token}", again.token)
    assert back.hello is not None, "it was let in"
    epochs = (job.token >> TOKEN_COUNTER_BITS, back.hello.info["epoch"])
    back.expect(epochs[0] < epochs[1], "a greater epoch", epochs)
