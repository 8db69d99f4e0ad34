"""Schedules: put, paused, run by hand; and what they make when they are due.

When one is due, first is read whether its job is there already, and what became of the last one.
Then the job and the schedule that has moved on are in one batch: each due instant makes exactly one
job, whenever the process dies. Until then nothing has changed, and the next start does it again.

All schedules are in memory, and in a heap by the instant at which they are due next. The clock may
be set: `plan_anew` goes by the new time, and an instant that comes twice finds its job.
"""

from collections.abc import Callable, Iterable
from functools import partial
from heapq import heapify, heappop, heappush
from typing import Any, Final

from holdfastd.engine import commands, schedules
from holdfastd.engine.changes import JobsById, Page
from holdfastd.engine.dispatch import Dispatcher
from holdfastd.engine.model import FINISHED, QueueKey
from holdfastd.engine.outputs import Refusal
from holdfastd.engine.partition import Found, Moment, Partition
from holdfastd.engine.producing import Producing
from holdfastd.engine.queue import QueueState
from holdfastd.engine.replies import Asked, Replies
from holdfastd.engine.schedules import (
    MISSED_COUNTED_MAX,
    SCHEDULES_BYTES_MAX,
    SCHEDULES_MAX,
    Due,
    Overlap,
    Schedule,
    ScheduleKey,
    ScheduleSpec,
)
from holdfastd.engine.stats import ScheduleStats

DUE_PER_TICK_MAX: Final = 50
"""Schedules that are looked up at a time, some 5 ms: a burst of due ones delays nobody for long."""
LEFT_ENTRIES_MAX: Final = 100
"""Entries of the heap that are out of date, above as many as there are schedules. Arbitrary."""
PAGE_BYTES_MAX: Final = 2 * 1024 * 1024
"""Payloads of a page, cut after the one that passes it: half a frame of the protocol."""


