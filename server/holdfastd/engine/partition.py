"""The engine's memory, and the primitives that keep it consistent. Commands are built from these.

Invariants, true between any two commands:

- `counts` of a queue are the jobs by state of disk plus open batch;
- a job is in its queue's `jobs` while it is in a head, active, or changed in the open batch;
- the ACTIVE jobs are those in `leases`, by token, and in the `leases` of their sessions;
- every waiting job below the horizon of its queue's head is in that head, and likewise the delayed;
- a session is in `ready` of its queues exactly while it is connected, has credit, and is not known
  to be silent past its deadline;
- `Job.state` is set by `transitions.move` alone.

What is not in memory is on disk as it was written last: reads never overlap with a write (see
`pipeline`), so memory first, then the answer of a read, is the truth.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from heapq import heappush
from random import Random
from typing import Any, Final, NamedTuple, TypeAlias

from holdfastd.engine.changes import AttemptRow, JobRow, Page, Read
from holdfastd.engine.events import EventNumber, EventRing, QueueEvent
from holdfastd.engine.head import Head
from holdfastd.engine.history import History
from holdfastd.engine.ledger import Ledger
from holdfastd.engine.model import (
    FINISHED,
    NO_SESSION,
    NO_TOKEN,
    TOKEN_COUNTER_BITS,
    AttemptOutcome,
    Change,
    FailReason,
    Job,
    NewJob,
    QueueKey,
    QueueSettings,
    Seq,
    SessionKey,
    State,
    Token,
)
from holdfastd.engine.openbatch import OpenBatch
from holdfastd.engine.outputs import Refusal, Show
from holdfastd.engine.queue import HEAD_JOBS_MAX, IDLE_HEAD_JOBS_MAX, QueueState
from holdfastd.engine.session import Session
from holdfastd.engine.transitions import Event, InvariantError, move

DELAYED_HEAD_JOBS_MAX: Final = 10_000
"""Delayed jobs in memory, without payload: some 5 MB; the rest is read as they come due."""
TRUST_MS: Final = 3_600_000
"""So long without a jump, and the wall clock is believed in what it says of ages: three times the
longest pause of an NTP client between two looks (1,024 s), so that a false time is put right
before."""


class Moment(NamedTuple):
    """When a command is applied."""

    now_ms: int
    """Wall clock, Unix milliseconds: for what survives a restart."""
    monotonic: float
    """Seconds of the monotonic clock: for leases."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    lease_ms: int = 30_000
    """Without a heartbeat for so long, a session's leases expire."""
    grace_ms: int = 10_000
    """So long after its connection broke, or after a restart of the daemon."""
    session_ms: int = 24 * 3600 * 1000
    """An absent session without leases is forgotten after that."""
    own_stats_max: int = 100
    """Queues up to which each counts for itself; see `engine.ledger`."""
    task_series_max: int = 0
    """Pairs of queue and job name that are timed for themselves; 0 = none is."""


Found: TypeAlias = dict[tuple[QueueKey, str], Job]
"""Jobs that were read for a command, by queue and id."""
Then: TypeAlias = Callable[[Any, Page, "Moment"], None]
"""What goes on with the answer of a read, given the read and its page."""


