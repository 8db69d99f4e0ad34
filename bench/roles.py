"""The raw load processes for Holdfast: `python -m bench.roles NAME SPEC`, see `bench.processes`."""

import random
import selectors
import socket
import sys
import time
from typing import Any

from bench import records
from bench.raw import RawClient, RawWorker, add_frames, send_all, send_paced
from bench.role import Run, play


def add(spec: dict[str, Any]) -> Run:
    """A raw producer. spec: port, queues, jobs, per_call, in_flight (calls), options (of each
    call; a priority "random" is drawn from 0 to 9), due_in_s (the jobs become due together, so long
    after packing began)."""
    client = RawClient(spec["port"])
    due_at_ms = int((time.time() + spec.get("due_in_s", 0)) * 1000)
    frames = add_frames(
        client,
        spec["queues"],
        spec["jobs"] // spec["per_call"],
        spec["per_call"],
        lambda: _options(spec, due_at_ms),
    )

    def run() -> dict[str, Any]:
        send_all(client, frames, spec["in_flight"])
        return {"due_at_ms": due_at_ms}

    return run


def _options(spec: dict[str, Any], due_at_ms: int) -> dict[str, Any] | None:
    options = dict(spec.get("options") or {})
    if options.get("priority") == "random":
        options["priority"] = random.randrange(10)
    if "due_in_s" in spec:
        options["run_at_ms"] = due_at_ms
    return options or None


def fill(spec: dict[str, Any]) -> Run:
    """As `add`, packed while it runs: for more jobs than one likes to hold packed."""
    client = RawClient(spec["port"])

    def run() -> None:
        left = spec["jobs"]
        while left:
            part = min(left, 50_000)
            send_all(client, add_frames(client, [spec["queue"]], part // 100, 100), 40)
            left -= part

    return run


def work(spec: dict[str, Any]) -> Run:
    """A raw worker. spec: port, queues, jobs, credit, fails_first."""
    worker = RawWorker(RawClient(spec["port"], "bench"), fails_first=spec.get("fails_first", False))

    def run() -> None:
        worker.take(spec["queues"], spec["credit"])
        worker.work(spec["jobs"])

    return run


def timed_add(spec: dict[str, Any]) -> Run:
    """A raw producer at a steady rate. spec: port, queue, jobs, per_s."""
    client = RawClient(spec["port"])
    return lambda: send_paced(client, spec["queue"], spec["jobs"], spec["per_s"])


def timed_work(spec: dict[str, Any]) -> Run:
    """A raw worker that says how long each job was on its way. spec: port, queue, jobs, credit."""
    worker = RawWorker(RawClient(spec["port"], "bench"), is_timing=True)
    worker.take([spec["queue"]], spec["credit"])

    def run() -> dict[str, Any]:
        worker.work(spec["jobs"])
        return {"waits_s": worker.waits_s}

    return run


def fill_records(spec: dict[str, Any]) -> Run:
    """Jobs with data to search in (`bench.records`). spec: port, queues, jobs."""
    client = RawClient(spec["port"])
    return lambda: records.fill(client, spec["queues"], spec["jobs"])


def add_singly(spec: dict[str, Any]) -> Run:
    """The next when the one before is confirmed; says how long each took. spec: port, queue,
    jobs."""
    client = RawClient(spec["port"])
    frames = add_frames(client, [spec["queue"]], spec["jobs"], 1)

    def run() -> dict[str, Any]:
        took_s = []
        for frame in frames:
            started_s = time.perf_counter()
            send_all(client, [frame], 1)
            took_s.append(time.perf_counter() - started_s)
        return {"took_s": took_s}

    return run


def watch(spec: dict[str, Any]) -> Run:
    """Open dashboards: streams that are read and thrown away, until there is another line to read.
    spec: address, path, streams. Says how many bytes came."""
    host, _, port = spec["address"].rpartition(":")
    request = f"GET {spec['path']} HTTP/1.1\r\nHost: {spec['address']}\r\n\r\n".encode()
    selector = selectors.DefaultSelector()
    for _ in range(spec["streams"]):
        stream = socket.create_connection((host, int(port)))
        stream.sendall(request)
        if not stream.recv(1 << 16).startswith(b"HTTP/1.1 200"):
            raise RuntimeError("the daemon gives no stream")
        selector.register(stream, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    return lambda: {"bytes": _read_until_told(selector)}


def _read_until_told(selector: selectors.BaseSelector) -> int:
    buffer = bytearray(1 << 18)
    count = 0
    while True:
        for key, _ in selector.select():
            stream = key.fileobj
            if not isinstance(stream, socket.socket):
                return count
            received = stream.recv_into(buffer)
            if not received:
                raise RuntimeError("the daemon has ended a stream")
            count += received


if __name__ == "__main__":
    play(add, fill, work, timed_add, timed_work, fill_records, add_singly, watch)
