"""Watches every step of a simulated daemon, and says what must not be.

It sits at three places: where a batch becomes durable (what the rows before and after it may be),
where its outputs are said (what they claim must be durable), and where the engine gives and takes
leases (order, limits, credit, time). What it knows comes from the rows and from what clients asked
for, not from the engine's memory; at rest the two are compared.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from holdfastd.engine import commands
from holdfastd.engine.changes import AddedRow, Batch, JobRow, QueueRow
from holdfastd.engine.head import LEFT_ENTRIES_MAX
from holdfastd.engine.model import FINISHED, Job, QueueKey, Rate, State
from holdfastd.engine.outputs import (
    AnswerItems,
    Deliver,
    ItemRefusal,
    Notify,
    Output,
    Refusal,
    Revoke,
    Welcome,
)
from holdfastd.engine.partition import Moment
from holdfastd.engine.queue import QueueState
from holdfastd.engine.schedules import Schedule
from holdfastd.engine.session import Session
from holdfastd.service import Service
from holdfastd.store.memory import Disk

Key = tuple[str, str]
"""Name of a queue, id of a job."""

INSTANT: Final = re.compile(r"@\d{4}-")
"""In the id of a job that a schedule made when it was due."""
COUNTERS: Final = ("failures", "crashes", "releases")


class _Start(NamedTuple):
    """A lease that became durable."""

    at_s: float
    """In the simulation's time, which never jumps."""
    queue: int


class Bucket:
    """What a rate limit allows, counted another way than the engine does: tokens."""

    def __init__(self, rate: Rate):
        self.rate = rate
        self.tokens = float(rate.burst)
        self._at_s = 0.0

    def take(self, at_s: float) -> bool:
        """One job starts; False = it must not."""
        per_ms = self.rate.limit / self.rate.period_ms
        passed_ms = (at_s - self._at_s) * 1000
        self.tokens = min(self.tokens + passed_ms * per_ms, float(self.rate.burst)) - 1
        self._at_s = at_s
        return self.tokens >= -1.5 * per_ms - 1e-6  # what is stored is in whole milliseconds


