"""A Hypothesis state machine: any sequence of commands, lost replies, crashes and time steps.

Beside the engine runs a plain model that knows only what clients were told: which jobs were
confirmed, which acks. After each step the model is held against the durable rows. The same machine
runs on the model store and on SQLite with reopen.
"""

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from holdfastd.engine import commands, partition, queue
from holdfastd.engine.model import Backoff, BackoffKind, QueueSettings, State
from holdfastd.engine.outputs import Refuse
from support.engine import Driver, held_of, new_job
from support.sqlite_driver import SqliteDriver

QUEUES = ("red", "blue")
IDS = tuple(f"id-{number}" for number in range(6))
PRODUCER = 1
WORKERS = ("w1", "w2")
SMALL_HEAD = 3
"""So that horizons, pages and cuts happen within a few jobs."""


@dataclass
class Known:
    """What the clients know of one job."""

    queue: str
    id: str
    is_acked: bool = False
    was_retried: bool = False
    tokens: list[int] = field(default_factory=list)
    tries: int = 0
    """failures + crashes when it was last looked at."""


@dataclass
class WorkerSide:
    """A worker process: it has what was delivered to it and not answered."""

    session: str
    connection: int = 0
    held: dict[int, Any] = field(default_factory=dict)
    stale: list[Any] = field(default_factory=list)
    """Items whose lease is known to be lost, or answered."""


