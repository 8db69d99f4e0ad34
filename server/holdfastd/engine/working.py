"""What workers do with the jobs that they hold, ack, fail, release, extend, report; and what losing
the worker does.

The fence is here: an answer counts if its token is among the leases of the session that sends it,
and nothing else makes it count. A token that is not there is *repeated* if the job still has it as
its last one and is in the state that the answer leads to, which is a success, and *too late*
otherwise. A job whose lease was lost has no token any more: no answer to it is taken for repeated.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from holdfastd.engine import commands
from holdfastd.engine.changes import LogRow
from holdfastd.engine.commands import AttemptError, Held
from holdfastd.engine.dispatch import Dispatcher
from holdfastd.engine.events import EventNumber
from holdfastd.engine.model import (
    NO_TOKEN,
    AttemptOutcome,
    Change,
    FailReason,
    Job,
    State,
    Token,
)
from holdfastd.engine.outputs import ItemRefusal, Refusal
from holdfastd.engine.partition import Found, Moment, Partition
from holdfastd.engine.policy import backoff_ms
from holdfastd.engine.queue import QueueState
from holdfastd.engine.session import Session
from holdfastd.engine.tally import QUICK, QUICK_MS, bucket_of
from holdfastd.engine.transitions import Event

if TYPE_CHECKING:
    from holdfastd.engine.stats import Histogram
    from holdfastd.engine.tally import Tally

LOG_LINES_PER_JOB_MAX: Final = 1_000
"""As in the protocol; a test compares them."""

LEASE_LOST_ERROR: Final = ("LeaseLost", "the worker was lost while it ran the job", "")


class Working:
    def __init__(self, partition: Partition, dispatcher: Dispatcher):
        self._partition = partition
        self._dispatcher = dispatcher

    # ---- answers of handlers -----------------------------------------------------------------

    def ack(
        self, session: Session, command: commands.Ack, found: Found, moment: Moment
    ) -> list[ItemRefusal]:
        def complete(queue: QueueState, job: Job, item: tuple[Held, bytes | None]) -> None:
            self._complete(queue, job, item[1], moment)

        return self._each(session, command, found, moment, self._was_completed_by, complete)

    def _each(
        self,
        session: Session,
        command: Any,
        found: Found,
        moment: Moment,
        is_repeated: Callable[[Held, Found], bool],
        act: Callable[[QueueState, Job, Any], None],
    ) -> list[ItemRefusal]:
        """Do `act` for each item whose lease the session holds; a repeated answer is a success.
        Then give the slots that came free their next jobs."""
        refused: list[ItemRefusal] = []
        touched: dict[QueueState, None] = {}
        for at, item in enumerate(command.items):
            held = item[0]
            job = session.leases.get(held.token)
            if job is not None:
                queue = self._partition.queues_by_key[job.queue]
                act(queue, job, item)
                touched[queue] = None
            elif not is_repeated(held, found):
                refused.append(_lease_lost(at, held))
        self._go_on(session, command.credit, touched, moment)
        return refused

    def _complete(self, queue: QueueState, job: Job, result: bytes | None, moment: Moment) -> None:
        partition = self._partition
        partition.end_lease(job)
        partition.transit(queue, job, Event.ACK, Change.COMPLETED)
        job.finished_at_ms = moment.now_ms
        job.result = result
        self._partition.open.body_bytes += len(result or b"")
        stats = queue.stats
        stats.completed += 1
        self._note_run(queue, job, stats.duration_seconds_completed, moment).completed += 1
        if queue.ring is not None:
            partition.emit(queue, EventNumber.COMPLETED, moment, job, {})
            partition.emit_drained_if_empty(queue, moment)
        if queue.waits:
            partition.answer_waits(queue, job)

    def _note_run(
        self, queue: QueueState, job: Job, durations: "Histogram", moment: Moment
    ) -> "Tally":
        """How long the attempt took that ends now. Returns where its end is to be counted."""
        partition = self._partition
        ran_ms = max(0, moment.now_ms - job.started_at_ms)
        durations.observe(ran_ms / 1000)
        if partition.ledger.tasks is not None:
            partition.ledger.tasks.observe(queue.name, job.name, ran_ms / 1000)
        tally = queue.tallies.get(job.name) or partition.history.tally(
            queue, job.name, moment.now_ms
        )
        tally.runs[QUICK[ran_ms] if ran_ms < QUICK_MS else bucket_of(ran_ms)] += 1
        return tally

    def fail(
        self, session: Session, command: commands.Fail, found: Found, moment: Moment
    ) -> list[ItemRefusal]:
        def fail_one(
            queue: QueueState, job: Job, item: tuple[Held, AttemptError, int | None]
        ) -> None:
            self._fail_one(queue, job, item[1], item[2], moment, session.worker)

        return self._each(session, command, found, moment, self._was_given_back_by, fail_one)

    def _fail_one(
        self,
        queue: QueueState,
        job: Job,
        error: AttemptError,
        retry_ms: int | None,
        moment: Moment,
        worker: str,
    ) -> None:
        partition = self._partition
        stats = queue.stats
        stats.attempts_failed += 1
        tally = self._note_run(queue, job, stats.duration_seconds_failed, moment)
        partition.note_attempt(
            job, job.token, job.attempt, AttemptOutcome.FAILED, error, moment, worker
        )
        partition.end_lease(job)
        job.failures += 1
        if retry_ms == -1 or job.failures >= job.options.attempts:
            partition.finish_failed(queue, job, Event.FAIL, FailReason.ERROR, moment)
            partition.emit_drained_if_empty(queue, moment)
            return
        stats.retries += 1
        tally.retried += 1
        if retry_ms is None:
            retry_ms = backoff_ms(job.options.backoff, job.failures, partition.random.random())
        run_at_ms = moment.now_ms + retry_ms
        if retry_ms > 0:
            partition.delay(queue, job, Event.RETRY_LATER, run_at_ms)
        else:
            partition.wait_again(queue, job, Event.RETRY_AT_ONCE, partition.take_seq())
        if queue.ring is not None:
            details = {"run_at_ms": run_at_ms, "failures": job.failures, "error": error.message}
            partition.emit(queue, EventNumber.RETRYING, moment, job, details)

    def release(
        self, session: Session, command: commands.Release, found: Found, moment: Moment
    ) -> list[ItemRefusal]:
        def release_one(queue: QueueState, job: Job, item: tuple[Held, int]) -> None:
            self.release_one(queue, job, item[1], moment)

        return self._each(session, command, found, moment, self._was_given_back_by, release_one)

    def release_one(self, queue: QueueState, job: Job, delay_ms: int, moment: Moment) -> None:
        """Give a lease back, at no cost to the job: it keeps its place, or waits for delay_ms."""
        partition = self._partition
        partition.end_lease(job)
        job.releases += 1
        if delay_ms > 0:
            queue.stats.attempts_snoozed += 1
            partition.delay(queue, job, Event.RELEASE_LATER, moment.now_ms + delay_ms)
            kind = EventNumber.DELAYED
        else:
            queue.stats.attempts_released += 1
            partition.wait_again(queue, job, Event.RELEASE)
            kind = EventNumber.WAITING
        partition.emit(queue, kind, moment, job, {"released": True})

    def _go_on(
        self, session: Session, credit: int, touched: dict[QueueState, None], moment: Moment
    ) -> None:
        """Slots came free: give the worker, and the other workers of the queues whose limits have
        room again, their next jobs."""
        if credit:
            self._partition.add_credit(session, credit)
            self._dispatcher.dispatch_all(session, moment)
        for queue in touched:
            self._dispatcher.dispatch(queue, moment)

    # ---- answers that come twice, or too late --------------------------------------------------

    def stale(self, session: Session, items: list[Held]) -> list[Held]:
        """Those of which the session holds no lease: whether they are repeated or too late stands
        on disk, with the job."""
        return [held for held in items if held.token not in session.leases]

    def _job_of(self, held: Held, found: Found) -> Job | None:
        queue = self._partition.queues.get(held.queue)
        return None if queue is None else self._partition.find(queue, held.id, found)

    def _was_completed_by(self, held: Held, found: Found) -> bool:
        job = self._job_of(held, found)
        return job is not None and job.token == held.token and job.state is State.COMPLETED

    def _was_given_back_by(self, held: Held, found: Found) -> bool:
        """An expired lease takes its token from the job (see lose), so a job that has it and is
        not active was failed or released by its holder."""
        job = self._job_of(held, found)
        return (
            job is not None
            and job.token == held.token
            and job.state in (State.WAITING, State.DELAYED, State.FAILED)
        )

    # ---- keeping a lease ---------------------------------------------------------------------

    def extend(self, session: Session, items: list[Held]) -> list[ItemRefusal]:
        return [
            _lease_lost(at, held)
            for at, held in enumerate(items)
            if held.token not in session.leases
        ]

    def report(
        self, session: Session, reports: list[commands.Report], moment: Moment
    ) -> list[ItemRefusal]:
        refused: list[ItemRefusal] = []
        for at, report in enumerate(reports):
            job = session.leases.get(report.token)
            if job is None:
                refused.append(ItemRefusal(at, Refusal.LEASE_LOST, f"lease {report.token} is lost"))
                continue
            queue = self._partition.queues_by_key[job.queue]
            if report.progress is not None:
                job.progress = report.progress
                self._partition.emit(
                    queue, EventNumber.PROGRESS, moment, job, {"progress": report.progress}
                )
            self._log(job, report.lines)
            queue.jobs[job.id] = job
            self._partition.open.touch(job, Change.REWRITTEN)
        return refused

    def _log(self, job: Job, lines: list[tuple[int, str]]) -> None:
        for at_ms, text in lines:
            job.log_lines += 1
            if job.log_lines <= LOG_LINES_PER_JOB_MAX:
                self._partition.open.logs.append(LogRow(job.seq, job.log_lines, at_ms, text))

    # ---- losing it ---------------------------------------------------------------------------

    def lose_all(self, session: Session, moment: Moment, counted: bool) -> list[Token]:
        """The leases of a session ran out. Returns the tokens.

        Args:
            counted: as crashes; not after a restart of the daemon, which is not the jobs' fault.
        """
        tokens = list(session.leases)
        touched: dict[QueueState, None] = {}
        for token in tokens:
            job = session.leases[token]
            queue = self._partition.queues_by_key[job.queue]
            self._lose(queue, job, moment, session.worker, counted)
            touched[queue] = None
        for queue in touched:
            self._dispatcher.dispatch(queue, moment)
        return tokens

    def _lose(
        self, queue: QueueState, job: Job, moment: Moment, worker: str, counted: bool
    ) -> None:
        partition = self._partition
        queue.stats.attempts_lost += 1
        partition.history.tally(queue, job.name, moment.now_ms).lost += 1
        partition.note_attempt(
            job, job.token, job.attempt, AttemptOutcome.LOST, LEASE_LOST_ERROR, moment, worker
        )
        partition.end_lease(job)
        job.token = NO_TOKEN
        if counted:
            job.crashes += 1
        else:
            job.releases += 1
        details = {"crashes": job.crashes, "worker": worker}
        partition.emit(queue, EventNumber.LOST, moment, job, details)
        if job.crashes >= job.options.max_crashes:
            partition.finish_failed(queue, job, Event.CRASH, FailReason.CRASHED, moment)
            partition.emit_drained_if_empty(queue, moment)
        else:
            partition.wait_again(queue, job, Event.EXPIRE)


def _lease_lost(at: int, held: Held) -> ItemRefusal:
    return ItemRefusal(
        at,
        Refusal.LEASE_LOST,
        f"lease {held.token} of job {held.id} in {held.queue} is lost: nothing was changed",
    )
