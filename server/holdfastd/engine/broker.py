"""The engine: commands go in, a batch of rows and what is to be said come out.

It is synchronous and pure: no I/O, no clock, no randomness of its own, no logging. Time comes with
each call, the random generator with the constructor. Its user (`pipeline`, or a test) does this:

    engine.apply(connection, request, command, moment)   any number of times
    batch, outputs = engine.close_batch()                write the batch, then say the outputs
    reads = engine.take_reads()                          read only while no batch is being written
    engine.answer(read, then, page, moment)              before the next batch is written
    engine.tick(moment)                                  at the latest in next_tick_s(moment)

Commands of a session are applied in order. One that names jobs which are not in memory is parked
until they have been read, and later ones of that session wait behind it.
"""

from collections.abc import Callable, Iterable
from heapq import heappop
from random import Random
from typing import Any, Final

from holdfastd.engine import commands
from holdfastd.engine.administering import Act, Administering
from holdfastd.engine.attending import Attending
from holdfastd.engine.changes import (
    Batch,
    DelayedPage,
    JobRow,
    JobsById,
    Page,
    QueueRow,
    Read,
    SessionRow,
)
from holdfastd.engine.commands import Command, Held
from holdfastd.engine.dispatch import Dispatcher
from holdfastd.engine.explaining import explain
from holdfastd.engine.head import NOTHING
from holdfastd.engine.history import History
from holdfastd.engine.ledger import Ledger
from holdfastd.engine.model import Job, QueueKey, Seq, SessionKey, State
from holdfastd.engine.openbatch import OpenBatch
from holdfastd.engine.outputs import Answer, AnswerItems, Output, Refusal, Refuse
from holdfastd.engine.partition import (
    EngineSettings,
    Found,
    Moment,
    Partition,
    job_of_row,
)
from holdfastd.engine.producing import Producing
from holdfastd.engine.queue import QueueState
from holdfastd.engine.remembering import Remembering
from holdfastd.engine.session import Parked, Session
from holdfastd.engine.sweeping import Sweeping
from holdfastd.engine.working import Working

PROMOTED_PER_TICK_MAX: Final = 1_000
"""A burst of due jobs is spread over several batches, so that it delays nobody for long."""
HOUSEKEEPING_S: Final = 60.0
"""How often old jobs and absent sessions are looked for; arbitrary."""

MUTATING: Final[frozenset[type[Command]]] = frozenset(
    {
        commands.Enqueue,
        commands.Ack,
        commands.Fail,
        commands.Release,
        commands.Remove,
        commands.Promote,
        commands.Retry,
        commands.Change,
        commands.Cancel,
        commands.Move,
        commands.Edit,
        commands.Pause,
        commands.Resume,
        commands.Configure,
        commands.Drain,
        commands.Obliterate,
    }
)
"""Commands whose request number is stored in the batch that holds their effect."""