class Machine(RuleBasedStateMachine):
    make_driver: Any = Driver

    @initialize()
    def begin(self) -> None:
        self.driver: Driver = type(self).make_driver()
        self.known: dict[tuple[str, str], Known] = {}
        self.last_connection = PRODUCER
        self.producer = PRODUCER
        self.serial = 0
        self.workers = {session: WorkerSide(session) for session in WORKERS}
        self.driver.attach(PRODUCER, "producer")

    # ---- producers -------------------------------------------------------------------------

    @rule(
        queue=st.sampled_from(QUEUES),
        ids=st.lists(st.sampled_from([None, *IDS]), min_size=1, max_size=6),
        priority=st.integers(-1, 1),
        lifo=st.booleans(),
        delay_s=st.sampled_from([0, 0, 0, 3, 40]),
        attempts=st.integers(1, 3),
        backoff_ms=st.sampled_from([0, 0, 5_000]),
        fate=st.sampled_from(["confirmed", "confirmed", "reply lost", "crash before"]),
    )
    def add(
        self,
        queue: str,
        ids: list[str | None],
        priority: int,
        lifo: bool,
        delay_s: int,
        attempts: int,
        backoff_ms: int,
        fate: str,
    ) -> None:
        options: dict[str, Any] = {
            "priority": priority,
            "lifo": lifo,
            "attempts": attempts,
            "backoff": Backoff(BackoffKind.FIXED, (backoff_ms,)),
            "run_at_ms": self.driver.now_ms + delay_s * 1000 if delay_s else 0,
        }
        items = [self._item(id, options) for id in ids]
        number = self.driver.do(self.producer, commands.Enqueue(queue, items_of(items), []))
        if fate == "crash before":
            self._restart()
            known = {row.id for row in self.driver.rows()}
            assert not [new.id for new in items if new.is_generated and new.id in known]
            return
        self.driver.flush()
        if fate == "reply lost":
            number = self._resend(queue, items, number)
        results = self.driver.answers[self.producer, number]
        existing = {result.at for result in results}
        for at, new in enumerate(items):
            if at not in existing or (queue, new.id) not in self.known:
                self.known[queue, new.id] = Known(queue, new.id)
        self._receive()

    def _item(self, id: str | None, options: dict[str, Any]) -> Any:
        if id is not None:
            return new_job(id, **options)
        self.serial += 1
        return new_job(f"made-{self.serial}", is_generated=True, **options)

    def _resend(self, queue: str, items: list[Any], number: int) -> int:
        """The connection broke before the reply came: the rules of protocol.md, Sessions."""
        self.driver.detach(self.producer)
        welcome = self._attach_producer()
        assert welcome.resumed
        assert welcome.last_request >= number
        before = len(self.driver.rows())
        textual = [new._replace(is_generated=False) for new in items]
        again = self.driver.do(self.producer, commands.Enqueue(queue, items_of(textual), []))
        self.driver.flush()
        assert len(self.driver.rows()) == before, "a repeated request made a second job"
        return again

    def _attach_producer(self) -> Any:
        self.last_connection += 1
        self.producer = self.last_connection
        return self.driver.attach(self.producer, "producer")

    # ---- workers -----------------------------------------------------------------------------

    @rule(
        worker=st.sampled_from(WORKERS),
        queues=st.sampled_from([("red",), ("blue",), QUEUES]),
        credit=st.integers(0, 4),
    )
    def work(self, worker: str, queues: tuple[str, ...], credit: int) -> None:
        side = self._connected(worker)
        self.driver.subscribe(side.connection, *queues, credit=credit)
        self._receive()

    @rule(
        worker=st.sampled_from(WORKERS),
        which=st.integers(0, 3),
        how=st.sampled_from(["ack", "ack", "fail", "release", "never"]),
        delay_ms=st.sampled_from([0, 4_000]),
        fate=st.sampled_from(["confirmed", "confirmed", "reply lost", "crash before"]),
    )
    def answer(self, worker: str, which: int, how: str, delay_ms: int, fate: str) -> None:
        side = self._connected(worker)
        if not side.held:
            return
        item = list(side.held.values())[which % len(side.held)]
        command = command_of(how, item, delay_ms)
        number = self.driver.do(side.connection, command)
        if fate == "crash before":
            self._restart()
            return
        self.driver.flush()
        if fate == "reply lost":
            self._break(side)
            self._receive()
            self._connected(worker)
            number = self.driver.do(side.connection, command)
            self.driver.flush()
        refused = self.driver.answers[side.connection, number]
        # A repeated FAIL or RELEASE is LEASE_LOST when its job has been leased anew by then.
        assert refused == [] or (fate == "reply lost" and how != "ack"), "a held lease was refused"
        side.held.pop(item[0], None)
        side.stale.append(item)
        if how == "ack":
            self.known[item[1], item[2]].is_acked = True
        elif how != "release":
            self.known[item[1], item[2]].was_retried = True
        self._receive()

    @rule(worker=st.sampled_from(WORKERS), how=st.sampled_from(["ack", "fail", "release"]))
    def answer_too_late(self, worker: str, how: str) -> None:
        """Whatever it says of a lease that it lost, or of one that another has, changes nothing."""
        side = self._connected(worker)
        others = [
            item
            for other in self.workers.values()
            if other is not side
            for item in other.held.values()
        ]
        for item in [*side.stale[-3:], *others]:
            if item[0] in side.held:
                continue
            before = {row.seq: row for row in self.driver.rows()}
            self.driver.ask(side.connection, command_of(how, item, 0, credit=0))
            assert {row.seq: row for row in self.driver.rows()} == before
        self._receive()

    @rule(worker=st.sampled_from(WORKERS))
    def disconnect(self, worker: str) -> None:
        side = self.workers[worker]
        if side.connection:
            self._break(side)

    @rule(worker=st.sampled_from(WORKERS))
    def say_goodbye(self, worker: str) -> None:
        side = self._connected(worker)
        self.driver.do(side.connection, commands.End(), 0)
        self.driver.flush()
        side.connection = 0
        side.stale += side.held.values()
        side.held.clear()
        self._receive()

    @rule(worker=st.sampled_from(WORKERS))
    def forget_what_was_delivered(self, worker: str) -> None:
        """The push was lost with the connection: on resume the lease is not named."""
        side = self.workers[worker]
        if side.connection:
            self._break(side)
        names = dict(side.held)
        side.held.clear()
        self._connected(worker)
        self._receive()
        assert set(side.held) <= set(names), "what came again is not what was lost"

    def _connected(self, worker: str) -> WorkerSide:
        side = self.workers[worker]
        if not side.connection:
            self.last_connection += 1
            side.connection = self.last_connection
            welcome = self.driver.attach(side.connection, worker, list(side.held), worker)
            for token in welcome.lost:
                side.stale.append(side.held.pop(token))
            self._receive()
        return side

    def _break(self, side: WorkerSide) -> None:
        self.driver.detach(side.connection)
        self.driver.delivered.pop(side.connection, None)
        side.connection = 0

    def _receive(self) -> None:
        """Deliveries and revocations reach the workers that are connected."""
        came = [
            (item, side)
            for side in self.workers.values()
            for item in self.driver.take(side.connection)
        ]
        for item, side in sorted(came, key=lambda pair: pair[0][0]):
            job = self.known.setdefault((item[1], item[2]), Known(item[1], item[2]))
            assert not job.is_acked, "a job came back after its ack was confirmed"
            if item[0] not in job.tokens:
                assert item[0] > max(job.tokens, default=0), "tokens must rise"
                job.tokens.append(item[0])
            assert item[4] == item[2].encode(), "the payload is not what was added"
            side.held[item[0]] = item
        for side in self.workers.values():
            for token, _ in self.driver.revoked.pop(side.connection, []):
                if token in side.held:
                    side.stale.append(side.held.pop(token))

    # ---- people ------------------------------------------------------------------------------

    @rule(
        queue=st.sampled_from(QUEUES),
        which=st.integers(0, 20),
        what=st.sampled_from(["remove", "promote", "retry", "priority", "delay", "force"]),
    )
    def act(self, queue: str, which: int, what: str) -> None:
        ids = [id for name, id in self.known if name == queue]
        if not ids:
            return
        id = ids[which % len(ids)]
        acting: dict[str, Any] = {
            "remove": commands.Remove(queue, [id], None),
            "force": commands.Remove(queue, [id], State.ACTIVE),
            "promote": commands.Promote(queue, [id]),
            "retry": commands.Retry(queue, [id], None),
            "priority": commands.Change(queue, id, 1, None, None, None),
            "delay": commands.Change(queue, id, None, None, self.driver.now_ms + 9_000, None),
        }
        answer = self.driver.ask(self.producer, acting[what])
        is_done = not answer and not isinstance(answer, Refuse)
        if is_done and what in ("remove", "force"):
            del self.known[queue, id]
        elif is_done and what == "retry":
            self.known[queue, id] = Known(queue, id, tokens=self.known[queue, id].tokens)
        self._receive()

    @rule(queue=st.sampled_from(QUEUES), limit=st.sampled_from([None, 0, 1, 2]))
    def limit(self, queue: str, limit: int | None) -> None:
        self.driver.ask(self.producer, commands.Configure(queue, QueueSettings(limit)))
        self._receive()

    @rule(queue=st.sampled_from(QUEUES), paused=st.booleans())
    def pause(self, queue: str, paused: bool) -> None:
        command = commands.Pause(queue) if paused else commands.Resume(queue)
        self.driver.ask(self.producer, command)
        self._receive()

    @rule(queue=st.sampled_from(QUEUES), delayed=st.booleans())
    def drain(self, queue: str, delayed: bool) -> None:
        before = {(row.id, row.state) for row in self.driver.rows() if self._name(row) == queue}
        self.driver.ask(self.producer, commands.Drain(queue, delayed))
        states = {State.WAITING, State.DELAYED} if delayed else {State.WAITING}
        for id, state in before:
            if state in states:
                self.known.pop((queue, id), None)
        self._receive()

    # ---- time and crashes --------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.5, 4.0, 11.0, 45.0]), beating=st.booleans())
    def pass_time(self, seconds: float, beating: bool) -> None:
        if beating:
            for side in self.workers.values():
                if side.connection:
                    self.driver.ask(side.connection, commands.Heartbeat([]))
        self.driver.pass_time(seconds)
        self._receive()

    @rule()
    def restart(self) -> None:
        self._restart()

    def _restart(self) -> None:
        """SIGKILL and start: what was not applied is gone, and every connection."""
        self.driver.start()
        for side in self.workers.values():
            side.connection = 0
        self._attach_producer()

    # ---- what must always hold ---------------------------------------------------------------

    def _name(self, row: Any) -> str:
        return str(self.driver.engine.queue_name(row.queue))

    @invariant()
    def what_clients_were_told_is_on_disk(self) -> None:
        if not hasattr(self, "driver"):
            return
        rows = {(self._name(row), row.id): row for row in self.driver.rows()}
        assert len(rows) == len(self.driver.rows()), "two jobs have one id"
        for key, job in self.known.items():
            assert key in rows, f"the confirmed job {key} is lost"
            row = rows[key]
            if job.is_acked:
                assert row.state is State.COMPLETED, "an acked job came back"
            tries = row.failures + row.crashes
            assert tries >= job.tries, "attempts fell"
            job.tries = tries

    @invariant()
    def the_engines_memory_agrees_with_the_disk(self) -> None:
        if not hasattr(self, "driver"):
            return
        engine, rows = self.driver.engine, self.driver.rows()
        for state_of_queue in engine.queues.values():
            found = [0] * 8
            for row in rows:
                if row.queue == state_of_queue.key:
                    found[row.state] += 1
            assert state_of_queue.counts == found
            limit = state_of_queue.head.count_max * 2
            in_memory = len(state_of_queue.jobs)
            delayed = sum(1 for job in state_of_queue.jobs.values() if job.state is State.DELAYED)
            assert in_memory <= limit + found[State.ACTIVE] + delayed
        active = {row.token: row for row in rows if row.state is State.ACTIVE}
        leases = engine._partition.leases
        assert set(leases) == set(active)
        held = [token for session in engine.sessions.values() for token in session.leases]
        assert sorted(held) == sorted(active), "a lease is held twice, or by nobody"

    @invariant()
    def a_worker_with_credit_is_not_left_idle(self) -> None:
        """Nothing that could run waits while somebody could run it."""
        if not hasattr(self, "driver"):
            return
        for state_of_queue in self.driver.engine.queues.values():
            could_run = (
                state_of_queue.counts[State.WAITING]
                and not state_of_queue.is_paused
                and not state_of_queue.is_at_concurrency_limit
            )
            assert not (could_run and state_of_queue.ready), "a ready job waits for nothing"

    def teardown(self) -> None:
        if isinstance(getattr(self, "driver", None), SqliteDriver):
            self.driver.close()  # type: ignore[attr-defined]  # narrowed by isinstance above


