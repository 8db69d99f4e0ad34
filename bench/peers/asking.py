"""The questions that every peer is asked, in one way for all."""

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

import psutil

from bench.clients.tally import Counted, waits_s
from bench.lab import Figures, rate, rate_of_all
from bench.peers.peer import Command, Peer, end, full_environment
from bench.processes import ROOT, LoadProcess, run_together

WORKER_S: Final = 60.0
"""Until a worker has handled its first job. Celery takes two."""


@dataclass(frozen=True)
class Sizes:
    """How long each question takes, in seconds, and how many jobs are timed."""

    single_s: float = 1.0
    bulk_s: float = 2.0
    drain_s: float = 3.0
    through_s: float = 3.0
    timed_jobs: int = 300
    memory_s: float = 15.0
    memory_jobs: int = 1_000_000
    producers: int = 8
    """Smaller only to try this out: the question's name is fixed."""


QUICK: Final = Sizes(0.3, 0.3, 0.6, 0.5, 30, 0.3, 10_000)
TIMED_PER_S: Final = 100


def ask_all(peer: Peer, directory: Path, sizes: Sizes) -> Figures:
    """One run of everything, on a server that was just started."""
    with _started(peer, directory) as session:
        return {
            **session.single(sizes),
            **session.bulk_and_drain(sizes),
            **session.eight(sizes),
            **session.through(sizes),
            **session.latency(sizes),
        }


def ask_memory(peer: Peer, directory: Path, sizes: Sizes) -> Figures:
    """What waiting jobs take in the server's memory; {} if it has none. Once is enough, since it
    takes long. A server that does not get to the jobs in time says how far it came."""
    with _started(peer, directory) as session:
        return session.memory(sizes)


@contextmanager
def _started(peer: Peer, directory: Path) -> "Iterator[_Session]":
    with tempfile.TemporaryDirectory(dir=directory, prefix="peer-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as another user
        try:
            peer.start(Path(folder))
            yield _Session(peer, Path(folder))
        finally:
            peer.stop()


_numbers = count()


class _Session:
    def __init__(self, peer: Peer, folder: Path):
        self._peer = peer
        self._folder = folder
        self._bulk = "bulk" if peer.bulk else "single"

    def single(self, sizes: Sizes) -> Figures:
        found = self._add(_new_queue(), form="single", seconds=sizes.single_s)
        return {"add one by one /s": rate(found)}

    def bulk_and_drain(self, sizes: Sizes) -> Figures:
        """The jobs that were added are those that one worker then drains."""
        queue = _new_queue()
        added = self._add(queue, form=self._bulk, seconds=sizes.bulk_s)
        figures = {"add in bulk /s": rate(added)} if self._peer.bulk else {}
        with self._working(queue) as tally:
            _until(lambda: Counted(tally).count > 0, WORKER_S, "the worker handled nothing")
            ends_at_s = Counted(tally).first_at_s + sizes.drain_s
            while Counted(tally).count < added["jobs"] and time.time() < ends_at_s:
                time.sleep(0.02)  # its files are all that can be looked at
            drained = Counted(tally)
        return {**figures, "drain /s": drained.per_s}

    def memory(self, sizes: Sizes) -> Figures:
        before_mb = self._peer.memory_mb()
        if before_mb is None:
            return {}
        spec = {"seconds": sizes.memory_s, "jobs": sizes.memory_jobs}
        added = self._add(_new_queue(), form=self._bulk, **spec)
        after_mb = self._peer.memory_mb()
        assert after_mb is not None
        return {
            "server MB, empty": before_mb,
            "server MB, with these waiting": after_mb,
            "jobs waiting": added["jobs"],
        }

    def eight(self, sizes: Sizes) -> Figures:
        queue = _new_queue()
        spec = {"form": "single", "seconds": sizes.bulk_s}
        producers = [self._load(spec, queue) for _ in range(sizes.producers)]
        return {"add by 8 producers /s": rate_of_all(run_together(*producers))}

    def through(self, sizes: Sizes) -> Figures:
        """What one worker handles while one producer adds without pause."""
        queue = _new_queue()
        spec = {"form": self._bulk, "seconds": sizes.through_s}
        with self._working_already(queue) as tally, self._load(spec, queue) as producer:
            producer.wait_ready()
            before, started_at_s = Counted(tally).count, time.time()
            producer.go()
            found = producer.result()
            after, ended_at_s = Counted(tally).count, time.time()
        return {
            "end to end /s": (after - before) / (ended_at_s - started_at_s),
            "added meanwhile /s": rate(found),
        }

    def latency(self, sizes: Sizes) -> Figures:
        queue = _new_queue()
        with self._working_already(queue) as tally:
            found = self._add(queue, form="single", jobs=sizes.timed_jobs, per_s=TIMED_PER_S)
            _until(
                lambda: Counted(tally).count > sizes.timed_jobs, WORKER_S, "timed jobs are missing"
            )
            waits_ms = [wait * 1000 for wait in waits_s(tally)]
        return {
            "add to start p50 ms": waits_ms[len(waits_ms) // 2],
            "add to start p99 ms": waits_ms[int(len(waits_ms) * 0.99)],
            "timed jobs added /s": rate(found),
        }

    def _add(self, queue: str, **spec: Any) -> dict[str, Any]:
        (found,) = run_together(self._load(spec, queue))
        return found

    def _load(self, spec: dict[str, Any], queue: str) -> LoadProcess:
        command = self._peer.producer(spec, queue)
        return LoadProcess(command.arguments, full_environment(command))

    @contextmanager
    def _working(self, queue: str) -> Iterator[Path]:
        """The peer's worker runs; gives the folder of its tally."""
        tally = self._folder / f"tally-{queue}"
        tally.mkdir(mode=0o777)
        with _worker(self._peer.worker(queue), tally):
            yield tally

    @contextmanager
    def _working_already(self, queue: str) -> Iterator[Path]:
        """It has handled its first job too."""
        with self._working(queue) as tally:
            self._add(queue, form="single", jobs=1)
            _until(lambda: Counted(tally).count > 0, WORKER_S, "the worker handled nothing")
            yield tally


@contextmanager
def _worker(command: Command, tally: Path) -> Iterator[None]:
    log = tally.with_suffix(".log")
    with log.open("wb") as file:
        process = subprocess.Popen(
            command.arguments,
            stdout=file,
            stderr=file,
            cwd=ROOT,
            env=full_environment(command, BENCH_TALLY=str(tally)),
        )
    try:
        yield
    except TimeoutError as error:
        raise TimeoutError(f"{error}; its worker said:\n{log.read_text()[-2000:]}") from error
    finally:
        _end_worker(process)


def _end_worker(process: "subprocess.Popen[bytes]") -> None:
    """At once: what it holds is of no interest any more."""
    tree = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.kill()
    end(process, tree)


def _until(is_so: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} within {seconds:g} s")
        time.sleep(0.005)  # the condition is in another process's file


def _new_queue() -> str:
    return f"bench{next(_numbers)}"
