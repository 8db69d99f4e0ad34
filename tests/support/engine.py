"""Drives the engine as the pipeline does, without a loop, a clock or a disk."""

import random
from collections import defaultdict
from contextlib import suppress
from typing import Any

import pytest

from holdfastd.engine import commands
from holdfastd.engine.broker import Engine
from holdfastd.engine.changes import Batch, Page, Read
from holdfastd.engine.model import DEFAULT_OPTIONS, Job, JobOptions, NewJob, QueueKey, Seq, State
from holdfastd.engine.outputs import (
    Answer,
    AnswerItems,
    Deliver,
    Displace,
    Notify,
    Output,
    Refusal,
    Refuse,
    Revoke,
    Show,
    Welcome,
)
from holdfastd.engine.partition import EngineSettings, Moment
from holdfastd.store.base import Recovered, StoreFull
from holdfastd.store.memory import Disk, MemoryStore

START_MS = 1_700_000_000_000
SETTINGS = EngineSettings(lease_ms=30_000, grace_ms=10_000)
CYCLES_MAX = 5_000
"""Far more than anything in the tests needs: an engine that goes on spins."""

P, W, V = 1, 2, 3
"""Connections of most tests: a producer, a worker, another worker."""
SMALL_HEAD = 4
"""Jobs of a head, with the fixture small_heads."""


