"""Wire messages to engine commands: the fields are checked here, the rules are the engine's.

Each function raises `checks.Refusal` with the code and text that the client gets. ENQUEUE alone
has refusals per item; they travel inside the command, so that the answer has all of them.
"""

from collections.abc import Callable
from typing import Any, Final

from holdfast.wire import messages as wire
from holdfast.wire.checks import (
    Refusal,
    check_flag,
    check_integer,
    check_job_id,
    check_job_name,
    check_options,
    check_payload,
    check_queue_name,
    shown,
)
from holdfast.wire.constants import (
    CREDIT_MAX,
    DELAY_MS_MAX,
    ERROR_MESSAGE_LENGTH_MAX,
    ERROR_TRACEBACK_LENGTH_MAX,
    ERROR_TYPE_LENGTH_MAX,
    ITEMS_MAX,
    LIST_LIMIT_MAX,
    LOG_LINE_LENGTH_MAX,
    PROGRESS_BYTES_MAX,
    SUBSCRIBED_QUEUES_MAX,
    ErrorCode,
)
from holdfast.wire.schedules import (
    check_run,
    check_schedule_id,
    check_schedule_options,
    check_when,
)
from holdfastd.engine import commands
from holdfastd.engine.model import (
    NewJob,
    QueueSettings,
    State,
    Token,
)
from holdfastd.engine.schedules import Origin
from holdfastd.translation import new_job, queue_settings, schedule_spec

GENERATED_ID_BYTES: Final = 16
COUNT_MAX: Final = 2**53
"""Largest number that every language's client can carry."""


