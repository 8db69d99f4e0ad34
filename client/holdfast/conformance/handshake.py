"""From the first byte to WELCOME, and how a session ends."""

from collections.abc import Mapping
from typing import Any

from holdfast.conformance.checks import Theme
from holdfast.conformance.scene import NIL, Scene
from holdfast.conformance.speaking import Speaker
from holdfast.wire import messages as wire
from holdfast.wire.constants import PROTOCOL_VERSION, SESSION_ID_LENGTH_MAX, ErrorCode, Op
from holdfast.wire.frames import PREFIX_BYTES, encode_frame

theme = Theme("handshake", "Connecting")
check = theme.check


def has_fields(
    speaker: Speaker, what: str, info: dict[str, Any], kinds: Mapping[str, type]
) -> None:
    """The map has all of these, of these types."""
    for name, kind in kinds.items():
        came = info.get(name)
        speaker.expect(type(came) is kind, f"{what} with {name}, a {kind.__name__}", info)


@check("hello", "The server speaks first: HELLO, with all its fields.", Op.HELLO)
async def hello(scene: Scene) -> None:
    speaker = await scene.connect()
    assert speaker.hello is not None, "connect has waited for it"
    info = speaker.hello.info
    kinds = {
        "protocol": list,
        "server": str,
        "features": list,
        "limits": dict,
        "epoch": int,
        "nonce": bytes,
        "now_ms": int,
    }
    has_fields(speaker, "HELLO", info, kinds)
    limits = {"frame_bytes": int, "payload_bytes": int, "items": int}
    has_fields(speaker, "HELLO.limits", info["limits"], limits)
    low, high = info["protocol"]
    is_spoken = low <= PROTOCOL_VERSION <= high
    speaker.expect(is_spoken, f"a range with protocol {PROTOCOL_VERSION}", info["protocol"])
    speaker.same("length of the nonce", len(info["nonce"]), 16)


@check("nonce", "Each connection gets a nonce of its own.", Op.HELLO, section="Keys")
async def nonce(scene: Scene) -> None:
    speakers = [await scene.connect() for _ in range(3)]
    nonces = {each.hello.info["nonce"] for each in speakers if each.hello is not None}
    speakers[0].expect(len(nonces) == 3, "three nonces on three connections", nonces)


@check("welcome", "IDENTIFY is answered by WELCOME, with all its fields.", Op.IDENTIFY, Op.WELCOME)
async def welcome(scene: Scene) -> None:
    speaker = await scene.connect()
    info = scene.identity(speaker)
    came = await scene.identify(speaker, info)
    kinds = {"heartbeat_ms": int, "lease_ms": int, "grace_ms": int, "lost": list}
    has_fields(speaker, "WELCOME", came, kinds)
    speaker.same("WELCOME with protocol", came.get("protocol"), PROTOCOL_VERSION)
    speaker.same("WELCOME with session", came.get("session"), info["session"])
    speaker.same("resumed, of a session that is new:", came.get("resumed"), False)
    numbers = (came.get("last_request"), came.get("last_refused"))
    speaker.same("last_request and last_refused of a new session", numbers, (0, 0))
    is_in_time = 0 < came["heartbeat_ms"] < came["lease_ms"]
    speaker.expect(is_in_time, "a heartbeat_ms above 0 and below lease_ms", came)


@check(
    "no-common-protocol",
    "A version that is not spoken is refused, and the connection is closed.",
    ErrorCode.NO_COMMON_PROTOCOL,
)
async def no_common_protocol(scene: Scene) -> None:
    first = await scene.connect()
    assert first.hello is not None, "connect has waited for it"
    for version in (first.hello.info["protocol"][1] + 1, 0, "1", None):
        speaker = await scene.connect()
        await speaker.say(wire.Identify(scene.identity(speaker, protocol=version)))
        await speaker.is_refused(ErrorCode.NO_COMMON_PROTOCOL)


@check(
    "bad-session",
    "A session that is no text of 1 to 64 characters is refused, and the connection is closed.",
    Op.IDENTIFY,
    ErrorCode.BAD_REQUEST,
)
async def bad_session(scene: Scene) -> None:
    for session in ("", "x" * (SESSION_ID_LENGTH_MAX + 1), 7, None):
        speaker = await scene.connect()
        await speaker.say(wire.Identify(scene.identity(speaker, session=session)))
        await speaker.is_refused(ErrorCode.BAD_REQUEST)


