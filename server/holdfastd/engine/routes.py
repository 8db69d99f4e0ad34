"""Which part of the engine does which command, and how it answers: one line of glue each."""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from holdfastd.engine import commands
from holdfastd.engine.administering import Act, Administering
from holdfastd.engine.attending import Attending
from holdfastd.engine.commands import Command
from holdfastd.engine.dispatch import Dispatcher
from holdfastd.engine.explaining import explain
from holdfastd.engine.following import Following
from holdfastd.engine.outputs import Refusal
from holdfastd.engine.partition import Partition
from holdfastd.engine.producing import Producing, counts_of
from holdfastd.engine.queue import QueueState
from holdfastd.engine.replies import Asked, Replies
from holdfastd.engine.scheduling import Scheduling
from holdfastd.engine.session import Session
from holdfastd.engine.sweeping import Sweeping
from holdfastd.engine.working import Working

Route: TypeAlias = Callable[[Asked], None]

MUTATING: Final[frozenset[type[Command]]] = frozenset(
    {
        commands.Enqueue,
        commands.Ack,
        commands.Fail,
        commands.Release,
        commands.Remove,
        commands.Promote,
        commands.Retry,
        commands.Change,
        commands.Cancel,
        commands.Move,
        commands.Edit,
        commands.Pause,
        commands.Resume,
        commands.Configure,
        commands.Drain,
        commands.Obliterate,
        commands.PutSchedule,
        commands.RemoveSchedule,
        commands.PauseSchedule,
        commands.RunSchedule,
    }
)
"""Commands whose request number is stored in the batch that holds their effect."""


