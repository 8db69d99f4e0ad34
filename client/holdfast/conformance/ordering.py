"""Which job comes next: first in, first out; priority; lifo; delays; and never more than asked."""

from holdfast.conformance.checks import Theme
from holdfast.conformance.scene import NIL, Scene
from holdfast.conformance.speaking import Speaker
from holdfast.wire import messages as wire
from holdfast.wire.constants import CREDIT_MAX, SUBSCRIBED_QUEUES_MAX, ErrorCode, Op, State

theme = Theme("ordering", "Producer")
check = theme.check

DELAY_MS = 300


async def run_all(worker: Speaker, queue: str, count: int) -> list[str]:
    """Take jobs one by one, and acknowledge them. Returns their ids, in the order they came in."""
    await worker.ask(wire.Subscribe(0, [queue], 1))
    ids = []
    for _ in range(count):
        job = await worker.take_job()
        ids.append(job.id)
        await worker.ask_items(wire.Ack(0, [[*job.held, None]], 1))
    return ids


@check("fifo", "Jobs of one priority run in the order they were added in.", Op.JOBS)
async def fifo(scene: Scene) -> None:
    worker, queue = await scene.enter(), scene.queue()
    await scene.add(worker, queue, "a", "b")
    await scene.add(worker, queue, "c")
    worker.same("order", await run_all(worker, queue, 3), ["a", "b", "c"])


@check(
    "queues-in-turn",
    "A worker of several queues gets a job of each in turn.",
    Op.SUBSCRIBE,
    section="Worker",
)
async def queues_in_turn(scene: Scene) -> None:
    worker, one, two = await scene.enter(), scene.queue("one"), scene.queue("two")
    for queue in (one, two):
        await scene.add(worker, queue, "a", "b", "c")
    await worker.ask(wire.Subscribe(0, [one, two], 1))
    came = []
    for _ in range(6):
        job = await worker.take_job()
        came.append(job.queue)
        await worker.ask_items(wire.Ack(0, [[*job.held, None]], 1))
    worker.same("queues", came, [*came[:2]] * 3)
    worker.same("first two queues", {*came[:2]}, {one, two})


@check("in-one-push", "Within one push the order is the same.", Op.JOBS)
async def in_one_push(scene: Scene) -> None:
    worker, queue = await scene.enter(), scene.queue()
    ids = [f"j{number}" for number in range(10)]
    await scene.add(worker, queue, *ids)
    await worker.ask(wire.Subscribe(0, [queue], 10))
    worker.same("order", [job.id for job in await worker.take_jobs(10)], ids)


@check("priority", "Smaller priorities run first, negative ones too.", Op.ENQUEUE, Op.JOBS)
async def priority(scene: Scene) -> None:
    worker, queue = await scene.enter(), scene.queue()
    for id, value in (("late", 5), ("first", -3), ("middle", 0), ("late-2", 5), ("first-2", -3)):
        await scene.add(worker, queue, id, priority=value)
    expected = ["first", "first-2", "middle", "late", "late-2"]
    worker.same("order", await run_all(worker, queue, 5), expected)


@check("lifo", "A lifo job is first within its priority.", Op.ENQUEUE, Op.JOBS)
async def lifo(scene: Scene) -> None:
    worker, queue = await scene.enter(), scene.queue()
    await scene.add(worker, queue, "a")
    await scene.add(worker, queue, "b", lifo=True)
    await scene.add(worker, queue, "c", lifo=True)
    await scene.add(worker, queue, "d", priority=-1)
    worker.same("order", await run_all(worker, queue, 4), ["d", "c", "b", "a"])


@check("delay", "A delayed job is not pushed before its time, and then it is.", Op.ENQUEUE, Op.JOBS)
async def delay(scene: Scene) -> None:
    queue = scene.queue()
    worker = await scene.worker(queue, credit=2)
    await scene.add(worker, queue, "later", delay_ms=DELAY_MS)
    job = await scene.job(worker, queue, "later")
    later_ms = job["run_at_ms"] - job["created_at_ms"]
    worker.expect(0 < later_ms <= DELAY_MS, "run_at_ms behind created_at_ms", job)
    await scene.add(worker, queue, "now")
    first, second = await worker.take_job(), await worker.take_job()
    worker.same("order", [first.id, second.id], ["now", "later"])
    job = await scene.job(worker, queue, "later")
    is_in_time = job["started_at_ms"] >= job["run_at_ms"]
    worker.expect(is_in_time, "started_at_ms at run_at_ms or later", job)