class Observer:
    """Attributes:
    disk: what is durable.
    wrong: what was found, with its time; empty = nothing.
    redriven, removable: jobs that somebody asked to put back, to remove; of a queue in
        `clearable` every job may go.
    """

    def __init__(self, disk: Disk, now: Callable[[], float], on_wrong: Callable[[], None]):
        self.disk = disk
        self.wrong: list[str] = []
        self.seen: Counter[str] = Counter()
        self.redriven: set[Key] = set()
        self.removable: set[Key] = set()
        self.promotable: set[Key] = set()
        self.clearable: set[str] = set()
        self.moved: set[Key] = set()
        """Jobs that somebody asked to move away: their instants may come again."""
        self.may_lose_lease: Callable[[str], bool] = lambda worker: True
        """Whether the worker of that name has a reason to lose leases now."""
        self.ever: set[Key] = set()
        """Jobs that were durable once."""
        self.clock_was_set_forward = False
        """The wall clock, since the daemon was started last."""
        self.leased_at_s: dict[int, float] = {}
        """When jobs were leased last, in true time; by seq."""
        self._now = now
        self._on_wrong = on_wrong
        self._names: dict[int, str] = {}
        self._tokens: dict[int, int] = {}
        """Highest token by job."""
        self._completed: dict[int, set[int]] = defaultdict(set)
        self._done_tokens: set[int] = set()
        self._leased: set[int] = set()
        """Every token that was durable once: a lease that is pushed again may end meanwhile."""
        self._active: dict[int, int] = {}
        """Jobs by the token of their live lease."""
        self._waiting: dict[int, dict[int, tuple[int, int]]] = defaultdict(dict)
        """Durable waiting jobs by queue: their keys by seq."""
        self._living: Counter[Key] = Counter()
        """How many jobs have this id; one at most."""
        self._counts: dict[int, Counter[State]] = defaultdict(Counter)
        self._buckets: dict[int, Bucket] = {}
        self._fired: set[Key] = set()
        """Jobs of due instants."""

    def fail(self, text: str) -> None:
        self.wrong.append(f"at {self._now():.6f} s: {text}")
        self._on_wrong()

    def watch(self, service: Service) -> None:
        """Look over the shoulder of one life of the daemon."""
        if self.clock_was_set_forward:  # by the stored instants the buckets are full again
            self.clock_was_set_forward = False
            for bucket in self._buckets.values():
                bucket.tokens = float(bucket.rate.burst)
        _Watch(self, service)

    # ---- what becomes durable ----------------------------------------------------------------

    def record(self, batch: Batch, write: Callable[[], None]) -> None:
        """`write` puts the batch on the disk."""
        jobs = self.disk.jobs
        touched: dict[int, JobRow | None] = {
            seq: jobs.get(seq)
            for seq in (
                *(row.seq for rows in (batch.added, batch.leased, batch.completed) for row in rows),
                *(row.seq for row in batch.rewritten),
                *batch.removed,
            )
        }
        schedules = [(self.disk.schedules.get(row.place), row) for row in batch.schedules]
        write()
        for row in batch.queues:
            self._names[row.key] = row.name
        self._check_fires(schedules, {self._key_of_added(row) for row in batch.added})
        starts: list[_Start] = []
        # First all of them: a batch may remove a job and add another under its id.
        for seq, before in touched.items():
            self._count(before, -1)
            self._count(self.disk.jobs.get(seq), 1)
        for seq, before in touched.items():
            after = self.disk.jobs.get(seq)
            if after is None:
                if before is not None:
                    self._check_removed(before)
                continue
            self.ever.add(self._key_of(after))
            self._check_change(before, after)
            is_new_there = before is None or before.queue != after.queue
            if is_new_there and self._living[self._key_of(after)] > 1:
                self.fail(f"there is a second job {self._key_of(after)}")
            if after.state is State.ACTIVE and (before is None or before.token != after.token):
                starts.append(_Start(self.leased_at_s[seq], after.queue))
        self._check_rates(batch.queues, starts)
        for row in batch.queues:
            self._check_counts(row)

    def _check_fires(
        self, schedules: list[tuple[Schedule | None, Schedule]], added: set[Key]
    ) -> None:
        """A schedule that moves on and the job of its instant are one change."""
        fired: set[Key] = set()
        for before, after in schedules:
            dealt_with = after.fired - (before.fired if before is not None else 0)
            if dealt_with < 1:
                continue
            key = after.spec.queue, after.last_job_id or ""
            fired.add(key)
            self.seen["schedules fired"] += 1
            if dealt_with > 1 or key not in added:
                self.fail(f"schedule {after.place} fired {dealt_with} times without {key}")
            if key in self._fired and not self._may_be_gone(key):
                self.fail(f"there is a second job {key} of one instant")
        alone = {key for key in added if INSTANT.search(key[1])} - fired
        if alone:
            self.fail(f"{alone} were added, and their schedules did not move on")
        self._fired |= fired

    def _may_be_gone(self, key: Key) -> bool:
        return key in self.removable | self.moved or key[0] in self.clearable

    def _key_of_added(self, row: AddedRow) -> Key:
        return self._names.get(row.queue, "?"), row.id

    def _key_of(self, row: JobRow) -> Key:
        return self._names.get(row.queue, "?"), row.id

    def _count(self, row: JobRow | None, sign: int) -> None:
        if row is None:
            return
        self._counts[row.queue][row.state] += sign
        self._living[self._key_of(row)] += sign
        if row.state is State.WAITING:
            if sign > 0:
                self._waiting[row.queue][row.seq] = (row.priority, row.order)
            else:
                self._waiting[row.queue].pop(row.seq, None)
        elif row.state is State.ACTIVE:
            if sign > 0:
                self._active[row.token] = row.seq
                self._leased.add(row.token)
            else:
                self._active.pop(row.token, None)

    def _check_removed(self, row: JobRow) -> None:
        key = self._key_of(row)
        if key in self.removable or key[0] in self.clearable:
            return
        queue = self.disk.queues.get(row.queue)
        keeps = queue.settings.retention if queue is not None else None
        if keeps is None or row.state not in FINISHED:
            self.fail(f"job {key}, {row.state.name}, is gone, and nobody asked for that")
            return
        keep = {State.COMPLETED: keeps.completed, State.FAILED: keeps.failed}.get(
            row.state, keeps.cancelled
        )
        if keep.age_ms is None and keep.count is None:
            self.fail(f"finished job {key} was pruned from a queue that keeps all")

    def _check_change(self, before: JobRow | None, after: JobRow) -> None:
        key = self._key_of(after)
        highest = self._tokens.get(after.seq, 0)
        is_new_lease = after.state is State.ACTIVE and (
            before is None or before.token != after.token
        )
        if is_new_lease and after.token <= highest:
            self.fail(f"job {key} was leased under {after.token} after {highest}")
        self._tokens[after.seq] = max(highest, after.token)
        if after.state is State.COMPLETED and (
            before is None or before.state is not State.COMPLETED
        ):
            self._completed[after.seq].add(after.token)
            self._done_tokens.add(after.token)
            if len(self._completed[after.seq]) > 1 and key not in self.redriven:
                self.fail(f"job {key} was completed under {self._completed[after.seq]}")
        if before is None or key in self.redriven:
            return
        if before.state is State.COMPLETED and after.state is not State.COMPLETED:
            self.fail(f"job {key} was completed and is {after.state.name}")
        for name in COUNTERS:
            if getattr(after, name) < getattr(before, name):
                self.fail(f"{name} of job {key} fell")

    def _check_rates(self, queues: list[QueueRow], starts: list[_Start]) -> None:
        changed = set()
        for row in queues:
            bucket = self._buckets.get(row.key)
            if row.settings.rate is None:
                self._buckets.pop(row.key, None)
            elif bucket is None or bucket.rate != row.settings.rate:
                # Within the batch it is not known what came before the change.
                self._buckets[row.key] = Bucket(row.settings.rate)
                changed.add(row.key)
        for start in sorted(starts):
            bucket = self._buckets.get(start.queue)
            if bucket is not None and QueueKey(start.queue) not in changed:
                self.seen["started under a rate limit"] += 1
                if not bucket.take(start.at_s):
                    self.fail(f"queue {self._names[start.queue]} started more than {bucket.rate}")

    def _check_counts(self, row: QueueRow) -> None:
        counts = self._counts[row.key]
        found = {state: row.counts[state] for state in State if row.counts[state]}
        stored = {state: count for state, count in counts.items() if count}
        if found != stored:
            self.fail(f"counts of {row.name} say {found}, stored are {stored}")

    # ---- what is said ------------------------------------------------------------------------

    def check_delivered(self, output: Deliver, taken_back: set[int]) -> None:
        """taken_back: tokens that are revoked in the same breath; their leases came and went within
        one batch."""
        for item in output.items:
            if item[0] not in self._leased and item[0] not in taken_back:
                self.fail(f"job {item[1:3]} was pushed under {item[0]}, which is not durable")

    def check_answer(self, command: Any, answer: AnswerItems) -> None:
        refused = {item.at for item in answer.items if isinstance(item, ItemRefusal)}
        if isinstance(command, commands.Enqueue):
            for at, new in command.items:
                if at not in refused and (command.queue, new.id) not in self.ever:
                    self.fail(f"job {new.id} of {command.queue} was confirmed, and is not there")
        elif isinstance(command, commands.Ack):
            for at, (held, _) in enumerate(command.items):
                key = (held.queue, held.id)
                if at in refused or key in self.redriven | self.removable:
                    continue
                if held.queue not in self.clearable and held.token not in self._done_tokens:
                    self.fail(f"ack of {key} under {held.token} was confirmed, and is not there")

    def check_welcome(self, session: Session | None, output: Welcome) -> None:
        if session is None:
            return
        row = self.disk.sessions.get(session.key)
        durable = 0 if row is None else row.last_request
        if output.last_request > durable:
            self.fail(f"session {session.id} was told {output.last_request}, durable is {durable}")

    # ---- what is leased ----------------------------------------------------------------------

    def check_order(self, queue: QueueState, job: Job, changed: set[int]) -> None:
        """changed: jobs that batches under way will write; memory knows better of them."""
        key = (job.priority, job.order)
        for seq, other in self._waiting[queue.key].items():
            if other < key and seq not in changed:
                self.fail(f"job {seq} of {queue.name} at {other} was passed over by {key}")
        for waiting in queue.jobs.values():
            if waiting.state is State.WAITING and not waiting.is_removed and waiting is not job:
                other = (waiting.priority, waiting.order)
                if other < key:
                    self.fail(f"{waiting.id} of {queue.name} at {other} was passed over by {key}")

    def check_at_rest(self, service: Service) -> None:
        """Memory and disk must be of one mind."""
        engine = service.pipeline.engine
        tokens = set(engine._partition.leases)
        if tokens != set(self._active):
            self.fail(f"live leases differ: {tokens ^ set(self._active)}")
        for queue in engine.queues.values():
            counts = {state: queue.counts[state] for state in State if queue.counts[state]}
            stored = {state: n for state, n in self._counts[queue.key].items() if n}
            if counts != stored:
                self.fail(f"queue {queue.name} counts {counts}, stored are {stored}")
        if {each.place: each for each in engine.schedules()} != self.disk.schedules:
            self.fail(f"schedules are {engine.schedules()}, stored are {self.disk.schedules}")
        self.seen["compared memory and disk"] += 1