class Requests:
    """Translates the requests of any connection.

    Attributes:
        payload_bytes_max: of one payload or result; configured.
        settings_of: current settings of a queue by name, for CONFIGURE, which changes only some.
    """

    def __init__(self, payload_bytes_max: int, settings_of: Callable[[str], QueueSettings]):
        self.payload_bytes_max = payload_bytes_max
        self.settings_of = settings_of
        self._translations: dict[type[Any], Callable[[Any, int], commands.Command]] = {
            wire.Heartbeat: self._heartbeat,
            wire.Enqueue: self._enqueue,
            wire.Wait: self._wait,
            wire.Subscribe: self._subscribe,
            wire.Credit: self._credit,
            wire.Ack: self._ack,
            wire.Fail: self._fail,
            wire.Release: self._release,
            wire.Extend: self._extend,
            wire.Listen: self._listen,
            wire.Unlisten: self._unlisten,
            wire.Counts: self._counts,
            wire.Remove: self._remove,
            wire.Promote: self._promote,
            wire.Retry: self._retry,
            wire.Change: self._change,
            wire.Pause: self._pause,
            wire.Resume: self._resume,
            wire.Configure: self._configure,
            wire.Drain: self._drain,
            wire.Obliterate: self._obliterate,
            wire.Cancel: self._cancel,
            wire.Move: self._move,
            wire.Edit: self._edit,
            wire.Explain: self._explain,
            wire.Schedule: self._schedule,
            wire.Unschedule: self._unschedule,
            wire.PauseSchedule: self._pause_schedule,
            wire.ResumeSchedule: self._resume_schedule,
            wire.RunSchedule: self._run_schedule,
            wire.Schedules: self._schedules,
        }

    def knows(self, message: wire.Message | wire.MessageError) -> bool:
        """It is a command for the engine (and not one of the connection, or a read)."""
        return type(message) in self._translations

    def command(self, message: wire.Message, now_ms: int) -> commands.Command:
        """Raises Refusal."""
        return self._translations[type(message)](message, now_ms)

    # ---- producer --------------------------------------------------------------------------

    def _enqueue(self, message: wire.Enqueue, now_ms: int) -> commands.Command:
        queue = check_queue_name(message.queue)
        if not message.items:
            raise Refusal(ErrorCode.BAD_REQUEST, "ENQUEUE has no items: send at least one job")
        items: list[tuple[int, NewJob]] = []
        refused: list[Any] = []
        for at, item in enumerate(message.items):
            try:
                items.append((at, self._new_job(item, now_ms)))
            except Refusal as refusal:
                if message.atomic:
                    details = {**refusal.details, "index": at}
                    text = f"item {at}: {refusal.message}; no job of this request was added"
                    raise Refusal(refusal.code, text, details) from refusal
                refused.append([at, int(refusal.code), refusal.message])
        return commands.Enqueue(queue, items, refused)

    def _new_job(self, item: Any, now_ms: int) -> NewJob:
        if type(item) is not list or len(item) < 3:
            raise Refusal(
                ErrorCode.BAD_REQUEST,
                f"an item must be [id, name, payload, options], not {shown(item)}",
            )
        id = item[0]
        is_generated = type(id) is bytes and len(id) == GENERATED_ID_BYTES
        id = id.hex() if is_generated else check_job_id(id)
        name = check_job_name(item[1])
        payload = check_payload(item[2], self.payload_bytes_max)
        given = item[3] if len(item) > 3 else None
        if given is None:
            return NewJob(id, is_generated, name, payload)
        return new_job(id, name, payload, check_options(given), now_ms, is_generated=is_generated)

    def _wait(self, message: wire.Wait, now_ms: int) -> commands.Command:
        return commands.Wait(check_queue_name(message.queue), check_job_id(message.id))

    # ---- worker ----------------------------------------------------------------------------

    def _subscribe(self, message: wire.Subscribe, now_ms: int) -> commands.Command:
        if len(message.queues) > SUBSCRIBED_QUEUES_MAX:
            raise Refusal(
                ErrorCode.BAD_REQUEST,
                f"{len(message.queues):,} queues in one subscription: at most "
                f"{SUBSCRIBED_QUEUES_MAX:,}",
            )
        names = list(dict.fromkeys(check_queue_name(name) for name in message.queues))
        return commands.Subscribe(names, _check_credit(message.credit))

    def _credit(self, message: wire.Credit, now_ms: int) -> commands.Command:
        return commands.Credit(_check_credit(message.amount))

    def _ack(self, message: wire.Ack, now_ms: int) -> commands.Command:
        items = [
            (_held(item, 4), self._check_result(item[3]))
            for item in map(_check_item, message.items)
        ]
        return commands.Ack(items, _check_credit(message.credit))

    def _check_result(self, result: Any) -> bytes | None:
        return None if result is None else check_payload(result, self.payload_bytes_max, "result")

    def _fail(self, message: wire.Fail, now_ms: int) -> commands.Command:
        items = [
            (_held(item, 5), _attempt_error(item[3]), _check_retry(item[4]))
            for item in map(_check_item, message.items)
        ]
        return commands.Fail(items, _check_credit(message.credit))

    def _release(self, message: wire.Release, now_ms: int) -> commands.Command:
        items = [
            (_held(item, 4), check_integer("delay_ms", item[3] or 0, 0, DELAY_MS_MAX))
            for item in map(_check_item, message.items)
        ]
        return commands.Release(items, _check_credit(message.credit))

    def _extend(self, message: wire.Extend, now_ms: int) -> commands.Command:
        return commands.Extend([_held(item, 3) for item in map(_check_item, message.items)])

    def _heartbeat(self, message: wire.Heartbeat, now_ms: int) -> commands.Command:
        return commands.Heartbeat([_report(item) for item in map(_check_item, message.reports)])

    # ---- events and counts -----------------------------------------------------------------

    def _listen(self, message: wire.Listen, now_ms: int) -> commands.Command:
        after = message.after
        if after is not None:
            after = check_integer("after", after, 0, 2**63 - 1)
        return commands.Listen(check_queue_name(message.queue), after)

    def _unlisten(self, message: wire.Unlisten, now_ms: int) -> commands.Command:
        return commands.Unlisten(check_queue_name(message.queue))

    def _counts(self, message: wire.Counts, now_ms: int) -> commands.Command:
        queue = None if message.queue is None else check_queue_name(message.queue)
        return commands.Counts(queue, message.after, LIST_LIMIT_MAX)

    def _explain(self, message: wire.Explain, now_ms: int) -> commands.Command:
        return commands.Explain(check_queue_name(message.queue), check_job_id(message.id))

    # ---- administer ------------------------------------------------------------------------

    def _remove(self, message: wire.Remove, now_ms: int) -> commands.Command:
        return commands.Remove(
            check_queue_name(message.queue), _ids(message.ids), check_state(message.expected)
        )

    def _promote(self, message: wire.Promote, now_ms: int) -> commands.Command:
        return commands.Promote(
            check_queue_name(message.queue), _ids(message.ids), check_state(message.expected)
        )

    def _retry(self, message: wire.Retry, now_ms: int) -> commands.Command:
        return commands.Retry(
            check_queue_name(message.queue), _ids(message.ids), check_state(message.expected)
        )

    def _change(self, message: wire.Change, now_ms: int) -> commands.Command:
        allowed = {"priority", "lifo", "delay_ms", "run_at_ms"}
        unknown = sorted(set(message.changes) - allowed, key=str)
        if unknown or not message.changes:
            raise Refusal(
                ErrorCode.BAD_OPTION,
                f"CHANGE takes {', '.join(sorted(allowed))}, not {shown(unknown)}",
            )
        changes = check_options(message.changes)
        run_at_ms = changes.get("run_at_ms")
        if "delay_ms" in changes:
            run_at_ms = now_ms + changes["delay_ms"]
        return commands.Change(
            check_queue_name(message.queue),
            _ids(message.ids),
            changes.get("priority"),
            changes.get("lifo"),
            run_at_ms,
            check_state(message.expected),
        )

    def _cancel(self, message: wire.Cancel, now_ms: int) -> commands.Command:
        return commands.Cancel(
            check_queue_name(message.queue), _ids(message.ids), check_state(message.expected)
        )

    def _move(self, message: wire.Move, now_ms: int) -> commands.Command:
        return commands.Move(
            check_queue_name(message.queue),
            _ids(message.ids),
            check_queue_name(message.target),
            check_state(message.expected),
        )

    def _edit(self, message: wire.Edit, now_ms: int) -> commands.Command:
        return commands.Edit(
            check_queue_name(message.queue),
            check_job_id(message.id),
            check_payload(message.payload, self.payload_bytes_max),
            check_state(message.expected),
        )

    def _pause(self, message: wire.Pause, now_ms: int) -> commands.Command:
        return commands.Pause(check_queue_name(message.queue))

    def _resume(self, message: wire.Resume, now_ms: int) -> commands.Command:
        return commands.Resume(check_queue_name(message.queue))

    def _configure(self, message: wire.Configure, now_ms: int) -> commands.Command:
        queue = check_queue_name(message.queue)
        return commands.Configure(queue, queue_settings(message.settings, self.settings_of(queue)))

    def _drain(self, message: wire.Drain, now_ms: int) -> commands.Command:
        return commands.Drain(
            check_queue_name(message.queue), check_flag("delayed", message.delayed)
        )

    def _obliterate(self, message: wire.Obliterate, now_ms: int) -> commands.Command:
        return commands.Obliterate(
            check_queue_name(message.queue), check_flag("force", message.force)
        )

    # ---- schedules -------------------------------------------------------------------------

    def _schedule(self, message: wire.Schedule, now_ms: int) -> commands.Command:
        return commands.PutSchedule(
            schedule_spec(
                check_queue_name(message.queue),
                check_schedule_id(message.id),
                check_job_name(message.name),
                check_payload(message.payload, self.payload_bytes_max),
                check_when(message.when),
                check_schedule_options(message.options),
                Origin.CLIENT,
                now_ms,
            )
        )

    def _unschedule(self, message: wire.Unschedule, now_ms: int) -> commands.Command:
        return commands.RemoveSchedule(
            check_queue_name(message.queue), check_schedule_id(message.id)
        )

    def _pause_schedule(self, message: wire.PauseSchedule, now_ms: int) -> commands.Command:
        return commands.PauseSchedule(
            check_queue_name(message.queue), check_schedule_id(message.id), is_paused=True
        )

    def _resume_schedule(self, message: wire.ResumeSchedule, now_ms: int) -> commands.Command:
        return commands.PauseSchedule(
            check_queue_name(message.queue), check_schedule_id(message.id), is_paused=False
        )

    def _run_schedule(self, message: wire.RunSchedule, now_ms: int) -> commands.Command:
        return commands.RunSchedule(
            check_queue_name(message.queue), check_schedule_id(message.id), check_run(message.run)
        )

    def _schedules(self, message: wire.Schedules, now_ms: int) -> commands.Command:
        if message.id is not None and message.queue is None:
            raise Refusal(ErrorCode.BAD_REQUEST, "SCHEDULES with an id needs its queue")
        return commands.Schedules(
            None if message.queue is None else check_queue_name(message.queue),
            None if message.id is None else check_schedule_id(message.id),
            _check_after(message.after),
            check_integer("limit", message.limit, 1, LIST_LIMIT_MAX),
        )


