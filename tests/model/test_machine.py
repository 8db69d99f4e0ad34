"""A Hypothesis state machine: any sequence of commands, lost answers, crashes and time steps.

Commands come in between the steps of the pipeline: while a batch is written, while pages are read.
A crash may come at any step and leave the batch in doubt. Beside the engine runs a plain model that
knows only what clients were told: which jobs were confirmed, which acks. After each step the model
is held against the durable rows, and the engine's memory against itself; at rest, all of them
against each other. The same machine runs on the model store and on SQLite with reopen.
"""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from holdfastd.engine import commands, sweeping
from holdfastd.engine import partition as partition_module
from holdfastd.engine.explaining import CODES
from holdfastd.engine.model import (
    Backoff,
    BackoffKind,
    Change,
    Keep,
    QueueSettings,
    Rate,
    Retention,
    State,
)
from holdfastd.engine.partition import Partition
from support.engine import Driver, held_of, new_job
from support.model_client import LOST_ANSWER, ModelClient, is_refused
from support.sqlite_driver import SqliteDriver

QUEUES = ("red", "blue")
IDS = tuple(f"id-{number}" for number in range(6))
WORKERS = ("w1", "w2")
SMALL_HEAD = 4
"""So that horizons, pages and cuts happen within a few jobs."""
SCALE = 10 if os.environ.get("HOLDFAST_MODEL") == "long" else 1
"""HOLDFAST_MODEL=long: ten times as many runs, each twice as long."""

Key = tuple[str, str]
"""Name of a queue, id of a job."""


@dataclass
class Known:
    """What the clients know of one job that exists."""

    ack_is_sent: bool = False
    """It may be completed, and then be pruned."""
    is_acked: bool = False
    tokens: list[int] = field(default_factory=list)
    tries: int = 0
    """failures + crashes when it was last looked at."""
    place: tuple[int, int] | None = None
    """(priority, number in the order of adding); None: it is not known where it stands."""
    payload: bytes | None = None
    """None: it is not known which of several it has."""


@dataclass
class Touch:
    """A command under way after which some jobs may be gone, or start anew."""

    touches: Callable[[Key, Known], bool]
    is_done: bool = False
    moves: dict[Key, Key] = field(default_factory=dict)
    """Where jobs may be afterwards."""