class Routes:
    def __init__(
        self,
        partition: Partition,
        dispatcher: Dispatcher,
        working: Working,
        attending: Attending,
        administering: Administering,
        sweeping: Sweeping,
        scheduling: Scheduling,
    ):
        self._partition = partition
        self._dispatcher = dispatcher
        self._working = working
        self._attending = attending
        self._administering = administering
        self._sweeping = sweeping
        self._scheduling = scheduling
        self._replies = replies = Replies(partition)
        self._producing = Producing(partition, dispatcher)
        self._following = Following(partition, replies)
        self._routes: dict[type[Any], Route] = {
            commands.Enqueue: self._enqueue,
            commands.Refused: self._refused,
            commands.Counts: self._counts,
            commands.Wait: self._following.wait,
            commands.Listen: self._following.listen,
            commands.Unlisten: self._following.unlisten,
            commands.Subscribe: self._subscribe,
            commands.Credit: self._credit,
            commands.Hold: self._hold,
            commands.Ack: self._ack,
            commands.Fail: self._fail,
            commands.Release: self._release,
            commands.Extend: self._extend,
            commands.Heartbeat: self._heartbeat,
            commands.Remove: self._remove,
            commands.Promote: self._promote,
            commands.Retry: self._retry,
            commands.Change: self._change,
            commands.Cancel: self._cancel,
            commands.Move: self._move,
            commands.Edit: self._edit,
            commands.Explain: self._explain,
            commands.Quiet: self._quiet,
            commands.StopWorker: self._stop_worker,
            commands.Pause: self._pause,
            commands.Resume: self._resume,
            commands.Configure: self._configure,
            commands.Drain: self._drain,
            commands.Obliterate: self._obliterate,
            commands.PutSchedule: scheduling.put,
            commands.RemoveSchedule: scheduling.remove,
            commands.PauseSchedule: scheduling.pause,
            commands.RunSchedule: scheduling.run,
            commands.Schedules: scheduling.page,
            commands.Detach: self._detach,
            commands.End: self._end,
        }

    def execute(self, asked: Asked) -> None:
        """Apply a command for which all is known."""
        if type(asked.command) in MUTATING and not self._take_number(asked):
            return
        self._routes[type(asked.command)](asked)

    def _take_number(self, asked: Asked) -> bool:
        """Store it with the effect of its command; False = it was refused."""
        session, request = asked.session, asked.request
        if request <= session.last_request:
            text = f"request {request} comes after {session.last_request}: numbers must rise"
            self._replies.refuse(asked, Refusal.OUT_OF_ORDER, text)
            return False
        session.last_request = request
        session.seen_at_ms = asked.moment.now_ms
        self._partition.store_session(session)
        return True

    # ---- producers ----------------------------------------------------------------------------

    def _enqueue(self, asked: Asked) -> None:
        command, why_not = asked.command, self._partition.refuses_jobs
        if why_not is None:
            results = self._producing.enqueue(command, asked.found, asked.moment)
            self._replies.answer_items(asked, results)
            return
        asked.session.last_refused = asked.request
        self._producing.note_rejected(command.queue, len(command.items) + len(command.refused))
        self._replies.refuse_jobs(asked, why_not)

    def _refused(self, asked: Asked) -> None:
        session, command = asked.session, asked.command
        session.last_refused = max(session.last_refused, asked.request)
        self._producing.note_rejected(command.queue, command.jobs)
        self._partition.store_session(session)

    def _counts(self, asked: Asked) -> None:
        counts = counts_of(self._partition.queues, asked.command)
        if counts is None:
            self._replies.refuse_unknown_queue(asked, asked.command.queue)
        else:
            self._replies.answer(asked, counts)

    # ---- workers ------------------------------------------------------------------------------

    def _subscribe(self, asked: Asked) -> None:
        self._partition.subscribe(asked.session, asked.command.queues, asked.command.credit)
        self._replies.answer(asked, None)
        self._dispatcher.dispatch_all(asked.session, asked.moment)

    def _credit(self, asked: Asked) -> None:
        self._partition.add_credit(asked.session, asked.command.amount)
        self._dispatcher.dispatch_all(asked.session, asked.moment)

    def _hold(self, asked: Asked) -> None:
        self._partition.hold(asked.session, asked.command.is_held)
        self._dispatcher.dispatch_all(asked.session, asked.moment)

    def _ack(self, asked: Asked) -> None:
        refused = self._working.ack(asked.session, asked.command, asked.found, asked.moment)
        self._replies.answer_items(asked, refused)
        self._prune_after(asked.command)

    def _fail(self, asked: Asked) -> None:
        refused = self._working.fail(asked.session, asked.command, asked.found, asked.moment)
        self._replies.answer_items(asked, refused)
        self._prune_after(asked.command)

    def _prune_after(self, command: commands.Ack | commands.Fail) -> None:
        for name in {item[0].queue for item in command.items}:
            queue = self._partition.queues.get(name)
            if queue is not None:
                self._sweeping.prune_if_over(queue)

    def _release(self, asked: Asked) -> None:
        refused = self._working.release(asked.session, asked.command, asked.found, asked.moment)
        self._replies.answer_items(asked, refused)

    def _extend(self, asked: Asked) -> None:
        self._attending.renew(asked.session, asked.moment)
        refused = self._working.extend(asked.session, asked.command.items)
        self._replies.answer_items(asked, refused)

    def _heartbeat(self, asked: Asked) -> None:
        self._attending.renew(asked.session, asked.moment)
        refused = self._working.report(asked.session, asked.command.reports, asked.moment)
        self._replies.answer_items(asked, refused)

    # ---- jobs, by people and programs ---------------------------------------------------------

    def _remove(self, asked: Asked) -> None:
        self._each(asked, self._administering.remove(asked.command.expected))

    def _promote(self, asked: Asked) -> None:
        self._each(asked, self._administering.promote)

    def _retry(self, asked: Asked) -> None:
        self._each(asked, self._administering.retry)

    def _change(self, asked: Asked) -> None:
        self._each(asked, self._administering.change(asked.command))

    def _cancel(self, asked: Asked) -> None:
        self._each(asked, self._administering.cancel)
        queue = self._partition.queues.get(asked.command.queue)
        if queue is not None:
            self._sweeping.prune_if_over(queue)

    def _each(self, asked: Asked, act: Act) -> None:
        """The command has queue, ids and expected."""
        queue = self._queue_of(asked)
        if queue is not None:
            ids, expected = asked.command.ids, asked.command.expected
            refused = self._administering.each(queue, ids, expected, asked.found, asked.moment, act)
            self._replies.answer_items(asked, refused)

    def _move(self, asked: Asked) -> None:
        queue = self._queue_of(asked)
        if queue is None:
            return
        target = self._partition.queues.get(asked.command.target)
        if target is not None and target.is_clearing:  # it would be swept away with the others
            self._replies.refuse_clearing(asked, target)
            return
        refused = self._administering.move(queue, asked.command, asked.found, asked.moment)
        self._replies.answer_items(asked, refused)

    def _edit(self, asked: Asked) -> None:
        queue = self._queue_of(asked)
        if queue is None:
            return
        command = asked.command
        act = self._administering.edit(command.payload)
        refused = self._administering.each(
            queue, [command.id], command.expected, asked.found, asked.moment, act
        )
        if refused:
            self._replies.refuse(asked, refused[0].refusal, refused[0].message)
        else:
            self._replies.answer(asked, None)

    def _explain(self, asked: Asked) -> None:
        queue = self._queue_of(asked)
        if queue is None:
            return
        job = self._partition.find(queue, asked.command.id, asked.found)
        if job is None:
            self._replies.refuse_unknown_job(asked)
            return
        why = explain(self._partition, queue, job, asked.moment)
        self._replies.answer(asked, why._asdict())

    def _queue_of(self, asked: Asked) -> QueueState | None:
        """The one that the command names; None = there is none, and it was refused."""
        queue = self._partition.queues.get(asked.command.queue)
        if queue is None:
            self._replies.refuse_unknown_queue(asked, asked.command.queue)
        return queue

    # ---- workers, by people -------------------------------------------------------------------

    def _quiet(self, asked: Asked) -> None:
        worker = self._worker_of(asked)
        if worker is not None:
            self._attending.quiet(worker, asked.command.is_quiet, asked.moment)
            self._replies.answer(asked, None)

    def _stop_worker(self, asked: Asked) -> None:
        worker = self._worker_of(asked)
        if worker is not None:
            self._attending.stop(worker)
            self._replies.answer(asked, None)

    def _worker_of(self, asked: Asked) -> Session | None:
        """The one that the command names; None = there is none, and it was refused."""
        key = asked.command.session
        worker = self._partition.sessions_by_key.get(key)
        if worker is None or not worker.is_worker:
            text = f"session {key} is no worker, or it has gone"
            self._replies.refuse(asked, Refusal.UNKNOWN_WORKER, text)
            return None
        return worker

    # ---- queues -------------------------------------------------------------------------------

    def _pause(self, asked: Asked) -> None:
        queue = self._partition.add_queue(asked.command.queue)
        self._administering.pause(queue, asked.moment, paused=True)
        self._replies.answer(asked, None)

    def _resume(self, asked: Asked) -> None:
        queue = self._partition.add_queue(asked.command.queue)
        self._administering.pause(queue, asked.moment, paused=False)
        self._replies.answer(asked, None)

    def _configure(self, asked: Asked) -> None:
        self._administering.configure(asked.command, asked.moment)
        self._replies.answer(asked, None)

    def _drain(self, asked: Asked) -> None:
        queue = self._clearable(asked)
        if queue is not None:
            done = self._replies.answer_later(asked)
            self._sweeping.drain(queue, asked.command.delayed, done, asked.moment)

    def _obliterate(self, asked: Asked) -> None:
        queue = self._clearable(asked)
        if queue is None:
            return
        if queue.active_count and not asked.command.force:
            text = f"queue {queue.name} has {queue.active_count} active jobs: wait, or force it"
            self._replies.refuse(asked, Refusal.NOT_EMPTY, text)
            return
        self._scheduling.remove_all(queue)
        self._sweeping.obliterate(queue, self._replies.answer_later(asked), asked.moment)

    def _clearable(self, asked: Asked) -> QueueState | None:
        """The queue that the command names; None = it cannot be cleared, and it was refused."""
        queue = self._queue_of(asked)
        if queue is not None and queue.is_clearing:
            self._replies.refuse_clearing(asked, queue)
            return None
        return queue

    # ---- connections --------------------------------------------------------------------------

    def _detach(self, asked: Asked) -> None:
        self._attending.detach(asked.session, asked.moment)

    def _end(self, asked: Asked) -> None:
        self._attending.end(asked.session, asked.moment)
