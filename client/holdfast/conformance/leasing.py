"""What workers say of their jobs: ACK, FAIL, RELEASE, EXTEND, HEARTBEAT; and with which token."""

from typing import Any, Final

from holdfast.conformance.checks import Theme
from holdfast.conformance.scene import Scene
from holdfast.conformance.speaking import Job, Speaker
from holdfast.wire import messages as wire
from holdfast.wire.constants import (
    ERROR_MESSAGE_LENGTH_MAX,
    LOG_LINE_LENGTH_MAX,
    PROGRESS_BYTES_MAX,
    TOKEN_COUNTER_BITS,
    ErrorCode,
    FailReason,
    Op,
    State,
)

theme = Theme("leasing", "Worker")
check = theme.check

ERROR: Final = {"type": "ValueError", "message": "no", "traceback": "line 1"}
NEVER: Final = -1
"""FAIL's retry: never again."""
SLACK_MS: Final = 50
"""By which a delay may be off. Arbitrary: an honest server is off by a rounding at most."""
LOST: Final = (0, int(ErrorCode.LEASE_LOST))


async def state_of(scene: Scene, speaker: Speaker, queue: str) -> int:
    return int((await scene.job(speaker, queue, "a"))["state"])


@check("push", "A pushed job has all its fields, and a token of this start.", Op.JOBS)
async def push(scene: Scene) -> None:
    queue = scene.queue()
    worker, job = await scene.leased(queue, attempts=4)
    assert worker.hello is not None, "it was let in"
    came = job._replace(token=0, created_at_ms=0)
    expected = Job(0, queue, "a", "conformance", b"\xc0", 1, 4, 0, 0, 0)
    worker.same("item of JOBS (but for token and time)", came, expected)
    epoch = worker.hello.info["epoch"]
    worker.same("epoch within the token", job.token >> TOKEN_COUNTER_BITS, epoch)
    found = await scene.job(worker, queue, "a")
    shown = (found["state"], found["token"], found["worker"], found["created_at_ms"])
    expected_shown = (int(State.ACTIVE), job.token, "conformance", job.created_at_ms)
    worker.same("state, token, worker, created_at_ms of GET", shown, expected_shown)


@check("tokens-rise", "Each lease of a job has a greater token.", Op.JOBS, section="Leases")
async def tokens_rise(scene: Scene) -> None:
    worker, job = await scene.leased(scene.queue())
    for _ in range(3):
        await worker.ask_items(wire.Release(0, [[*job.held, None]], 1))
        again = await worker.take_job()
        worker.expect(again.token > job.token, f"a token above {job.token}", again.token)
        job = again


@check("ack", "ACK completes the job, with its result.", Op.ACK)
async def ack(scene: Scene) -> None:
    queue = scene.queue()
    worker, job = await scene.leased(queue)
    await worker.ask_items(wire.Ack(0, [[*job.held, b"\x2a"]]))
    found = await scene.job(worker, queue, "a")
    came = (found["state"], found["result"], found["reason"])
    worker.same("state, result, reason", came, (int(State.COMPLETED), b"\x2a", 0))
    is_after = found["finished_at_ms"] >= found["started_at_ms"] > 0
    worker.expect(is_after, "finished_at_ms behind started_at_ms", found)


@check("ack-twice", "A second ACK with the same token is a success, and changes nothing.", Op.ACK)
async def ack_twice(scene: Scene) -> None:
    queue = scene.queue()
    worker, job = await scene.leased(queue)
    await worker.ask_items(wire.Ack(0, [[*job.held, b"\x01"]]))
    await worker.ask_items(wire.Ack(0, [[*job.held, b"\x02"]]))
    worker.same("result", (await scene.job(worker, queue, "a"))["result"], b"\x01")


@check(
    "stale-token",
    "A token that is no live lease of the session changes nothing, in whatever it comes.",
    Op.ACK,
    Op.FAIL,
    Op.RELEASE,
    Op.EXTEND,
    Op.HEARTBEAT,
    ErrorCode.LEASE_LOST,
    section="Leases",
)
async def stale_token(scene: Scene) -> None:
    queue = scene.queue()
    worker, job = await scene.leased(queue)
    thief = await scene.worker(queue, credit=0)
    for speaker, token in ((worker, job.token + 1), (worker, 1), (thief, job.token)):
        held = [token, queue, "a"]
        for message in (
            wire.Ack(0, [[*held, None]]),
            wire.Fail(0, [[*held, ERROR, None]]),
            wire.Release(0, [[*held, None]]),
            wire.Extend(0, [held]),
            wire.Heartbeat(0, [[*held, b"\x01", []]]),
        ):
            await speaker.ask_items(message, LOST)
    found = await scene.job(worker, queue, "a")
    came = (found["state"], found["token"], found["progress"])
    worker.same("state, token, progress", came, (int(State.ACTIVE), job.token, None))
    await worker.ask_items(wire.Ack(0, [[*job.held, None]]))