class Machine(RuleBasedStateMachine):
    make_driver: Any = Driver

    @initialize(credits=st.tuples(st.integers(0, 3), st.integers(0, 3)))
    def begin(self, credits: tuple[int, int]) -> None:
        self.driver: Driver = type(self).make_driver()
        self.known: dict[Key, Known] = {}
        self.touches: list[Touch] = []
        self.pruned: set[str] = set()
        """Queues that ever had a short retention."""
        self.serial = count(1)
        next_connection = partial(next, count(1))
        self.producer = ModelClient(self.driver, "producer", next_connection)
        self.workers = [ModelClient(self.driver, name, next_connection) for name in WORKERS]
        self.clients = [self.producer, *self.workers]
        for worker, credit in zip(self.workers, credits, strict=True):
            if self._ready(worker):
                worker.say(commands.Subscribe(list(QUEUES), credit))

    # ---- the pipeline ------------------------------------------------------------------------

    @rule(steps=st.integers(1, 4))
    def step(self, steps: int) -> None:
        for _ in range(steps):
            self.driver.step()
        self._listen()

    @rule()
    def settle(self) -> None:
        """Everybody comes back, until nothing is left to be said."""
        for _ in range(9):
            for client in self.clients:
                if not client.connection:
                    client.connect()
            self.driver.flush()
            self._listen()
            if self.driver.is_at_rest:
                break
        for client in self.clients:
            assert not client.pending, "a request was never answered"
        self._close_touches()

    def _ready(self, client: ModelClient) -> bool:
        """It is connected; if it was away, it comes back now. False: it is being welcomed."""
        if not client.connection:
            client.connect()
            self.driver.flush()
            self._listen()
        return client.is_open

    def _listen(self) -> None:
        """Answers before deliveries: both come out of the same batch."""
        came = [item for client in self.clients for item in client.listen()]
        for item in sorted(came, key=lambda item: int(item[0])):
            self._delivered(item)

    def _delivered(self, item: Any) -> None:
        token, queue, id, _, payload = item[:5]
        assert payload.startswith(id.encode()), "the payload is not of this job"
        job = self.known.get((queue, id))
        if job is None or not self._is_safe((queue, id)):
            return  # it was added, and nobody has heard of it yet
        assert not job.is_acked, "a job came back after its ack was confirmed"
        if token in job.tokens:
            return
        assert token > max(job.tokens, default=0), "tokens must rise"
        assert job.payload in (None, payload), "the payload is not what was added, or edited"
        if job.place is not None and not job.tokens:
            self._nothing_was_passed_over(queue, job.place)
        job.tokens.append(token)

    def _nothing_was_passed_over(self, queue: str, place: tuple[int, int]) -> None:
        """No job that came before, and was never touched since, is still waiting."""
        waiting = {
            row.id: row
            for row in self.driver.rows()
            if row.state is State.WAITING and self._name(row) == queue
        }
        for (name, id), other in self.known.items():
            row = waiting.get(id)
            if name != queue or row is None or other.place is None:
                continue
            is_untouched = not (row.failures or row.crashes or row.releases)
            came_before = other.place[0] <= place[0] and other.place[1] < place[1]
            if is_untouched and came_before and self._is_safe((name, id)):
                raise AssertionError(f"{id} at {other.place} was passed over by {place}")

    # ---- producers -------------------------------------------------------------------------

    @rule(
        queue=st.sampled_from(QUEUES),
        ids=st.lists(st.sampled_from([None, None, *IDS]), min_size=1, max_size=6),
        priority=st.integers(-1, 1),
        lifo=st.sampled_from([False, False, True]),
        delay_s=st.sampled_from([0, 0, 0, 3, 40]),
        attempts=st.integers(1, 3),
        max_crashes=st.integers(1, 3),
        backoff_ms=st.sampled_from([0, 0, 5_000]),
    )
    def add(
        self,
        queue: str,
        ids: list[str | None],
        lifo: bool,
        delay_s: int,
        backoff_ms: int,
        **options: int,
    ) -> None:
        if not self._ready(self.producer):
            return
        run_at_ms = self.driver.now_ms + delay_s * 1000 if delay_s else 0
        backoff = Backoff(BackoffKind.FIXED, (backoff_ms,))
        more: dict[str, Any] = {"lifo": lifo, "run_at_ms": run_at_ms, "backoff": backoff}
        self._add(queue, ids, is_placed=not (lifo or delay_s), **more, **options)

    @rule(queue=st.sampled_from(QUEUES), count=st.integers(1, 12))
    def add_plain(self, queue: str, count: int) -> None:
        if self._ready(self.producer):
            self._add(queue, [None] * count, is_placed=True)

    def _add(self, queue: str, ids: list[str | None], is_placed: bool, **options: Any) -> None:
        items = [
            new_job(id or f"made-{next(self.serial)}", is_generated=id is None, **options)
            for id in ids
        ]
        numbers = [next(self.serial) for _ in items]
        touch = self._touch(lambda key, _: queue in self.pruned and key in named)
        named = {(queue, new.id) for new in items if not new.is_generated}

        def then(answer: Any) -> None:
            touch.is_done = True
            if is_refused(answer):
                return  # the disk was full
            existing = {result.at for result in answer}
            for at, (new, number) in enumerate(zip(items, numbers, strict=True)):
                if at not in existing:
                    place = (new.priority, number) if is_placed else None
                    self.known[queue, new.id] = Known(place=place, payload=new.payload)
                else:
                    self.known.setdefault((queue, new.id), Known()).payload = None

        self.producer.send(commands.Enqueue(queue, list(enumerate(items)), []), then)

    # ---- workers -----------------------------------------------------------------------------

    @rule(
        which=st.integers(0, 1),
        queues=st.sampled_from([("red",), ("blue",), QUEUES, QUEUES, ()]),
        credit=st.integers(0, 4),
    )
    def work(self, which: int, queues: tuple[str, ...], credit: int) -> None:
        worker = self.workers[which]
        if self._ready(worker):
            worker.say(commands.Subscribe(list(queues), credit))

    @rule(
        which=st.integers(0, 1),
        first=st.integers(0, 3),
        at_once=st.integers(1, 3),
        how=st.sampled_from(["ack", "ack", "ack", "fail", "release", "never"]),
        delay_ms=st.sampled_from([0, 4_000]),
        credit=st.integers(0, 2),
    )
    def answer(
        self, which: int, first: int, at_once: int, how: str, delay_ms: int, credit: int
    ) -> None:
        worker = self.workers[which]
        if not worker.held or not self._ready(worker):
            return
        answered = {
            item[0].token
            for pending in worker.pending.values()
            if isinstance(pending.command, commands.Ack | commands.Fail | commands.Release)
            for item in pending.command.items
        }
        items = [item for token, item in worker.held.items() if token not in answered]
        items = items[first % (len(items) or 1) :][:at_once]
        if not items:
            return
        if how == "ack":
            for item in items:
                self.known.setdefault((item[1], item[2]), Known()).ack_is_sent = True
        then = partial(self._answered, worker, how, items)
        worker.send(command_of(how, items, delay_ms, credit), then)

    def _answered(self, worker: ModelClient, how: str, items: list[Any], answer: Any) -> None:
        refused = {refusal.at for refusal in answer}
        for at, item in enumerate(items):
            key = (item[1], item[2])
            worker.lose(item[0])
            assert item[0] not in self._partition.leases, "an answered lease is still there"
            if how == "ack" and at not in refused and self._is_safe(key) and key in self.known:
                self.known[key].is_acked = True

    @rule()
    def complete_all(self) -> None:
        """Both workers ack what they hold, and take as much again."""
        for which in (0, 1):
            self.answer(which, 0, 100, "ack", 0, len(self.workers[which].held))

    @rule(which=st.integers(0, 1), how=st.sampled_from(["ack", "fail", "release", "extend"]))
    def answer_too_late(self, which: int, how: str) -> None:
        """Whatever it says of a lease that it lost, or of one that another has, changes nothing."""
        self.pass_time(0, beating=True)  # one that was silent may get jobs by being heard
        self.settle()
        worker, other = self.workers[which], self.workers[1 - which]
        items = [*worker.stale[-3:], *other.held.values()]
        items = [item for item in items if item[0] not in worker.held]
        if not items:
            return
        before = self._rows_that_stay()
        if how == "extend":
            worker.send(commands.Extend([held_of(item) for item in items]))
        else:
            worker.send(command_of(how, items, 0, credit=0))
        self.driver.flush()
        self._listen()
        assert self._rows_that_stay() == before

    def _rows_that_stay(self) -> dict[int, Any]:
        """Any ack may be followed by the pruning of what is completed."""
        return {
            row.seq: row
            for row in self.driver.rows()
            if row.state is not State.COMPLETED or self._name(row) not in self.pruned
        }

    @rule(which=st.integers(0, 1), progress=st.sampled_from([None, b"5"]))
    def report(self, which: int, progress: bytes | None) -> None:
        worker = self.workers[which]
        if self._ready(worker):
            reports = [
                commands.Report(token, progress, [(1, "a line")]) for token in list(worker.held)[:2]
            ]
            worker.send(commands.Heartbeat(reports))

    # ---- trouble -----------------------------------------------------------------------------

    @rule(
        which=st.integers(0, 2),
        what=st.sampled_from(
            ["killed", "killed in doubt", "breaks", "taken over", "goodbye", "lost pushes", "full"]
        ),
    )
    def trouble(self, which: int, what: str) -> None:
        client = self.clients[which]
        if what in ("killed", "killed in doubt"):
            self.driver.crash(is_written=what == "killed in doubt")
            for each in self.clients:
                each.leave()
        elif what == "breaks" and client.connection:
            client.disconnect()
        elif what == "taken over":  # before the server has noticed that the connection broke
            client.leave()
            client.connect()
        elif what == "goodbye" and client.is_open and not client.pending:
            client.say_goodbye()
        elif what == "lost pushes" and client.connection and not client.pending:
            client.disconnect()
            client.held.clear()  # on resume these leases are not named
        elif what == "full":
            self.driver.disk.is_full = True
            self.step(4)
            self.driver.disk.is_full = False

    # ---- people ------------------------------------------------------------------------------

    def _touch(self, touches: Callable[[Key, Known], bool]) -> Touch:
        touch = Touch(touches)
        self.touches.append(touch)
        return touch

    def _close_touches(self) -> None:
        """At rest it is seen which jobs are gone; of the others it is forgotten how they stood."""
        on_disk = {(self._name(row), row.id) for row in self.driver.rows()}
        for touch in [touch for touch in self.touches if touch.is_done]:
            self.touches.remove(touch)
            for before, after in touch.moves.items():
                if before in self.known and before not in on_disk and after in on_disk:
                    self.known.setdefault(after, self.known[before])
            for key, job in list(self.known.items()):
                if touch.touches(key, job):
                    self.known[key] = Known(job.ack_is_sent, tokens=job.tokens, payload=job.payload)
                    if key not in on_disk:
                        del self.known[key]

    def _is_safe(self, key: Key) -> bool:
        """No command is under way that touches the job."""
        job = self.known.get(key, Known())
        return not any(touch.touches(key, job) for touch in self.touches)

    def _send_touch(
        self,
        command: Any,
        touches: Callable[[Key, Known], bool],
        moves: dict[Key, Key] | None = None,
    ) -> None:
        touch = self._touch(touches)
        touch.moves = moves or {}

        def then(answer: Any) -> None:
            assert answer == LOST_ANSWER or is_refused(answer) or answer is not None
            touch.is_done = True

        self.producer.send(command, then)

    @rule(
        queue=st.sampled_from(QUEUES),
        which=st.lists(st.integers(0, 20), min_size=1, max_size=3),
        what=st.sampled_from(["remove", "promote", "retry", "retry", "force", "cancel", "cancel"]),
    )
    def act(self, queue: str, which: list[int], what: str) -> None:
        known = [id for name, id in self.known if name == queue]
        if not known or not self._ready(self.producer):
            return
        ids = [known[number % len(known)] for number in which]
        acting: dict[str, Any] = {
            "remove": commands.Remove(queue, ids, None),
            "force": commands.Remove(queue, ids, State.ACTIVE),
            "promote": commands.Promote(queue, ids),
            "retry": commands.Retry(queue, ids, None),
            "cancel": commands.Cancel(queue, ids, None),
        }
        self._send_touch(acting[what], lambda key, _: key[0] == queue and key[1] in ids)

    @rule(queue=st.sampled_from(QUEUES), which=st.lists(st.integers(0, 20), min_size=1, max_size=3))
    def move(self, queue: str, which: list[int]) -> None:
        known = [id for name, id in self.known if name == queue]
        if not known or not self._ready(self.producer):
            return
        ids = [known[number % len(known)] for number in which]
        (target,) = set(QUEUES) - {queue}
        self._send_touch(
            commands.Move(queue, ids, target, None),
            lambda key, _: key[1] in ids,
            {(queue, id): (target, id) for id in ids},
        )

    @rule(queue=st.sampled_from(QUEUES), which=st.integers(0, 20))
    def edit(self, queue: str, which: int) -> None:
        ids = [id for name, id in self.known if name == queue]
        if not ids or not self._ready(self.producer):
            return
        key = queue, ids[which % len(ids)]
        payload = f"{key[1]} edited {next(self.serial)}".encode()
        touch = self._touch(lambda touched, _: touched == key)

        def then(answer: Any) -> None:
            touch.is_done = True
            if key in self.known and not is_refused(answer):
                self.known[key].payload = None if answer == LOST_ANSWER else payload

        self.producer.send(commands.Edit(*key, payload, None), then)

    @rule(
        queue=st.sampled_from(QUEUES),
        which=st.integers(0, 20),
        worker=st.integers(0, 1),
        what=st.sampled_from(["explain", "explain", "quiet", "unquiet", "unquiet", "stop"]),
    )
    def oversee(self, queue: str, which: int, worker: int, what: str) -> None:
        """Ask why a job does not run; have a worker take no more jobs."""
        ids = [id for name, id in self.known if name == queue] or ["nobody"]
        session = self._partition.sessions.get(WORKERS[worker])
        if session is None or not self._ready(self.producer):
            return
        if what == "explain":
            self.producer.send(commands.Explain(queue, ids[which % len(ids)]), self._explained)
        elif what == "stop":
            self.producer.send(commands.StopWorker(session.key))
            self.trouble(1 + worker, "goodbye")
        else:
            self.producer.send(commands.Quiet(session.key, what == "quiet"))

    def _explained(self, answer: Any) -> None:
        if not is_refused(answer) and answer != LOST_ANSWER:
            assert answer["code"] in CODES
            assert answer["text"]

    @rule(
        queue=st.sampled_from(QUEUES),
        which=st.integers(0, 20),
        priority=st.sampled_from([None, -1, 1]),
        lifo=st.sampled_from([None, True]),
        delay_s=st.sampled_from([None, 0, 9]),
    )
    def change(
        self,
        queue: str,
        which: int,
        priority: int | None,
        lifo: bool | None,
        delay_s: int | None,
    ) -> None:
        ids = [id for name, id in self.known if name == queue]
        if not ids or not self._ready(self.producer):
            return
        id = ids[which % len(ids)]
        run_at_ms = None if delay_s is None else self.driver.now_ms + delay_s * 1000
        touch = self._touch(lambda key, _: key == (queue, id))

        def then(answer: Any) -> None:
            touch.is_done = True

        command = commands.Change(queue, [id], priority, lifo, run_at_ms, None)
        self.producer.send(command, then)

    @rule(
        queue=st.sampled_from(QUEUES),
        what=st.sampled_from(
            [
                *("pause", "resume", "resume", "resume", "unlimit", "unlimit", "concurrency"),
                *(
                    "rate",
                    "retention",
                    "drain",
                    "drain delayed",
                    "obliterate",
                    "obliterate by force",
                ),
            ]
        ),
        limit=st.integers(0, 2),
    )
    def administer(self, queue: str, what: str, limit: int) -> None:
        if not self._ready(self.producer):
            return
        configured = {
            "unlimit": QueueSettings(),
            "concurrency": QueueSettings(limit),
            "rate": QueueSettings(rate=Rate(1 + limit, 4_000, 2)),
            "retention": QueueSettings(retention=Retention(completed=Keep(20_000, limit))),
        }
        if what in configured:
            if what == "retention":
                self.pruned.add(queue)
            self.producer.send(commands.Configure(queue, configured[what]))
        elif what in ("pause", "resume"):
            self.producer.send(commands.Pause(queue) if what == "pause" else commands.Resume(queue))
        elif what.startswith("drain"):
            self._send_touch(
                commands.Drain(queue, what == "drain delayed"),
                lambda key, job: key[0] == queue and not job.is_acked,
            )
        else:
            command = commands.Obliterate(queue, what == "obliterate by force")
            self._send_touch(command, lambda key, _: key[0] == queue)

    # ---- time --------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.5, 4.0, 11.0, 45.0, 61.0]), beating=st.booleans())
    def pass_time(self, seconds: float, beating: bool) -> None:
        self.driver.now_ms += round(seconds * 1000)
        self.driver.monotonic += seconds
        if beating:
            for client in self.clients:
                if client.is_open:
                    client.send(commands.Heartbeat([]))

    # ---- what must always hold ---------------------------------------------------------------

    def _name(self, row: Any) -> str:
        return str(self.driver.engine.queue_name(row.queue))

    @property
    def _partition(self) -> Partition:
        return self.driver.engine._partition

    @invariant()
    def what_clients_were_told_is_on_disk(self) -> None:
        if not hasattr(self, "driver"):
            return
        rows = {(self._name(row), row.id): row for row in self.driver.rows()}
        assert len(rows) == len(self.driver.rows()), "two jobs have one id"
        for key, job in self.known.items():
            if not self._is_safe(key):
                continue
            row = rows.get(key)
            if row is None:
                was_pruned = key[0] in self.pruned and job.ack_is_sent
                assert was_pruned, f"the confirmed job {key} is lost"
                continue
            if job.is_acked:
                assert row.state is State.COMPLETED, "an acked job came back"
            assert row.payload in (job.payload or row.payload, None), "it has other data"
            tries = row.failures + row.crashes
            assert tries >= job.tries, "attempts fell"
            job.tries = tries

    @invariant()
    def the_engines_memory_is_consistent(self) -> None:
        """partition.py's own list of invariants, and that memory is bounded."""
        if not hasattr(self, "driver"):
            return
        partition = self._partition
        leases: dict[int, Any] = {}
        for queue in partition.queues.values():
            kinds = Counter(self._why_in_memory(job) for job in queue.jobs.values())
            assert not kinds["for nothing"], "a job stays in memory for nothing"
            assert kinds["head"] <= 2 * queue.head.count_max
            assert kinds["head"] == queue.head.count
            leases |= {job.token: job for job in queue.jobs.values() if is_active(job)}
        assert leases == partition.leases
        assert partition.delayed.count <= 2 * SMALL_HEAD
        held = [token for session in partition.sessions.values() for token in session.leases]
        assert sorted(held) == sorted(leases), "a lease is held twice, or by nobody"
        for session in partition.sessions.values():
            assert session.connection is not None or not session.credit
            for queue in partition.queues.values():
                is_ready = session in queue.ready
                assert is_ready <= (session in queue.subscribers and session.can_take)

    def _why_in_memory(self, job: Any) -> str:
        if job.place is not None:
            return {State.WAITING: "head", State.DELAYED: "delayed"}.get(job.state, "for nothing")
        if is_active(job):
            return "active"
        return "open batch" if job.change is not Change.NONE else "for nothing"

    @invariant()
    def at_rest_memory_agrees_with_the_disk(self) -> None:
        if not hasattr(self, "driver") or not self.driver.is_at_rest:
            return
        partition, rows = self._partition, self.driver.rows()
        for queue in partition.queues.values():
            found = [0] * len(queue.counts)
            for row in rows:
                if row.queue == queue.key:
                    found[row.state] += 1
            assert queue.counts == found
            assert not queue.is_clearing
        active = {row.token for row in rows if row.state is State.ACTIVE}
        assert set(partition.leases) == active
        for row in rows:
            queue = partition.queues_by_key[row.queue]
            if row.state is State.WAITING:
                in_memory = is_below((row.priority, row.order), queue.head.horizon)
                assert in_memory == (row.id in queue.jobs), "the horizon is not where it should be"
            elif row.state is State.DELAYED:
                in_memory = is_below((row.run_at_ms, row.seq), partition.delayed.horizon)
                assert in_memory == (row.id in queue.jobs), "the horizon is not where it should be"

    @invariant()
    def at_rest_nothing_that_could_run_waits(self) -> None:
        if not hasattr(self, "driver") or not self.driver.is_at_rest:
            return
        for queue in self._partition.queues.values():
            could_run = (
                queue.counts[State.WAITING]
                and not queue.is_paused
                and not queue.is_at_concurrency_limit
                and queue.rate.wait_ms(self.driver.monotonic) <= 0
            )
            for session in self._partition.connections.values():
                could_take = session.can_take and session.deadline > self.driver.monotonic
                if could_run and could_take:
                    assert queue.name not in session.queues, "a ready job waits for nothing"

    def teardown(self) -> None:
        if not hasattr(self, "driver"):
            return
        try:
            self.settle()
            self.what_clients_were_told_is_on_disk()
            self.the_engines_memory_is_consistent()
            self.at_rest_memory_agrees_with_the_disk()
            self.at_rest_nothing_that_could_run_waits()
        finally:
            if isinstance(self.driver, SqliteDriver):
                self.driver.close()


