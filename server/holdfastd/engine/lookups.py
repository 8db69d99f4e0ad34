"""Jobs that must be read before a command can be applied, and the commands that wait for them.

A command that names jobs which are not in memory is parked until they have been read, and later
ones of its session wait behind it, so that commands of a session are applied in order. All that is
parked when a batch is written is read together. A read that was answered before another batch was
written may be out of date: what it found counts only for the command that it was made for.
"""

from collections.abc import Callable
from typing import TypeAlias

from holdfastd.engine import commands
from holdfastd.engine.changes import JobsById, Page, Read
from holdfastd.engine.commands import Command, Held
from holdfastd.engine.model import QueueKey
from holdfastd.engine.partition import Found, Moment, Partition
from holdfastd.engine.queue import QueueState
from holdfastd.engine.replies import Asked
from holdfastd.engine.schedules import run_id_of
from holdfastd.engine.session import Parked, Session
from holdfastd.engine.working import Working

Execute: TypeAlias = Callable[[Asked], None]


class Lookups:
    def __init__(self, partition: Partition, working: Working, execute: Execute):
        """execute: applies a command for which all is known."""
        self._partition = partition
        self._working = working
        self._execute = execute

    def apply(self, session: Session, request: int, command: Command, moment: Moment) -> None:
        """Now, or when its jobs have been read and its turn has come."""
        is_in_turn = request and type(command) is not commands.Heartbeat
        is_in_turn = is_in_turn or type(command) is commands.End  # or it would drop them
        if (session.parked and is_in_turn) or self._missing(session, command):
            self._park(session, request, command)
        else:
            found: Found = {}
            self._execute(Asked(session, request, command, found, moment))

    def _named(self, session: Session, command: Command) -> list[tuple[QueueState, str]]:
        """The jobs, by queue and id, that have to be known to apply the command."""
        match command:
            case commands.Enqueue():
                ids = [(command.queue, new.id) for _, new in command.items if not new.is_generated]
            case commands.Ack() | commands.Fail() | commands.Release():
                held: list[Held] = [item[0] for item in command.items]
                stale = self._working.stale(session, held)
                ids = [(item.queue, item.id) for item in stale]
            case commands.Move():
                ids = [(name, id) for name in (command.queue, command.target) for id in command.ids]
            case (
                commands.Remove()
                | commands.Promote()
                | commands.Retry()
                | commands.Change()
                | commands.Cancel()
            ):
                ids = [(command.queue, id) for id in command.ids]
            case commands.RunSchedule():
                ids = [(command.queue, run_id_of(command.id, command.run))]
            case commands.Edit() | commands.Explain() | commands.Wait():
                ids = [(command.queue, command.id)]
            case _:
                return []
        if not ids:
            return []
        queues = self._partition.queues
        return [(queue, id) for name, id in ids if (queue := queues.get(name)) is not None]

    def _missing(self, session: Session, command: Command) -> set[tuple[QueueKey, str]]:
        """Those of them that are not in memory."""
        named = self._named(session, command)
        return {(queue.key, id) for queue, id in named if id not in queue.jobs}

    def _park(self, session: Session, request: int, command: Command) -> None:
        """Ask for all its jobs at once, even if commands are before it: all that was parked when a
        batch is written is read together, and applied together. Those in memory are asked for too,
        since they may have left it by then."""
        parked = Parked(request, command)
        session.parked.append(parked)

        def then(read: Read, page: Page, moment: Moment) -> None:
            if parked.is_dropped:
                return  # the connection went, and the parked commands with it
            parked.reads_left -= 1
            for row in page.rows:
                job = self._partition.materialise(row)
                if job is not None:
                    parked.found[row.queue, row.id] = job
            self._go_on(session, moment)

        ids_by_queue: dict[QueueKey, dict[str, None]] = {}
        for queue, id in self._named(session, command):
            ids_by_queue.setdefault(queue.key, {})[id] = None
            parked.looked_up.add((queue.key, id))
        parked.reads_left = len(ids_by_queue)
        for key, ids in ids_by_queue.items():
            self._partition.want(JobsById(key, tuple(ids)), then)

    def _go_on(self, session: Session, moment: Moment) -> None:
        """Apply, in order, what has been read."""
        while session.parked and not session.parked[0].reads_left:
            parked = session.parked[0]
            if self._missing(session, parked.command) <= parked.looked_up:
                session.parked.popleft()
                self._execute(Asked(session, parked.request, parked.command, parked.found, moment))
            else:
                self._park_anew(session)
                return

    def _park_anew(self, session: Session) -> None:
        """The first command names jobs that were not looked up (a queue came into being, a lease
        was lost). What was read for those behind it would be out of date after another write."""
        waiting = list(session.parked)
        session.unpark()
        for parked in waiting:
            self._park(session, parked.request, parked.command)
