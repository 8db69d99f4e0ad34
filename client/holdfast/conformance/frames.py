"""Frames that are almost right: what is ignored, what is refused, what closes the connection."""

from typing import Any, Final

import msgpack

from holdfast.conformance.checks import Theme
from holdfast.conformance.scene import NIL, Scene
from holdfast.conformance.speaking import Speaker
from holdfast.wire import messages as wire
from holdfast.wire.constants import FRAME_BYTES_MAX_BEFORE_WELCOME, MAP_ITEMS_MAX, ErrorCode, Op
from holdfast.wire.frames import encode_frame

theme = Theme("frames", "Frames")
check = theme.check

UNKNOWN_OP: Final = 127
NO_MESSAGES: Final = {
    "a byte that msgpack never uses": b"\xc1",
    "an array that is cut": b"\x93\x40",
    "two values": b"\x91\x06\x91\x06",
    "a map in place of an array": b"\x81\xa1a\x01",
    "a number in place of an array": b"\x07",
    "an empty array": b"\x90",
    "an array that begins with a text": b"\x92\xa3GET\x01",
    "an ext type": b"\x94\x40\x01\xa1q\xd4\x01\x00",
    "a map whose key is a number": b"\x92\x06\x81\x01\x01",
}
"""Bodies, by what is wrong with them."""


async def say_by_hand(speaker: Speaker, *elements: Any, what: str = "") -> None:
    """An array with whatever is in it."""
    if elements[0] in Op._value2member_map_:
        speaker.met.add(Op(elements[0]))
    data = encode_frame(msgpack.packb(elements))
    await speaker.say_bytes(data, what or f"the array {list(elements)}")


async def is_refused_by_hand(speaker: Speaker, code: ErrorCode, *elements: Any) -> None:
    """The second element is the request's number."""
    await say_by_hand(speaker, *elements)
    answer = await speaker.answered(elements[1])
    speaker.expect(getattr(answer, "code", 0) == code, f"ERROR {int(code)} ({code.name})", answer)


@check(
    "too-large-before-welcome",
    "A frame over 8 KiB before WELCOME is refused by its length; one of 8 KiB is taken.",
    ErrorCode.FRAME_TOO_LARGE,
)
async def too_large_before_welcome(scene: Scene) -> None:
    speaker = await scene.connect()
    length = FRAME_BYTES_MAX_BEFORE_WELCOME + 1
    await speaker.say_bytes(length.to_bytes(4), f"the length {length:,}, and no body")
    await speaker.is_refused(ErrorCode.FRAME_TOO_LARGE)
    speaker = await scene.connect()
    info = scene.identity(speaker, padding="")
    rest = FRAME_BYTES_MAX_BEFORE_WELCOME - len(wire.encode(wire.Identify(info)))
    info["padding"] = "x" * (rest - 2)  # its own length takes two bytes more
    size = len(wire.encode(wire.Identify(info)))
    assert size == FRAME_BYTES_MAX_BEFORE_WELCOME, "or it would check nothing"
    await scene.identify(speaker, info)


@check(
    "too-large",
    "A frame over limits.frame_bytes is refused by its length.",
    ErrorCode.FRAME_TOO_LARGE,
)
async def too_large(scene: Scene) -> None:
    speaker = await scene.enter()
    assert speaker.hello is not None, "enter has waited for it"
    length = speaker.hello.info["limits"]["frame_bytes"] + 1
    await speaker.say_bytes(length.to_bytes(4), f"the length {length:,}, and no body")
    await speaker.is_refused(ErrorCode.FRAME_TOO_LARGE)


@check("empty", "A frame of 0 bytes closes the connection.", ErrorCode.BAD_FRAME)
async def empty(scene: Scene) -> None:
    speaker = await scene.enter()
    await speaker.say_bytes(bytes(4), "a frame of 0 bytes")
    await speaker.is_refused(ErrorCode.BAD_FRAME)


@check(
    "no-message",
    "What is no array of msgpack that begins with an opcode closes the connection.",
    ErrorCode.BAD_FRAME,
)
async def no_message(scene: Scene) -> None:
    for what, body in NO_MESSAGES.items():
        speaker = await scene.enter()
        await speaker.say_bytes(encode_frame(body), f"{what}: {body.hex()}")
        await speaker.is_refused(ErrorCode.BAD_FRAME)


