"""GET, LIST, COUNTS, SEARCH and EXPLAIN."""

from typing import Any

from holdfast.conformance.checks import Theme
from holdfast.conformance.leasing import ERROR
from holdfast.conformance.scene import NIL, Scene
from holdfast.conformance.speaking import Speaker
from holdfast.wire import messages as wire
from holdfast.wire.constants import LIST_LIMIT_MAX, ErrorCode, Op, State

theme = Theme("reading", "Reading")
check = theme.check

HOUR_MS = 3_600_000
PAGES_MAX = 20
"""Of five jobs: a server that is at more goes round in circles."""
STATES = ("waiting", "delayed", "active", "blocked", "completed", "failed", "cancelled")


@check(
    "get-none",
    "GET of a job or queue that there is not is refused.",
    Op.GET,
    ErrorCode.UNKNOWN_JOB,
    ErrorCode.UNKNOWN_QUEUE,
)
async def get_none(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    await scene.add(speaker, queue, "a")
    await speaker.refused(wire.Get(0, queue, "b"), ErrorCode.UNKNOWN_JOB)
    await speaker.refused(wire.Get(0, scene.queue("none"), "a"), ErrorCode.UNKNOWN_QUEUE)


async def pages(speaker: Speaker, message: Any) -> list[list[str]]:
    """Ids, page by page, until next is nil."""
    found, after = [], None
    while True:
        page = await speaker.ask(message._replace(after=after))
        found.append([job["id"] for job in page["jobs"]])
        after = page["next"]
        if after is None:
            return found
        speaker.expect(len(found) < PAGES_MAX, "an end of the pages", found)


@check("list-pages", "LIST goes through a state page by page, in order, each job once.", Op.LIST)
async def list_pages(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    for number in range(5):
        await scene.add(speaker, queue, f"w{number}", priority=-number)
        await scene.add(speaker, queue, f"d{number}", delay_ms=HOUR_MS - number * 60_000)
    waiting = wire.List(0, queue, int(State.WAITING), None, 2)
    found = await pages(speaker, waiting)
    ids = [id for page in found for id in page]
    speaker.same("waiting jobs, over all pages", ids, ["w4", "w3", "w2", "w1", "w0"])
    speaker.expect(max(map(len, found)) <= 2, "at most 2 of a page", found)
    delayed = wire.List(0, queue, int(State.DELAYED), None, 2)
    ids = [id for page in await pages(speaker, delayed) for id in page]
    speaker.same("delayed jobs, over all pages", ids, ["d4", "d3", "d2", "d1", "d0"])


@check("list-finished", "LIST shows finished jobs newest first, active ones by token.", Op.LIST)
async def list_finished(scene: Scene) -> None:
    queue = scene.queue()
    worker = await scene.worker(queue, credit=3)
    await scene.add(worker, queue, "a", "b", "c")
    jobs = await worker.take_jobs(3)
    active = await worker.ask(wire.List(0, queue, int(State.ACTIVE)))
    worker.same("active jobs", [job["id"] for job in active["jobs"]], ["a", "b", "c"])
    for job in (jobs[2], jobs[0]):
        await worker.ask_items(wire.Ack(0, [[*job.held, None]]))
        found = await scene.job(worker, queue, job.id)
        await next_millisecond(scene, worker, found["finished_at_ms"])
    done = await worker.ask(wire.List(0, queue, int(State.COMPLETED)))
    worker.same("completed jobs", [job["id"] for job in done["jobs"]], ["a", "c"])


async def next_millisecond(scene: Scene, speaker: Speaker, at_ms: int) -> None:
    """Go on when the server's clock has: what ends in one millisecond has no order."""
    queue = scene.queue("clock")
    for number in range(1000):
        id = f"{at_ms}-{number}"
        await scene.add(speaker, queue, id)
        if (await scene.job(speaker, queue, id))["created_at_ms"] > at_ms:
            return
    speaker.fail("a clock that goes on", f"{at_ms} ms")


@check(
    "bad-list",
    "LIST with a limit, state or after that there is not is refused.",
    Op.LIST,
    ErrorCode.BAD_OPTION,
    ErrorCode.BAD_REQUEST,
    ErrorCode.UNKNOWN_QUEUE,
)
async def bad_list(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    await scene.add(speaker, queue, "a")
    for state, limit in ((1, 0), (1, LIST_LIMIT_MAX + 1), (0, 10), (99, 10)):
        await speaker.refused(wire.List(0, queue, state, None, limit), ErrorCode.BAD_OPTION)
    for after in (["odd"], [1], [2**64 - 1, 2**64 - 1]):
        await speaker.refused(wire.List(0, queue, 1, after), ErrorCode.BAD_REQUEST)
    await speaker.refused(wire.List(0, scene.queue("none"), 1), ErrorCode.UNKNOWN_QUEUE)


@check(
    "counts",
    "COUNTS tells of one queue, or of all by name after `after`.",
    Op.COUNTS,
    ErrorCode.UNKNOWN_QUEUE,
)
async def counts(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    await scene.add(speaker, queue, "a", "b")
    await scene.add(speaker, queue, "later", delay_ms=HOUR_MS)
    await scene.worker(queue, credit=0)
    result = await speaker.ask(wire.Counts(0, queue))
    speaker.same("name of the one queue", [name for name, _ in result], [queue])
    told = result[0][1]
    came = [told.get(state) for state in STATES]
    speaker.same(f"counts of {', '.join(STATES)}", came, [2, 1, 0, 0, 0, 0, 0])
    speaker.same("paused and workers", (told["paused"], told["workers"]), (False, 1))
    since = {"added": 3, "completed": 0, "failed": 0, "retries": 0, "lost": 0}
    speaker.same("since_start", told["since_start"], since)
    before = queue[:-1]  # sorts just before it
    names = [name for name, _ in await speaker.ask(wire.Counts(0, None, before))]
    speaker.expect(queue in names, f"{queue} among the queues after {before}", names)
    speaker.same("names in order", names, sorted(names))
    names = [name for name, _ in await speaker.ask(wire.Counts(0, None, queue))]
    speaker.expect(queue not in names, f"no {queue} after itself", names)
    await speaker.refused(wire.Counts(0, scene.queue("none")), ErrorCode.UNKNOWN_QUEUE)


async def why(scene: Scene, speaker: Speaker, queue: str, id: str, code: str) -> dict[str, Any]:
    """The details of an explanation that has that code."""
    told = await speaker.ask(wire.Explain(0, queue, id))
    speaker.same(f"code of EXPLAIN {id}", told["code"], code)
    speaker.expect(told["text"], "a text for people", told)
    return dict(told["details"])


@check("explain-waiting", "EXPLAIN says why a waiting job does not run.", Op.EXPLAIN)
async def explain_waiting(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    await scene.add(speaker, queue, "a", "b")
    details = await why(scene, speaker, queue, "b", "no_workers")
    before, is_exact = details.get("before", -1), details.get("is_exact")
    is_so = before == 1 if is_exact is True else 0 <= before <= 1
    speaker.expect(is_so, "before 1, or at most that and is_exact false", details)
    await speaker.ask(wire.Pause(0, queue))
    await why(scene, speaker, queue, "a", "paused")
    await speaker.ask(wire.Resume(0, queue))
    worker = await scene.worker(queue, credit=0)
    details = await why(scene, speaker, queue, "a", "workers_busy")
    speaker.same("workers", details.get("workers"), 1)
    await speaker.ask(wire.Configure(0, queue, {"concurrency": 1}))
    await worker.say(wire.Credit(2))
    await worker.take_job()
    details = await why(scene, speaker, queue, "b", "concurrency")
    speaker.same("limit, active", (details.get("limit"), details.get("active")), (1, 1))
    rate = {"limit": 1, "period_ms": HOUR_MS, "burst": 1}
    await speaker.ask(wire.Configure(0, queue, {"concurrency": None, "rate": rate}))
    await worker.take_job()
    await scene.add(speaker, queue, "c")
    await worker.say(wire.Credit(1))
    await worker.ask_items(wire.Heartbeat(0, []))
    details = await why(scene, speaker, queue, "c", "rate")
    speaker.expect(0 < details.get("wait_ms", 0) <= HOUR_MS, "wait_ms", details)


@check("explain-others", "EXPLAIN tells of jobs in every other state.", Op.EXPLAIN)
async def explain_others(scene: Scene) -> None:
    queue = scene.queue()
    worker, job = await scene.leased(queue)
    details = await why(scene, worker, queue, "a", "active")
    came = (details.get("worker"), details.get("attempt"), details.get("is_connected"))
    worker.same("worker, attempt, is_connected", came, ("conformance", 1, True))
    await worker.ask_items(wire.Ack(0, [[*job.held, None]]))
    await why(scene, worker, queue, "a", "completed")
    await scene.add(worker, queue, "later", delay_ms=HOUR_MS)
    details = await why(scene, worker, queue, "later", "delayed")
    worker.expect(0 < details.get("wait_ms", 0) <= HOUR_MS, "wait_ms", details)
    await worker.ask_items(wire.Cancel(0, queue, ["later"]))
    await why(scene, worker, queue, "later", "cancelled")
    await scene.add(worker, queue, "bad")
    await worker.say(wire.Credit(1))
    bad = await worker.take_job()
    await worker.ask_items(wire.Fail(0, [[*bad.held, ERROR, -1]]))
    details = await why(scene, worker, queue, "bad", "failed")
    worker.same("reason", details.get("reason"), 1)
    await worker.refused(wire.Explain(0, queue, "none"), ErrorCode.UNKNOWN_JOB)


def searches(scene: Scene, speaker: Speaker) -> None:
    """Raises Skipped where the server does not."""
    assert speaker.hello is not None, "it was let in"
    if "search" not in speaker.hello.info["features"]:
        scene.skip("this server does not search: HELLO has no feature of that name")


@check("search", "SEARCH finds the jobs that match, page by page, each once.", Op.SEARCH)
async def search(scene: Scene) -> None:
    speaker, queue = await scene.enter(), scene.queue()
    searches(scene, speaker)
    await scene.add(speaker, queue, *[f"eu{number}" for number in range(5)], tags=["eu"])
    await scene.add(speaker, queue, "us", tags=["us"])
    query = wire.Search(0, f"queue:{queue} tag:eu", None, 2)
    ids = sorted(id for page in await pages(speaker, query) for id in page)
    speaker.same("ids found", ids, [f"eu{number}" for number in range(5)])
    page = await speaker.ask(wire.Search(0, f"queue:{queue} tag:us"))
    while not page["jobs"] and page["was_cut"]:  # time was up
        page = await speaker.ask(wire.Search(0, f"queue:{queue} tag:us", page["next"]))
    found = [(job["id"], job["payload"], job["error"]) for job in page["jobs"]]
    speaker.same("id, payload, error", found, [("us", None, "")])


@check(
    "bad-search",
    "A query that is none is refused, with the place and what is wrong there.",
    Op.SEARCH,
    ErrorCode.BAD_REQUEST,
)
async def bad_search(scene: Scene) -> None:
    speaker = await scene.enter()
    searches(scene, speaker)
    error = await speaker.refused(wire.Search(0, "state:nowhere"), ErrorCode.BAD_REQUEST)
    kinds = [type(error.details.get(name)) for name in ("at", "text", "advice")]
    speaker.same("types of details at, text, advice", kinds, [int, str, str])


@check("durable", "What one connection was confirmed, every other one sees.", Op.GET)
async def durable(scene: Scene) -> None:
    writer, reader, queue = await scene.enter(), await scene.enter(), scene.queue()
    for number in range(20):
        id = f"j{number}"
        await writer.ask_items(wire.Enqueue(0, queue, [[id, "n", NIL, None]]))
        await scene.job(reader, queue, id)