# ---- parts of requests -----------------------------------------------------------------------


def check_state(value: object) -> State | None:
    return None if value is None else State(check_integer("state", value, 1, len(State)))


def _check_after(after: object) -> tuple[str, str] | None:
    """(queue, id) of a schedule."""
    match after:
        case None:
            return None
        case [str(queue), str(id)]:
            return queue, id
        case _:
            text = f"after must be [queue, id], not {shown(after)}"
            raise Refusal(ErrorCode.BAD_REQUEST, text)


def _check_credit(value: object) -> int:
    return check_integer("credit", value, 0, CREDIT_MAX)


def _check_item(item: object) -> list[Any]:
    if type(item) is list:
        return item
    raise Refusal(ErrorCode.BAD_REQUEST, f"an item must be an array, not {shown(item)}")


def _held(item: list[Any], length: int) -> commands.Held:
    """The first three fields of a worker's item: token, queue, id."""
    if len(item) < length:
        raise Refusal(ErrorCode.BAD_REQUEST, f"an item must have {length} fields, not {len(item)}")
    token, queue, id = item[0], item[1], item[2]
    if type(token) is not int or type(queue) is not str or type(id) is not str:
        raise Refusal(
            ErrorCode.BAD_REQUEST, f"an item must start with token, queue, id, not {shown(item)}"
        )
    return commands.Held(Token(token), queue, id)


