"""What being observed costs the daemon: per job, per request, and per page for Prometheus.

The first two in CPU time of one thread, alone; a page in wall time, with the longest turn for which
the event loop could do nothing else. `python -m bench.observing`
"""

import asyncio
import gc
import random
import sys
import time
import timeit
from collections.abc import Callable
from typing import Final

from holdfast.wire import messages as wire
from holdfastd.engine import commands
from holdfastd.engine.broker import Engine
from holdfastd.engine.ledger import Tasks
from holdfastd.engine.model import NewJob
from holdfastd.engine.partition import EngineSettings, Moment
from holdfastd.engine.stats import QueueStats
from holdfastd.net.answering import Answers
from holdfastd.observed import Observed
from holdfastd.store.base import StoreStats
from holdfastd.web.metrics import Metrics
from holdfastd.web.snapshot import Snapshots

REPEATS: Final = 200_000
MOMENT: Final = Moment(1_800_000_000_000, 1000.0)


def per_call_us(function: Callable[[], None]) -> float:
    return min(timeit.repeat(function, number=REPEATS, repeat=5)) / REPEATS * 1e6


def count_a_job(stats: QueueStats) -> None:
    """What `engine` counts of one that is added, leased and completed."""
    stats.accepted += 1
    stats.wait_seconds.observe(0.002)
    stats.completed += 1
    stats.duration_seconds_completed.observe(0.3)


def engine_with(queues: int, queues_max: int) -> Engine:
    """One job waits in each queue."""
    engine = Engine(EngineSettings(own_stats_max=queues_max), random.Random(1))
    engine.attach(1, commands.Attach("s", "", (), {}), MOMENT)
    for number in range(queues):
        job = NewJob(f"{number:032x}", True, "n", b"x")
        engine.apply(1, number + 1, commands.Enqueue(f"q{number}", [(0, job)], []), MOMENT)
        if number % 500 == 0:
            engine.close_batch()
    engine.close_batch()
    return engine


async def pages(queues: int, queues_max: int) -> str:
    engine, clock = engine_with(queues, queues_max), time.monotonic
    gc.collect()
    gc.freeze()

    async def stats() -> StoreStats:
        return StoreStats(1, 2, 3, 4)

    snapshots = Snapshots(engine, Observed(), dict, stats, lambda: True, lambda: 0, clock)
    times: list[float] = []
    longest = 0.0
    for _ in range(5):
        metrics = Metrics(snapshots, clock)  # nothing of it is cached
        started = clock()
        rendering = asyncio.create_task(metrics.render())
        while not rendering.done():
            turn = clock()
            await asyncio.sleep(0)
            longest = max(longest, clock() - turn)
        times.append(clock() - started)
    series = sum(not line.startswith(b"#") for line in rendering.result().splitlines())
    return (
        f"{queues:,} queues: {series:,} series, first page {times[0] * 1e3:.0f} ms, "
        f"next ones {min(times[1:]) * 1e3:.0f} ms, longest turn {longest * 1e3:.1f} ms"
    )


def main() -> None:
    sys.setswitchinterval(0.0002)  # as the daemon does
    stats, tasks, answers = QueueStats(), Tasks(10), Answers(Observed())
    ack, reply = wire.Ack(1, []), [wire.Reply(1, None)]

    def time_a_request() -> None:
        answers.expect(ack, 1.0)
        answers.note(reply, 1.01)

    print(f"counting a job {per_call_us(lambda: count_a_job(stats)):.2f} us")
    print(f"... by its name {per_call_us(lambda: tasks.observe('q', 'n', 0.3)):.2f} us")
    print(f"timing a request {per_call_us(time_a_request):.2f} us")
    for queues, queues_max in ((10, 100), (100, 100), (1_000, 1_000), (100_000, 100)):
        print(asyncio.run(pages(queues, queues_max)))


if __name__ == "__main__":
    main()
