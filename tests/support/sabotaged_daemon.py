"""holdfastd with one rule broken, for tests that must fail: `sabotaged_daemon.py RULE serve …`.

keeps_all: none is broken.
says_first: what a batch leads to is said 50 ms before the batch is written.
no_fence: an ack is taken from whoever sends it, with whatever token.
wall_leases: leases are timed by the wall clock, and what happens to it is not noticed.
wall_rates: so are rate limits.
no_caps: what is sent to a client that does not read has no bound.
fills: what only the log has is not thought of until the disk is full.
feeds_blindly: the watchdog is fed though the writer thread does not answer.
forgets_leases: the leases of before are not taken up by a start.
no_goaway: clients are not told that the daemon goes down.
believes: the wall clock is believed in what it says of ages, whatever it did.
chatters: libraries write into the log what they do.
escapes_nothing: pages have what jobs carry in them as it is.
moves_on_alone: the job of a due instant is added 0.3 s after its schedule has moved on.
"""

import asyncio
import logging
import sys
import time
from typing import Any

from jinja2 import Environment

from holdfastd.__main__ import main
from holdfastd.clock import SystemClock
from holdfastd.engine import dispatch
from holdfastd.engine.broker import Engine
from holdfastd.engine.limits import RateLimiter
from holdfastd.engine.model import Token
from holdfastd.engine.partition import Partition
from holdfastd.engine.scheduling import Scheduling
from holdfastd.engine.working import Working
from holdfastd.net import peer
from holdfastd.net.listener import Listener
from holdfastd.net.peer import Peer
from holdfastd.net.unread import Unread
from holdfastd.pipeline import Pipeline
from holdfastd.store.sqlite import SqliteStore
from holdfastd.supervisor import Supervisor
from holdfastd.web.pages import rendering


def says_first() -> None:
    honest = Pipeline._write

    async def write(self: Pipeline) -> None:
        closing = self.engine.close_batch

        def close_and_say() -> Any:
            batch, outputs = closing()
            for outlet in self._outlets:
                outlet.send(outputs)
            return batch, []

        self.engine.close_batch = close_and_say  # type: ignore[method-assign]  # for this call only
        try:
            await honest(self)
        finally:
            self.engine.close_batch = closing  # type: ignore[method-assign]  # as it was

    apply = Pipeline._apply

    async def apply_late(self: Pipeline, batch: Any) -> None:
        await asyncio.sleep(0.05)  # so that a kill meets the gap
        await apply(self, batch)

    Pipeline._apply = apply_late  # type: ignore[method-assign]  # the sabotage
    Pipeline._write = write  # type: ignore[method-assign]  # the sabotage


def no_fence() -> None:
    ack = Working.ack

    def unfenced(self: Working, session: Any, command: Any, found: Any, moment: Any) -> Any:
        for held, _ in command.items:
            queue = self._partition.queues.get(held.queue)
            job = queue.jobs.get(held.id) if queue is not None else None
            if job is not None and job.token in self._partition.leases:
                holder = self._partition.sessions_by_key[job.session]
                session.leases[held.token] = holder.leases.pop(job.token)
                self._partition.leases[held.token] = self._partition.leases.pop(job.token)
                job.token, job.session = Token(held.token), session.key
        return ack(self, session, command, found, moment)

    Working.ack = unfenced  # type: ignore[method-assign]  # the sabotage


def wall_leases() -> None:
    SystemClock.monotonic = lambda self: time.time()  # type: ignore[method-assign]  # the sabotage
    Engine.forgive = lambda self, moment: None  # type: ignore[method-assign]  # the sabotage


def wall_rates() -> None:
    wait_ms, start = RateLimiter.wait_ms, RateLimiter.start

    def wait_by_wall_ms(self: RateLimiter, monotonic: float) -> float:
        return wait_ms(self, time.time())

    def start_by_wall(self: RateLimiter, now_ms: int, monotonic: float) -> None:
        start(self, now_ms, time.time())

    RateLimiter.wait_ms = wait_by_wall_ms  # type: ignore[method-assign]  # the sabotage
    RateLimiter.start = start_by_wall  # type: ignore[method-assign]  # the sabotage


def believes() -> None:
    Partition.trusts_age = lambda self, age_ms, moment: True  # type: ignore[method-assign]  # the sabotage


def fills() -> None:
    SqliteStore._has_room_for_log = True  # type: ignore[assignment,method-assign]  # the sabotage


def chatters() -> None:
    logging.getLogger("aiosqlite").setLevel(logging.DEBUG)


def escapes_nothing() -> None:
    class Careless(Environment):
        def __init__(self, **options: Any):
            super().__init__(**{**options, "autoescape": False})

    vars(rendering)["Environment"] = Careless


def moves_on_alone() -> None:
    add = Scheduling._add

    def late(self: Scheduling, *arguments: Any) -> None:
        asyncio.get_running_loop().call_later(0.3, add, self, *arguments)

    Scheduling._add = late  # type: ignore[method-assign,assignment]  # the sabotage


def feeds_blindly() -> None:
    feed = Supervisor.feed_watchdog

    async def blindly(self: Supervisor, answers: Any) -> None:
        await feed(self, lambda: asyncio.sleep(0))

    Supervisor.feed_watchdog = blindly  # type: ignore[method-assign]  # the sabotage


def forgets_leases() -> None:
    recover = Engine.recover

    def forgetful(self: Engine, *recovered: Any) -> None:
        recover(self, *recovered)
        moment = recovered[-1]
        for session in list(self._partition.sessions.values()):
            for job in list(session.leases.values()):
                queue = self._partition.queues_by_key[job.queue]
                self._working.release_one(queue, job, 0, moment)
            self._partition.forget_session(session)

    Engine.recover = forgetful  # type: ignore[assignment,method-assign]  # the sabotage


def no_goaway() -> None:
    async def in_silence(self: Listener) -> None: ...

    Listener.drain = in_silence  # type: ignore[method-assign]  # the sabotage


def keeps_all() -> None: ...


def no_caps() -> None:
    Unread.note = lambda self, sink: None  # type: ignore[method-assign]  # the sabotage
    Peer._hold = lambda self: None  # type: ignore[method-assign]  # the sabotage
    Peer.stop_reading = lambda self, reason: None  # type: ignore[method-assign]  # the sabotage
    Listener._is_full = lambda self, connection: False  # type: ignore[method-assign]  # the sabotage
    peer.OUTPUT_BYTES_MAX = dispatch.PUSH_BYTES_MAX = 2**40  # type: ignore[misc]  # the sabotage


RULES = (
    keeps_all,
    says_first,
    no_fence,
    wall_leases,
    wall_rates,
    believes,
    fills,
    no_caps,
    chatters,
    escapes_nothing,
    moves_on_alone,
    feeds_blindly,
    forgets_leases,
    no_goaway,
)

if __name__ == "__main__":
    {rule.__name__: rule for rule in RULES}[sys.argv.pop(1)]()
    main()