def items_of(items: list[Any]) -> list[Any]:
    return list(enumerate(items))


def command_of(how: str, item: Any, delay_ms: int, credit: int = 1) -> Any:
    held = held_of(item)
    error = commands.AttemptError("E", "m", "t")
    if how == "ack":
        return commands.Ack([(held, b"result")], credit)
    if how == "fail":
        return commands.Fail([(held, error, None)], credit)
    if how == "never":
        return commands.Fail([(held, error, -1)], credit)
    return commands.Release([(held, delay_ms)], credit)


@pytest.fixture(autouse=True)
def small_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "HEAD_JOBS_MAX", SMALL_HEAD)
    monkeypatch.setattr(partition, "DELAYED_HEAD_JOBS_MAX", SMALL_HEAD)
    assert queue.HEAD_JOBS_MAX > SMALL_HEAD


@pytest.mark.timeout(150)
def test_any_sequence_keeps_the_promise_on_the_model_store() -> None:
    run_state_machine_as_test(Machine, settings=settings(max_examples=400, stateful_step_count=40))


@pytest.mark.timeout(150)
def test_any_sequence_keeps_the_promise_on_sqlite_with_reopen() -> None:
    folder = Path(tempfile.mkdtemp(prefix="holdfast-model-"))
    serial = iter(range(10**9))

    class OnSqlite(Machine):
        make_driver = staticmethod(lambda: SqliteDriver(folder / str(next(serial))))

    try:
        run_state_machine_as_test(
            OnSqlite, settings=settings(max_examples=80, stateful_step_count=30)
        )
    finally:
        shutil.rmtree(folder)


class SaysBeforeItWrites(Driver):
    """The sabotaged twin: outputs leave before their batch is applied, and a crash prevents it."""

    def write(self) -> None:
        batch, outputs = self.engine.close_batch()
        for output in outputs:
            self._hear(output)
        if not batch.is_empty and self.now_ms % 3:  # now and then the crash comes in between
            self.batch += 1
            batch.number = self.batch
            self.write_batch(batch)


def test_the_machine_notices_when_something_is_said_before_it_is_written() -> None:
    class Sabotaged(Machine):
        make_driver = SaysBeforeItWrites

    with pytest.raises((AssertionError, KeyError)):
        run_state_machine_as_test(
            Sabotaged,
            settings=settings(max_examples=100, stateful_step_count=20, report_multiple_bugs=False),
        )
