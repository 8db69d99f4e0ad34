"""The one data path: command -> engine -> open batch -> store -> and only then replies and pushes.

One task runs it. While a batch is being written, commands pile up in the next one; when the write
ends, what depended on it is said, wanted reads are done, and the next batch is closed. So there is
no timer, one fsync carries whatever came in during the last one, and a read never overlaps with a
write (the engine relies on that). Sockets and HTTP both go through here; neither knows the other.

A batch that finds no space is kept and tried again under its number while no job is accepted; any
other error of the store ends `run`, and with it the process.
"""

import asyncio
from random import Random
from typing import TYPE_CHECKING, Final, Protocol

from holdfastd.clock import Clock
from holdfastd.engine.broker import Engine
from holdfastd.engine.changes import Batch
from holdfastd.engine.commands import Attach, Command
from holdfastd.engine.outputs import Output, Refusal
from holdfastd.engine.partition import EngineSettings, Moment
from holdfastd.engine.transitions import InvariantError
from holdfastd.observed import Observed
from holdfastd.store.base import Recovered, Store, StoreFull

if TYPE_CHECKING:
    from collections.abc import Callable

FULL_RETRY_S: Final = 0.25
"""How often a batch that found no space is tried again: within 1 s of space coming back."""
BATCH_JOBS: Final = 500
"""Jobs in the open batch above which no more are added to it: ENQUEUEs wait for the next one.
Answers of workers do not. Long enough for an fsync to be shared by many (250: a sixth less added in
bulk), short enough for the loop and the writer to work side by side (2,000: a tenth less)."""
BATCH_JOBS_WITH_WORKERS: Final = 250
"""The same while jobs run. Workers wait for each batch, producers at full speed only send the next
sooner: one producer and one worker came to 40,000 jobs/s each, and to 24,000 completed while 36,000
were added without a limit."""
OPEN_JOBS_MAX: Final = 20_000
"""Jobs in the open batch above which connections stop reading: some 200 ms of writing."""
OPEN_BYTES_MAX: Final = 64 * 1024 * 1024
"""Payloads and results in it, above which they do: 20,000 of the largest are 20 GB. Arbitrary; some
tenths of a second of writing."""
READS_PER_HOP_MAX: Final = 64
ALIVE_S: Final = 0.25
"""How often the loop is seen to run."""
STALL_S: Final = 0.75
"""Longer than that between two looks, and it did not run: three times ALIVE_S."""
JUMP_S: Final = 60.0
"""The wall clock moved so much more or less than the monotonic one between two looks: somebody set
it, or the machine was asleep. NTP clients step by seconds; arbitrary."""


class Outlet(Protocol):
    """Where the outputs of durable batches go."""

    def send(self, outputs: list[Output]) -> None:
        """Say them, in order. An output for a connection that has gone is dropped. Never raises."""