@check(
    "unknown-fields",
    "Unknown keys of IDENTIFY's map, and elements behind it, are ignored.",
    Op.IDENTIFY,
    section="Frames",
)
async def unknown_fields(scene: Scene) -> None:
    speaker = await scene.connect()
    info = scene.identity(speaker, from_the_future={"a": [1]}, worker={"name": "w", "colour": 3})
    body = speaker.frames_of(wire.Identify(info))[PREFIX_BYTES:]
    longer = bytes([body[0] + 1]) + body[1:] + b"\xa5extra"  # an array of one element more
    what = "IDENTIFY with an unknown key, and an unknown element behind its map"
    await speaker.say_bytes(encode_frame(longer), what)
    await speaker.until(lambda: speaker.welcome, "WELCOME")
    speaker.session = info["session"]


@check(
    "first-message",
    "Anything but IDENTIFY before WELCOME closes the connection.",
    ErrorCode.UNEXPECTED_MESSAGE,
    section="Errors",
)
async def first_message(scene: Scene) -> None:
    for message in (wire.Get(1, "q", "a"), wire.Goodbye(), wire.Heartbeat(1, [])):
        speaker = await scene.connect()
        await speaker.say(message)
        await speaker.is_refused(ErrorCode.UNEXPECTED_MESSAGE)


@check(
    "twice",
    "IDENTIFY after WELCOME, and what only a server says, close the connection.",
    ErrorCode.UNEXPECTED_MESSAGE,
    section="Errors",
)
async def twice(scene: Scene) -> None:
    speaker = await scene.enter()
    await speaker.say(wire.Identify(scene.identity(speaker)))
    await speaker.is_refused(ErrorCode.UNEXPECTED_MESSAGE)
    speaker = await scene.enter()
    await speaker.say(wire.Reply(1, None))
    await speaker.is_refused(ErrorCode.UNEXPECTED_MESSAGE)


@check("in-pieces", "A frame is read in whatever pieces it comes.", section="Frames")
async def in_pieces(scene: Scene) -> None:
    speaker = await scene.connect()
    info = scene.identity(speaker)
    data = speaker.frames_of(wire.Identify(info))
    for at in range(len(data)):
        await speaker.say_bytes(data[at : at + 1], f"byte {at + 1} of {len(data)} of IDENTIFY")
    await speaker.until(lambda: speaker.welcome, "WELCOME")
    speaker.session = info["session"]


@check(
    "too-late",
    "Who does not identify within the handshake time is sent away, and may come again.",
    ErrorCode.HANDSHAKE_TIMEOUT,
)
async def too_late(scene: Scene) -> None:
    speaker = await scene.connect()
    patience_s = scene.server.patience_s
    if not await speaker.sees(lambda: speaker.error, patience_s) and not speaker.is_closed:
        scene.skip(f"the handshake time is over --patience of {patience_s:g} s")
    await speaker.is_refused(ErrorCode.HANDSHAKE_TIMEOUT)
    await scene.enter()


@check(
    "session-taken",
    "A second connection takes the session over; the first is told and closed.",
    ErrorCode.SESSION_TAKEN,
    section="Requests and sessions",
)
async def session_taken(scene: Scene) -> None:
    first = await scene.enter()
    await scene.add(first, scene.queue(), "a")
    second = await scene.enter(session=first.session)
    await first.is_refused(ErrorCode.SESSION_TAKEN)
    first.has_left = True
    assert second.welcome is not None, "enter has waited for it"
    second.same("resumed", second.welcome.info.get("resumed"), True)


@check("goodbye", "After GOODBYE nothing is remembered of the session.", Op.GOODBYE)
async def goodbye(scene: Scene) -> None:
    first = await scene.enter()
    queue = scene.queue()
    await first.say(wire.Enqueue(1, queue, [["a", "n", NIL, None]]), wire.Goodbye())
    await first.ends()
    first.has_left = True
    second = await scene.enter(session=first.session)
    assert second.welcome is not None, "enter has waited for it"
    info = second.welcome.info
    second.same("resumed, after GOODBYE", info.get("resumed"), False)
    second.same("last_request, after GOODBYE", info.get("last_request"), 0)
    await scene.job(second, queue, "a")
