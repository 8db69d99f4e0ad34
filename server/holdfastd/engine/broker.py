"""The engine: commands go in, a batch of rows and what is to be said come out.

It is synchronous and pure: no I/O, no clock, no randomness of its own, no logging. Time comes with
each call, the random generator with the constructor. Its user (`pipeline`, or a test) does this:

    engine.apply(connection, request, command, moment)   any number of times
    batch, outputs = engine.close_batch()                write the batch, then say the outputs
    reads = engine.take_reads()                          read only while no batch is being written
    engine.answer(read, then, page, moment)              before the next batch is written
    engine.tick(moment)                                  at the latest in next_tick_s(moment)

A command goes through `lookups` (what must be read first) to `routes` (who does it).
"""

from collections.abc import Callable, Iterable
from heapq import heappop
from random import Random
from typing import Any, Final

from holdfastd.engine import commands
from holdfastd.engine.administering import Administering
from holdfastd.engine.attending import Attending
from holdfastd.engine.changes import Batch, JobRow, Page, QueueRow, Read, SessionRow
from holdfastd.engine.commands import Command
from holdfastd.engine.dispatch import Dispatcher
from holdfastd.engine.history import History
from holdfastd.engine.ledger import Ledger
from holdfastd.engine.lookups import Lookups
from holdfastd.engine.model import Job, QueueKey, Seq, SessionKey, State
from holdfastd.engine.openbatch import OpenBatch
from holdfastd.engine.outputs import Output, Refusal
from holdfastd.engine.partition import EngineSettings, Moment, Partition, job_of_row
from holdfastd.engine.promoting import Promoting
from holdfastd.engine.queue import QueueState
from holdfastd.engine.remembering import Remembering
from holdfastd.engine.routes import Routes
from holdfastd.engine.schedules import Schedule
from holdfastd.engine.scheduling import Scheduling
from holdfastd.engine.session import Session
from holdfastd.engine.stats import ScheduleStats
from holdfastd.engine.sweeping import Sweeping
from holdfastd.engine.working import Working

HOUSEKEEPING_S: Final = 60.0
"""How often old jobs and absent sessions are looked for; arbitrary."""


