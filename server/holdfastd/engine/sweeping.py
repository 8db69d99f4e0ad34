"""Removing many jobs in bounded steps: retention, drain, obliterate.

Each step reads one page of candidates, removes those that still qualify, and asks for the next
page; in between, everything else goes on. A step that is lost with a crash is simply done again.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

from holdfastd.engine.administering import Administering
from holdfastd.engine.changes import Clearing, FinishedPage, Key, Page, QueuePage, key_of
from holdfastd.engine.dispatch import Dispatcher
from holdfastd.engine.events import EventNumber
from holdfastd.engine.head import NOTHING
from holdfastd.engine.model import FINISHED, Job, Keep, Seq, State
from holdfastd.engine.outputs import RevokeReason
from holdfastd.engine.partition import Moment, Partition
from holdfastd.engine.queue import QueueState

SWEPT: Final = (
    State.ACTIVE,
    State.BLOCKED,
    State.DELAYED,
    State.WAITING,
    State.COMPLETED,
    State.FAILED,
    State.CANCELLED,
)
"""The order in which a queue is cleared: a job that moves on by itself meanwhile moves to a state
that comes later."""
STEP_JOBS_MAX: Final = 1_000
"""Jobs removed at a time: some 10 ms of one batch."""
PRUNE_SLACK_JOBS: Final = 500
"""So many above the bound are let be for a while, so that pruning goes in pages and not job by
job."""


@dataclass(slots=True)
class _Sweep:
    """How far a drain or obliterate is."""

    queue: QueueState
    clearing: Clearing
    states: list[State]
    """Those that are not done, in the order of SWEPT."""
    done: Callable[[int], None]
    """Called with the number of jobs removed when all is done."""
    removed: int = 0


class Sweeping:
    def __init__(self, partition: Partition, dispatcher: Dispatcher, administering: Administering):
        self._partition = partition
        self._dispatcher = dispatcher
        self._administering = administering

    # ---- retention ---------------------------------------------------------------------------

    def prune_if_over(self, queue: QueueState, to_the_job: bool = False) -> None:
        """Called after jobs finished: keep the counts within their bounds, or near them."""
        if queue.is_pruning:
            return
        for state in FINISHED:
            excess = _excess(queue, state)
            if excess > (0 if to_the_job else PRUNE_SLACK_JOBS):
                self._prune(queue, FinishedPage(queue.key, state, None, min(excess, STEP_JOBS_MAX)))
                return

    def prune_old(self, queue: QueueState, moment: Moment) -> None:
        """Called now and then: drop what is older than its bound, or too much by now. Nothing is
        dropped for its age while the wall clock is not to be trusted."""
        if queue.is_pruning:
            return
        for state in FINISHED:
            keep = _keep(queue, state)
            if keep.age_ms is None or not queue.counts[state]:
                continue
            if self._partition.trusts_age(keep.age_ms, moment):
                before_ms = moment.now_ms - keep.age_ms
                self._prune(queue, FinishedPage(queue.key, state, before_ms, STEP_JOBS_MAX))
        self.prune_if_over(queue, to_the_job=True)

    def _prune(self, queue: QueueState, read: FinishedPage) -> None:
        queue.is_pruning = True
        self._partition.want(read, self._prune_page)

    def _prune_page(self, read: FinishedPage, page: Page, moment: Moment) -> None:
        queue = self._partition.queues_by_key.get(read.queue)
        if queue is None:
            return
        queue.is_pruning = False
        seqs = page.seqs
        if read.before_ms is None:  # some may have been dropped for their age since it was asked
            seqs = seqs[: _excess(queue, read.state)]
        self._partition.prune(queue, read.state, seqs)
        if read.before_ms is not None and page.has_more:
            self._prune(queue, read)
        else:
            self.prune_if_over(queue)

    # ---- drain and obliterate ----------------------------------------------------------------

    def drain(
        self, queue: QueueState, delayed: bool, done: Callable[[int], None], moment: Moment
    ) -> None:
        states = (State.WAITING, State.DELAYED) if delayed else (State.WAITING,)
        self._clear(queue, Clearing(states, self._last_seq(), False), done, moment)

    def obliterate(self, queue: QueueState, done: Callable[[int], None], moment: Moment) -> None:
        self._clear(queue, Clearing(tuple(State), self._last_seq(), True), done, moment)

    def _last_seq(self) -> Seq:
        return Seq(self._partition.next_seq - 1)

    def _clear(
        self,
        queue: QueueState,
        clearing: Clearing,
        done: Callable[[int], None],
        moment: Moment,
    ) -> None:
        queue.clearing = clearing
        self._partition.open.queues[queue] = None
        self._partition.forget_unchanged(queue, queue.head.clear(NOTHING))
        states = [state for state in SWEPT if state in clearing.states]
        self._sweep_on(_Sweep(queue, clearing, states, done), moment)

    def go_on(self, queue: QueueState, moment: Moment) -> None:
        """After a restart: finish what was begun."""
        if queue.clearing is not None:
            self._clear(queue, queue.clearing, lambda removed: None, moment)

    def _sweep_on(self, sweep: _Sweep, moment: Moment) -> None:
        """Go to the next state that has any job."""
        while sweep.states and not sweep.queue.counts[sweep.states[0]]:
            sweep.states.pop(0)
        if sweep.states:
            self._want_page(sweep, None)
        else:  # none is left on disk; what the open batch has changed since is in memory
            self._remove_all(sweep, list(sweep.queue.jobs.values()))
            self._finish(sweep, moment)

    def _want_page(self, sweep: _Sweep, after: Key | None) -> None:
        read = QueuePage(sweep.queue.key, sweep.states[0], after, STEP_JOBS_MAX)
        self._partition.want(read, partial(self._clear_page, sweep))

    def _clear_page(self, sweep: _Sweep, read: QueuePage, page: Page, moment: Moment) -> None:
        self._remove_all(sweep, [self._partition.materialise(row) for row in page.rows])
        if page.has_more:
            self._want_page(sweep, key_of(read.state, page.rows[-1]))
        else:
            sweep.states.pop(0)
            self._sweep_on(sweep, moment)

    def _remove_all(self, sweep: _Sweep, jobs: Iterable[Job | None]) -> None:
        """Remove those that the sweep is about."""
        for job in jobs:
            if job is None or job.is_removed or job.seq > sweep.clearing.last:
                continue
            if job.state in sweep.clearing.states:
                if job.state is State.ACTIVE:
                    self._administering.revoke(job, RevokeReason.REMOVED)
                self._partition.remove(sweep.queue, job)
                sweep.removed += 1

    def _finish(self, sweep: _Sweep, moment: Moment) -> None:
        queue = sweep.queue
        queue.clearing = None
        self._partition.open.queues[queue] = None
        is_gone = sweep.clearing.forget_queue and not any(queue.counts)
        if is_gone:
            self._partition.forget_queue(queue)
        if sweep.clearing.forget_queue:
            queue.stats.obliterated += sweep.removed
        else:
            queue.stats.removed += sweep.removed
        if not is_gone:
            self._partition.emit(queue, EventNumber.DRAINED, moment, None, {})
            self._dispatcher.dispatch(queue, moment)
        sweep.done(sweep.removed)


def _excess(queue: QueueState, state: State) -> int:
    """Jobs above the number that is kept of a state."""
    count_max = _keep(queue, state).count
    return 0 if count_max is None else max(0, queue.counts[state] - count_max)


def _keep(queue: QueueState, state: State) -> Keep:
    """How long jobs of a finished state are kept."""
    retention = queue.settings.retention
    if state is State.COMPLETED:
        return retention.completed
    return retention.failed if state is State.FAILED else retention.cancelled