@check("item-by-item", "A list is judged item by item.", Op.ACK, ErrorCode.LEASE_LOST)
async def item_by_item(scene: Scene) -> None:
    queue = scene.queue()
    worker = await scene.worker(queue, credit=2)
    await scene.add(worker, queue, "a", "b")
    one, two = await worker.take_jobs(2)
    stale = [two.token + 7, queue, "a", None]
    items = [[*one.held, None], stale, [*two.held, None]]
    await worker.ask_items(wire.Ack(0, items), (1, int(ErrorCode.LEASE_LOST)))
    worker.same("state of a", await state_of(scene, worker, queue), int(State.COMPLETED))


@check(
    "one-bad-form",
    "A list with one item of a wrong form is refused as a whole, and gives no credit.",
    Op.ACK,
    ErrorCode.BAD_REQUEST,
    section="Requests and sessions",
)
async def one_bad_form(scene: Scene) -> None:
    queue = scene.queue()
    worker, job = await scene.leased(queue)
    await scene.add(worker, queue, "b")
    items: list[Any] = [[*job.held, None], [job.token, queue]]
    await worker.refused(wire.Ack(0, items, 1), ErrorCode.BAD_REQUEST)
    await worker.gets_nothing("no job for the credit of a request that was refused")
    worker.same("state of a", await state_of(scene, worker, queue), int(State.ACTIVE))


@check("fail-for-good", "Without attempts left, or with -1, FAIL ends the job.", Op.FAIL)
async def fail_for_good(scene: Scene) -> None:
    for name, attempts, retry in (("last", 1, None), ("never", 5, NEVER)):
        queue = scene.queue(name)
        worker, job = await scene.leased(queue, attempts=attempts)
        await worker.ask_items(wire.Fail(0, [[*job.held, ERROR, retry]]))
        found = await scene.job(worker, queue, "a")
        came = (found["state"], found["reason"], found["failures"])
        expected = (int(State.FAILED), int(FailReason.ERROR), 1)
        worker.same("state, reason, failures", came, expected)
        error = found["errors"][0]
        told = {key: error.get(key) for key in ("attempt", "outcome", "worker", *ERROR)}
        expected_told = {"attempt": 1, "outcome": 1, "worker": "conformance", **ERROR}
        worker.same("errors[0]", told, expected_told)


@check("fail-twice", "A repeated FAIL or RELEASE is a success until the next lease.", Op.FAIL)
async def fail_twice(scene: Scene) -> None:
    queue = scene.queue()
    worker, job = await scene.leased(queue, attempts=5)
    fail = wire.Fail(0, [[*job.held, ERROR, 3_600_000]])
    await worker.ask_items(fail)
    await worker.ask_items(fail)
    await worker.ask_items(wire.Release(0, [[*job.held, None]]))
    found = await scene.job(worker, queue, "a")
    came = (found["failures"], found["releases"], found["state"])
    worker.same("failures, releases, state", came, (1, 0, int(State.DELAYED)))
    await worker.ask_items(wire.Promote(0, queue, ["a"]))
    await worker.say(wire.Credit(1))
    await worker.take_job()
    await worker.ask_items(fail, LOST)


async def retry_delays_ms(scene: Scene, name: str, backoff: dict[str, Any] | None) -> list[int]:
    """How long each of four failed attempts has the next one wait."""
    queue = scene.queue(name)
    options: dict[str, Any] = {} if backoff is None else {"backoff": backoff}
    worker, job = await scene.leased(queue, attempts=9, **options)
    delays = []
    for _ in range(4):
        await worker.ask_items(wire.Fail(0, [[*job.held, ERROR, None]]))
        found = await scene.job(worker, queue, "a")
        is_delayed = found["state"] == State.DELAYED
        ended_at_ms = found["errors"][-1]["ended_at_ms"]
        delays.append(found["run_at_ms"] - ended_at_ms if is_delayed else 0)
        await worker.ask(wire.Promote(0, queue, ["a"]))  # refused if it waits already
        await worker.say(wire.Credit(1))
        job = await worker.take_job()
    worker.same("attempt after four failures", job.attempt, 5)
    return delays


