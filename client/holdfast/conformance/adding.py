"""ENQUEUE and WAIT: what is taken, what is refused, item by item or as a whole."""

from typing import Any, Final

from holdfast.conformance.checks import Theme
from holdfast.conformance.scene import NIL, Scene
from holdfast.wire import messages as wire
from holdfast.wire.constants import (
    ATTEMPTS_MAX,
    BACKOFF_DELAYS_MAX,
    DELAY_MS_MAX,
    JOB_ID_LENGTH_MAX,
    JOB_NAME_LENGTH_MAX,
    PRIORITY_MAX,
    PRIORITY_MIN,
    QUEUE_NAME_LENGTH_MAX,
    RUN_AT_MS_MAX,
    TAG_LENGTH_MAX,
    TAGS_MAX,
    WAITS_PER_SESSION_MAX,
    ErrorCode,
    ItemStatus,
    Op,
    State,
)
from holdfast.wire.ids import new_id

theme = Theme("adding", "Producer")
check = theme.check

BAD_OPTIONS: Final[list[Any]] = [
    {"atempts": 3},
    {"priority": PRIORITY_MAX + 1},
    {"priority": 1.5},
    {"priority": True},
    {"lifo": 1},
    {"delay_ms": -1},
    {"delay_ms": DELAY_MS_MAX + 1},
    {"run_at_ms": RUN_AT_MS_MAX + 1},
    {"delay_ms": 1, "run_at_ms": 1},
    {"attempts": 0},
    {"attempts": ATTEMPTS_MAX + 1},
    {"max_crashes": 0},
    {"tags": "eu"},
    {"tags": ["a b"]},
    {"tags": ["a,b"]},
    {"tags": ["x" * (TAG_LENGTH_MAX + 1)]},
    {"tags": [f"t{number}" for number in range(TAGS_MAX + 1)]},
    {"backoff": "fixed"},
    {"backoff": {"kind": "fast"}},
    {"backoff": {"kind": "fixed"}},
    {"backoff": {"kind": "fixed", "delay_ms": 1, "factor": 2}},
    {"backoff": {"kind": "fixed", "delay_ms": 1, "jitter": "much"}},
    {"backoff": {"kind": "exponential", "delay_ms": 1, "factor": 0.5}},
    {"backoff": {"kind": "list", "delays_ms": []}},
    {"backoff": {"kind": "list", "delays_ms": [1] * (BACKOFF_DELAYS_MAX + 1)}},
    ["no map"],
]


