"""Request numbers, and what a client learns when it comes back after a cut."""

from typing import Any

from holdfast.conformance.checks import Theme
from holdfast.conformance.scene import NIL, Scene
from holdfast.conformance.speaking import Speaker
from holdfast.wire import messages as wire
from holdfast.wire.constants import REQUEST_MAX, ErrorCode, ItemStatus, Op, State
from holdfast.wire.ids import new_id

theme = Theme("sessions", "Requests and sessions")
check = theme.check


def one(queue: str, id: str | bytes, **options: Any) -> wire.Enqueue:
    return wire.Enqueue(0, queue, [[id, "n", NIL, options or None]])


def welcomed(speaker: Speaker) -> tuple[Any, ...]:
    """resumed, last_request, last_refused."""
    assert speaker.welcome is not None, "it was let in"
    info = speaker.welcome.info
    return info.get("resumed"), info.get("last_request"), info.get("last_refused")


@check(
    "repeats",
    "A changing request whose number does not rise is refused, and changes nothing.",
    ErrorCode.OUT_OF_ORDER,
)
async def repeats(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    speaker.count_from(6)
    await speaker.ask_items(one(queue, "a"))
    for number in (7, 3):
        speaker.count_from(number - 1)
        answer = await speaker.answered(await speaker.post(one(queue, "b")))
        code = ErrorCode.OUT_OF_ORDER
        speaker.expect(getattr(answer, "code", 0) == code, f"ERROR {int(code)}", answer)
    speaker.count_from(7)
    await speaker.refused(wire.Get(0, queue, "b"), ErrorCode.UNKNOWN_JOB)


@check("gaps", "Numbers may leave gaps.")
async def gaps(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    for number in (1, 5, 1_000_000, 2**40, 2**53):
        speaker.count_from(number - 1)
        await speaker.ask_items(one(queue, f"n{number}"))
    after = await scene.resume(speaker)
    after.same("resumed, last_request, last_refused", welcomed(after), (True, 2**53, 0))


@check(
    "beyond",
    "A number beyond 2^63-1, or below 0, is refused, and hurts nobody.",
    ErrorCode.BAD_REQUEST,
)
async def beyond(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    await speaker.ask_items(one(queue, "a"))
    for number in (REQUEST_MAX + 1, 2**64 - 1, -1):
        speaker.count_from(number - 1)
        answer = await speaker.answered(await speaker.post(one(queue, "b")))
        is_refused = getattr(answer, "code", 0) == ErrorCode.BAD_REQUEST
        speaker.expect(is_refused, "ERROR 301 (BAD_REQUEST)", answer)
    speaker.count_from(1)
    await scene.add(speaker, queue, "c")


@check("in-order", "Requests that change something are applied in the order they were sent in.")
async def in_order(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    await speaker.ask_items(one(queue, "first"))
    sent = [
        speaker.numbered(message)
        for message in (
            one(queue, "a", delay_ms=3_600_000),
            wire.Promote(0, queue, ["a"]),
            wire.Change(0, queue, ["a"], {"priority": -5}),
            wire.Cancel(0, queue, ["a"]),
            wire.Retry(0, queue, ["a"]),
            wire.Remove(0, queue, ["a"]),
            one(queue, "a"),
        )
    ]
    await speaker.say(*sent)
    for message in sent:
        speaker.same("nothing refused:", await speaker.result_of(message.request), [])


@check(
    "resume",
    "After a cut WELCOME has the highest number of a changing request whose effect is there.",
    Op.WELCOME,
)
async def resume(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    speaker.count_from(4)
    await speaker.ask_items(one(queue, "a"))
    after = await scene.resume(speaker)
    after.same("resumed, last_request, last_refused", welcomed(after), (True, 5, 0))
    await scene.job(after, queue, "a")


@check("reads", "Requests that change nothing do not count for last_request.", Op.WELCOME)
async def reads(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    await speaker.ask_items(one(queue, "a"))
    speaker.count_from(20)
    await scene.job(speaker, queue, "a")
    await speaker.ask(wire.Counts(0, queue))
    await speaker.ask(wire.Subscribe(0, [], 0))
    await speaker.ask(wire.Heartbeat(0, []))
    after = await scene.resume(speaker)
    after.same("resumed, last_request, last_refused", welcomed(after), (True, 1, 0))
    await after.ask_items(one(queue, "b"))


@check(
    "sent-again",
    "What is sent again after a cut: above last_request it is applied, at or below it is refused.",
    ErrorCode.OUT_OF_ORDER,
)
async def sent_again(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    await speaker.ask_items(one(queue, "a"))
    after = await scene.resume(speaker)
    after.count_from(0)
    answer = await after.answered(await after.post(one(queue, "other")))
    is_refused = getattr(answer, "code", 0) == ErrorCode.OUT_OF_ORDER
    after.expect(is_refused, "ERROR 307 (OUT_OF_ORDER)", answer)
    await after.ask_items(one(queue, "b"))
    await after.refused(wire.Get(0, queue, "other"), ErrorCode.UNKNOWN_JOB)


@check(
    "last-refused",
    "last_refused is the highest number of an ENQUEUE that was refused as a whole.",
    Op.WELCOME,
    Op.ENQUEUE,
)
async def last_refused(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    await speaker.ask_items(one(queue, "a"))
    bad = wire.Enqueue(0, queue, [["b", "n", NIL, None], ["", "n", NIL, None]], True)
    error = await speaker.answered(await speaker.post(bad))
    speaker.expect(isinstance(error, wire.Error), "ERROR", error)
    await speaker.ask_items(one(queue, "c"))
    after = await scene.resume(speaker)
    after.same("resumed, last_request, last_refused", welcomed(after), (True, 3, 2))


@check("unknown", "A session that the server does not know is begun anew.", Op.WELCOME)
async def unknown(scene: Scene) -> None:
    speaker = await scene.enter(leases=[2**40 + 1])
    speaker.same("resumed, last_request, last_refused", welcomed(speaker), (False, 0, 0))
    assert speaker.welcome is not None, "it was let in"
    speaker.same("lost", speaker.welcome.info.get("lost"), [2**40 + 1])


@check(
    "connection-only",
    "A subscription and a LISTEN end with their connection; the session does not bring them back.",
    Op.SUBSCRIBE,
    Op.LISTEN,
)
async def connection_only(scene: Scene) -> None:
    queue = scene.queue()
    worker = await scene.worker(queue, credit=5)
    await worker.ask(wire.Listen(0, queue))
    await worker.ask_items(wire.Enqueue(0, scene.queue("other"), [["x", "n", NIL, None]]))
    after = await scene.resume(worker)
    await scene.add(after, queue, "a")
    await after.gets_nothing("neither a job nor an event before SUBSCRIBE and LISTEN")
    await after.ask(wire.Subscribe(0, [queue], 1))
    await after.take_job()


@check(
    "made-up-ids",
    "An ENQUEUE that is sent again with its made-up ids as text adds nothing a second time.",
    Op.ENQUEUE,
)
async def made_up_ids(scene: Scene) -> None:
    speaker, queue, id = await scene.enter(), scene.queue(), new_id()
    await speaker.ask_items(one(queue, id))
    after = await scene.resume(speaker)
    again = await after.ask_items(one(queue, id.hex()), (0, ItemStatus.EXISTING))
    after.same("state of the one that exists", again[0][2:], [int(State.WAITING)])
    counts = await after.ask(wire.Counts(0, queue))
    after.same("number of waiting jobs", counts[0][1]["waiting"], 1)


@check(
    "answers-lost",
    "What was applied before a cut is there after it, though no answer arrived.",
    Op.WELCOME,
)
async def answers_lost(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    watcher = await scene.enter()
    await watcher.ask(wire.Listen(0, queue))
    await speaker.post(one(queue, "a"))
    await watcher.take_events(1)
    after = await scene.resume(speaker)
    after.same("resumed, last_request, last_refused", welcomed(after), (True, 1, 0))
    await scene.job(after, queue, "a")