class Driver:
    """An engine on a model store.

    `do` applies a command; `flush` closes the batch, writes it, collects what is said, and does
    the reads that are wanted, until nothing is left. What was said is in `delivered`, `answers`, …
    by connection.
    """

    def __init__(
        self, disk: Disk | None = None, seed: int = 1, settings: EngineSettings = SETTINGS
    ):
        self.settings = settings
        self.disk = disk or Disk()
        self.now_ms = START_MS
        self.monotonic = 1_000.0
        self.seed = seed
        self.request = 0
        self.start()

    def start(self) -> None:
        """Start the daemon on what is stored; what was not applied is gone."""
        recovered = self.open_store()
        self.engine = Engine(self.settings, random.Random(self.seed))
        self.engine.recover(
            recovered.epoch,
            (recovered.next_seq, recovered.next_queue, recovered.next_session),
            recovered.queues,
            recovered.sessions,
            recovered.active,
            recovered.schedules,
            self.moment,
        )
        self.batch = recovered.batch
        self.writing: tuple[Batch, list[Output]] | None = None
        """What is being written, and what will be said then."""
        self.reading: list[tuple[Read, Any, Page]] = []
        """What has been read and not been answered."""
        self.clear()

    # ---- the store; `support.sqlite_driver` has another one ------------------------------------

    def open_store(self) -> Recovered:
        self.store = MemoryStore(self.disk)
        return self.store.opened()

    def write_batch(self, batch: Batch) -> None:
        self.store.write(batch)

    def pages(self, reads: list[Read]) -> list[Page]:
        return self.store.pages(reads)

    def rows(self) -> list[Any]:
        """Every durable job."""
        return list(self.disk.jobs.values())

    def clear(self) -> None:
        """Forget what was said so far."""
        self.outputs: list[Output] = []
        self.delivered: dict[int, list[Any]] = defaultdict(list)
        self.answers: dict[tuple[int, int], Any] = {}
        self.refusals: dict[tuple[int, int], Refuse] = {}
        self.revoked: dict[int, list[Any]] = defaultdict(list)
        self.events: list[Any] = []
        self.shown: list[Show] = []
        self.welcomes: dict[int, Welcome] = {}
        self.displaced: list[int] = []

    @property
    def moment(self) -> Moment:
        return Moment(self.now_ms, self.monotonic)

    # ---- commands --------------------------------------------------------------------------

    def attach(self, connection: int, session: str, leases: Any = (), worker: str = "") -> Welcome:
        command = commands.Attach(session, worker, tuple(leases), {})
        self.engine.attach(connection, command, self.moment)
        self.flush()
        return self.welcomes[connection]

    def do(self, connection: int, command: Any, request: int | None = None) -> int:
        """Apply a command under the next number (or the one given). Returns the number."""
        if request is None:
            self.request += 1
            request = self.request
        self.engine.apply(connection, request, command, self.moment)
        return request

    def ask(self, connection: int, command: Any, request: int | None = None) -> Any:
        """Apply, flush, and return the answer, or the Refuse."""
        number = self.do(connection, command, request)
        self.flush()
        key = (connection, number)
        return self.refusals.get(key) or self.answers.get(key)

    def detach(self, connection: int) -> None:
        self.do(connection, commands.Detach(), 0)
        self.flush()

    def add(self, connection: int, queue: str, *ids: str, **options: Any) -> Any:
        items = [new_job(id, **options) for id in ids]
        return self.ask(connection, commands.Enqueue(queue, list(enumerate(items)), []))

    def take(self, connection: int) -> list[Any]:
        """Jobs pushed since the last call."""
        return self.delivered.pop(connection, [])

    def ack(self, connection: int, *items: Any, credit: int = 0) -> Any:
        held: list[tuple[commands.Held, bytes | None]] = [(held_of(item), None) for item in items]
        return self.ask(connection, commands.Ack(held, credit))

    def fail(self, connection: int, item: Any, retry_ms: int | None = None, credit: int = 0) -> Any:
        error = commands.AttemptError("ValueError", "no", "trace")
        return self.ask(connection, commands.Fail([(held_of(item), error, retry_ms)], credit))

    def release(self, connection: int, item: Any, delay_ms: int = 0, credit: int = 0) -> Any:
        return self.ask(connection, commands.Release([(held_of(item), delay_ms)], credit))

    def subscribe(self, connection: int, *queues: str, credit: int = 1) -> None:
        self.ask(connection, commands.Subscribe(list(queues), credit))

    # ---- the pipeline's part -----------------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)
        self.monotonic += seconds
        self.flush()

    def flush(self) -> None:
        """What `Pipeline.run` does until it would wait.

        Raises:
            RuntimeError: it would never wait.
        """
        for _ in range(CYCLES_MAX):
            if self.is_at_rest:
                return
            self.step()
        raise RuntimeError(f"the engine is not at rest after {CYCLES_MAX:,} cycles")

    @property
    def is_at_rest(self) -> bool:
        """All that was asked for is written, read and said; nothing is due."""
        engine = self.engine
        is_idle = not (self.writing or self.reading or engine.has_open_batch or engine.wants_reads)
        return is_idle and engine.next_tick_s(self.moment) > 0

    def step(self) -> None:
        """The next of the points between which commands come in: a batch is closed, it has been
        written and the reads are under way, they are answered."""
        if self.writing is not None:
            if self.end_write():
                self.begin_read()
        elif self.reading:
            self.end_read()
        else:
            self.engine.tick(self.moment)
            self.begin_write()
            if self.writing is None:
                self.begin_read()

    def read(self) -> None:
        """Do the reads that are wanted by now."""
        self.begin_read()
        self.end_read()

    def begin_read(self) -> None:
        wanted = self.engine.take_reads()
        pages = self.pages(list(wanted)) if wanted else []
        self.reading = [(*item, page) for item, page in zip(wanted.items(), pages, strict=True)]

    def end_read(self) -> None:
        answers, self.reading = self.reading, []
        for read, then, page in answers:
            self.engine.answer(read, then, page, self.moment)

    def write(self) -> None:
        """Close the batch, apply it, hear what it says."""
        if self.writing is None:
            self.begin_write()
        self.end_write()

    def begin_write(self) -> None:
        if not self.engine.has_open_batch:
            return
        batch, outputs = self.engine.close_batch()
        if not batch.is_empty:
            self.batch += 1
            batch.number = self.batch
        self.writing = batch, outputs

    def end_write(self) -> bool:
        """A batch that finds no space stays, as in the pipeline. Returns whether it is written."""
        if self.writing is None:
            return True
        batch, outputs = self.writing
        if not batch.is_empty:
            try:
                self.write_batch(batch)
            except StoreFull:
                self.engine.refuses_jobs = Refusal.DISK_FULL
                return False
        if self.engine.refuses_jobs is Refusal.DISK_FULL:
            self.engine.refuses_jobs = None
        self.writing = None
        for output in outputs:
            self._hear(output)
        return True

    def crash(self, is_written: bool = False) -> None:
        """The process is killed and started again.

        Args:
            is_written: the batch that was being written made it to the disk, unheard.
        """
        if is_written and self.writing is not None and not self.writing[0].is_empty:
            with suppress(StoreFull):
                self.write_batch(self.writing[0])
        self.start()

    def _hear(self, output: Output) -> None:
        self.outputs.append(output)
        match output:
            case Deliver():
                self.delivered[output.connection] += output.items
            case Answer():
                self.answers[output.connection, output.request] = output.result
            case AnswerItems():
                self.answers[output.connection, output.request] = output.items
            case Refuse():
                self.refusals[output.connection, output.request] = output
            case Revoke():
                self.revoked[output.connection] += output.items
            case Notify():
                self.events += output.events
            case Show():
                self.shown.append(output)
            case Welcome():
                self.welcomes[output.connection] = output
            case Displace():
                self.displaced.append(output.connection)

    # ---- short cuts --------------------------------------------------------------------------

    def lease(self, id: str = "a", **options: Any) -> Any:
        """A new job of queue q that W runs. Returns the delivered item."""
        self.subscribe(W, "q", credit=1)
        self.add(P, "q", id, **options)
        (item,) = self.take(W)
        return item

    def beat(self, *connections: int) -> None:
        for connection in connections:
            self.ask(connection, commands.Heartbeat([]))

    # ---- looking -----------------------------------------------------------------------------

    def row(self, id: str) -> Any:
        """The durable row of a job; None = there is none."""
        rows = [row for row in self.rows() if row.id == id]
        return max(rows, key=lambda row: row.seq) if rows else None

    def counts(self, queue: str) -> dict[str, int]:
        state = self.engine.queues[queue]
        names = ["-", "waiting", "delayed", "active", "blocked", "completed", "failed", "cancelled"]
        return {name: count for name, count in zip(names, state.counts, strict=True) if count}