class Partition:
    def __init__(self, settings: EngineSettings, random: Random):
        """random: for the jitter of backoffs; seeded by tests and simulations."""
        self.settings = settings
        self.random = random
        self.epoch = 0
        self.next_seq = 1
        self.next_queue = 1
        self.next_session = 1
        self.queues: dict[str, QueueState] = {}
        self.queues_by_key: dict[QueueKey, QueueState] = {}
        self.sessions: dict[str, Session] = {}
        self.sessions_by_key: dict[SessionKey, Session] = {}
        self.connections: dict[int, Session] = {}
        self.leases: dict[Token, Job] = {}
        self.ledger = Ledger(settings.own_stats_max, settings.task_series_max)
        self.history = History()
        self.delayed = Head(DELAYED_HEAD_JOBS_MAX, bytes_max=None)
        self.wanted: dict[Read, Then] = {}
        """Reads asked for since they were last collected, each with what goes on after it."""
        self.open = OpenBatch()
        self.sated: list[Session] = []
        """They were pushed as much as the last batch might hold; the next one goes on."""
        self.steady_since = 0.0
        """Monotonic seconds: since then the wall clock has not jumped, as far as this start of the
        daemon knows."""
        self.refuses_jobs: Refusal | None = None
        """Why no job can be added now: DISK_FULL or DRAINING; None = they can."""
        self.is_draining = False
        """Nothing is leased any more: the daemon is going down."""
        self.deadlines: list[tuple[float, SessionKey]] = []
        """Heap of (monotonic seconds, session): when to look at its leases. May be early."""
        self.rate_timers: list[tuple[float, QueueKey]] = []
        """Heap of (monotonic seconds, queue): when a rate limit lets the next job start."""
        self.last_event = 0
        """No event of a queue that is gone has a higher number: one that comes back by its name
        goes on from there, so that its listeners see rising numbers."""
        self._token_counter = 0

    # ---- reads -----------------------------------------------------------------------------

    def want(self, read: Read, then: Then) -> None:
        """Ask for a read; `then` goes on with its answer, behind those who asked for it before."""
        before = self.wanted.get(read)
        if before is None:
            self.wanted[read] = then
        elif isinstance(before, _InTurn):
            before.all.append(then)
        else:
            self.wanted[read] = in_turn = _InTurn(before)
            in_turn.all.append(then)

    # ---- numbers ---------------------------------------------------------------------------

    def take_seq(self) -> Seq:
        seq = self.next_seq
        self.next_seq = seq + 1
        return Seq(seq)

    def take_token(self) -> Token:
        self._token_counter += 1
        return Token((self.epoch << TOKEN_COUNTER_BITS) + self._token_counter)

    # ---- time ------------------------------------------------------------------------------

    def trusts_age(self, age_ms: int, moment: Moment) -> bool:
        """Something may be dropped for being so old: the wall clock has been steady for as long,
        or for TRUST_MS. What is dropped does not come back when a false time is put right."""
        steady_ms = (moment.monotonic - self.steady_since) * 1000
        return steady_ms >= min(age_ms, TRUST_MS)

    # ---- queues ----------------------------------------------------------------------------

    def add_queue(self, name: str) -> QueueState:
        """The queue of that name; it is made if it is new."""
        queue = self.queues.get(name)
        if queue is None:
            queue = QueueState(QueueKey(self.next_queue), name)
            self.next_queue += 1
            self.know_queue(queue)
            self.open.queues[queue] = None
            for connection, session in self.connections.items():
                if name in session.queues:
                    self._subscribe_one(session, queue)
                if name in session.listens:
                    self.add_listener(queue, connection)
        return queue

    def know_queue(self, queue: QueueState) -> None:
        self.queues[queue.name] = queue
        self.queues_by_key[queue.key] = queue
        self.ledger.open(queue)

    def configure(self, queue: QueueState, settings: QueueSettings) -> None:
        if settings.rate != queue.settings.rate:
            queue.rate.rate = settings.rate
        queue.settings = settings
        self.open.queues[queue] = None

    def forget_queue(self, queue: QueueState) -> None:
        """Its jobs are gone; subscribers and listeners keep its name and join again if it comes
        back."""
        if queue.ring is not None:
            self.last_event = max(self.last_event, queue.ring.last)
        del self.queues[queue.name]
        del self.queues_by_key[queue.key]
        self.ledger.close(queue)
        self.open.queues.pop(queue, None)
        self.open.queues_removed.append(queue.key)

    # ---- subscriptions and credit ------------------------------------------------------------

    def subscribe(self, session: Session, names: list[str], credit: int) -> None:
        self.unsubscribe(session)
        session.queues = names
        session.credit = credit
        for name in names:
            queue = self.queues.get(name)
            if queue is not None:
                self._subscribe_one(session, queue)

    def _subscribe_one(self, session: Session, queue: QueueState) -> None:
        queue.subscribers[session] = None
        queue.head.count_max = HEAD_JOBS_MAX
        if session.can_take:
            queue.ready[session] = None

    def unsubscribe(self, session: Session) -> None:
        for queue in self.queues_of(session):
            queue.ready.pop(session, None)
            queue.subscribers.pop(session, None)
            if not queue.subscribers:  # nobody works on it: a short head will do
                queue.head.count_max = IDLE_HEAD_JOBS_MAX
                self.forget_unchanged(queue, queue.head.cut())
        session.queues = []
        session.credit = 0

    def queues_of(self, session: Session) -> list[QueueState]:
        """The queues it takes jobs from that exist."""
        return [self.queues[name] for name in session.queues if name in self.queues]

    def add_credit(self, session: Session, amount: int) -> None:
        session.credit += amount
        self.set_ready(session)

    def take_credit(self, session: Session) -> None:
        session.credit -= 1
        if session.credit <= 0:
            self.set_ready(session)

    def hold(self, session: Session, is_held: bool) -> None:
        session.is_held = is_held
        self.set_ready(session)

    def sate(self, session: Session) -> None:
        """Nothing more is pushed to it until the open batch is closed."""
        if not session.is_sated:
            session.is_sated = True
            self.open.sated.append(session)
            self.set_ready(session)

    def set_ready(self, session: Session) -> None:
        """Have it take its turns, or none, as it can take a job or not."""
        if session.can_take:
            for queue in self.queues_of(session):
                queue.ready[session] = None
        else:
            for queue in self.queues_of(session):
                queue.ready.pop(session, None)

    # ---- jobs: into memory -------------------------------------------------------------------

    def add_job(self, queue: QueueState, new: NewJob, moment: Moment) -> Job:
        """A new job, waiting or delayed."""
        seq = self.take_seq()
        is_delayed = new.run_at_ms > moment.now_ms
        job = Job(
            seq,
            queue.key,
            new.id,
            new.name,
            State.DELAYED if is_delayed else State.WAITING,
            new.priority,
            -seq if new.lifo else seq,
            new.run_at_ms if is_delayed else 0,
            moment.now_ms,
            new.options,
            new.payload,
        )
        queue.counts[job.state] += 1
        queue.jobs[new.id] = job
        self.open.queues[queue] = None
        self.open.add(job)
        if is_delayed:
            self.place_delayed(job)
        else:
            self.place_waiting(queue, job)
        return job

    def materialise(self, row: JobRow) -> Job | None:
        """The job of a row that was read: the one in memory if there is one, None if it has been
        removed or moved away since. It does not stay in memory unless it is changed or placed."""
        if row.seq in self.open.removed or row.queue not in self.queues_by_key:
            return None
        moved = self.open.moved.get(row.seq)
        if moved is not None and moved.queue != row.queue:
            return None
        known = self.queues_by_key[row.queue].jobs.get(row.id)
        if known is not None and known.seq == row.seq:
            return known
        return job_of_row(row)

    def find(self, queue: QueueState, id: str, found: Found) -> Job | None:
        """A job by id: in memory, or among those that were read for this command."""
        job = queue.jobs.get(id) or found.get((queue.key, id))
        return None if job is None or job.is_removed else job

    # ---- jobs: places in the orders ----------------------------------------------------------

    def place_waiting(self, queue: QueueState, job: Job) -> None:
        head = queue.head
        if head.place(job, job.priority, job.order):
            queue.jobs[job.id] = job
            if head.is_overfull:
                self.forget_unchanged(queue, head.cut())

    def place_delayed(self, job: Job) -> None:
        if self.delayed.place(job, job.run_at_ms, job.seq):
            self.queues_by_key[job.queue].jobs[job.id] = job
            if self.delayed.is_overfull:
                for late in self.delayed.cut():
                    self.forget_unchanged(self.queues_by_key[late.queue], [late])

    def unplace(self, queue: QueueState, job: Job) -> None:
        """Take it out of the head it is in, if it is in one. Call it before the state changes."""
        if job.place is not None:
            (queue.head if job.state is State.WAITING else self.delayed).unplace(job)

    def forget_unchanged(self, queue: QueueState, jobs: Iterable[Job]) -> None:
        """Let jobs that left a head go from memory, but for those the open batch still needs."""
        for job in jobs:
            if (
                job.change is Change.NONE
                and job.place is None
                and job.state is not State.ACTIVE
                and queue.jobs.get(job.id) is job
            ):
                del queue.jobs[job.id]

    # ---- jobs: changes -----------------------------------------------------------------------

    def transit(self, queue: QueueState, job: Job, event: Event, change: Change) -> None:
        """Move a job to its next state, keep the counts, note it for the open batch."""
        before, after = move(job, event)
        counts = queue.counts
        counts[before] -= 1
        counts[after] += 1
        self.open.queues[queue] = None
        if change is not Change.LEASED and change is not Change.COMPLETED:
            queue.jobs[job.id] = job
        self.open.touch(job, change)

    def lease(self, queue: QueueState, job: Job, session: Session, moment: Moment) -> None:
        """Give a waiting job (already out of the head) to a session: the one way to ACTIVE."""
        self.transit(queue, job, Event.LEASE, Change.LEASED)
        job.token = self.take_token()
        job.session = session.key
        job.started_at_ms = moment.now_ms
        queue.jobs[job.id] = job
        self.leases[job.token] = job
        if not session.leases:
            self.watch(session)
            self.store_session(session)
        session.leases[job.token] = job

    def watch(self, session: Session) -> None:
        """Have its deadline looked at when it comes; one entry in the heap is enough."""
        if session.watched_at is None:
            session.watched_at = session.deadline
            heappush(self.deadlines, (session.deadline, session.key))

    def end_lease(self, job: Job) -> None:
        """The lease is over, whatever comes next. `job.token` stays, to know a repeated answer."""
        del self.leases[job.token]
        del self.sessions_by_key[job.session].leases[job.token]
        job.session = NO_SESSION

    def wait_again(
        self, queue: QueueState, job: Job, event: Event, order: int | None = None
    ) -> None:
        """Put a job that is not waiting among the waiting.

        Args:
            order: its place within the priority; None = where it was.
        """
        self.unplace(queue, job)
        self.transit(queue, job, event, Change.REWRITTEN)
        if order is not None:
            job.order = order
        self.place_waiting(queue, job)

    def delay(self, queue: QueueState, job: Job, event: Event, run_at_ms: int) -> None:
        self.unplace(queue, job)
        self.transit(queue, job, event, Change.REWRITTEN)
        job.run_at_ms = run_at_ms
        self.place_delayed(job)

    def finish_failed(
        self, queue: QueueState, job: Job, event: Event, reason: FailReason, moment: Moment
    ) -> None:
        self.unplace(queue, job)
        self.transit(queue, job, event, Change.REWRITTEN)
        job.fail_reason = reason
        job.finished_at_ms = moment.now_ms
        queue.stats.jobs_failed += 1
        self.history.tally(queue, job.name, moment.now_ms).failed += 1
        self.emit(queue, EventNumber.FAILED, moment, job, {"reason": int(reason)})
        self.answer_waits(queue, job)

    def finish_cancelled(self, queue: QueueState, job: Job, moment: Moment) -> None:
        """The lease of an active one must have ended."""
        self.unplace(queue, job)
        self.transit(queue, job, Event.CANCEL, Change.REWRITTEN)
        job.finished_at_ms = moment.now_ms
        queue.stats.jobs_cancelled += 1
        self.emit(queue, EventNumber.CANCELLED, moment, job, {})
        self.answer_waits(queue, job)

    def edit(self, queue: QueueState, job: Job, payload: bytes) -> None:
        """Give a waiting or delayed job other data."""
        is_waiting = job.state is State.WAITING
        if is_waiting:  # the head counts its bytes
            self.unplace(queue, job)
        job.payload = payload
        queue.jobs[job.id] = job
        self.open.edit(job)
        if is_waiting:
            self.place_waiting(queue, job)

    def move(self, queue: QueueState, job: Job, target: QueueState) -> None:
        """Take a waiting or delayed job over to another queue, where no job has its id: to the end
        of its priority there, or to its beginning if it is lifo."""
        self.unplace(queue, job)
        queue.counts[job.state] -= 1
        target.counts[job.state] += 1
        self.open.queues[queue] = self.open.queues[target] = None
        gone = _left_behind(job)
        queue.jobs[job.id] = gone
        seq = self.take_seq()
        job.order = -seq if job.order < 0 else seq
        job.queue = target.key
        target.jobs[job.id] = job
        self.open.move(job, gone)
        self._move_waits(queue, job.id, target)
        if job.state is State.WAITING:
            self.place_waiting(target, job)
        else:
            self.place_delayed(job)

    def _move_waits(self, queue: QueueState, id: str, target: QueueState) -> None:
        """Who waits for its end goes on doing so."""
        for connection, request in queue.waits.pop(id, ()):
            session = self.connections[connection]
            session.waits.pop((queue.name, id), None)
            session.waits[target.name, id] = None
            target.waits.setdefault(id, []).append((connection, request))

    def remove(self, queue: QueueState, job: Job) -> None:
        """Delete a job; the lease of an active one must have ended."""
        if job.state is State.ACTIVE and job.session:
            raise InvariantError(f"job {job.seq} is removed while it is leased")
        self.unplace(queue, job)
        queue.counts[job.state] -= 1
        job.is_removed = True
        queue.jobs[job.id] = job
        self.open.queues[queue] = None
        self.open.touch(job, Change.REMOVED)
        self.open.removed.add(job.seq)
        if job.state not in FINISHED:  # else nobody waits for its end
            self.answer_waits(queue, job)

    def prune(self, queue: QueueState, state: State, seqs: Iterable[Seq]) -> None:
        """Delete finished jobs of which only the numbers are known. None of them is in memory,
        unless the open batch changed it: then it is let be."""
        changed = {job.seq for job in self.open.jobs}
        gone = [seq for seq in seqs if seq not in changed and seq not in self.open.removed]
        queue.counts[state] -= len(gone)
        queue.stats.pruned += len(gone)
        self.open.removed.update(gone)
        self.open.queues[queue] = None

    def note_attempt(
        self,
        job: Job,
        token: Token,
        attempt: int,
        outcome: AttemptOutcome,
        error: tuple[str, str, str],
        moment: Moment,
        worker: str,
    ) -> None:
        """Keep how an attempt ended. error: type, message, traceback."""
        self.open.attempts.append(
            AttemptRow(
                job.seq, token, attempt, job.started_at_ms, moment.now_ms, outcome, *error, worker
            )
        )

    # ---- sessions --------------------------------------------------------------------------

    def add_session(self, id: str) -> Session:
        session = Session(SessionKey(self.next_session), id)
        self.next_session += 1
        self.know_session(session)
        return session

    def know_session(self, session: Session) -> None:
        self.sessions[session.id] = session
        self.sessions_by_key[session.key] = session

    def store_session(self, session: Session) -> None:
        """Its row is to be written with the open batch."""
        session.is_stored = True
        self.open.sessions[session] = None

    def forget_session(self, session: Session) -> None:
        del self.sessions[session.id]
        del self.sessions_by_key[session.key]
        self.open.sessions.pop(session, None)
        if session.is_stored:
            self.open.sessions_removed.append(session.key)

    # ---- saying things ---------------------------------------------------------------------

    def add_listener(self, queue: QueueState, connection: int) -> EventRing:
        """Tell a connection of the queue's events from now on. Returns those that are kept."""
        queue.listeners[connection] = None
        if queue.ring is None:
            queue.ring = EventRing(max(self.epoch << TOKEN_COUNTER_BITS, self.last_event))
        return queue.ring

    def emit(
        self,
        queue: QueueState,
        kind: int,
        moment: Moment,
        job: Job | None,
        details: dict[str, Any],
    ) -> None:
        """Tell those who listen to the queue. Costs nothing while nobody ever did."""
        if queue.ring is None:
            return
        event = queue.ring.add(
            kind, moment.now_ms, job.id if job else None, job.name if job else None, details
        )
        self.send_events(queue, queue.listeners, [event])

    def send_events(
        self, queue: QueueState, connections: Iterable[int], events: list[QueueEvent]
    ) -> None:
        for connection in connections:
            self.open.notify(connection, queue.name, events)

    def emit_drained_if_empty(self, queue: QueueState, moment: Moment) -> None:
        if queue.ring is not None:
            counts = queue.counts
            if not (counts[State.WAITING] or counts[State.DELAYED] or counts[State.ACTIVE]):
                self.emit(queue, EventNumber.DRAINED, moment, None, {})

    def answer_waits(self, queue: QueueState, job: Job) -> None:
        """The job has ended (or is gone): show it to those who wait for that."""
        if queue.waits:
            for connection, request in queue.waits.pop(job.id, ()):
                session = self.connections[connection]
                session.waits.pop((queue.name, job.id), None)
                session.wait_count -= 1
                self.open.outputs.append(Show(connection, request, queue.key, job.id))