@check("run-at", "A job with a run_at_ms that has passed runs at once.", Op.ENQUEUE, Op.JOBS)
async def run_at(scene: Scene) -> None:
    queue = scene.queue()
    worker = await scene.worker(queue, credit=1)
    await scene.add(worker, queue, "a", run_at_ms=1)
    await worker.take_job()
    await scene.add(worker, queue, "b", run_at_ms=4_102_444_800_000)
    worker.same("state", (await scene.job(worker, queue, "b"))["state"], int(State.DELAYED))


@check("credit", "Never more jobs are pushed than there is credit.", Op.CREDIT, section="Leases")
async def credit(scene: Scene) -> None:
    queue = scene.queue()
    worker = await scene.enter()
    await scene.add(worker, queue, *"abcdefgh")
    await worker.gets_nothing("no job without SUBSCRIBE")
    await worker.ask(wire.Subscribe(0, [queue], 0))
    await worker.gets_nothing("no job at a credit of 0")
    await worker.say(wire.Credit(2))
    jobs = await worker.take_jobs(2)
    await worker.gets_nothing("no third job at a credit of 2")
    await worker.ask_items(wire.Ack(0, [[*jobs[0].held, None]]))
    await worker.gets_nothing("no job for an ACK without credit")
    await worker.ask_items(wire.Ack(0, [[*jobs[1].held, None]], 3))
    more = await worker.take_jobs(3)
    await worker.gets_nothing("no fourth job at a credit of 3")
    error = {"type": "E", "message": "", "traceback": ""}
    await worker.ask_items(wire.Fail(0, [[*more[0].held, error, -1]], 1))
    await worker.take_jobs(1)
    await worker.ask_items(wire.Release(0, [[*more[1].held, 3_600_000]], 1))
    await worker.take_jobs(1)
    await worker.gets_nothing("no job beyond the credit")


@check(
    "subscribe-again",
    "SUBSCRIBE sets queues and credit in place of what was before.",
    Op.SUBSCRIBE,
    section="Worker",
)
async def subscribe_again(scene: Scene) -> None:
    one, two = scene.queue("one"), scene.queue("two")
    worker = await scene.worker(one, credit=5)
    await worker.ask(wire.Subscribe(0, [two], 1))
    await scene.add(worker, one, "a")
    await scene.add(worker, two, "b", "c")
    worker.same("queue", (await worker.take_job()).queue, two)
    await worker.gets_nothing("no job of a queue that is not subscribed to, nor beyond the credit")
    await worker.ask(wire.Subscribe(0, [], 0))
    await worker.say(wire.Credit(5))
    await worker.gets_nothing("no job without a queue")


@check(
    "not-yet",
    "A queue that is subscribed to need not exist yet.",
    Op.SUBSCRIBE,
    section="Worker",
)
async def not_yet(scene: Scene) -> None:
    queue = scene.queue()
    worker = await scene.worker(queue, scene.queue("never"), credit=1)
    producer = await scene.enter()
    await scene.add(producer, queue, "a")
    worker.same("id", (await worker.take_job()).id, "a")


@check(
    "bad-subscribe",
    "Too many queues, or a credit beyond its limit, are refused.",
    Op.SUBSCRIBE,
    ErrorCode.BAD_REQUEST,
    ErrorCode.BAD_OPTION,
    section="Limits",
)
async def bad_subscribe(scene: Scene) -> None:
    speaker = await scene.enter()
    names = [f"q{number}" for number in range(SUBSCRIBED_QUEUES_MAX + 1)]
    await speaker.refused(wire.Subscribe(0, names, 1), ErrorCode.BAD_REQUEST)
    for amount in (-1, CREDIT_MAX + 1):
        await speaker.refused(wire.Subscribe(0, ["q"], amount), ErrorCode.BAD_OPTION)


@check("shared", "Each job goes to one worker only.", Op.JOBS, section="Leases")
async def shared(scene: Scene) -> None:
    queue = scene.queue()
    workers = [await scene.worker(queue, credit=2) for _ in range(3)]
    producer = await scene.enter()
    ids = [f"j{number}" for number in range(6)]
    items = [[id, "n", NIL, None] for id in ids]
    await producer.ask_items(wire.Enqueue(0, queue, items))
    jobs = [job for worker in workers for job in await worker.take_jobs(2)]
    producer.same("each id once", sorted(job.id for job in jobs), ids)
    producer.same("number of tokens", len({job.token for job in jobs}), 6)