def is_active(job: Any) -> bool:
    return job.state is State.ACTIVE and not job.is_removed


def is_below(key: tuple[int, int], horizon: tuple[int, int] | None) -> bool:
    return horizon is None or key < horizon


def command_of(how: str, items: list[Any], delay_ms: int, credit: int) -> Any:
    error = commands.AttemptError("E", "m", "t")
    all_held = [held_of(item) for item in items]
    if how == "ack":
        return commands.Ack([(held, b"result") for held in all_held], credit)
    if how == "fail":
        return commands.Fail([(held, error, None) for held in all_held], credit)
    if how == "never":
        return commands.Fail([(held, error, -1) for held in all_held], credit)
    return commands.Release([(held, delay_ms) for held in all_held], credit)


# ---- running it ----------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition_module, "HEAD_JOBS_MAX", SMALL_HEAD)
    monkeypatch.setattr(partition_module, "DELAYED_HEAD_JOBS_MAX", SMALL_HEAD)
    monkeypatch.setattr(sweeping, "STEP_JOBS_MAX", 3)
    monkeypatch.setattr(sweeping, "PRUNE_SLACK_JOBS", 1)


def run(machine: Any, examples: int, steps: int, **more: Any) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples * SCALE,
            stateful_step_count=steps * (2 if SCALE > 1 else 1),
            report_multiple_bugs=False,
            **more,
        ),
    )