@check("added", "A job is added with its defaults, and is there when the reply is.", Op.ENQUEUE)
async def added(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    await speaker.ask_items(wire.Enqueue(0, queue, [["a", "resize", b"\x01\x02", None]]))
    other = await scene.enter()
    job = await scene.job(other, queue, "a")
    expected = {
        "queue": queue,
        "id": "a",
        "name": "resize",
        "state": int(State.WAITING),
        "priority": 0,
        "run_at_ms": 0,
        "started_at_ms": 0,
        "finished_at_ms": 0,
        "attempt": 1,
        "attempts": 1,
        "failures": 0,
        "crashes": 0,
        "releases": 0,
        "max_crashes": 3,
        "tags": [],
        "progress": None,
        "payload": b"\x01\x02",
        "result": None,
        "reason": 0,
        "errors": [],
        "logs": [],
    }
    for name, value in expected.items():
        other.same(f"the job's {name}", job.get(name), value)
    other.expect(job["created_at_ms"] > 0, "created_at_ms above 0", job)


@check("made-up-id", "An id of 16 raw bytes becomes the 32 hex digits of it.", Op.ENQUEUE)
async def made_up_id(scene: Scene) -> None:
    speaker, queue, id = await scene.enter(), scene.queue(), new_id()
    await speaker.ask_items(wire.Enqueue(0, queue, [[id, "n", NIL, None]]))
    speaker.same("id", (await scene.job(speaker, queue, id.hex()))["id"], id.hex())


@check(
    "existing",
    "An id that exists adds nothing and changes nothing: the reply has its state.",
    Op.ENQUEUE,
)
async def existing(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    await scene.add(speaker, queue, "a", delay_ms=3_600_000)
    items = [["b", "n", NIL, None], ["a", "other", b"\x07", {"priority": 9}]]
    reply = await speaker.ask_items(wire.Enqueue(0, queue, items), (1, ItemStatus.EXISTING))
    speaker.same("state of the one that exists", reply[0][2:], [int(State.DELAYED)])
    job = await scene.job(speaker, queue, "a")
    kept = (job["name"], job["payload"], job["priority"])
    speaker.same("name, payload, priority", kept, ("conformance", NIL, 0))


@check("twice-in-one", "Of two items with one id, the second exists already.", Op.ENQUEUE)
async def twice_in_one(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    items = [["a", "first", NIL, None], ["a", "second", NIL, None]]
    await speaker.ask_items(wire.Enqueue(0, queue, items), (1, ItemStatus.EXISTING))
    speaker.same("name", (await scene.job(speaker, queue, "a"))["name"], "first")


@check("other-queue", "Ids are unique in their queue only.", Op.ENQUEUE)
async def other_queue(scene: Scene) -> None:
    speaker = await scene.enter()
    for name in ("one", "two"):
        await scene.add(speaker, scene.queue(name), "a")


@check(
    "bad-items",
    "Bad items are refused one by one, each with its code; the good ones are added.",
    Op.ENQUEUE,
    ErrorCode.BAD_JOB_ID,
    ErrorCode.EMPTY_PAYLOAD,
)
async def bad_items(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    bad: list[tuple[Any, ErrorCode]] = [
        (["", "n", NIL, None], ErrorCode.BAD_JOB_ID),
        (["a\nb", "n", NIL, None], ErrorCode.BAD_JOB_ID),
        (["x" * (JOB_ID_LENGTH_MAX + 1), "n", NIL, None], ErrorCode.BAD_JOB_ID),
        ([b"15 bytes long..", "n", NIL, None], ErrorCode.BAD_JOB_ID),
        ([7, "n", NIL, None], ErrorCode.BAD_JOB_ID),
        (["b", "", NIL, None], ErrorCode.BAD_REQUEST),
        (["b", "n" * (JOB_NAME_LENGTH_MAX + 1), NIL, None], ErrorCode.BAD_REQUEST),
        (["b", "n", "text", None], ErrorCode.BAD_REQUEST),
        (["b", "n"], ErrorCode.BAD_REQUEST),
        ("b", ErrorCode.BAD_REQUEST),
        (["b", "n", b"", None], ErrorCode.EMPTY_PAYLOAD),
    ]
    items = [["good", "n", NIL, None], *(item for item, _ in bad), ["last", "n", NIL, None]]
    refused = [(at, int(code)) for at, (_, code) in enumerate(bad, 1)]
    await speaker.ask_items(wire.Enqueue(0, queue, items), *refused)
    for id in ("good", "last"):
        await scene.job(speaker, queue, id)
    await speaker.refused(wire.Get(0, queue, "b"), ErrorCode.UNKNOWN_JOB)


@check(
    "bad-options",
    "Options that are not known, or beyond their limits, are refused.",
    Op.ENQUEUE,
    ErrorCode.BAD_OPTION,
)
async def bad_options(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    items = [[f"a{at}", "n", NIL, options] for at, options in enumerate(BAD_OPTIONS)]
    refused = [(at, int(ErrorCode.BAD_OPTION)) for at in range(len(items))]
    await speaker.ask_items(wire.Enqueue(0, queue, items), *refused)


@check(
    "limits",
    "What is just within its limit is taken: ids, names, queues, priorities, options.",
    Op.ENQUEUE,
    section="Limits",
)
async def limits(scene: Scene) -> None:
    speaker = await scene.enter()
    queue = scene.queue("q").ljust(QUEUE_NAME_LENGTH_MAX, "-")
    queue = scene.queue(queue.partition(":")[2])
    tags = [f"{number:x<{TAG_LENGTH_MAX}}" for number in range(TAGS_MAX)]
    taken = [
        {"priority": PRIORITY_MIN, "attempts": ATTEMPTS_MAX, "max_crashes": ATTEMPTS_MAX},
        {"priority": PRIORITY_MAX, "tags": tags},
        {"delay_ms": DELAY_MS_MAX},
        {"run_at_ms": RUN_AT_MS_MAX},
        {"backoff": {"kind": "list", "delays_ms": [DELAY_MS_MAX] * BACKOFF_DELAYS_MAX}},
        {"backoff": {"kind": "exponential", "delay_ms": 0, "factor": 100, "cap_ms": 0}},
    ]
    items: list[list[Any]] = [
        [f"{at}-é".ljust(JOB_ID_LENGTH_MAX, "x"), "n" * JOB_NAME_LENGTH_MAX, NIL, options]
        for at, options in enumerate(taken)
    ]
    await speaker.ask_items(wire.Enqueue(0, queue, items))
    job = await scene.job(speaker, queue, items[1][0])
    speaker.same("tags", job["tags"], tags)


@check(
    "payload-limit",
    "A payload of limits.payload_bytes is taken and delivered; one byte more is refused.",
    Op.ENQUEUE,
    ErrorCode.PAYLOAD_TOO_LARGE,
)
async def payload_limit(scene: Scene) -> None:
    queue = scene.queue()
    speaker = await scene.worker(queue, credit=1)
    assert speaker.hello is not None, "it was let in"
    payload = b"x" * speaker.hello.info["limits"]["payload_bytes"]
    too_large = (1, int(ErrorCode.PAYLOAD_TOO_LARGE))
    items = [["a", "n", payload, None], ["b", "n", payload + b"x", None]]
    await speaker.ask_items(wire.Enqueue(0, queue, items), too_large)
    job = await speaker.take_job()
    speaker.expect(job.payload == payload, "the payload as it was sent", len(job.payload))
    results = [[*job.held, payload + b"x"]]
    await speaker.refused(wire.Ack(0, results), ErrorCode.PAYLOAD_TOO_LARGE)
    await speaker.ask_items(wire.Ack(0, [[*job.held, payload]]))


@check(
    "atomic",
    "With atomic, one bad item refuses all; details has its index.",
    Op.ENQUEUE,
    ErrorCode.BAD_OPTION,
)
async def atomic(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    await scene.add(speaker, queue, "there")
    items = [["a", "n", NIL, None], ["b", "n", NIL, {"priority": "high"}]]
    error = await speaker.refused(wire.Enqueue(0, queue, items, True), ErrorCode.BAD_OPTION)
    speaker.same("index, in details", error.details.get("index"), 1)
    await speaker.refused(wire.Get(0, queue, "a"), ErrorCode.UNKNOWN_JOB)
    items = [["a", "n", NIL, None], ["there", "n", NIL, None]]
    await speaker.ask_items(wire.Enqueue(0, queue, items, True), (1, ItemStatus.EXISTING))


@check("no-items", "ENQUEUE without a job is refused.", Op.ENQUEUE, ErrorCode.BAD_REQUEST)
async def no_items(scene: Scene) -> None:
    speaker = await scene.enter()
    await speaker.refused(wire.Enqueue(0, scene.queue(), []), ErrorCode.BAD_REQUEST)


@check(
    "bad-queue-name",
    "Names of queues are 1 to 128 of A-Z a-z 0-9 . _ : -; every command refuses others.",
    ErrorCode.BAD_QUEUE_NAME,
    section="Errors",
)
async def bad_queue_name(scene: Scene) -> None:
    speaker = await scene.enter()
    for name in ("", "a b", "a/b", "ü", "x" * (QUEUE_NAME_LENGTH_MAX + 1)):
        items = [["a", "n", NIL, None]]
        await speaker.refused(wire.Enqueue(0, name, items), ErrorCode.BAD_QUEUE_NAME)
    for message in (
        wire.Subscribe(0, ["a b"], 1),
        wire.Listen(0, "a b"),
        wire.Get(0, "a b", "a"),
        wire.Pause(0, "a b"),
        wire.Obliterate(0, "a b"),
    ):
        await speaker.refused(message, ErrorCode.BAD_QUEUE_NAME)


@check("tags", "A job keeps its tags, each of them once.", Op.ENQUEUE)
async def tags(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    await scene.add(speaker, queue, "a", tags=["vip", "eu", "vip"])
    speaker.same("tags", (await scene.job(speaker, queue, "a"))["tags"], ["vip", "eu"])


@check("wait", "WAIT is answered when the job has ended, or at once if it has.", Op.WAIT)
async def wait(scene: Scene) -> None:
    queue = scene.queue()
    worker, job = await scene.leased(queue)
    waiting = await scene.enter()
    number = await waiting.post(wire.Wait(0, queue, "a"))
    await waiting.ask(wire.Counts(0, queue))
    waiting.expect(number not in waiting.answers, "no answer before the end", waiting.answers)
    await worker.ask_items(wire.Ack(0, [[*job.held, b"\x2a"]]))
    for result in (await waiting.result_of(number), await waiting.ask(wire.Wait(0, queue, "a"))):
        came = (result["state"], result["result"], result["errors"])
        waiting.same("state, result, errors", came, (int(State.COMPLETED), b"\x2a", []))


@check(
    "wait-for-none",
    "WAIT for a job that there is not, or that is removed, is refused.",
    Op.WAIT,
    ErrorCode.UNKNOWN_JOB,
)
async def wait_for_none(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    await scene.add(speaker, queue, "a")
    await speaker.refused(wire.Wait(0, queue, "b"), ErrorCode.UNKNOWN_JOB)
    number = await speaker.post(wire.Wait(0, queue, "a"))
    await speaker.ask_items(wire.Remove(0, queue, ["a"]))
    answer = await speaker.answered(number)
    code = ErrorCode.UNKNOWN_JOB
    speaker.expect(getattr(answer, "code", 0) == code, f"ERROR {int(code)}", answer)


@check(
    "too-many-waits",
    "One WAIT more than a session may have is refused, and taken when another has ended.",
    Op.WAIT,
    ErrorCode.TOO_MANY,
    section="Limits",
)
async def too_many_waits(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    await scene.add(speaker, queue, "a", "b")
    first = speaker.numbered(wire.Wait(0, queue, "b"))
    rest = [speaker.numbered(wire.Wait(0, queue, "a")) for _ in range(WAITS_PER_SESSION_MAX - 1)]
    await speaker.say(first, *rest)
    await speaker.refused(wire.Wait(0, queue, "a"), ErrorCode.TOO_MANY)
    await speaker.ask_items(wire.Cancel(0, queue, ["b"]))
    await speaker.result_of(first.request)
    number = await speaker.post(wire.Wait(0, queue, "a"))
    await speaker.ask(wire.Counts(0, queue))
    speaker.expect(number not in speaker.answers, "a WAIT that is taken", speaker.answers)