@check(
    "too-many-items",
    "A list of more than limits.items, or a map of more than 64, closes the connection.",
    ErrorCode.BAD_FRAME,
)
async def too_many_items(scene: Scene) -> None:
    speaker = await scene.enter()
    assert speaker.hello is not None, "enter has waited for it"
    count = speaker.hello.info["limits"]["items"] + 1
    await say_by_hand(speaker, Op.EXTEND, 1, [0] * count, what=f"EXTEND of {count:,} items")
    await speaker.is_refused(ErrorCode.BAD_FRAME)
    speaker = await scene.enter()
    settings = {f"k{number}": 0 for number in range(MAP_ITEMS_MAX + 1)}
    what = f"CONFIGURE with a map of {len(settings)}"
    await say_by_hand(speaker, Op.CONFIGURE, 1, scene.queue(), settings, what=what)
    await speaker.is_refused(ErrorCode.BAD_FRAME)


@check(
    "unknown-command",
    "An unknown command is refused under its number, and the connection stays open.",
    Op.ERROR,
    ErrorCode.UNKNOWN_COMMAND,
    section="Errors",
)
async def unknown_command(scene: Scene) -> None:
    speaker = await scene.enter()
    for number in (1, 2):
        await is_refused_by_hand(speaker, ErrorCode.UNKNOWN_COMMAND, UNKNOWN_OP, number, "q")
    speaker.count_from(2)
    await scene.add(speaker, scene.queue(), "a")


@check("unknown-elements", "Elements behind the known ones are ignored.", Op.ENQUEUE)
async def unknown_elements(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    item = ["a", "n", NIL, None, {"from": "the future"}, 7]
    await say_by_hand(speaker, Op.ENQUEUE, 1, queue, [item], False, "one more", {"and": "one"})
    speaker.same("result", await speaker.result_of(1), [])
    speaker.count_from(1)
    await scene.job(speaker, queue, "a")


@check("defaults", "Elements at the end that have a default may be missing.", Op.LIST)
async def defaults(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    await scene.add(speaker, queue, "a")
    await say_by_hand(speaker, Op.LIST, 2, queue, 1)
    page = await speaker.result_of(2)
    speaker.same("ids of the jobs", [job["id"] for job in page["jobs"]], ["a"])


@check(
    "bad-fields",
    "Fields of a wrong type, or missing, are refused under the request's number.",
    ErrorCode.BAD_REQUEST,
    section="Errors",
)
async def bad_fields(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    wrong: list[list[Any]] = [
        [Op.ENQUEUE, 1, 7, []],
        [Op.ENQUEUE, 2, queue, "items"],
        [Op.GET, 3, queue],
        [Op.ACK, 4, [["token", queue, "a", None]]],
        [Op.ACK, 5, [[1, queue, "a"]]],
        [Op.FAIL, 6, [[1, queue, "a", "no map", None]]],
        [Op.HEARTBEAT, 7, [[1, queue, "a", None, "no list"]]],
        [Op.PAUSE, 8, None],
    ]
    for elements in wrong:
        await is_refused_by_hand(speaker, ErrorCode.BAD_REQUEST, *elements)
    speaker.count_from(len(wrong))
    await scene.add(speaker, queue, "a")


@check(
    "without-a-number",
    "What is wrong and has no request number is answered with request nil; only codes from 100 to "
    "200 close the connection.",
    Op.CREDIT,
    ErrorCode.BAD_REQUEST,
    section="Errors",
)
async def without_a_number(scene: Scene) -> None:
    speaker = await scene.enter()
    await say_by_hand(speaker, Op.CREDIT, "many")
    error = await speaker.until(lambda: speaker.error, "ERROR with request nil")
    speaker.same("code", error and error.code, int(ErrorCode.BAD_REQUEST))
    await scene.add(speaker, scene.queue(), "a")


@check("at-once", "Many requests in one write are all answered.", Op.COUNTS, Op.REPLY)
async def at_once(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    await scene.add(speaker, queue, "a")
    asked = [speaker.numbered(wire.Counts(0, queue)) for _ in range(200)]
    await speaker.say(*asked)
    for request in asked:
        await speaker.result_of(request.request)


@check("bytes", "Payloads come back as they were, whatever is in them.", Op.GET, Op.JOBS)
async def bytes_as_they_were(scene: Scene) -> None:
    worker, queue = await scene.enter(), scene.queue()
    payloads = [b"\xc1 is no msgpack", b"\x00", bytes(range(256)), b"\xff" * 70_000]
    items = [[f"p{number}", "n", payload, None] for number, payload in enumerate(payloads)]
    await worker.ask_items(wire.Enqueue(0, queue, items))
    await worker.ask(wire.Subscribe(0, [queue], len(items)))
    jobs = await worker.take_jobs(len(items))
    worker.expect([job.payload for job in jobs] == payloads, "the payloads as sent", jobs)
    results = [[*job.held, job.payload[::-1]] for job in jobs]
    await worker.ask_items(wire.Ack(0, results))
    for number, payload in enumerate(payloads):
        came = (await scene.job(worker, queue, f"p{number}"))["result"]
        worker.expect(came == payload[::-1], f"the result of p{number} as sent", came)
