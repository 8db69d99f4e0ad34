"""Ways to break one rule of the daemon in this process, for simulations that must find it out."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from copy import copy
from typing import Any, Final
from unittest.mock import patch

from holdfastd.engine.attending import Attending
from holdfastd.engine.broker import Engine
from holdfastd.engine.changes import Batch, JobsById
from holdfastd.engine.limits import RateLimiter
from holdfastd.engine.outputs import Welcome
from holdfastd.engine.queue import QueueState
from holdfastd.engine.replies import Asked
from holdfastd.engine.routes import Routes
from holdfastd.engine.scheduling import Scheduling
from holdfastd.engine.working import Working
from holdfastd.pipeline import Pipeline
from holdfastd.store.base import Recovered
from support import sabotaged_daemon
from support.simulation.store import SimStore

Patch = tuple[type[Any], str, Any]


def _by(sabotage: Callable[[], None], *methods: tuple[type[Any], str]) -> list[Patch]:
    """The methods as `sabotage` leaves them; they are put back."""
    before = [getattr(owner, name) for owner, name in methods]
    sabotage()
    broken = [(owner, name, getattr(owner, name)) for owner, name in methods]
    for (owner, name), method in zip(methods, before, strict=True):
        setattr(owner, name, method)
    return broken


def says_first() -> list[Patch]:
    return _by(sabotaged_daemon.says_first, (Pipeline, "_write"), (Pipeline, "_apply"))


def no_fence() -> list[Patch]:
    return _by(sabotaged_daemon.no_fence, (Working, "ack"))


def heartbeats_renew_nothing() -> list[Patch]:
    renew = Attending.renew

    def deaf(self: Attending, session: Any, moment: Any) -> None:
        if session.deadline <= moment.monotonic:
            renew(self, session, moment)

    return [(Attending, "renew", deaf)]


def leases_end_early() -> list[Patch]:
    renew = Attending.renew

    def short(self: Attending, session: Any, moment: Any) -> None:
        renew(self, session, moment)
        self.set_deadline(session, moment.monotonic + self._partition.settings.lease_ms / 10_000)

    return [(Attending, "renew", short)]


def stalls_end_leases() -> list[Patch]:
    """As before a stall of the process was forgiven."""
    return [(Engine, "forgive", lambda self, moment: None)]


def a_crash_loses_the_last_batch() -> list[Patch]:
    """A store that does not sync."""
    write, opened = SimStore.write, SimStore.opened

    def write_and_keep(self: SimStore, batch: Batch) -> None:
        before = copy(self.disk)
        for name in ("jobs", "queues", "sessions", "attempts", "logs", "schedules"):
            setattr(before, name, dict(getattr(before, name)))
        write(self, batch)
        self.disk.__dict__["before"] = before

    def opened_without(self: SimStore) -> Recovered:
        before = self.disk.__dict__.pop("before", None)
        if before is not None:
            self.disk.__dict__.update(before.__dict__)
        return opened(self)

    return [(SimStore, "write", write_and_keep), (SimStore, "opened", opened_without)]


def requests_are_not_numbered() -> list[Patch]:
    """What was applied is not remembered: a request sent again is done again."""
    execute, attach = Routes.execute, Attending.attach

    def forgetful(self: Routes, asked: Asked) -> None:
        asked.session.last_request = 0
        execute(self, asked)

    def attach_anew(self: Attending, connection: int, command: Any, moment: Any) -> None:
        attach(self, connection, command, moment)
        outputs = self._partition.open.outputs
        outputs[:] = [
            output._replace(last_request=0) if isinstance(output, Welcome) else output
            for output in outputs
        ]

    return [(Routes, "execute", forgetful), (Attending, "attach", attach_anew)]


def limits_forget() -> list[Patch]:
    """A rate limit that starts anew with each start of the daemon."""
    return [(RateLimiter, "resume", lambda self, *_: None)]


def one_more_at_once() -> list[Patch]:
    """A concurrency limit that is off by one."""

    def is_at_limit(self: QueueState) -> bool:
        limit = self.settings.concurrency
        return limit is not None and self.active_count > limit

    return [(QueueState, "is_at_concurrency_limit", property(is_at_limit))]


def a_full_disk_says_so_and_takes_jobs() -> list[Patch]:
    """The batch that found no space is given up, and confirmed."""

    async def give_up(self: Pipeline, batch: Batch) -> None:
        try:
            await self.store.apply(batch)
        except Exception:
            self._batch_number -= 1

    return [(Pipeline, "_apply", give_up)]


def schedules_move_on_alone() -> list[Patch]:
    """The job of a due instant comes with another batch than the schedule that has moved on."""
    add = Scheduling._add

    def late(self: Scheduling, schedule: Any, job_id: str, queue: Any, moment: Any) -> None:
        def then(read: Any, page: Any, moment: Any) -> None:
            add(self, schedule, job_id, queue, moment)

        self._partition.want(JobsById(queue.key, ("late", job_id)), then)

    return [(Scheduling, "_add", late)]


SABOTAGES: Final[dict[str, Callable[[], list[Patch]]]] = {
    sabotage.__name__: sabotage
    for sabotage in (
        says_first,
        no_fence,
        heartbeats_renew_nothing,
        leases_end_early,
        stalls_end_leases,
        a_crash_loses_the_last_batch,
        requests_are_not_numbered,
        limits_forget,
        one_more_at_once,
        a_full_disk_says_so_and_takes_jobs,
        schedules_move_on_alone,
    )
}


@contextmanager
def sabotaged(name: str) -> Iterator[None]:
    """With one rule broken for as long as it lasts."""
    with ExitStack() as stack:
        for owner, attribute, value in SABOTAGES[name]():
            stack.enter_context(patch.object(owner, attribute, value))
        yield