@pytest.mark.timeout(150 * SCALE)
def test_any_sequence_keeps_the_promise_on_the_model_store() -> None:
    run(Machine, examples=800, steps=60)


@pytest.mark.timeout(150 * SCALE)
def test_any_sequence_keeps_the_promise_on_sqlite_with_reopen() -> None:
    folder = Path(tempfile.mkdtemp(prefix="holdfast-model-"))
    names = count()

    class OnSqlite(Machine):
        make_driver = staticmethod(lambda: SqliteDriver(folder / str(next(names))))

    try:
        run(OnSqlite, examples=100, steps=50)
    finally:
        shutil.rmtree(folder)


# ---- twins that are sabotaged: the machine must notice -------------------------------------------


class SaysBeforeItWrites(Driver):
    """What a batch says leaves before the batch is applied: a crash in between loses it."""

    def begin_write(self) -> None:
        super().begin_write()
        if self.writing is not None:
            batch, outputs = self.writing
            for output in outputs:
                self._hear(output)
            self.writing = batch, []


class ForgetsLeases(Driver):
    """A restart does not know who held what."""

    def open_store(self) -> Any:
        return super().open_store()._replace(active=[])


class TrustsWhatItReadBefore(Driver):
    """Reads overlap with writes: a page is older than the batch that was applied since."""

    def end_write(self) -> bool:
        self.begin_read()
        is_written = super().end_write()
        self.end_read()
        return is_written


class LeavesMovedJobsOnDisk(Driver):
    """The batch does not say that a job went to another queue."""

    def begin_write(self) -> None:
        self.engine._partition.open.moved.clear()
        super().begin_write()


class ForgetsNewData(Driver):
    """The batch does not have what a job was edited to."""

    def begin_write(self) -> None:
        self.engine._partition.open.edited.clear()
        super().begin_write()


@pytest.mark.parametrize(
    "driver",
    [
        SaysBeforeItWrites,
        ForgetsLeases,
        TrustsWhatItReadBefore,
        LeavesMovedJobsOnDisk,
        ForgetsNewData,
    ],
)
def test_the_machine_notices_a_sabotaged_twin(driver: type[Driver]) -> None:
    class Sabotaged(Machine):
        make_driver = driver

    with pytest.raises((AssertionError, KeyError, RuntimeError)):
        run(Sabotaged, examples=1_000, steps=60, phases=[Phase.generate])  # no time to shrink it