class _InTurn:
    """The continuations of one read. A list and not one in the other: there may be thousands, of a
    client that asks for one job again and again."""

    def __init__(self, first: Then):
        self.all = [first]

    def __call__(self, read: Any, page: Page, moment: Moment) -> None:
        for then in self.all:
            then(read, page, moment)


def _left_behind(job: Job) -> Job:
    """What stands for a job in the queue that it leaves: nothing has this name there, although the
    disk says so until the open batch is written."""
    gone = Job(
        job.seq,
        job.queue,
        job.id,
        job.name,
        job.state,
        job.priority,
        job.order,
        job.run_at_ms,
        job.created_at_ms,
        job.options,
        None,
    )
    gone.is_removed = True
    return gone


def job_of_row(row: JobRow) -> Job:
    job = Job(
        row.seq,
        row.queue,
        row.id,
        row.name,
        row.state,
        row.priority,
        row.order,
        row.run_at_ms,
        row.created_at_ms,
        row.options,
        row.payload,
    )
    job.failures = row.failures
    job.crashes = row.crashes
    job.releases = row.releases
    job.token = row.token or NO_TOKEN
    job.session = row.session
    job.started_at_ms = row.started_at_ms
    job.finished_at_ms = row.finished_at_ms
    job.fail_reason = row.fail_reason
    job.progress = row.progress
    job.log_lines = row.log_lines
    return job
