"""Pausing and resuming many queues at once: those whose names match, and that one may act on.

It happens at once, for who pauses everything is in a hurry; it can be undone afterwards instead of
before, since the action knows which queues it has changed. Those that were so already are left as
they are, by the undoing too.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from holdfast.wire.checks import Refusal
from holdfast.wire.constants import ErrorCode
from holdfastd.access.rights import Identity, Need
from holdfastd.engine import commands
from holdfastd.engine.broker import Engine
from holdfastd.engine.commands import Command
from holdfastd.engine.model import State
from holdfastd.inside import CommandRefused, Inside
from holdfastd.web.acting.action import Action, Progress
from holdfastd.web.guard import Guard
from holdfastd.web.ranking import SLICE

KINDS: Final[dict[str, Callable[[str], Command]]] = {
    "pause": commands.Pause,
    "resume": commands.Resume,
}
OPPOSITE: Final = {"pause": "resume", "resume": "pause"}
STEP_QUEUES: Final = 500
"""Commands that are given at once: they share a commit."""


class Queues(NamedTuple):
    """All queues with names like this."""

    match: str
    """`*` stands for anything."""


class Chosen(NamedTuple):
    """Whom it will touch."""

    names: list[str]
    waiting: int
    """Jobs that wait in these."""
    others: int
    """Queues that match, and are so already."""


class Everywhere:
    def __init__(self, engine: Engine, inside: Inside, guard: Guard):
        self._engine = engine
        self._inside = inside
        self._guard = guard

    async def chosen(self, identity: Identity, kind: str, target: Queues) -> Chosen:
        """Raises Refusal: it may not, or cannot be done."""
        if kind not in KINDS:
            raise Refusal(ErrorCode.BAD_REQUEST, f"{kind!r} cannot be done to many queues")
        self._guard.require(identity, Need.ACT)
        shows = identity.allows_queue
        names, waiting, others = [], 0, 0
        for at, queue in enumerate(list(self._engine.queues.values())):
            if at % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            if not fnmatchcase(queue.name, target.match) or (shows and not shows(queue.name)):
                continue
            if queue.is_paused is (kind == "pause"):
                others += 1
            else:
                names.append(queue.name)
                waiting += queue.counts[State.WAITING]
        return Chosen(sorted(names), waiting, others)

    async def change(self, identity: Identity, action: Action, names: Iterable[str]) -> None:
        """Do what the action says to these queues; it counts them, and knows them afterwards.

        Raises:
            Refusal: the key is no longer good, or the daemon stops. CommandRefused.
        """
        for some in _in_steps(list(names)):
            if action.state is not Progress.RUNNING:
                return
            self._guard.check_still(identity, Need.ACT)
            changed = await self._command(action.kind, some)
            action.changed += changed
            action.done += len(changed)
            action.skipped += len(some) - len(changed)

    async def undo(self, action: Action) -> None:
        """Make its queues what they were. Raises CommandRefused: the daemon stops."""
        changed, action.changed = action.changed, []  # so that nobody undoes it a second time
        for some in _in_steps(changed):
            await self._command(OPPOSITE[action.kind], some)

    async def _command(self, kind: str, names: Sequence[str]) -> list[str]:
        """To those of them that are there, and not so already. Returns these."""
        wants_pause = kind == "pause"
        fit = [
            name
            for name in names
            if (queue := self._engine.queues.get(name)) and queue.is_paused is not wants_pause
        ]
        answers = await asyncio.gather(
            *(self._inside.call(KINDS[kind](name)) for name in fit), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, CommandRefused):
                raise answer
        refused = [answer for answer in answers if isinstance(answer, CommandRefused)]
        if refused and len(refused) == len(fit):
            raise refused[0]
        return [
            name
            for name, answer in zip(fit, answers, strict=True)
            if not isinstance(answer, CommandRefused)
        ]


def _in_steps(names: list[str]) -> Iterable[list[str]]:
    return (names[start : start + STEP_QUEUES] for start in range(0, len(names), STEP_QUEUES))