BACKOFFS: Final[list[tuple[str, dict[str, Any] | None, list[tuple[int, int]]]]] = [
    ("none", None, [(0, 0)] * 4),
    ("fixed", {"kind": "fixed", "delay_ms": 60_000}, [(60_000, 60_000)] * 4),
    (
        "exponential",
        {"kind": "exponential", "delay_ms": 60_000, "factor": 3, "cap_ms": 500_000},
        [(60_000, 60_000), (180_000, 180_000), (500_000, 500_000), (500_000, 500_000)],
    ),
    (
        "list",
        {"kind": "list", "delays_ms": [60_000, 90_000]},
        [(60_000, 60_000), (90_000, 90_000), (90_000, 90_000), (90_000, 90_000)],
    ),
    (
        "equal",
        {"kind": "fixed", "delay_ms": 60_000, "jitter": "equal"},
        [(30_000, 60_000)] * 4,
    ),
    ("full", {"kind": "fixed", "delay_ms": 60_000, "jitter": "full"}, [(0, 60_000)] * 4),
]
"""Name, policy, and between which bounds each delay has to be."""


@check(
    "backoff",
    "Retries wait as the job's backoff says: fixed, exponential with a cap, a list, with jitter.",
    Op.FAIL,
    section="Producer",
)
async def backoff(scene: Scene) -> None:
    speaker = await scene.enter()
    for name, policy, bounds in BACKOFFS:
        delays = await retry_delays_ms(scene, name, policy)
        are_within = all(
            low - SLACK_MS <= delay <= high + SLACK_MS
            for delay, (low, high) in zip(delays, bounds, strict=True)
        )
        speaker.expect(are_within, f"delays within {bounds} ms for backoff {policy}", delays)


@check("retry-after", "FAIL may say itself when to run again: at once, or in some time.", Op.FAIL)
async def retry_after(scene: Scene) -> None:
    queue = scene.queue()
    worker, job = await scene.leased(
        queue, attempts=9, backoff={"kind": "fixed", "delay_ms": 3_600_000}
    )
    await worker.ask_items(wire.Fail(0, [[*job.held, ERROR, 0]], 1))
    job = await worker.take_job()
    await worker.ask_items(wire.Fail(0, [[*job.held, ERROR, 100]], 1))
    job = await worker.take_job()
    worker.same("attempt", job.attempt, 3)


@check("long-errors", "Longer texts of an error are cut, and not refused.", Op.FAIL)
async def long_errors(scene: Scene) -> None:
    queue = scene.queue()
    worker, job = await scene.leased(queue)
    error = {**ERROR, "message": "m" * (ERROR_MESSAGE_LENGTH_MAX + 1)}
    await worker.ask_items(wire.Fail(0, [[*job.held, error, None]]))
    message = (await scene.job(worker, queue, "a"))["errors"][0]["message"]
    worker.same("length of the message", len(message), ERROR_MESSAGE_LENGTH_MAX)


@check("release", "RELEASE gives the job back at its old place, and counts no attempt.", Op.RELEASE)
async def release(scene: Scene) -> None:
    queue = scene.queue()
    worker, job = await scene.leased(queue)
    await scene.add(worker, queue, "b")
    await worker.ask_items(wire.Release(0, [[*job.held, None]], 1))
    again = await worker.take_job()
    came = (again.id, again.attempt, again.crashes, again.releases)
    worker.same("id, attempt, crashes, releases", came, ("a", 1, 0, 1))
    await worker.ask_items(wire.Release(0, [[*again.held, 3_600_000]]))
    worker.same("state", await state_of(scene, worker, queue), int(State.DELAYED))


@check("extend", "EXTEND says which leases are lost.", Op.EXTEND, ErrorCode.LEASE_LOST)
async def extend(scene: Scene) -> None:
    queue = scene.queue()
    worker, job = await scene.leased(queue)
    stale = [job.token + 1, queue, "a"]
    await worker.ask_items(wire.Extend(0, [job.held, stale]), (1, int(ErrorCode.LEASE_LOST)))


@check("reports", "HEARTBEAT carries progress and log lines, which are kept.", Op.HEARTBEAT)
async def reports(scene: Scene) -> None:
    queue = scene.queue()
    worker, job = await scene.leased(queue)
    await worker.ask_items(wire.Heartbeat(0, []))
    long_line = "x" * (LOG_LINE_LENGTH_MAX + 1)
    await worker.ask_items(
        wire.Heartbeat(0, [[*job.held, b"\x28", [[1_700_000_000_000, "half done"]]]])
    )
    await worker.ask_items(wire.Heartbeat(0, [[*job.held, None, [[2, long_line]]]]))
    found = await scene.job(worker, queue, "a")
    worker.same("progress", found["progress"], b"\x28")
    logs = [[1, 1_700_000_000_000, "half done"], [2, 2, long_line[:-1]]]
    worker.same("logs", found["logs"], logs)
    too_much = [[*job.held, b"x" * (PROGRESS_BYTES_MAX + 1), []]]
    await worker.refused(wire.Heartbeat(0, too_much), ErrorCode.PAYLOAD_TOO_LARGE)
