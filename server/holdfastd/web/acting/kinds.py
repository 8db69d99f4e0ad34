"""Each kind of action as a command of the engine. A table: what is not in it cannot be done."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from holdfast.wire.checks import Refusal, check_integer, check_queue_name
from holdfast.wire.constants import (
    PRIORITY_MAX,
    PRIORITY_MIN,
    RUN_AT_MS_MAX,
    ErrorCode,
)
from holdfastd.engine import commands
from holdfastd.engine.commands import Command
from holdfastd.engine.model import FINISHED, QueueSettings, SessionKey, State
from holdfastd.translation import queue_settings
from holdfastd.web import jsonable

Params: TypeAlias = Mapping[str, Any]
Some: TypeAlias = Callable[[str, Sequence[str], State, Params], Command]
"""Queue, ids, the state in which they were seen, params."""

PENDING: Final = frozenset({State.WAITING, State.DELAYED})
ANY: Final = frozenset(State)
STATES: Final[dict[str, frozenset[State]]] = {
    "retry": FINISHED,
    "cancel": PENDING | {State.ACTIVE, State.BLOCKED},
    "delete": ANY,
    "promote": frozenset({State.DELAYED}),
    "reschedule": PENDING,
    "priority": PENDING,
    "move": PENDING,
    "edit": PENDING,
}
"""Of the jobs to which it can be done; others are passed over."""


def _change(
    queue: str,
    ids: Sequence[str],
    seen: State,
    *,
    priority: int | None = None,
    run_at_ms: int | None = None,
) -> Command:
    return commands.Change(queue, list(ids), priority, None, run_at_ms, seen)


JOBS: Final[dict[str, Some]] = {
    "retry": lambda queue, ids, seen, params: commands.Retry(queue, list(ids), seen),
    "cancel": lambda queue, ids, seen, params: commands.Cancel(queue, list(ids), seen),
    "delete": lambda queue, ids, seen, params: commands.Remove(queue, list(ids), seen),
    "promote": lambda queue, ids, seen, params: commands.Promote(queue, list(ids), seen),
    "reschedule": lambda queue, ids, seen, params: _change(
        queue, ids, seen, run_at_ms=params["run_at_ms"]
    ),
    "priority": lambda queue, ids, seen, params: _change(
        queue, ids, seen, priority=params["priority"]
    ),
    "move": lambda queue, ids, seen, params: commands.Move(queue, list(ids), params["to"], seen),
    "edit": lambda queue, ids, seen, params: commands.Edit(queue, ids[0], params["payload"], seen),
}
QUEUES: Final[dict[str, Callable[[str, Params, QueueSettings], Command]]] = {
    "pause": lambda queue, params, before: commands.Pause(queue),
    "resume": lambda queue, params, before: commands.Resume(queue),
    "limits": lambda queue, params, before: commands.Configure(
        queue, queue_settings(dict(params), before)
    ),
    "drain": lambda queue, params, before: commands.Drain(queue, bool(params.get("delayed", True))),
    "obliterate": lambda queue, params, before: commands.Obliterate(
        queue, bool(params.get("force", False))
    ),
}
WORKERS: Final[dict[str, Callable[[SessionKey], Command]]] = {
    "quiet": lambda session: commands.Quiet(session, True),
    "unquiet": lambda session: commands.Quiet(session, False),
    "stop": commands.StopWorker,
}
SCHEDULES: Final[dict[str, Callable[[str, str, str], Command]]] = {
    "pause": lambda queue, id, run: commands.PauseSchedule(queue, id, is_paused=True),
    "resume": lambda queue, id, run: commands.PauseSchedule(queue, id, is_paused=False),
    "run": commands.RunSchedule,
    "delete": lambda queue, id, run: commands.RemoveSchedule(queue, id),
}
"""From queue, id, and what makes the id of a job that is run now a new one."""
DESTROYING: Final = frozenset({"drain", "obliterate"})


def checked(kind: str, params: Params) -> dict[str, Any]:
    """The params of an action on jobs, checked. Raises Refusal."""
    wanted = {"reschedule": "run_at_ms", "priority": "priority", "move": "to", "edit": "data"}
    name = wanted.get(kind)
    unknown = sorted(set(params) - {name})
    if unknown:
        raise Refusal(ErrorCode.BAD_OPTION, f"{kind} takes no {', '.join(unknown)}")
    if name is None:
        return {}
    if name not in params:
        raise Refusal(ErrorCode.BAD_OPTION, f"{kind} needs {name}")
    value = params[name]
    if name == "run_at_ms":
        return {name: check_integer(name, value, 0, RUN_AT_MS_MAX)}
    if name == "priority":
        return {name: check_integer(name, value, PRIORITY_MIN, PRIORITY_MAX)}
    if name == "to":
        return {name: check_queue_name(value)}
    try:
        return {"payload": jsonable.packed(value)}
    except ValueError as error:
        raise Refusal(ErrorCode.BAD_OPTION, f"data {error}") from error