class Pipeline:
    def __init__(
        self,
        store: Store,
        clock: Clock,
        settings: EngineSettings,
        random: Random,
        observed: Observed,
    ):
        self.engine = Engine(settings, random)
        self.store = store
        self._clock = clock
        self._observed = observed
        self._outlets: list[Outlet] = []
        self._batch_number = 0
        self._epoch = 0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self.is_behind = False
        """The store cannot keep up: nothing more should be read from connections."""
        self._stopped = asyncio.Event()
        self._command_count = 0
        self._is_stopping = False
        self._seen = Moment(0, 0.0)
        """When the loop was last seen to run."""
        self.is_full = False
        """No job should be added to the open batch any more."""
        self._full_at = 0.0
        """Since when it is full, or the store behind, if it is."""
        self.on_pressure: Callable[[bool], None] = lambda pressed: None
        """Called when the store falls behind (True) and when it has caught up (False)."""
        self.on_room: Callable[[], None] = lambda: None
        """Called when a batch that was full has been closed, and the next one takes jobs."""
        self.on_stall: Callable[[float], None] = lambda seconds: None
        """Called after the process did not run for so many seconds."""
        self.on_jump: Callable[[float], None] = lambda seconds: None
        """Called after the wall clock was set forward (> 0) or back by so many seconds."""

    @property
    def epoch(self) -> int:
        """Number of this start of the daemon."""
        return self._epoch

    def moment(self) -> Moment:
        return Moment(self._clock.now_ms(), self._clock.monotonic())

    # ---- starting and stopping -------------------------------------------------------------------

    async def open(self) -> Recovered:
        """Open the store and load the engine.

        Raises:
            StoreRefused, StoreBroken: see the store.
        """
        recovered = await self.store.open()
        self._epoch = recovered.epoch
        self._batch_number = recovered.batch
        self.engine.recover(
            recovered.epoch,
            (recovered.next_seq, recovered.next_queue, recovered.next_session),
            recovered.queues,
            recovered.sessions,
            recovered.active,
            recovered.schedules,
            self.moment(),
        )
        return recovered

    def connect(self, outlet: Outlet) -> None:
        """One more to whom all outputs go from now on; each takes those of its own connections."""
        self._outlets.append(outlet)

    def drain(self) -> None:
        """Lease and accept nothing more; go on writing what workers answer."""
        self.engine.drain()

    async def flush(self) -> None:
        """Wait until everything submitted so far is durable and has been said."""
        self._idle.clear()
        self._wake.set()
        await self._idle.wait()

    async def close(self) -> None:
        """Stop `run` after what is open has been written, and close the store."""
        self.engine.finish(self.moment())
        await self.flush()
        self._is_stopping = True
        self._wake.set()
        await self._stopped.wait()
        await self.store.close()

    # ---- commands --------------------------------------------------------------------------------

    def attach(self, connection: int, command: Attach) -> None:
        try:
            self.engine.attach(connection, command, self.moment())
        except Exception as error:
            raise _as_bug(error) from error
        self._submitted()

    def submit(self, connection: int, request: int, command: Command, moment: Moment) -> None:
        """Apply one command; what it leads to is said when it is durable."""
        try:
            self.engine.apply(connection, request, command, moment)
        except Exception as error:
            raise _as_bug(error) from error
        self._submitted()

    def _submitted(self) -> None:
        self._command_count += 1
        self._observed.commands_waiting += 1
        self._wake.set()
        if not self.is_full and self._is_batch_full:
            self.is_full = True
            self._full_at = self._clock.monotonic()
        if self._is_much_open and not self.is_behind:
            self.is_behind = True
            self._full_at = self._full_at if self.is_full else self._clock.monotonic()
            self.on_pressure(True)

    @property
    def _is_batch_full(self) -> bool:
        engine = self.engine
        jobs_max = BATCH_JOBS_WITH_WORKERS if engine.lease_count else BATCH_JOBS
        return engine.open_job_count > jobs_max

    @property
    def _is_much_open(self) -> bool:
        engine = self.engine
        return engine.open_job_count > OPEN_JOBS_MAX or engine.open_body_bytes > OPEN_BYTES_MAX

    # ---- the loop --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Write, say, read, again; until `close`.

        Raises:
            StoreBroken, StoreDeposed: the process must end at once.
        """
        self._seen = self.moment()
        self._beat()
        try:
            while not self._is_stopping:
                await self._wait_for_work()
                await self._cycle()
        finally:
            self._stopped.set()

    def _beat(self) -> None:
        """Notice, every now and then, that the loop runs."""
        self._look_at_clocks()
        if not self._stopped.is_set():
            asyncio.get_running_loop().call_later(ALIVE_S, self._beat)

    def _look_at_clocks(self) -> Moment:
        """The time, in which the engine knows of what happened to the clocks. If the process was
        stopped for a while (or the machine was), heartbeats have come that are not read yet:
        before anything is timed, the engine learns that nobody was silent. If the wall clock
        jumped, it learns that too, and what is due by the new time is done now."""
        before, moment = self._seen, self.moment()
        self._seen = moment
        passed_s = moment.monotonic - before.monotonic
        if passed_s > STALL_S:
            self.engine.forgive(moment)
            self.on_stall(passed_s)
        jumped_s = (moment.now_ms - before.now_ms) / 1000 - passed_s
        if abs(jumped_s) > JUMP_S:
            self.engine.distrust(moment)
            self._wake.set()
            self.on_jump(jumped_s)
        return moment

    async def _cycle(self) -> None:
        self.engine.tick(self._look_at_clocks())
        await self._write()
        await self._read()
        if self.store.needs_checkpoint():
            await self._checkpoint()
        if self.engine.refuses_jobs is Refusal.DISK_FULL and await self.store.has_room():
            self.engine.refuses_jobs = None
        if not (self.engine.has_open_batch or self.engine.wants_reads):
            self._idle.set()

    async def _wait_for_work(self) -> None:
        """Return when there is something to write or read, or time has come for the engine."""
        if self.engine.has_open_batch or self.engine.wants_reads:
            return
        self._wake.clear()
        self._idle.set()
        delay_s = self.engine.next_tick_s(self.moment())
        if self.engine.refuses_jobs is Refusal.DISK_FULL:
            delay_s = min(delay_s, FULL_RETRY_S)
        if delay_s <= 0:
            return
        timer = asyncio.get_running_loop().call_later(delay_s, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()

    async def _write(self) -> None:
        if not self.engine.has_open_batch:
            return
        batch, outputs = self.engine.close_batch()
        if self.is_full:
            self.is_full = False
            self.on_room()
        command_count, self._command_count = self._command_count, 0
        if not batch.is_empty:
            self._batch_number += 1
            batch.number = self._batch_number
            started = self._clock.monotonic()
            await self._apply(batch)
            self._observed.commit_seconds.observe(self._clock.monotonic() - started)
            self._observed.commit_commands.observe(command_count)
        self._observed.commands_waiting -= command_count
        if self.is_full or self.is_behind:
            self._caught_up()
        for outlet in self._outlets:
            outlet.send(outputs)

    def _caught_up(self) -> None:
        """Connections are read again, or will be with the next batch. Their heartbeats wait in
        them, for as long as nothing was."""
        moment = self.moment()
        if moment.monotonic - self._full_at > STALL_S:
            self.engine.forgive(moment)
        if self.is_behind:
            self.is_behind = False
            self.on_pressure(False)

    async def _apply(self, batch: Batch) -> None:
        """Write it, however long the disk is full."""
        while True:
            try:
                await self.store.apply(batch)
            except StoreFull:
                self._note_full()
                await asyncio.sleep(FULL_RETRY_S)
            else:
                return

    async def _checkpoint(self) -> None:
        """One that finds no space is tried again after the next batch."""
        try:
            is_whole = await self.store.checkpoint()
        except StoreFull:
            self._observed.checkpoints["error"] += 1
            self._note_full()
        else:
            self._observed.checkpoints["ok" if is_whole else "busy"] += 1

    def _note_full(self) -> None:
        """From now on no job is taken until there is room; answers of workers still are."""
        self._observed.store_full += 1
        if self.engine.refuses_jobs is None:
            self.engine.refuses_jobs = Refusal.DISK_FULL

    async def _read(self) -> None:
        wanted = list(self.engine.take_reads().items())
        for start in range(0, len(wanted), READS_PER_HOP_MAX):
            some = wanted[start : start + READS_PER_HOP_MAX]
            pages = await self.store.read([read for read, _ in some])
            moment = self.moment()
            for (read, then), page in zip(some, pages, strict=True):
                self.engine.answer(read, then, page, moment)


def _as_bug(error: Exception) -> InvariantError:
    """An error in the middle of a command leaves memory half changed: the daemon must stop."""
    if isinstance(error, InvariantError):
        return error
    return InvariantError(f"the engine failed: {error!r}")
