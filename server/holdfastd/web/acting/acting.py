"""Acting on jobs, queues and workers, for pages and programs.

A job is touched only while it is in the state that was seen: every command carries it, the engine
judges. What some jobs are told by name is done at once. What is asked of all that match begins
UNDO_S later, so that it can be undone by not being begun, and runs in the background: pages of the
finder, jobs by the state they were found in, a few hundred a command, so that no commit is long.
Every action stands in the audit log, with its end. The daemon's stop ends those that run, and a
start tells of those that the last one's end cut short (`web.acting.kept`); they can be asked for
again, and pass over what is done.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from holdfast.wire.checks import Refusal, check_job_id, check_queue_name
from holdfast.wire.constants import STATE_NAMES, ErrorCode
from holdfastd.access.rights import NEEDS, Identity, Need
from holdfastd.engine.broker import Engine
from holdfastd.engine.model import QueueSettings, SessionKey, State
from holdfastd.engine.outputs import ItemRefusal
from holdfastd.engine.outputs import Refusal as Why
from holdfastd.inside import CommandRefused, Inside
from holdfastd.search.finder import Finder
from holdfastd.search.found import SearchError
from holdfastd.search.query import Query
from holdfastd.web.acting import kinds
from holdfastd.web.acting.action import FAILED_KEPT_MAX, Action, Progress, Seen
from holdfastd.web.acting.everywhere import Chosen, Everywhere, Queues
from holdfastd.web.acting.kept import CUT_SHORT, NOT_BEGUN, Kept
from holdfastd.web.acting.noting import Noting
from holdfastd.web.guard import Guard
from holdfastd.web.refusals import as_refusal

UNDO_S: Final = 5.0
"""As long as the toast with "Undo" stays."""
STEP_JOBS: Final = 500
"""Of one command: some milliseconds of a commit."""
SELECTED_MAX: Final = 10_000
KEPT_MAX: Final = 100
"""Actions that are remembered."""
NAMED_MAX: Final = 20
"""Queues that the audit log names of an action on many; as it does with ids."""
RUNNING_MAX: Final = 8
"""At once; another one is refused."""


EDIT_TAKES_ONE: Final = "an edit is of one job at a time: name that one"


def unknown_action(id: str) -> str:
    return f"there is no action {id}: the last {KEPT_MAX} are remembered, until a restart"


class Jobs(NamedTuple):
    """These, as they were seen."""

    refs: list[tuple[str, str, str]]
    """(queue, id, state)."""


class Matching(NamedTuple):
    """All that a query finds."""

    query: str
    expected_count: int | None
    """As many as were spoken of, for the progress; None = not known."""


class Acting:
    def __init__(
        self,
        engine: Engine,
        inside: Inside,
        finder: Finder,
        guard: Guard,
        query: Callable[[Identity, str], Query],
        noting: Noting,
        now_ms: Callable[[], int],
        new_id: Callable[[], str],
    ):
        """query: parses a text, and refuses what he may not look into (`Board.query`)."""
        self._engine = engine
        self._inside = inside
        self._finder = finder
        self._guard = guard
        self._query = query
        self._noting = noting
        self._now_ms = now_ms
        self._new_id = new_id
        self._everywhere = Everywhere(engine, inside, guard)
        self._kept: Kept | None = None
        self._actions: OrderedDict[str, tuple[Identity, Action]] = OrderedDict()
        self._running: dict[str, asyncio.Task[None]] = {}

    async def remember(self, folder: Path) -> None:
        """From now on over a restart; first what the last process has left. folder: ours alone."""
        self._kept = Kept(folder)
        for owner, action in self._kept.read():
            self._actions[action.id] = (owner, action)
            if not action.is_over:
                self._cut_short(owner, action)
        await self._save()

    def _cut_short(self, owner: Identity, action: Action) -> None:
        action.why = CUT_SHORT if action.state is Progress.RUNNING else NOT_BEGUN
        action.state, action.ended_at_ms = Progress.STOPPED, self._now_ms()
        self._note(owner, action, action.state.value)

    async def _save(self) -> None:
        if self._kept is not None:
            await self._kept.write(self._actions.values)

    # ---- to be seen ----------------------------------------------------------------------------

    def all_of(self, identity: Identity) -> list[dict[str, Any]]:
        """The newest first."""
        mine = [
            action.told() for owner, action in self._actions.values() if _may_see(identity, owner)
        ]
        return mine[::-1]

    def one(self, identity: Identity, id: str) -> dict[str, Any] | None:
        owner, action = self._actions.get(id, (None, None))
        if owner is None or action is None or not _may_see(identity, owner):
            return None
        return action.told()

    # ---- acting --------------------------------------------------------------------------------

    async def act(
        self,
        identity: Identity,
        kind: str,
        target: Jobs | Matching | Queues | str,
        params: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Do it. target: jobs, or many queues, or the name of a queue, or the session of a worker,
        by the kind.

        Returns the action (of jobs or many queues), or `{done}`: how many jobs a drain has removed.

        Raises:
            Refusal: it may not, or cannot be done; nothing was changed. QueryError.
        """
        if isinstance(target, str):
            return await self._control(identity, kind, target, params)
        if isinstance(target, Queues):
            return await self._act_on_queues(identity, kind, target)
        if kind not in kinds.JOBS:
            raise Refusal(ErrorCode.BAD_REQUEST, f"{kind!r} cannot be done to jobs")
        checked = kinds.checked(kind, params)
        if kind == "move":
            self._guard.require(identity, Need.ACT, checked["to"])
        if kind == "edit":
            self._guard.redactor(identity).check_new_data(params["data"])
        action = Action(self._new_id(), kind, identity.name, checked, self._now_ms())
        if isinstance(target, Jobs):
            return await self._act_on(identity, action, target)
        return self._begin(identity, action, target)

    async def _act_on(self, identity: Identity, action: Action, target: Jobs) -> dict[str, Any]:
        """Now, to the jobs that are named."""
        if not 0 < len(target.refs) <= SELECTED_MAX:
            text = f"name 1 to {SELECTED_MAX:,} jobs, not {len(target.refs):,}"
            raise Refusal(ErrorCode.BAD_REQUEST, text)
        if action.kind == "edit" and len(target.refs) != 1:
            raise Refusal(ErrorCode.BAD_REQUEST, EDIT_TAKES_ONE)
        groups = _grouped(target.refs)
        for (queue, _), _ in groups:
            self._guard.require(identity, Need.ACT, queue)
        action.found = len(target.refs)
        action.queue = groups[0][0][0] if len({queue for (queue, _), _ in groups}) == 1 else None
        self._keep(identity, action)
        await self._run(identity, action, self._touch_all(action, groups))
        return action.told()

    async def _touch_all(
        self, action: Action, groups: Iterable[tuple[tuple[str, State], list[str]]]
    ) -> None:
        for (queue, state), ids in groups:
            await self._touch(action, queue, state, ids)

    async def _touch(self, action: Action, queue: str, seen: State, ids: list[str]) -> None:
        """These jobs of a queue, as they were seen."""
        if seen not in kinds.STATES[action.kind]:
            action.skipped += len(ids)
            return
        for start in range(0, len(ids), STEP_JOBS):
            some = ids[start : start + STEP_JOBS]
            command = kinds.JOBS[action.kind](queue, some, seen, action.params)
            try:
                refused = await self._inside.call(command) or []
            except CommandRefused as refusal:
                if refusal.refusal not in (Why.WRONG_STATE, Why.UNKNOWN_JOB, Why.UNKNOWN_QUEUE):
                    raise
                action.skipped += len(some)
                continue
            self._count(action, queue, some, refused)

    @staticmethod
    def _count(action: Action, queue: str, ids: list[str], refused: list[ItemRefusal]) -> None:
        action.done += len(ids) - len(refused)
        for item in refused:
            has_moved_on = item.refusal in (Why.WRONG_STATE, Why.UNKNOWN_JOB)
            if has_moved_on or len(action.failed) >= FAILED_KEPT_MAX:
                action.skipped += 1
            else:
                action.failed.append({"queue": queue, "id": ids[item.at], "why": item.message})

    # ---- all that match ------------------------------------------------------------------------

    def _begin(self, identity: Identity, action: Action, target: Matching) -> dict[str, Any]:
        if action.kind == "edit":
            raise Refusal(ErrorCode.BAD_REQUEST, EDIT_TAKES_ONE)
        self._guard.require(identity, Need.ACT)
        query = self._query(identity, target.query)
        if len(self._running) >= RUNNING_MAX:
            text = f"{RUNNING_MAX} actions are running already: wait for one to end"
            raise Refusal(ErrorCode.TOO_MANY, text)
        action.query = target.query
        action.found = target.expected_count or 0
        action.starts_at_ms += int(UNDO_S * 1000)
        self._keep(identity, action)
        task = asyncio.get_running_loop().create_task(self._later(identity, action, query))
        self._running[action.id] = task
        task.add_done_callback(lambda _: self._running.pop(action.id, None))
        return action.told()

    async def _later(self, identity: Identity, action: Action, query: Query) -> None:
        await self._save()
        await asyncio.sleep(UNDO_S)
        await self._run(identity, action, self._touch_matching(identity, action, query))
        await self._save()

    async def _touch_matching(self, identity: Identity, action: Action, query: Query) -> None:
        patterns = None if identity.rights is None else identity.rights.patterns
        seen, after = Seen(), None
        while action.state is Progress.RUNNING:
            await self._save()
            self._guard.check_still(identity, Need.ACT)
            page = await self._finder.page(query, patterns, after, STEP_JOBS)
            refs = [
                (job.queue, job.row.id, job.row.state.name.lower())
                for job in page.jobs
                if seen.is_new(job.row.seq)
            ]
            await self._touch_all(action, _grouped(refs))
            after = page.next
            if after is None:
                return

    # ---- many queues ---------------------------------------------------------------------------

    async def chosen(self, identity: Identity, kind: str, target: Queues) -> Chosen:
        """The queues to which it would be done now. Raises Refusal."""
        return await self._everywhere.chosen(identity, kind, target)

    async def _act_on_queues(self, identity: Identity, kind: str, target: Queues) -> dict[str, Any]:
        """Now, and undone afterwards."""
        names = (await self._everywhere.chosen(identity, kind, target)).names
        action = Action(self._new_id(), kind, identity.name, {}, self._now_ms())
        action.queues, action.found = target.match, len(names)
        self._keep(identity, action)
        await self._run(identity, action, self._everywhere.change(identity, action, names))
        return action.told()

    # ---- running, stopping, undoing ------------------------------------------------------------

    async def _run(self, identity: Identity, action: Action, doing: Any) -> None:
        """Raises Refusal, if nothing was done."""
        action.state = Progress.RUNNING
        self._note(identity, action, "began")
        try:
            await doing
            if action.state is Progress.RUNNING:
                action.state = Progress.DONE
        except (CommandRefused, SearchError, Refusal) as error:
            action.state, action.why = Progress.STOPPED, str(error)
            if not action.done and action.query is None:
                raise as_refusal(error) from error
        finally:
            if action.state is Progress.RUNNING:  # the daemon stops
                action.state, action.why = Progress.STOPPED, CUT_SHORT
            action.ended_at_ms = self._now_ms()
            self._note(identity, action, action.state.value)

    async def undo(self, identity: Identity, id: str) -> dict[str, Any]:
        """One that has not begun never does; queues become what they were.

        Raises:
            Refusal: it has begun, and is not of queues.
        """
        action = self._mine(identity, id)
        if not action.can_undo:
            text = f"this can no longer be undone: it is {action.state.value}"
            raise Refusal(ErrorCode.WRONG_STATE, text)
        if action.state is Progress.PENDING:
            self._running[id].cancel()
        else:
            try:
                await self._everywhere.undo(action)
            except CommandRefused as refusal:
                raise as_refusal(refusal) from refusal
        action.state = Progress.UNDONE
        action.ended_at_ms = self._now_ms()
        self._note(identity, action, "undone")
        await self._save()
        return action.told()

    async def stop(self, identity: Identity, id: str) -> dict[str, Any]:
        """One that runs ends where it is; what is done stays done. Raises Refusal: it does not."""
        action = self._mine(identity, id)
        if action.state is Progress.PENDING:
            return await self.undo(identity, id)
        if action.state is not Progress.RUNNING:
            raise Refusal(
                ErrorCode.WRONG_STATE, f"this cannot be stopped: it is {action.state.value}"
            )
        action.state, action.why = Progress.STOPPED, f"stopped by {identity.name or 'somebody'}"
        return action.told()

    def _mine(self, identity: Identity, id: str) -> Action:
        self._guard.require(identity, Need.ACT)
        owner, action = self._actions.get(id, (None, None))
        if owner is None or action is None or not _may_see(identity, owner):
            raise Refusal(ErrorCode.UNKNOWN_JOB, unknown_action(id))
        return action

    def _keep(self, identity: Identity, action: Action) -> None:
        self._actions[action.id] = (identity, action)
        over = [id for id, (_, kept) in self._actions.items() if kept.is_over]
        for id in over[: max(0, len(self._actions) - KEPT_MAX)]:
            del self._actions[id]

    async def close(self) -> None:
        """The daemon stops."""
        for task in list(self._running.values()):
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        for owner, action in self._actions.values():
            if action.state is Progress.PENDING:
                self._cut_short(owner, action)
        await self._save()

    # ---- queues and workers --------------------------------------------------------------------

    async def _control(
        self, identity: Identity, kind: str, target: str, params: Mapping[str, Any]
    ) -> dict[str, Any]:
        entry: dict[str, Any] = {"params": dict(params)}
        if kind in kinds.QUEUES:
            need = Need.DESTROY if kind in kinds.DESTROYING else Need.ACT
            self._guard.require(identity, need, check_queue_name(target))
            queue = self._engine.queues.get(target)
            before = QueueSettings() if queue is None else queue.settings
            command = kinds.QUEUES[kind](target, params, before)
            entry["queue"] = target
        elif kind in kinds.WORKERS:
            self._guard.require(identity, Need.ACT)
            if not target.isdecimal():
                raise Refusal(ErrorCode.BAD_REQUEST, f"{target!r} is no worker")
            for name in self._engine.session_queues(SessionKey(int(target))):
                self._guard.require(identity, Need.ACT, name)
            command = kinds.WORKERS[kind](SessionKey(int(target)))
            entry["worker"] = self._engine.session_name(SessionKey(int(target)))
        else:
            raise Refusal(ErrorCode.BAD_REQUEST, f"there is no action {kind!r}")
        try:
            result = await self._inside.call(command)
        except CommandRefused as refusal:
            why = as_refusal(refusal)
            entry |= {"result": why.code.name, "why": why.message}
            self._noting.write(identity, kind, entry)
            raise why from refusal
        done = result if isinstance(result, int) else 0
        self._noting.write(identity, kind, {**entry, "result": "ok", "done": done})
        return {"done": done}

    # ---- the audit log -------------------------------------------------------------------------

    def _note(self, identity: Identity, action: Action, result: str) -> None:
        told = action.told()
        named = ("id", "query", "queue", "queues", "found", "params")
        entry = {name: told[name] for name in named}
        if action.is_over:
            entry |= {"done": action.done, "skipped": action.skipped, "refused": action.failed[:20]}
        if action.changed:
            entry["names"] = action.changed[:NAMED_MAX]
        entry = {"action": entry.pop("id"), **entry, "result": result}
        self._noting.write(identity, action.kind, entry)


def _may_see(identity: Identity, owner: Identity) -> bool:
    """His own, and those of anybody for one who may see every job."""
    rights = identity.rights
    if rights is None or identity.key_id == owner.key_id:
        return True
    return "*" in rights.patterns and bool(rights.roles & NEEDS[Need.SEE_JOBS])


def _grouped(
    refs: Iterable[tuple[str, str, str]],
) -> list[tuple[tuple[str, State], list[str]]]:
    """By queue and state, which a command names. Raises Refusal: one of them is nonsense."""
    groups: dict[tuple[str, State], list[str]] = {}
    for queue, id, state in refs:
        if state not in STATE_NAMES:
            raise Refusal(ErrorCode.BAD_REQUEST, f"{state!r} is no state of a job")
        key = (check_queue_name(queue), State(STATE_NAMES[state]))
        groups.setdefault(key, []).append(check_job_id(id))
    return list(groups.items())
