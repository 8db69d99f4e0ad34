"""Delayed jobs come due. Those that are next are in memory, of all queues in one head; the others
are read as it runs low."""

from typing import TYPE_CHECKING, Final

from holdfastd.engine.administering import Administering
from holdfastd.engine.changes import DelayedPage, Page
from holdfastd.engine.dispatch import Dispatcher
from holdfastd.engine.head import NOTHING
from holdfastd.engine.model import State
from holdfastd.engine.partition import Moment, Partition

if TYPE_CHECKING:
    from holdfastd.engine.queue import QueueState

PROMOTED_PER_TICK_MAX: Final = 1_000
"""A burst of due jobs is spread over several batches, so that it delays nobody for long."""


class Promoting:
    def __init__(self, partition: Partition, dispatcher: Dispatcher, administering: Administering):
        self._partition = partition
        self._dispatcher = dispatcher
        self._administering = administering
        self._is_reading = False

    def recover(self) -> None:
        """None of the delayed jobs of the disk is in memory."""
        partition = self._partition
        if any(queue.counts[State.DELAYED] for queue in partition.queues.values()):
            partition.delayed.horizon = NOTHING
        self._read_if_low()

    def next_due_ms(self) -> int | None:
        """Unix milliseconds at which the next one comes due; None = none is known."""
        job = self._partition.delayed.peek()
        return None if job is None else job.run_at_ms

    def promote_due(self, moment: Moment) -> None:
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
        self._read_if_low()

    def _read_if_low(self) -> None:
        partition = self._partition
        if partition.delayed.is_low and not self._is_reading:
            self._is_reading = True
            read = DelayedPage(partition.delayed.page_after(), partition.delayed.count_max // 2)
            partition.want(read, self._place_page)

    def _place_page(self, read: DelayedPage, page: Page, moment: Moment) -> None:
        partition = self._partition
        self._is_reading = False
        if partition.delayed.page_after() != read.after:
            self._read_if_low()  # it was cut meanwhile
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
        self.promote_due(moment)
