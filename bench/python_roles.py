"""Load processes with the Python client, as `bench.roles` with the raw one."""

import asyncio
import threading
import time
from typing import Any

import uvloop

from bench.raw import DATA
from bench.role import Run, play
from holdfast import Queue, Worker
from holdfast.active import ActiveJob


def idle_work(spec: dict[str, Any]) -> Run:
    """A worker of the Python client that finds nothing to do. spec: url, queue, seconds."""
    worker = Worker(spec["queue"], _nothing, url=spec["url"], concurrency=10)
    thread = threading.Thread(target=lambda: asyncio.run(worker.run_async()))
    thread.start()

    def run() -> None:
        time.sleep(spec["seconds"])
        worker.stop()
        thread.join()

    return run


def python_add(spec: dict[str, Any]) -> Run:
    """The blocking Queue. spec: url, queue, jobs, per_call (1: `add`), threads."""
    queue = Queue(spec["queue"], url=spec["url"])
    queue.counts()  # connects
    threads = spec.get("threads", 1)
    calls = spec["jobs"] // spec["per_call"] // threads
    many = [("n", DATA)] * spec["per_call"]

    def call() -> None:
        for _ in range(calls):
            if spec["per_call"] == 1:
                queue.add("n", DATA)
            else:
                queue.add_many(many)

    def run() -> None:
        running = [threading.Thread(target=call) for _ in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()

    return run


def python_work(spec: dict[str, Any]) -> Run:
    """The Worker. spec: url, queue, jobs, concurrency, kind ("async": no-op coroutines; "thread":
    plain functions). Counted in the handler; the clock starts with the worker."""
    counter = _Counter(spec["jobs"])
    handler = counter.handle_async if spec["kind"] == "async" else counter.handle
    worker = Worker(spec["queue"], handler, url=spec["url"], concurrency=spec["concurrency"])

    async def work() -> None:
        running = asyncio.create_task(worker.run_async())
        await asyncio.get_running_loop().run_in_executor(None, counter.done.wait)
        counter.ended_at_s = time.perf_counter()
        worker.stop()
        await running

    def run() -> dict[str, Any]:
        uvloop.run(work())
        return {"ended_at_s": counter.ended_at_s}

    return run


class _Counter:
    def __init__(self, target: int):
        self.done = threading.Event()
        self.ended_at_s = 0.0
        self._left = target
        self._lock = threading.Lock()

    async def handle_async(self, job: ActiveJob) -> None:
        self._left -= 1
        if not self._left:
            self.done.set()

    def handle(self, job: ActiveJob) -> None:
        with self._lock:
            self._left -= 1
            if not self._left:
                self.done.set()


async def _nothing(job: ActiveJob) -> None:
    pass


if __name__ == "__main__":
    play(idle_work, python_add, python_work)
