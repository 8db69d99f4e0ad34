"""Which job goes to which worker, and what has to be read for that.

A queue's next job goes to the next subscriber with credit, in turn, unless the queue is paused, at
its concurrency limit, or over its rate. A job whose payload is only on disk waits for it at the
head: order is kept. Nothing here is durable by itself; the lease is, with the open batch.
"""

from collections import deque
from heapq import heappush
from typing import Final

from holdfastd.engine.changes import JobRow, JobsBySeq, Key, Page, WaitingPage
from holdfastd.engine.events import EventNumber
from holdfastd.engine.model import Change, FailReason, Job, QueueKey, Seq, State, Token
from holdfastd.engine.partition import Moment, Partition
from holdfastd.engine.queue import HEAD_BYTES_MAX, QueueState
from holdfastd.engine.session import Session
from holdfastd.engine.tally import QUICK, QUICK_MS, bucket_of
from holdfastd.engine.transitions import Event

PAYLOADS_READ_MAX: Final = 500
"""Jobs whose payloads are read at a time, for jobs that came back to the head without."""
PUSH_BYTES_MAX: Final = 1024 * 1024
"""Pushed to one connection in one batch; the rest of its credit waits for the next one, and so for
the client to read (see commands.Hold)."""
FIELDS_BYTES_MAX: Final = 256
"""Of a delivered item beside payload, id and name, of which a character has up to 4 bytes."""


