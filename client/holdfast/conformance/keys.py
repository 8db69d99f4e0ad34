"""Who is let in, and what he may do. Where no key is needed there is little to check."""

from dataclasses import replace

from holdfast.access import Access
from holdfast.address import Address
from holdfast.conformance.checks import Theme
from holdfast.conformance.scene import NIL, Scene
from holdfast.wire import messages as wire
from holdfast.wire.constants import ErrorCode, Op

theme = Theme("keys", "Keys")
check = theme.check

NO_KEY: dict[str, None] = {"auth": None}


async def needs_keys(scene: Scene) -> None:
    """Raises Skipped where anybody is let in."""
    speaker = await scene.connect()
    await speaker.say(wire.Identify(scene.identity(speaker, **NO_KEY)))
    await speaker.until(lambda: speaker.welcome or speaker.error, "WELCOME or ERROR")
    if speaker.welcome is not None:
        scene.skip("this server wants no key")


@check("none", "Without a key, where one is needed, nobody is let in.", ErrorCode.NOT_AUTHENTICATED)
async def none(scene: Scene) -> None:
    await needs_keys(scene)
    speaker = await scene.connect()
    await speaker.say(wire.Identify(scene.identity(speaker, **NO_KEY)))
    await speaker.is_refused(ErrorCode.NOT_AUTHENTICATED)


@check(
    "wrong-proof",
    "The proof of another nonce lets nobody in.",
    Op.IDENTIFY,
    ErrorCode.NOT_AUTHENTICATED,
)
async def wrong_proof(scene: Scene) -> None:
    await needs_keys(scene)
    speaker = await scene.connect()
    auth = scene.server.access.auth(bytes(16))
    await speaker.say(wire.Identify(scene.identity(speaker, auth=auth)))
    await speaker.is_refused(ErrorCode.NOT_AUTHENTICATED)


@check(
    "forbidden",
    "What the key has no right to is refused, changes nothing, and the connection stays open.",
    ErrorCode.FORBIDDEN,
)
async def forbidden(scene: Scene) -> None:
    viewer = scene.server.viewer
    if viewer is None:
        scene.skip("give a key of the role viewer: --viewer-key-file")
    admin, queue = await scene.enter(), scene.queue()
    await scene.add(admin, queue, "a")
    speaker = await scene.enter(viewer)
    for message in (
        wire.Enqueue(0, queue, [["b", "n", NIL, None]]),
        wire.Subscribe(0, [queue], 1),
        wire.Remove(0, queue, ["a"]),
        wire.Pause(0, queue),
    ):
        await speaker.refused(message, ErrorCode.FORBIDDEN)
    counts = await admin.ask(wire.Counts(0, queue))
    admin.same("one waiting job, as before:", counts[0][1]["waiting"], 1)
    admin.same("a queue that runs, as before: paused", counts[0][1]["paused"], False)
    await scene.job(speaker, queue, "a")


@check(
    "tls-required",
    "Who does not begin with a TLS hello, where TLS is spoken, is told so in the clear.",
    ErrorCode.TLS_REQUIRED,
    section="Connecting",
)
async def tls_required(scene: Scene) -> None:
    address = scene.server.access.address
    if not address.is_tls:
        scene.skip("this server speaks no TLS: ask with holdfasts://")
    plain = Access(Address(address.host, address.port))
    speaker = await scene.dial(replace(plain, key=None))
    await speaker.is_refused(ErrorCode.TLS_REQUIRED)