def new_job(id: str, *, is_generated: bool = False, **options: Any) -> NewJob:
    """A job with payload = its id. options: of NewJob, or of JobOptions."""
    rare = {
        key: options.pop(key) for key in ("attempts", "max_crashes", "backoff") if key in options
    }
    return NewJob(
        id,
        is_generated,
        "work",
        id.encode(),
        options=JobOptions(**rare) if rare else DEFAULT_OPTIONS,
        **options,
    )


def bare_job(seq: int, state: State = State.WAITING, payload: bytes | None = b"x") -> Job:
    """A job of queue 1 that no engine knows; its id is j and its seq."""
    return Job(Seq(seq), QueueKey(1), f"j{seq}", "n", state, 0, seq, 0, 0, DEFAULT_OPTIONS, payload)


def numbered(count: int) -> list[str]:
    """So many ids, in their order."""
    return [f"j{number:03}" for number in range(count)]


def count_reads(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every read from now on."""
    reads: list[Any] = []
    pages = driver.pages

    def counted(wanted: list[Any]) -> Any:
        reads.extend(wanted)
        return pages(wanted)

    monkeypatch.setattr(driver, "pages", counted)
    return reads


def held_of(item: Any) -> commands.Held:
    """The lease of a delivered item."""
    return commands.Held(item[0], item[1], item[2])


def ids_of(items: list[Any]) -> list[str]:
    return [item[2] for item in items]