class Scheduling:
    """Attributes:
    stats: what happened since the daemon's start.
    """

    def __init__(self, partition: Partition, dispatcher: Dispatcher):
        self._partition = partition
        self._dispatcher = dispatcher
        self._producing = Producing(partition, dispatcher)
        self._replies = Replies(partition)
        self._known: dict[ScheduleKey, Schedule] = {}
        self._payload_bytes = 0
        self._heap: list[tuple[int, QueueKey, str]] = []
        """(next_at_ms, queue, id). One that does not fit its schedule is out of date."""
        self._in_hand: set[ScheduleKey] = set()
        """They are due, and what has to be known for that is being read."""
        self.stats = ScheduleStats()

    # ---- from and to the store ---------------------------------------------------------------

    def recover(self, stored: Iterable[Schedule], moment: Moment) -> None:
        for schedule in stored:
            self._know(schedule)
        self.plan_anew(moment)

    def plan_anew(self, moment: Moment) -> None:
        """The time is another than was thought."""
        for schedule in list(self._known.values()):
            planned = schedules.planned_anew(schedule, moment.now_ms)
            if planned is not schedule:
                self._change(planned)

    def _know(self, schedule: Schedule) -> None:
        before = self._known.get(schedule.place)
        self._payload_bytes -= 0 if before is None else len(before.spec.payload)
        self._payload_bytes += len(schedule.spec.payload)
        self._known[schedule.place] = schedule
        self._plan(schedule)

    def _change(self, schedule: Schedule) -> None:
        self._know(schedule)
        self._partition.open.schedules[schedule.place] = schedule

    def _forget(self, schedule: Schedule) -> None:
        del self._known[schedule.place]
        self._payload_bytes -= len(schedule.spec.payload)
        self._partition.open.schedules[schedule.place] = None

    # ---- the heap ----------------------------------------------------------------------------

    def _plan(self, schedule: Schedule) -> None:
        if schedule.next_at_ms is None:
            return
        if len(self._heap) > 2 * len(self._known) + LEFT_ENTRIES_MAX:
            self._heap = [entry for entry in self._heap if self._is_up_to_date(entry)]
            heapify(self._heap)
        heappush(self._heap, (schedule.next_at_ms, *schedule.place))

    def _is_up_to_date(self, entry: tuple[int, QueueKey, str]) -> bool:
        at_ms, key, id = entry
        schedule = self._known.get((key, id))
        return schedule is not None and schedule.next_at_ms == at_ms

    @property
    def _can_add(self) -> bool:
        """Until jobs can be added, what is due waits."""
        return self._partition.refuses_jobs is None

    def next_due_ms(self) -> int | None:
        """When the next one is due that can be dealt with; None = none."""
        if not self._can_add:
            return None
        while self._heap and not self._is_up_to_date(self._heap[0]):
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _take_due(self, moment: Moment) -> Due | None:
        while self._heap and self._heap[0][0] <= moment.now_ms:
            entry = heappop(self._heap)
            place = entry[1:]
            if self._is_up_to_date(entry) and place not in self._in_hand:
                return schedules.due(self._known[place], moment.now_ms)
        return None

    # ---- what is due -------------------------------------------------------------------------

    def tick(self, moment: Moment) -> None:
        """Look up what is due; some at a time, and fewer if they have missed much."""
        if not self._can_add:
            return
        effort = 0
        for _ in range(DUE_PER_TICK_MAX):
            due = self._take_due(moment)
            if due is None:
                return
            self._in_hand.add(due.schedule.place)
            last = due.schedule.last_job_id
            ids = (due.job_id,) if last is None else (due.job_id, last)
            read = JobsById(due.schedule.key, ids)
            self._partition.want(read, partial(self._go_on, due))
            effort += due.passed
            if effort >= MISSED_COUNTED_MAX:
                return

    def _go_on(self, due: Due, read: JobsById, page: Page, moment: Moment) -> None:
        """It is known whether the job is there, and what became of the last one."""
        place = due.schedule.place
        self._in_hand.discard(place)
        schedule = self._known.get(place)
        if schedule is not due.schedule or not self._can_add:
            if schedule is not None:  # it was changed, or has to wait: it is looked at again
                self._plan(schedule)
            return
        queue = self._partition.queues_by_key[schedule.key]
        found: Found = {}
        for row in page.rows:
            job = self._partition.materialise(row)
            if job is not None:
                found[row.queue, row.id] = job
        self._change(self._dealt_with(due, queue, found, moment))

    def _dealt_with(self, due: Due, queue: QueueState, found: Found, moment: Moment) -> Schedule:
        """The schedule after its due instant, whose job is added if there is to be one."""
        schedule, stats = due.schedule, self.stats
        missed = due.passed + due.is_missed
        stats.missed += missed
        moved_on = schedule._replace(
            next_at_ms=schedule.next_after(due.at_ms), missed=schedule.missed + missed
        )
        if due.is_missed:
            return moved_on
        is_there = self._partition.find(queue, due.job_id, found) is not None
        if is_there or due.at_ms == schedule.last_due_at_ms:
            stats.existing += 1
            return moved_on._replace(skipped=schedule.skipped + 1)
        if schedule.spec.overlap is Overlap.SKIP and self._is_busy(schedule, queue, found):
            stats.skipped += 1
            return moved_on._replace(skipped=schedule.skipped + 1)
        self._add(schedule, due.job_id, queue, moment)
        stats.fired += 1
        stats.lag_seconds.observe(max(0, moment.now_ms - due.at_ms) / 1000)
        return moved_on._replace(
            last_due_at_ms=due.at_ms, last_job_id=due.job_id, fired=schedule.fired + 1
        )

    def _is_busy(self, schedule: Schedule, queue: QueueState, found: Found) -> bool:
        """Its last job has not ended."""
        if schedule.last_job_id is None:
            return False
        last = self._partition.find(queue, schedule.last_job_id, found)
        return last is not None and last.state not in FINISHED

    def _add(self, schedule: Schedule, job_id: str, queue: QueueState, moment: Moment) -> None:
        self._producing.add(queue, schedules.job_of(schedule.spec, job_id), moment)
        self._dispatcher.dispatch(queue, moment)

    # ---- commands ----------------------------------------------------------------------------

    def put(self, asked: Asked) -> None:
        """Make a schedule, or another of the one of that queue and id."""
        spec, now_ms = asked.command.spec, asked.moment.now_ms
        queue = self._partition.queues.get(spec.queue)
        old = None if queue is None else self._known.get((queue.key, spec.id))
        if self._partition.refuses_jobs is Refusal.DISK_FULL:  # its data may be as large as a job's
            self._replies.refuse_jobs(asked, Refusal.DISK_FULL)
        elif queue is not None and queue.clearing is not None and queue.clearing.forget_queue:
            self._replies.refuse_clearing(asked, queue)
        elif (why_not := self._why_no_room(old, spec)) is not None:
            self._replies.refuse(asked, Refusal.TOO_MANY, why_not)
        else:
            made = schedules.put_over(old, spec, now_ms) if old is not None else self._new(asked)
            if made is not old:
                self._change(made)
            self._replies.answer(asked, schedules.describe(made))

    def _new(self, asked: Asked) -> Schedule:
        spec = asked.command.spec
        key = self._partition.add_queue(spec.queue).key
        return schedules.new_schedule(key, spec, asked.moment.now_ms)

    def _why_no_room(self, old: Schedule | None, spec: ScheduleSpec) -> str | None:
        if old is None and len(self._known) >= SCHEDULES_MAX:
            return f"there are {SCHEDULES_MAX:,} schedules already: remove some"
        added_bytes = len(spec.payload) - (0 if old is None else len(old.spec.payload))
        if added_bytes > 0 and self._payload_bytes + added_bytes > SCHEDULES_BYTES_MAX:
            return (
                f"the data of all schedules has {self._payload_bytes:,} bytes, and may have "
                f"{SCHEDULES_BYTES_MAX:,}: give a reference instead of the data"
            )
        return None

    def remove(self, asked: Asked) -> None:
        schedule = self._named(asked)
        if schedule is not None:
            self._forget(schedule)
            self._replies.answer(asked, None)

    def remove_all(self, queue: QueueState) -> None:
        """The queue goes."""
        for schedule in [each for each in self._known.values() if each.key == queue.key]:
            self._forget(schedule)

    def pause(self, asked: Asked) -> None:
        """Or resume."""
        schedule = self._named(asked)
        if schedule is None:
            return
        if schedule.is_paused != asked.command.is_paused:
            turn = schedules.resumed if schedule.is_paused else schedules.paused
            self._change(turn(schedule, asked.moment.now_ms))
        self._replies.answer(asked, None)

    def run(self, asked: Asked) -> None:
        """Answered with the job's id; one that is there already was asked for before."""
        schedule, why_not = self._named(asked), self._partition.refuses_jobs
        if schedule is None:
            return
        if why_not is not None:
            self._replies.refuse_jobs(asked, why_not)
            return
        queue = self._partition.queues[asked.command.queue]
        job_id = schedules.run_id_of(schedule.spec.id, asked.command.run)
        if self._partition.find(queue, job_id, asked.found) is None:
            self._add(schedule, job_id, queue, asked.moment)
            self._change(schedule._replace(last_job_id=job_id))
            self.stats.manual += 1
        self._replies.answer(asked, job_id)

    def page(self, asked: Asked) -> None:
        """What SCHEDULES is answered."""
        command = asked.command
        if command.id is None:
            self._replies.answer(asked, self._page(command))
        elif (schedule := self._named(asked)) is not None:
            page = {"schedules": [schedules.describe(schedule)], "next": None}
            self._replies.answer(asked, page)

    def _page(self, command: commands.Schedules) -> dict[str, Any]:
        found = self.listed(command.queue, command.after, command.limit + 1, command.shows)
        shown: list[dict[str, Any]] = []
        shown_bytes = 0
        for schedule in found[: command.limit]:
            shown.append(schedules.describe(schedule))
            shown_bytes += len(schedule.spec.payload)
            if shown_bytes >= PAGE_BYTES_MAX:
                break
        next = _name_of(found[len(shown) - 1]) if len(shown) < len(found) else None
        return {"schedules": shown, "next": next and list(next)}

    def _named(self, asked: Asked) -> Schedule | None:
        """The one that the command names; None = there is none, and it was refused."""
        command = asked.command
        schedule = self.get(command.queue, command.id)
        if schedule is None:
            text = f"no schedule {command.id} in queue {command.queue}"
            self._replies.refuse(asked, Refusal.UNKNOWN_SCHEDULE, text)
        return schedule

    # ---- looking -----------------------------------------------------------------------------

    @property
    def count(self) -> int:
        return len(self._known)

    @property
    def paused_count(self) -> int:
        return sum(schedule.is_paused for schedule in self._known.values())

    def get(self, queue: str, id: str) -> Schedule | None:
        state = self._partition.queues.get(queue)
        return None if state is None else self._known.get((state.key, id))

    def listed(
        self,
        queue: str | None,
        after: tuple[str, str] | None,
        limit: int | None,
        shows: Callable[[str], bool] | None,
    ) -> list[Schedule]:
        """By queue and id; see `Engine.schedules`."""
        found = [
            schedule
            for schedule in self._known.values()
            if (queue is None or schedule.spec.queue == queue)
            and (after is None or _name_of(schedule) > after)
            and (shows is None or shows(schedule.spec.queue))
        ]
        return sorted(found, key=_name_of)[:limit]


def _name_of(schedule: Schedule) -> tuple[str, str]:
    return schedule.spec.queue, schedule.spec.id
