"""What people and programs do to jobs and queues: remove, promote, retry, change, pause, configure.

A command on jobs names them by id and is judged job by job; it may carry the state its sender saw.
"""

from collections.abc import Callable
from typing import TypeAlias

from holdfastd.engine import commands
from holdfastd.engine.dispatch import Dispatcher
from holdfastd.engine.model import FINISHED, Change, FailReason, Job, State
from holdfastd.engine.outputs import ItemRefusal, Refusal, RevokeReason
from holdfastd.engine.partition import EventNumber, Found, Moment, Partition
from holdfastd.engine.queue import QueueState
from holdfastd.engine.transitions import Event

Verdict: TypeAlias = str | None
"""None = done; else why the job is in the wrong state for it."""


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
        act: Callable[[QueueState, Job, Moment], Verdict],
    ) -> list[ItemRefusal]:
        """Apply `act` to each job that exists and is in the expected state."""
        refused: list[ItemRefusal] = []
        # Looked up before any is changed: a change may push others out of memory.
        jobs = [self._partition.find(queue, id, found) for id in ids]
        for at, (id, job) in enumerate(zip(ids, jobs, strict=True)):
            if job is None or job.is_removed:
                refused.append(
                    ItemRefusal(at, Refusal.UNKNOWN_JOB, f"no job {id} in queue {queue.name}")
                )
                continue
            why = _unexpected(job, expected) or act(queue, job, moment)
            if why is not None:
                refused.append(ItemRefusal(at, Refusal.WRONG_STATE, why))
        self._dispatcher.dispatch(queue, moment)
        return refused

    def remove(self, expected: State | None) -> Callable[[QueueState, Job, Moment], Verdict]:
        def act(queue: QueueState, job: Job, moment: Moment) -> Verdict:
            if job.state is State.ACTIVE:
                if expected is not State.ACTIVE:
                    return f"job {job.id} is active: expect that to remove it all the same"
                self.revoke(job, RevokeReason.REMOVED)
            queue.stats.removed += 1
            self._partition.remove(queue, job)
            self._partition.emit(queue, EventNumber.REMOVED, moment, job, {})
            return None

        return act

    def revoke(self, job: Job, reason: RevokeReason) -> None:
        """End an active job's lease from outside, and tell its worker."""
        session = self._partition.sessions_by_key[job.session]
        self._partition.queues_by_key[job.queue].stats.attempts_cancelled += 1
        self._partition.end_lease(job)
        if session.connection is not None:
            self._partition.open.revoke(session.connection, job.token, reason)

    def promote(self, queue: QueueState, job: Job, moment: Moment) -> Verdict:
        if job.state is not State.DELAYED:
            return f"job {job.id} is {job.state.name.lower()}, not delayed"
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
            return f"job {job.id} is {job.state.name.lower()}: only a finished job is put back"
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

    def change(self, command: commands.Change) -> Callable[[QueueState, Job, Moment], Verdict]:
        def act(queue: QueueState, job: Job, moment: Moment) -> Verdict:
            if job.state not in (State.WAITING, State.DELAYED):
                return f"job {job.id} is {job.state.name.lower()}: only a waiting one is changed"
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


def _unexpected(job: Job, expected: State | None) -> str | None:
    if expected is None or job.state is expected:
        return None
    return f"job {job.id} is {job.state.name.lower()} by now, not {expected.name.lower()}"