class Dispatcher:
    def __init__(self, partition: Partition):
        self._partition = partition

    def dispatch(self, queue: QueueState, moment: Moment) -> None:
        """Lease as many of the queue's jobs as its limits and its workers' credit allow."""
        while queue.ready and self._lease_next(queue, moment):
            pass
        self._read_page_if_low(queue)

    def dispatch_all(self, session: Session, moment: Moment) -> None:
        """Lease a session jobs of all its queues as far as its credit goes: one of each in turn, so
        that none waits for the others to be empty."""
        queues = self._partition.queues_of(session)
        if len(queues) == 1:
            self.dispatch(queues[0], moment)
            return
        turns = deque(queues)
        keys = [queue.key for queue in queues]
        if session.last_served in keys:
            turns.rotate(-1 - keys.index(session.last_served))
        while turns:
            queue = turns.popleft()
            if session.can_take and self._lease_next(queue, moment):
                session.last_served = queue.key
                turns.append(queue)
            else:
                self._read_page_if_low(queue)

    def _lease_next(self, queue: QueueState, moment: Moment) -> bool:
        """Lease the queue's next job to the worker whose turn it is. False = it has none that may
        run, or nobody takes it."""
        if queue.is_paused or queue.clearing or self._partition.is_draining:
            return False
        session = self._next_worker(queue, moment)
        job = queue.head.peek()
        if session is None or job is None:
            return False
        if queue.is_at_concurrency_limit:
            queue.stats.throttled_concurrency += 1
            return False
        if job.payload is None:
            self._read_payloads(queue)
            return False
        if self._is_over_rate(queue, moment):
            return False
        queue.head.pop()
        self._lease_to(session, queue, job, moment)
        return True

    def _next_worker(self, queue: QueueState, moment: Moment) -> Session | None:
        """The subscriber whose turn it is. One that is silent past its deadline is passed over: it
        would lose the lease at once, and the job would count a crash for it. It takes its turn
        again when it is heard of (see Attending.renew)."""
        while queue.ready:
            session = next(iter(queue.ready))
            if session.deadline > moment.monotonic:
                return session
            del queue.ready[session]
        return None

    def deliver(self, queue: QueueState, job: Job, connection: int) -> None:
        """Send a leased job; fields in the order of the protocol's JOBS item."""
        assert job.payload is not None, "it is read before the lease"
        item_bytes = len(job.payload) + 4 * (len(job.id) + len(job.name)) + FIELDS_BYTES_MAX
        pushed_bytes = self._partition.open.deliver(
            connection,
            (
                job.token,
                queue.name,
                job.id,
                job.name,
                job.payload,
                job.attempt,
                job.options.attempts,
                job.created_at_ms,
                job.crashes,
                job.releases,
            ),
            item_bytes,
        )
        if pushed_bytes > PUSH_BYTES_MAX:
            self._partition.sate(self._partition.connections[connection])

    def go_on_with_sated(self, moment: Moment) -> None:
        """The batch that was full has been closed."""
        sated, self._partition.sated = self._partition.sated, []
        for session in sated:
            session.is_sated = False
            self._partition.set_ready(session)
            self.dispatch_all(session, moment)

    def _lease_to(self, session: Session, queue: QueueState, job: Job, moment: Moment) -> None:
        assert session.connection is not None, "a detached session has no credit"
        if len(queue.ready) > 1:  # to the end of the round
            del queue.ready[session]
            queue.ready[session] = None
        ready_at_ms = max(job.created_at_ms, job.run_at_ms)
        waited_ms = max(0, moment.now_ms - ready_at_ms)
        queue.stats.wait_seconds.observe(waited_ms / 1000)
        tally = queue.tallies.get(job.name) or self._partition.history.tally(
            queue, job.name, moment.now_ms
        )
        tally.waits[QUICK[waited_ms] if waited_ms < QUICK_MS else bucket_of(waited_ms)] += 1
        queue.rate.start(moment.now_ms, moment.monotonic)
        self._partition.lease(queue, job, session, moment)
        self._partition.take_credit(session)
        self.deliver(queue, job, session.connection)
        if queue.ring is not None:
            details = {"attempt": job.attempt, "worker": session.worker}
            self._partition.emit(queue, EventNumber.ACTIVE, moment, job, details)

    def _is_over_rate(self, queue: QueueState, moment: Moment) -> bool:
        wait_ms = queue.rate.wait_ms(moment.monotonic)
        if wait_ms <= 0:
            return False
        queue.stats.throttled_rate += 1
        at = moment.monotonic + wait_ms / 1000
        if queue.rate_timer_at <= moment.monotonic:
            queue.rate_timer_at = at
            heappush(self._partition.rate_timers, (at, queue.key))
        return True

    # ---- reading what is beyond the horizon --------------------------------------------------

    def _read_page_if_low(self, queue: QueueState) -> None:
        head = queue.head
        if not head.is_low or queue.is_reading_page or queue.is_clearing:
            return
        if not queue.counts[State.WAITING]:
            head.clear(horizon=None)
            return
        queue.is_reading_page = True
        # A quarter of a head at a time: nothing is written meanwhile.
        jobs_max = max(1, head.count_max // 4)
        read = WaitingPage(queue.key, head.page_after(), jobs_max, HEAD_BYTES_MAX // 4)
        self._partition.want(read, self._place_page)

    def _place_page(self, read: WaitingPage, page: Page, moment: Moment) -> None:
        queue = self._partition.queues_by_key.get(read.queue)
        if queue is None:
            return
        queue.is_reading_page = False
        if queue.head.page_after() != read.after or queue.head.horizon is None:
            self._read_page_if_low(queue)  # the head was cleared or cut meanwhile
            return
        queue.head.horizon = _after(page)
        for row in page.rows:
            job = self._partition.materialise(row)
            if job is None or job.state is not State.WAITING or job.place is not None:
                continue
            if row.is_damaged:
                self._quarantine(queue, job, moment)
                continue
            if job.payload is None:
                job.payload = row.payload
            self._partition.place_waiting(queue, job)
        self._place_unwritten(queue)
        self.dispatch(queue, moment)

    def _place_unwritten(self, queue: QueueState) -> None:
        """Jobs of the open batch were not on disk when the page was read; those below the new
        horizon belong into the head now."""
        for job in self._partition.open.jobs:
            if (
                job.queue == queue.key
                and job.state is State.WAITING
                and job.place is None
                and not job.is_removed
            ):
                self._partition.place_waiting(queue, job)

    def _read_payloads(self, queue: QueueState) -> None:
        if queue.is_reading_payloads:
            return
        queue.is_reading_payloads = True
        # The one that waits at the front is the first of them.
        bare = [job.seq for job in queue.head.first(PAYLOADS_READ_MAX) if job.payload is None]
        room_bytes = max(1, HEAD_BYTES_MAX - queue.head.bytes)  # the first one is read anyway
        read = JobsBySeq(tuple(bare), room_bytes)
        self._partition.want(read, lambda read, page, moment: self._fill(queue.key, page, moment))

    def _fill(self, key: QueueKey, page: Page, moment: Moment) -> None:
        queue = self._partition.queues_by_key.get(key)
        if queue is None:
            return
        queue.is_reading_payloads = False
        for row in page.rows:
            job = self._partition.materialise(row)
            if job is None or job.state is not State.WAITING or job.place is None:
                continue
            if row.is_damaged or row.payload is None:
                self._quarantine(queue, job, moment)
            elif job.payload is None:
                queue.head.fill(job, row.payload)
        self.dispatch(queue, moment)

    def _quarantine(self, queue: QueueState, job: Job, moment: Moment) -> None:
        self._partition.finish_failed(queue, job, Event.QUARANTINE, FailReason.DAMAGED, moment)

    # ---- delivering leases again -------------------------------------------------------------

    def deliver_again(self, session: Session, leases: dict[Seq, Token]) -> None:
        """Send leases that the session has but its client never got, over the connection that it
        has now. Their payloads are on disk, but for those that the open batch leases: what a read
        finds of them, if anything, is what was there before."""
        connection = session.connection
        assert connection is not None, "it has one now"
        for seq, token in list(leases.items()):
            job = session.leases.get(token)
            if job is not None and job.payload is not None:
                self.deliver(self._partition.queues_by_key[job.queue], job, connection)
                del leases[seq]
        if not leases:
            return

        def then(read: JobsBySeq, page: Page, moment: Moment) -> None:
            if session.connection != connection:
                return  # the next connection named its leases anew
            for row in page.rows:
                job = session.leases.get(leases.pop(row.seq))
                if job is not None:
                    self._deliver_row(session, job, row, moment)
            if page.has_more:
                self.deliver_again(session, leases)

        read = JobsBySeq(tuple(leases), PUSH_BYTES_MAX)
        self._partition.want(read, then)

    def _deliver_row(self, session: Session, job: Job, row: JobRow, moment: Moment) -> None:
        assert session.connection is not None, "it was compared with the one that asked"
        queue = self._partition.queues_by_key[job.queue]
        if row.is_damaged or row.payload is None:
            self._partition.end_lease(job)
            self._partition.transit(queue, job, Event.EXPIRE, Change.REWRITTEN)
            self._quarantine(queue, job, moment)
            self.dispatch(queue, moment)  # its slot came free
            return
        job.payload = row.payload
        self.deliver(queue, job, session.connection)
        job.payload = None


def _after(page: Page) -> Key | None:
    """The horizon behind a page of waiting jobs: just after its last row, or none."""
    if not page.has_more or not page.rows:
        return None
    last = page.rows[-1]
    return (last.priority, last.order + 1)