class Engine:
    def __init__(self, settings: EngineSettings, random: Random):
        self._partition = partition = Partition(settings, random)
        self._dispatcher = Dispatcher(partition)
        self._producing = Producing(partition, self._dispatcher)
        self._working = Working(partition, self._dispatcher)
        self._attending = Attending(partition, self._dispatcher, self._working)
        self._administering = Administering(partition, self._dispatcher)
        self._sweeping = Sweeping(partition, self._dispatcher, self._administering)
        self._remembering = Remembering(partition)
        self._housekeeping_at = 0.0
        self.refuses_jobs: Refusal | None = None
        """Why no job can be added now: DISK_FULL or DRAINING; None = they can."""
        self._routes: dict[type[Any], Callable[[Session, int, Any, Found, Moment], None]] = {
            commands.Enqueue: self._enqueue,
            commands.Refused: self._refused,
            commands.Wait: self._wait,
            commands.Subscribe: self._subscribe,
            commands.Credit: self._credit,
            commands.Hold: self._hold,
            commands.Ack: self._ack,
            commands.Fail: self._fail,
            commands.Release: self._release,
            commands.Extend: self._extend,
            commands.Heartbeat: self._heartbeat,
            commands.Listen: self._listen,
            commands.Unlisten: self._unlisten,
            commands.Counts: self._counts,
            commands.Remove: self._remove,
            commands.Promote: self._promote,
            commands.Retry: self._retry,
            commands.Change: self._change,
            commands.Cancel: self._cancel,
            commands.Move: self._move,
            commands.Edit: self._edit,
            commands.Explain: self._explain,
            commands.Quiet: self._quiet,
            commands.StopWorker: self._stop_worker,
            commands.Pause: self._pause,
            commands.Resume: self._resume,
            commands.Configure: self._configure,
            commands.Drain: self._drain,
            commands.Obliterate: self._obliterate,
            commands.Detach: self._detach,
            commands.End: self._end,
        }

    # ---- from and to the store ----------------------------------------------------------------

    def recover(
        self,
        epoch: int,
        next_numbers: tuple[Seq, QueueKey, SessionKey],
        queues: Iterable[QueueRow],
        sessions: Iterable[SessionRow],
        active: Iterable[JobRow],
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
        if any(queue.counts[State.DELAYED] for queue in partition.queues.values()):
            partition.delayed.horizon = NOTHING
        for queue in partition.queues.values():
            self._sweeping.go_on(queue, moment)
            self._dispatcher.dispatch(queue, moment)
        self._read_delayed_if_low()

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
        if session is None:
            return
        is_in_turn = request and type(command) is not commands.Heartbeat
        is_in_turn = is_in_turn or type(command) is commands.End  # or it would drop them
        if (session.parked and is_in_turn) or self._missing(session, command):
            self._park(session, request, command)
        else:
            self._execute(session, request, command, {}, moment)

    def _execute(
        self, session: Session, request: int, command: Command, found: Found, moment: Moment
    ) -> None:
        partition = self._partition
        if type(command) in MUTATING:
            if request <= session.last_request:
                self._refuse(
                    session,
                    request,
                    Refusal.OUT_OF_ORDER,
                    f"request {request} comes after {session.last_request}: numbers must rise",
                )
                return
            session.last_request = request
            session.seen_at_ms = moment.now_ms
            partition.store_session(session)
        self._routes[type(command)](session, request, command, found, moment)

    # ---- jobs that must be read first ---------------------------------------------------------

    def _named(self, session: Session, command: Command) -> list[tuple[QueueState, str]]:
        """The jobs, by queue and id, that have to be known to apply the command."""
        match command:
            case commands.Enqueue():
                ids = [(command.queue, new.id) for _, new in command.items if not new.is_generated]
            case commands.Ack() | commands.Fail() | commands.Release():
                held: list[Held] = [item[0] for item in command.items]
                stale = self._working.stale(session, held)
                ids = [(item.queue, item.id) for item in stale]
            case commands.Move():
                ids = [(name, id) for name in (command.queue, command.target) for id in command.ids]
            case (
                commands.Remove()
                | commands.Promote()
                | commands.Retry()
                | commands.Change()
                | commands.Cancel()
            ):
                ids = [(command.queue, id) for id in command.ids]
            case commands.Edit() | commands.Explain() | commands.Wait():
                ids = [(command.queue, command.id)]
            case _:
                return []
        if not ids:
            return []
        queues = self._partition.queues
        return [(queue, id) for name, id in ids if (queue := queues.get(name)) is not None]

    def _missing(self, session: Session, command: Command) -> set[tuple[QueueKey, str]]:
        """Those of them that are not in memory."""
        named = self._named(session, command)
        return {(queue.key, id) for queue, id in named if id not in queue.jobs}

    def _park(self, session: Session, request: int, command: Command) -> None:
        """Ask for all its jobs at once, even if commands are before it: all that was parked when a
        batch is written is read together, and applied together. Those in memory are asked for too,
        since they may have left it by then."""
        parked = Parked(request, command)
        session.parked.append(parked)

        def then(read: JobsById, page: Page, moment: Moment) -> None:
            if parked.is_dropped:
                return  # the connection went, and the parked commands with it
            parked.reads_left -= 1
            for row in page.rows:
                job = self._partition.materialise(row)
                if job is not None:
                    parked.found[row.queue, row.id] = job
            self._go_on_with_parked(session, moment)

        ids_by_queue: dict[QueueKey, dict[str, None]] = {}
        for queue, id in self._named(session, command):
            ids_by_queue.setdefault(queue.key, {})[id] = None
            parked.looked_up.add((queue.key, id))
        parked.reads_left = len(ids_by_queue)
        for key, ids in ids_by_queue.items():
            read = JobsById(key, tuple(ids))
            self._partition.wanted[read] = _both(self._partition.wanted.get(read), then)

    def _go_on_with_parked(self, session: Session, moment: Moment) -> None:
        """Apply, in order, what has been read."""
        while session.parked and not session.parked[0].reads_left:
            parked = session.parked[0]
            if self._missing(session, parked.command) <= parked.looked_up:
                session.parked.popleft()
                self._execute(session, parked.request, parked.command, parked.found, moment)
            else:
                self._park_anew(session)
                return

    def _park_anew(self, session: Session) -> None:
        """The first command names jobs that were not looked up (a queue came into being, a lease
        was lost). What was read for those behind it would be out of date after another write."""
        waiting = list(session.parked)
        session.unpark()
        for parked in waiting:
            self._park(session, parked.request, parked.command)

    # ---- routes: one line of glue each --------------------------------------------------------

    def _enqueue(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        if self.refuses_jobs is not None:
            why = {
                Refusal.DISK_FULL: "the server's disk is full: no job is taken until there is room",
                Refusal.DRAINING: "the server is going down: connect again and send it again",
            }
            session.last_refused = request
            self._producing.note_rejected(command.queue, len(command.items) + len(command.refused))
            self._refuse(session, request, self.refuses_jobs, why[self.refuses_jobs])
            return
        self._answer_items(session, request, self._producing.enqueue(command, found, moment))

    def _refused(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        session.last_refused = max(session.last_refused, request)
        self._producing.note_rejected(command.queue, command.jobs)
        self._partition.store_session(session)

    def _wait(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        self._producing.wait(session, request, command, found)

    def _subscribe(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        self._partition.subscribe(session, command.queues, command.credit)
        self._answer(session, request, None)
        self._dispatcher.dispatch_all(session, moment)

    def _credit(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        self._partition.add_credit(session, command.amount)
        self._dispatcher.dispatch_all(session, moment)

    def _hold(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        self._partition.hold(session, command.is_held)
        self._dispatcher.dispatch_all(session, moment)

    def _ack(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        refused = self._working.ack(session, command, found, moment)
        self._answer_items(session, request, refused)
        self._prune_after(command)

    def _fail(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        refused = self._working.fail(session, command, found, moment)
        self._answer_items(session, request, refused)
        self._prune_after(command)

    def _prune_after(self, command: commands.Ack | commands.Fail) -> None:
        for name in {item[0].queue for item in command.items}:
            queue = self._partition.queues.get(name)
            if queue is not None:
                self._sweeping.prune_if_over(queue)

    def _release(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        refused = self._working.release(session, command, found, moment)
        self._answer_items(session, request, refused)

    def _extend(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        self._attending.renew(session, moment)
        self._answer_items(session, request, self._working.extend(session, command.items))

    def _heartbeat(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        self._attending.renew(session, moment)
        refused = self._working.report(session, command.reports, moment)
        self._answer_items(session, request, refused)

    def _listen(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        self._producing.listen(session, request, command)

    def _unlisten(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        self._producing.unlisten(session, command)
        self._answer(session, request, None)

    def _counts(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        counts = self._producing.counts(command)
        if counts is None:
            self._refuse_unknown_queue(session, request, command.queue)
        else:
            self._answer(session, request, counts)

    def _remove(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        act = self._administering.remove(command.expected)
        self._each(session, request, command, found, moment, act)

    def _promote(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        self._each(session, request, command, found, moment, self._administering.promote)

    def _retry(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        self._each(session, request, command, found, moment, self._administering.retry)

    def _change(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        act = self._administering.change(command)
        self._each(session, request, command, found, moment, act)

    def _cancel(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        self._each(session, request, command, found, moment, self._administering.cancel)
        if command.queue in self._partition.queues:
            self._sweeping.prune_if_over(self._partition.queues[command.queue])

    def _each(
        self,
        session: Session,
        request: int,
        command: Any,
        found: Found,
        moment: Moment,
        act: Act,
    ) -> None:
        """command: one with queue, ids and expected."""
        queue = self._queue_of(session, request, command)
        if queue is None:
            return
        ids, expected = command.ids, command.expected
        refused = self._administering.each(queue, ids, expected, found, moment, act)
        self._answer_items(session, request, refused)

    def _move(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        queue = self._queue_of(session, request, command)
        if queue is None:
            return
        target = self._partition.queues.get(command.target)
        if target is not None and target.is_clearing:  # it would be swept away with the others
            self._refuse_clearing(session, request, target)
            return
        refused = self._administering.move(queue, command, found, moment)
        self._answer_items(session, request, refused)

    def _edit(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        queue = self._queue_of(session, request, command)
        if queue is None:
            return
        act = self._administering.edit(command.payload)
        ids, expected = [command.id], command.expected
        refused = self._administering.each(queue, ids, expected, found, moment, act)
        if refused:
            self._refuse(session, request, refused[0].refusal, refused[0].message)
        else:
            self._answer(session, request, None)

    def _explain(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        queue = self._queue_of(session, request, command)
        if queue is None:
            return
        job = self._partition.find(queue, command.id, found)
        if job is None:
            text = f"no job {command.id} in queue {command.queue}"
            self._refuse(session, request, Refusal.UNKNOWN_JOB, text)
            return
        why = explain(self._partition, queue, job, moment)
        self._answer(session, request, why._asdict())

    def _quiet(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        worker = self._worker_of(session, request, command)
        if worker is not None:
            self._attending.quiet(worker, command.is_quiet, moment)
            self._answer(session, request, None)

    def _stop_worker(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        worker = self._worker_of(session, request, command)
        if worker is not None:
            self._attending.stop(worker)
            self._answer(session, request, None)

    def _worker_of(
        self, session: Session, request: int, command: commands.Quiet | commands.StopWorker
    ) -> Session | None:
        worker = self._partition.sessions_by_key.get(command.session)
        if worker is None or not worker.is_worker:
            text = f"session {command.session} is no worker, or it has gone"
            self._refuse(session, request, Refusal.UNKNOWN_WORKER, text)
            return None
        return worker

    def _pause(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        self._administering.pause(self._partition.add_queue(command.queue), moment, paused=True)
        self._answer(session, request, None)

    def _resume(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        self._administering.pause(self._partition.add_queue(command.queue), moment, paused=False)
        self._answer(session, request, None)

    def _configure(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        self._administering.configure(command, moment)
        self._answer(session, request, None)

    def _drain(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        queue = self._clearable(session, request, command.queue)
        if queue is not None:
            done = self._answer_later(session, request)
            self._sweeping.drain(queue, command.delayed, done, moment)

    def _obliterate(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        queue = self._clearable(session, request, command.queue)
        if queue is None:
            return
        if queue.active_count and not command.force:
            self._refuse(
                session,
                request,
                Refusal.NOT_EMPTY,
                f"queue {queue.name} has {queue.active_count} active jobs: wait, or force it",
            )
            return
        self._sweeping.obliterate(queue, self._answer_later(session, request), moment)

    def _clearable(self, session: Session, request: int, name: str) -> QueueState | None:
        queue = self._partition.queues.get(name)
        if queue is None:
            self._refuse_unknown_queue(session, request, name)
        elif queue.is_clearing:
            self._refuse_clearing(session, request, queue)
        else:
            return queue
        return None

    def _detach(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        self._attending.detach(session, moment)

    def _end(
        self, session: Session, request: int, command: Any, found: Found, moment: Moment
    ) -> None:
        self._attending.end(session, moment)

    # ---- answers ------------------------------------------------------------------------------

    def _answer(self, session: Session, request: int, result: Any) -> None:
        self._partition.open.outputs.append(Answer(_connection_of(session), request, result))

    def _answer_items(self, session: Session, request: int, items: list[Any]) -> None:
        self._partition.open.outputs.append(AnswerItems(_connection_of(session), request, items))

    def _answer_later(self, session: Session, request: int) -> Callable[[int], None]:
        connection = _connection_of(session)

        def done(count: int) -> None:
            if session.connection == connection:
                self._partition.open.outputs.append(Answer(connection, request, count))

        return done

    def _refuse(self, session: Session, request: int, refusal: Refusal, message: str) -> None:
        connection = _connection_of(session)
        self._partition.open.outputs.append(Refuse(connection, request, refusal, message))

    def _queue_of(self, session: Session, request: int, command: Any) -> QueueState | None:
        """The one that the command names; None = there is none, and it was refused."""
        queue = self._partition.queues.get(command.queue)
        if queue is None:
            self._refuse_unknown_queue(session, request, command.queue)
        return queue

    def _refuse_unknown_queue(self, session: Session, request: int, name: str) -> None:
        self._refuse(session, request, Refusal.UNKNOWN_QUEUE, f"there is no queue {name}")

    def _refuse_clearing(self, session: Session, request: int, queue: QueueState) -> None:
        self._refuse(session, request, Refusal.BUSY, f"queue {queue.name} is being cleared: wait")

    # ---- time ---------------------------------------------------------------------------------

    def tick(self, moment: Moment) -> None:
        """Do what is due: expire leases, promote delayed jobs, go on after a rate limit or a full
        batch, write history, prune."""
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
        self._promote_due(moment)
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
        """The wall clock has jumped: see Partition.trusts_age."""
        self._partition.steady_since = moment.monotonic

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
        job = partition.delayed.peek()
        if job is not None:
            seconds = min(seconds, (job.run_at_ms - moment.now_ms) / 1000)
        if self.refuses_jobs is not Refusal.DISK_FULL:
            seconds = min(seconds, self._remembering.next_tick_s(moment))
        return max(0.0, seconds)

    def _promote_due(self, moment: Moment) -> None:
        partition = self._partition
        touched: dict[QueueState, None] = {}
        for _ in range(PROMOTED_PER_TICK_MAX):
            job = partition.delayed.peek()
            if job is None or job.run_at_ms > moment.now_ms:
                break
            queue = partition.queues_by_key[job.queue]
            self._administering.promote_one(queue, job, moment)
            touched[queue] = None
        for queue in touched:
            self._dispatcher.dispatch(queue, moment)
        self._read_delayed_if_low()

    def _read_delayed_if_low(self) -> None:
        partition = self._partition
        if partition.delayed.is_low and not partition.is_reading_delayed:
            partition.is_reading_delayed = True
            read = DelayedPage(partition.delayed.page_after(), partition.delayed.count_max // 2)
            partition.wanted[read] = self._place_delayed_page

    def _place_delayed_page(self, read: DelayedPage, page: Page, moment: Moment) -> None:
        partition = self._partition
        partition.is_reading_delayed = False
        if partition.delayed.page_after() != read.after:
            self._read_delayed_if_low()  # it was cut meanwhile
            return
        last = page.rows[-1] if page.rows else None
        partition.delayed.horizon = (
            (last.run_at_ms, last.seq + 1) if page.has_more and last is not None else None
        )
        for row in page.rows:
            job = partition.materialise(row)
            if job is not None and job.state is State.DELAYED and job.place is None:
                partition.place_delayed(job)
        for job in partition.open.jobs:
            if job.state is State.DELAYED and job.place is None and not job.is_removed:
                partition.place_delayed(job)
        self._promote_due(moment)

    # ---- going down ---------------------------------------------------------------------------

    def drain(self) -> None:
        """From now on nothing is leased and no job is taken; answers of workers still are."""
        self._partition.is_draining = True
        self.refuses_jobs = Refusal.DRAINING

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


def _connection_of(session: Session) -> int:
    assert session.connection is not None, "its commands are dropped with its connection"
    return session.connection


def _both(first: Any, second: Any) -> Any:
    """Two continuations of one read."""
    if first is None:
        return second

    def both(read: Any, page: Page, moment: Moment) -> None:
        first(read, page, moment)
        second(read, page, moment)

    return both