def _attempt_error(error: object) -> commands.AttemptError:
    """What a handler raised; longer texts than the limits are cut, not refused."""
    if not isinstance(error, dict):
        raise Refusal(ErrorCode.BAD_REQUEST, f"error must be a map, not {shown(error)}")
    return commands.AttemptError(
        str(error.get("type", ""))[:ERROR_TYPE_LENGTH_MAX],
        str(error.get("message", ""))[:ERROR_MESSAGE_LENGTH_MAX],
        # The end of a traceback says most.
        str(error.get("traceback", ""))[-ERROR_TRACEBACK_LENGTH_MAX:],
    )


def _check_retry(retry: object) -> int | None:
    return None if retry is None else check_integer("retry", retry, -1, DELAY_MS_MAX)


def _report(item: list[Any]) -> commands.Report:
    held = _held(item, 5)
    progress, lines = item[3], item[4]
    if progress is not None:
        progress = check_payload(progress, PROGRESS_BYTES_MAX, "progress")
    if type(lines) is not list:
        raise Refusal(ErrorCode.BAD_REQUEST, f"lines must be an array, not {shown(lines)}")
    return commands.Report(held.token, progress, [_log_line(line) for line in lines])


def _log_line(line: object) -> tuple[int, str]:
    if type(line) is list and len(line) >= 2 and type(line[1]) is str:
        at_ms = check_integer("at_ms", line[0], 0, COUNT_MAX)
        return at_ms, line[1][:LOG_LINE_LENGTH_MAX]
    raise Refusal(ErrorCode.BAD_REQUEST, f"a log line must be [at_ms, text], not {shown(line)}")


def _ids(ids: list[Any]) -> list[str]:
    if not 0 < len(ids) <= ITEMS_MAX:
        raise Refusal(ErrorCode.BAD_REQUEST, f"give 1 to {ITEMS_MAX:,} job ids, not {len(ids):,}")
    return [check_job_id(id) for id in ids]
