"""What people and programs do to jobs and queues: remove, cancel, promote, retry, change, move,
edit, pause, configure.

A command on jobs names them by id and is judged job by job; it may carry the state its sender saw.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from holdfastd.engine import commands
from holdfastd.engine.dispatch import Dispatcher
from holdfastd.engine.events import EventNumber
from holdfastd.engine.model import (
    FINISHED,
    NO_TOKEN,
    AttemptOutcome,
    Change,
    FailReason,
    Job,
    State,
)
from holdfastd.engine.outputs import ItemRefusal, Refusal, RevokeReason, unknown_job
from holdfastd.engine.partition import Found, Moment, Partition
from holdfastd.engine.queue import QueueState
from holdfastd.engine.transitions import TRANSITIONS, Event

Verdict: TypeAlias = tuple[Refusal, str] | None
"""None = done; else why not."""
Act: TypeAlias = Callable[[QueueState, Job, Moment], Verdict]

BEFORE_RUN: Final = (State.WAITING, State.DELAYED)
CANCELLED_ERROR: Final = ("Cancelled", "the job was cancelled while it ran", "")


class Administering:
    def __init__(self, partition: Partition, dispatcher: Dispatcher):
        self._partition = partition
        self._dispatcher = dispatcher

    def each(
        self,
        queue: QueueState,
        ids: list[str],
        expected: State | None,
        found: Found,
        moment: Moment,
        act: Act,
    ) -> list[ItemRefusal]:
        """Apply `act` to each job that exists and is in the expected state."""
        refused: list[ItemRefusal] = []
        # Looked up before any is changed: a change may push others out of memory.
        jobs = [self._partition.find(queue, id, found) for id in ids]
        for at, (id, job) in enumerate(zip(ids, jobs, strict=True)):
            if job is None or job.is_removed or job.queue != queue.key:
                text = unknown_job(id, queue.name)
                refused.append(ItemRefusal(at, Refusal.UNKNOWN_JOB, text))
                continue
            verdict = _unexpected(job, expected) or act(queue, job, moment)
            if verdict is not None:
                refused.append(ItemRefusal(at, *verdict))
        self._dispatcher.dispatch(queue, moment)
        return refused

    def remove(self, expected: State | None) -> Act:
        def act(queue: QueueState, job: Job, moment: Moment) -> Verdict:
            if job.state is State.ACTIVE:
                if expected is not State.ACTIVE:
                    return _wrong(f"job {job.id} is active: expect that to remove it all the same")
                self.revoke(job, RevokeReason.REMOVED)
            queue.stats.removed += 1
            self._partition.remove(queue, job)
            self._partition.emit(queue, EventNumber.REMOVED, moment, job, {})
            return None

        return act

    def cancel(self, queue: QueueState, job: Job, moment: Moment) -> Verdict:
        """It ends now, whatever became of it so far; its worker is told."""
        if (job.state, Event.CANCEL) not in TRANSITIONS:
            return _wrong(f"job {job.id} is {_state_of(job)}: it has ended already")
        if job.state is State.ACTIVE:
            self._cancel_attempt(job, moment)
        self._partition.finish_cancelled(queue, job, moment)
        self._partition.emit_drained_if_empty(queue, moment)
        return None

    def _cancel_attempt(self, job: Job, moment: Moment) -> None:
        """Without its token no answer of the worker is taken for a repeated one."""
        worker = self._partition.sessions_by_key[job.session].worker
        self._partition.note_attempt(
            job, job.token, job.attempt, AttemptOutcome.CANCELLED, CANCELLED_ERROR, moment, worker
        )
        self.revoke(job, RevokeReason.CANCELLED)
        job.token = NO_TOKEN

    def revoke(self, job: Job, reason: RevokeReason) -> None:
        """End an active job's lease from outside, and tell its worker."""
        session = self._partition.sessions_by_key[job.session]
        self._partition.queues_by_key[job.queue].stats.attempts_cancelled += 1
        self._partition.end_lease(job)
        if session.connection is not None:
            self._partition.open.revoke(session.connection, job.token, reason)

    def promote(self, queue: QueueState, job: Job, moment: Moment) -> Verdict:
        if job.state is not State.DELAYED:
            return _wrong(f"job {job.id} is {_state_of(job)}, not delayed")
        queue.stats.promoted += 1
        self.promote_one(queue, job, moment)
        return None

    def promote_one(self, queue: QueueState, job: Job, moment: Moment) -> None:
        """Delayed becomes waiting, behind those that wait already (but for lifo jobs)."""
        partition = self._partition
        seq = partition.take_seq()
        job_is_lifo = job.order < 0
        partition.wait_again(queue, job, Event.PROMOTE, -seq if job_is_lifo else seq)
        partition.emit(queue, EventNumber.WAITING, moment, job, {})

    def retry(self, queue: QueueState, job: Job, moment: Moment) -> Verdict:
        if job.state not in FINISHED:
            return _wrong(f"job {job.id} is {_state_of(job)}: only a finished job is put back")
        partition = self._partition
        queue.stats.retried += 1
        job.failures = job.crashes = job.releases = 0
        job.finished_at_ms = 0
        job.fail_reason = FailReason.NONE
        job.result = None
        job.progress = None
        partition.wait_again(queue, job, Event.REDRIVE, partition.take_seq())
        partition.emit(queue, EventNumber.WAITING, moment, job, {"retried": True})
        return None

    def change(self, command: commands.Change) -> Act:
        def act(queue: QueueState, job: Job, moment: Moment) -> Verdict:
            if job.state not in BEFORE_RUN:
                return _wrong(f"job {job.id} is {_state_of(job)}: only a waiting one is changed")
            self._change_place(queue, job, command)
            if command.run_at_ms is not None:
                self._change_time(queue, job, command.run_at_ms, moment)
            return None

        return act

    def _change_place(self, queue: QueueState, job: Job, command: commands.Change) -> None:
        if command.priority is None and command.lifo is None:
            return
        partition = self._partition
        is_waiting = job.state is State.WAITING
        if is_waiting:
            partition.unplace(queue, job)
        if command.priority is not None:
            job.priority = command.priority
        seq = partition.take_seq()
        job.order = -seq if command.lifo else seq
        queue.jobs[job.id] = job
        partition.open.touch(job, Change.REWRITTEN)
        if is_waiting:
            partition.place_waiting(queue, job)

    def _change_time(self, queue: QueueState, job: Job, run_at_ms: int, moment: Moment) -> None:
        partition = self._partition
        if run_at_ms > moment.now_ms:
            partition.delay(queue, job, Event.POSTPONE, run_at_ms)
            partition.emit(queue, EventNumber.DELAYED, moment, job, {"run_at_ms": run_at_ms})
        elif job.state is State.DELAYED:
            self.promote_one(queue, job, moment)

    def edit(self, payload: bytes) -> Act:
        def act(queue: QueueState, job: Job, moment: Moment) -> Verdict:
            if job.state not in BEFORE_RUN:
                return _wrong(f"job {job.id} is {_state_of(job)}: only a waiting one is edited")
            queue.stats.edited += 1
            self._partition.edit(queue, job, payload)
            return None

        return act

    def move(
        self, queue: QueueState, command: commands.Move, found: Found, moment: Moment
    ) -> list[ItemRefusal]:
        """Take jobs over to another queue, which is made for the first one that goes there."""
        partition = self._partition
        known = partition.queues.get(command.target)
        taken = known and {id for id in command.ids if partition.find(known, id, found)}

        def act(queue: QueueState, job: Job, moment: Moment) -> Verdict:
            if job.state not in BEFORE_RUN:
                return _wrong(f"job {job.id} is {_state_of(job)}: only a waiting one is moved")
            if taken and job.id in taken:
                return Refusal.JOB_EXISTS, f"queue {command.target} has a job {job.id} already"
            target = partition.add_queue(command.target)
            queue.stats.moved += 1
            partition.move(queue, job, target)
            partition.emit(queue, EventNumber.MOVED, moment, job, {"to": target.name})
            partition.emit(target, EventNumber.MOVED, moment, job, {"from": queue.name})
            return None

        refused = self.each(queue, command.ids, command.expected, found, moment, act)
        if command.target in partition.queues:
            self._dispatcher.dispatch(partition.queues[command.target], moment)
        partition.emit_drained_if_empty(queue, moment)
        return refused

    # ---- queues ------------------------------------------------------------------------------

    def pause(self, queue: QueueState, moment: Moment, paused: bool) -> None:
        if queue.is_paused == paused:
            return
        queue.is_paused = paused
        self._partition.open.queues[queue] = None
        kind = EventNumber.PAUSED if paused else EventNumber.RESUMED
        self._partition.emit(queue, kind, moment, None, {})
        self._dispatcher.dispatch(queue, moment)

    def configure(self, command: commands.Configure, moment: Moment) -> None:
        queue = self._partition.add_queue(command.queue)
        self._partition.configure(queue, command.settings)
        queue.rate_timer_at = 0.0  # the timer that is set may be for a slower rate
        self._dispatcher.dispatch(queue, moment)


def _unexpected(job: Job, expected: State | None) -> Verdict:
    if expected is None or job.state is expected:
        return None
    return _wrong(f"job {job.id} is {_state_of(job)} by now, not {expected.name.lower()}")


def _wrong(why: str) -> Verdict:
    """The job is in the wrong state for it."""
    return Refusal.WRONG_STATE, why


def _state_of(job: Job) -> str:
    return job.state.name.lower()