class Engine:
    def __init__(self, settings: EngineSettings, random: Random):
        self._partition = partition = Partition(settings, random)
        self._dispatcher = Dispatcher(partition)
        self._working = Working(partition, self._dispatcher)
        self._attending = Attending(partition, self._dispatcher, self._working)
        self._administering = Administering(partition, self._dispatcher)
        self._sweeping = Sweeping(partition, self._dispatcher, self._administering)
        self._promoting = Promoting(partition, self._dispatcher, self._administering)
        self._remembering = Remembering(partition)
        self._scheduling = Scheduling(partition, self._dispatcher)
        routes = Routes(
            partition,
            self._dispatcher,
            self._working,
            self._attending,
            self._administering,
            self._sweeping,
            self._scheduling,
        )
        self._lookups = Lookups(partition, self._working, routes.execute)
        self._housekeeping_at = 0.0

    # ---- from and to the store ----------------------------------------------------------------

    def recover(
        self,
        epoch: int,
        next_numbers: tuple[Seq, QueueKey, SessionKey],
        queues: Iterable[QueueRow],
        sessions: Iterable[SessionRow],
        active: Iterable[JobRow],
        schedules: Iterable[Schedule],
        moment: Moment,
    ) -> None:
        """Start from what is stored. Every session with leases gets a full grace."""
        partition = self._partition
        partition.epoch = epoch
        partition.steady_since = moment.monotonic
        partition.next_seq, partition.next_queue, partition.next_session = next_numbers
        for row in queues:
            partition.know_queue(QueueState.from_row(row, moment.now_ms, moment.monotonic))
        for session_row in sessions:
            session = Session(session_row.key, session_row.id)
            session.worker = session_row.name
            session.last_request = session_row.last_request
            session.last_refused = session_row.last_refused
            session.seen_at_ms = session_row.seen_at_ms
            session.is_quiet = session_row.is_quiet
            session.is_stored = session.is_restored = True
            partition.know_session(session)
        for job_row in active:
            job = job_of_row(job_row)
            partition.queues_by_key[job.queue].jobs[job.id] = job
            partition.leases[job.token] = job
            partition.sessions_by_key[job.session].leases[job.token] = job
        grace_at = moment.monotonic + partition.settings.grace_ms / 1000
        for session in partition.sessions.values():
            if session.leases:
                self._attending.set_deadline(session, grace_at)
        self._promoting.recover()
        self._scheduling.recover(schedules, moment)
        for queue in partition.queues.values():
            self._sweeping.go_on(queue, moment)
            self._dispatcher.dispatch(queue, moment)

    def close_batch(self) -> tuple[Batch, list[Output]]:
        """What the commands since the last call changed, and what may be said once it is
        durable. The batch has no number yet; an empty one only waits for those before it."""
        partition = self._partition
        closed, partition.open = partition.open, OpenBatch()
        partition.sated += closed.sated
        batch = closed.rows()
        batch.next_seq = Seq(partition.next_seq)
        batch.next_queue = QueueKey(partition.next_queue)
        batch.next_session = SessionKey(partition.next_session)
        queues = partition.queues_by_key
        for job in closed.jobs:  # what is written need not stay in memory
            if job.state is State.ACTIVE and not job.is_removed:
                job.payload = None
            elif job.place is None:
                job.result = None
                queue = queues.get(job.queue)
                if queue is not None and queue.jobs.get(job.id) is job:
                    del queue.jobs[job.id]
            elif job.state is State.DELAYED:
                job.payload = None
        return batch, closed.outputs

    @property
    def has_open_batch(self) -> bool:
        """Something is to be written or said."""
        batch = self._partition.open
        return bool(
            batch.jobs
            or batch.outputs
            or batch.queues
            or batch.sessions
            or batch.removed
            or batch.queues_removed
            or batch.sessions_removed
            or batch.schedules
            or batch.history
            or batch.history_cuts
        )

    @property
    def open_job_count(self) -> int:
        """Jobs that the open batch will write: how far the store is behind."""
        return len(self._partition.open.jobs)

    @property
    def open_body_bytes(self) -> int:
        """Payloads and results that it will write."""
        return self._partition.open.body_bytes

    def take_reads(self) -> dict[Read, Any]:
        """The reads that are wanted by now; give each back to `answer` with its continuation."""
        wanted, self._partition.wanted = self._partition.wanted, {}
        return wanted

    @property
    def wants_reads(self) -> bool:
        return bool(self._partition.wanted)

    def answer(self, read: Read, then: Any, page: Page, moment: Moment) -> None:
        then(read, page, moment)

    # ---- commands -----------------------------------------------------------------------------

    def attach(self, connection: int, command: commands.Attach, moment: Moment) -> None:
        self._attending.attach(connection, command, moment)

    def apply(self, connection: int, request: int, command: Command, moment: Moment) -> None:
        """Apply one command of an attached connection; request is 0 where it has no number.
        Commands of a connection that has gone, or was displaced, change nothing."""
        session = self._partition.connections.get(connection)
        if session is not None:
            self._lookups.apply(session, request, command, moment)

    # ---- time ---------------------------------------------------------------------------------

    def tick(self, moment: Moment) -> None:
        """Do what is due: expire leases, promote delayed jobs, make those of schedules, go on after
        a rate limit or a full batch, write history, prune."""
        partition = self._partition
        self._dispatcher.go_on_with_sated(moment)
        self._attending.expire(moment)
        timers = partition.rate_timers
        while timers and timers[0][0] <= moment.monotonic:
            at, key = heappop(timers)
            queue = partition.queues_by_key.get(key)
            if queue is not None:
                if queue.rate_timer_at == at:
                    queue.rate_timer_at = 0.0
                self._dispatcher.dispatch(queue, moment)
        self._promoting.promote_due(moment)
        self._scheduling.tick(moment)
        if self.refuses_jobs is not Refusal.DISK_FULL:
            self._remembering.tick(moment)
        if moment.monotonic >= self._housekeeping_at:
            self._housekeeping_at = moment.monotonic + HOUSEKEEPING_S
            for queue in partition.queues.values():
                self._sweeping.prune_old(queue, moment)
            self._attending.forget_absent(moment)

    def forgive(self, moment: Moment) -> None:
        """Nobody could be heard for a while: every lease gets a full grace, as after a restart."""
        self._attending.forgive(moment)

    def distrust(self, moment: Moment) -> None:
        """The wall clock has jumped: see Partition.trusts_age; schedules go by the new time."""
        self._partition.steady_since = moment.monotonic
        self._scheduling.plan_anew(moment)

    def next_tick_s(self, moment: Moment) -> float:
        """Seconds until `tick` has something to do; 0 = now."""
        partition = self._partition
        if partition.sated:
            return 0.0
        at = self._housekeeping_at
        expiry = self._attending.next_deadline()
        if expiry is not None:
            at = min(at, expiry)
        if partition.rate_timers:
            at = min(at, partition.rate_timers[0][0])
        seconds = at - moment.monotonic
        for due_ms in (self._promoting.next_due_ms(), self._scheduling.next_due_ms()):
            if due_ms is not None:
                seconds = min(seconds, (due_ms - moment.now_ms) / 1000)
        if self.refuses_jobs is not Refusal.DISK_FULL:
            seconds = min(seconds, self._remembering.next_tick_s(moment))
        return max(0.0, seconds)

    # ---- going down ---------------------------------------------------------------------------

    def drain(self) -> None:
        """From now on nothing is leased and no job is taken; answers of workers still are."""
        self._partition.is_draining = True
        self.refuses_jobs = Refusal.DRAINING

    @property
    def refuses_jobs(self) -> Refusal | None:
        """Why no job can be added now: DISK_FULL or DRAINING; None = they can."""
        return self._partition.refuses_jobs

    @refuses_jobs.setter
    def refuses_jobs(self, why: Refusal | None) -> None:
        self._partition.refuses_jobs = why

    def finish(self, moment: Moment) -> None:
        """The last thing before the end: what was counted in this minute is to be written."""
        if self.refuses_jobs is not Refusal.DISK_FULL:
            self._remembering.finish(moment)

    # ---- looking ----------------------------------------------------------------------------

    @property
    def queues(self) -> dict[str, QueueState]:
        return self._partition.queues

    @property
    def sessions(self) -> dict[str, Session]:
        return self._partition.sessions

    def queue_name(self, key: QueueKey) -> str | None:
        """None = it has been removed."""
        queue = self._partition.queues_by_key.get(key)
        return None if queue is None else queue.name

    def session_name(self, key: SessionKey) -> str:
        """Name of a session's worker; "" = none, or it is gone."""
        session = self._partition.sessions_by_key.get(key)
        return "" if session is None else session.worker

    def session_queues(self, key: SessionKey) -> list[str]:
        """Names of the queues that a session's worker takes jobs from; none if it is gone."""
        session = self._partition.sessions_by_key.get(key)
        return [] if session is None else list(session.queues)

    def schedules(
        self,
        queue: str | None = None,
        after: tuple[str, str] | None = None,
        limit: int | None = None,
        shows: Callable[[str], bool] | None = None,
    ) -> list[Schedule]:
        """Those of a queue, or of all that `shows` lets through, by queue and id; after (queue, id)
        if it is given."""
        return self._scheduling.listed(queue, after, limit, shows)

    def schedule(self, queue: str, id: str) -> Schedule | None:
        """As it is in memory; None = there is none."""
        return self._scheduling.get(queue, id)

    @property
    def schedule_count(self) -> int:
        return self._scheduling.count

    @property
    def paused_schedule_count(self) -> int:
        return self._scheduling.paused_count

    @property
    def schedule_stats(self) -> ScheduleStats:
        return self._scheduling.stats

    @property
    def ledger(self) -> Ledger:
        return self._partition.ledger

    @property
    def history(self) -> History:
        return self._partition.history

    @property
    def leased(self) -> Iterable[Job]:
        """The active jobs, roughly in the order in which they were leased."""
        return self._partition.leases.values()

    @property
    def lease_count(self) -> int:
        return len(self._partition.leases)