class _Watch:
    """One life of the daemon under observation."""

    def __init__(self, observer: Observer, service: Service):
        self._observer = observer
        self._service = service
        self._engine = service.pipeline.engine
        self._partition = self._engine._partition
        self._asked: dict[tuple[int, int], Any] = {}
        self._last_events: dict[tuple[int, str], int] = {}
        self._credit: dict[Session, int] = {}
        self._writing: set[int] = set()
        engine, partition = self._engine, self._partition
        _before(engine, "attach", self._attach)
        _before(engine, "apply", self._apply)
        _before(partition, "lease", self._lease)
        _before(partition, "subscribe", self._subscribe)
        _before(partition, "add_credit", self._add_credit)
        _before(engine._administering, "promote_one", self._promote)
        _before(engine._working, "_lose", self._lose)
        _before(service.listener, "send", self._say)
        self._close_batch = engine.close_batch
        _replace(engine, "close_batch", self._closing)

    def _attach(self, connection: int, command: commands.Attach, moment: Moment) -> None:
        seen = self._observer.seen
        session = self._partition.sessions.get(command.session_id)
        held = set() if session is None else set(session.leases)
        named = set(command.leases)
        is_full = self._engine.refuses_jobs is Refusal.DISK_FULL
        for name, is_so in {
            "of a session that is forgotten": session is None and bool(named),
            "by a second connection": session is not None and session.connection is not None,
            "with lost leases": bool(named - held),
            "with lost leases, the disk full": bool(named - held) and is_full,
            "with leases it does not know of": bool(held - named),
            "with leases, the disk full": bool(held) and is_full,
        }.items():
            seen[f"resumed {name}"] += is_so

    def _apply(self, connection: int, request: int, command: Any, moment: Moment) -> None:
        if isinstance(command, commands.Enqueue | commands.Ack):
            self._asked[connection, request] = command
        elif isinstance(command, commands.Listen) and connection in self._partition.connections:
            self._last_events.pop((connection, command.queue), None)

    def _closing(self) -> tuple[Batch, list[Output]]:
        open = self._partition.open
        self._writing = {job.seq for job in open.jobs} | set(open.removed)
        return self._close_batch()

    # ---- leases ------------------------------------------------------------------------------

    def _subscribe(self, session: Session, names: list[str], credit: int) -> None:
        self._credit[session] = credit

    def _add_credit(self, session: Session, amount: int) -> None:
        self._credit[session] = self._credit.get(session, 0) + amount

    def _lease(self, queue: QueueState, job: Job, session: Session, moment: Moment) -> None:
        observer = self._observer
        limit = queue.settings.concurrency
        if limit is not None and queue.counts[State.ACTIVE] >= limit:
            observer.fail(f"queue {queue.name} runs more than {limit} at once")
        if queue.is_paused or queue.is_clearing or self._partition.is_draining:
            observer.fail(f"job {job.id} was leased while queue {queue.name} must not")
        if session.connection is None or session.deadline <= moment.monotonic:
            observer.fail(f"job {job.id} was leased to session {session.id}, which is not there")
        self._credit[session] = self._credit.get(session, 0) - 1
        if self._credit[session] < 0:
            observer.fail(f"session {session.id} was given more than its credit")
        observer.leased_at_s[job.seq] = observer._now()
        open = self._partition.open
        changed = self._writing | {other.seq for other in open.jobs} | set(open.removed)
        observer.check_order(queue, job, changed)

    def _promote(self, queue: QueueState, job: Job, moment: Moment) -> None:
        if job.run_at_ms > moment.now_ms and (queue.name, job.id) not in self._observer.promotable:
            early_ms = job.run_at_ms - moment.now_ms
            self._observer.fail(f"job {job.id} of {queue.name} became due {early_ms} ms early")

    def _lose(
        self, queue: QueueState, job: Job, moment: Moment, worker: str, counted: bool
    ) -> None:
        self._observer.seen["leases lost"] += 1
        if not self._observer.may_lose_lease(worker):
            self._observer.fail(f"worker {worker} is well and lost its lease of {job.id}")

    # ---- what is said ------------------------------------------------------------------------

    def _say(self, outputs: list[Output]) -> None:
        self._writing = set()
        revokes = [output for output in outputs if isinstance(output, Revoke)]
        taken_back = {int(token) for revoke in revokes for token, _ in revoke.items}
        for output in outputs:
            match output:
                case Deliver() if output.connection in self._partition.connections:
                    self._observer.check_delivered(output, taken_back)
                case AnswerItems():
                    command = self._asked.pop((output.connection, output.request), None)
                    self._observer.check_answer(command, output)
                case Welcome():
                    session = self._partition.connections.get(output.connection)
                    self._observer.check_welcome(session, output)
                case Notify():
                    self._check_events(output)
        for queue in self._engine.queues.values():
            self._check_memory(queue)
        if not self._engine.has_open_batch:
            self._observer.check_at_rest(self._service)

    def _check_events(self, output: Notify) -> None:
        key = (output.connection, output.queue)
        for event in output.events:
            last = self._last_events.get(key)
            if last is not None and event.number != last + 1:
                self._observer.fail(f"event {event.number} of {output.queue} follows {last}")
            self._last_events[key] = event.number
            self._observer.seen["events said"] += 1

    def _check_memory(self, queue: QueueState) -> None:
        head = queue.head
        if head.count > 2 * head.count_max + 1:
            self._observer.fail(f"the head of {queue.name} has {head.count} jobs")
        if len(head._entries) > 2 * max(head.count, LEFT_ENTRIES_MAX) + 1:
            self._observer.fail(f"the head of {queue.name} has {len(head._entries)} entries")
        delayed = self._partition.delayed
        changed = len(self._partition.open.jobs)
        if len(queue.jobs) > head.count + queue.counts[State.ACTIVE] + delayed.count + changed:
            self._observer.fail(f"queue {queue.name} has {len(queue.jobs)} jobs in memory")


def _replace(owner: Any, name: str, by: Any) -> None:
    """For this object only."""
    setattr(owner, name, by)


def _before(owner: Any, name: str, look: Callable[..., None]) -> None:
    """Have `look` called with the arguments of each call of a method."""
    method = getattr(owner, name)

    def seen(*arguments: Any, **named: Any) -> Any:
        look(*arguments, **named)
        return method(*arguments, **named)

    setattr(owner, name, seen)
