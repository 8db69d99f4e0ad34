"""Sessions come, go and time out.

A session's leases are renewed together: it has one deadline. While it is connected that is
`lease_ms` after it was last heard of; when its connection breaks it is at most `grace_ms` away.
"""

from heapq import heappop
from typing import TYPE_CHECKING, Final

from holdfastd.engine import commands
from holdfastd.engine.dispatch import Dispatcher
from holdfastd.engine.model import SessionKey
from holdfastd.engine.outputs import Displace, RevokeReason, Stop, Welcome
from holdfastd.engine.partition import Moment, Partition
from holdfastd.engine.session import Session
from holdfastd.engine.working import Working

if TYPE_CHECKING:
    from holdfastd.engine.queue import QueueState

SESSIONS_FORGOTTEN_PER_TICK_MAX: Final = 1_000


class Attending:
    def __init__(self, partition: Partition, dispatcher: Dispatcher, working: Working):
        self._partition = partition
        self._dispatcher = dispatcher
        self._working = working

    def attach(self, connection: int, command: commands.Attach, moment: Moment) -> None:
        partition = self._partition
        session = partition.sessions.get(command.session_id)
        resumed = session is not None
        if session is None:
            session = partition.add_session(command.session_id)
        elif session.connection is not None:
            partition.open.outputs.append(Displace(session.connection))
            self._disconnect(session)
        session.worker = command.worker
        session.origin = command.origin
        session.connection = connection
        session.is_restored = session.is_held = False
        session.left = []
        partition.connections[connection] = session
        self.renew(session, moment)
        lost = [token for token in command.leases if token not in session.leases]
        partition.open.outputs.append(
            Welcome(connection, resumed, session.last_request, session.last_refused, lost)
        )
        if session.is_stopping:  # it may not have heard it
            partition.open.outputs.append(Stop(connection))
        named = set(command.leases)
        unnamed = {job.seq: token for token, job in session.leases.items() if token not in named}
        self._dispatcher.deliver_again(session, unnamed)

    def renew(self, session: Session, moment: Moment) -> None:
        """It was heard of: its leases hold for another lease_ms, and it takes its turns."""
        was_silent = session.deadline <= moment.monotonic
        session.deadline = moment.monotonic + self._partition.settings.lease_ms / 1000
        session.seen_at_ms = moment.now_ms
        if was_silent:
            self._partition.add_credit(session, 0)
            self._dispatcher.dispatch_all(session, moment)

    def detach(self, session: Session, moment: Moment) -> None:
        """Its connection broke. Without leases and a row there is nothing to come back to."""
        self._disconnect(session)
        session.seen_at_ms = moment.now_ms
        if session.leases:
            grace_at = moment.monotonic + self._partition.settings.grace_ms / 1000
            self.set_deadline(session, min(session.deadline, grace_at))
        elif not session.is_stored:
            self._partition.forget_session(session)

    def set_deadline(self, session: Session, deadline: float) -> None:
        """An earlier one than the entry in the heap needs one of its own."""
        session.deadline = deadline
        session.watched_at = None
        self._partition.watch(session)

    def _disconnect(self, session: Session) -> None:
        partition = self._partition
        connection = session.connection
        assert connection is not None, "it was found by it"
        session.left = session.queues
        partition.unsubscribe(session)
        del partition.connections[connection]
        for name in session.listens:
            if name in partition.queues:
                partition.queues[name].listeners.pop(connection, None)
        for name, id in session.waits:  # while a job is waited for, it and its queue are there
            partition.queues[name].drop_wait(id, connection)
        session.listens.clear()
        session.waits.clear()
        session.wait_count = 0
        session.connection = None
        session.unpark()

    def end(self, session: Session, moment: Moment) -> None:
        """Goodbye: what it still holds goes back uncounted, and it is forgotten."""
        self._disconnect(session)
        touched: dict[QueueState, None] = {}
        for job in list(session.leases.values()):
            queue = self._partition.queues_by_key[job.queue]
            self._working.release_one(queue, job, 0, moment)
            touched[queue] = None
        self._partition.forget_session(session)
        for queue in touched:
            self._dispatcher.dispatch(queue, moment)

    # ---- what people say to workers ----------------------------------------------------------

    def quiet(self, session: Session, is_quiet: bool, moment: Moment) -> None:
        """Over restarts of the daemon, for as long as there is the session."""
        session.is_quiet = is_quiet
        self._partition.store_session(session)
        self._partition.set_ready(session)
        self._dispatcher.dispatch_all(session, moment)

    def stop(self, session: Session) -> None:
        """It is stored so that it is still known when its connection breaks before it hears."""
        session.is_stopping = True
        self._partition.store_session(session)
        self._partition.set_ready(session)
        if session.connection is not None:
            self._partition.open.outputs.append(Stop(session.connection))

    # ---- time --------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """Monotonic seconds of the next call of `expire` that may find something; None = none."""
        deadlines = self._partition.deadlines
        return deadlines[0][0] if deadlines and not self._partition.is_draining else None

    def forgive(self, moment: Moment) -> None:
        """Put deadlines off. Entries in the heap are early then, which `expire` expects."""
        grace_at = moment.monotonic + self._partition.settings.grace_ms / 1000
        for session in self._partition.sessions.values():
            session.deadline = max(session.deadline, grace_at)

    def expire(self, moment: Moment) -> None:
        """Take the leases of sessions whose time is up. Not while we go down, however long the disk
        takes for that: nobody can come back, and the next start gives each a full grace."""
        partition = self._partition
        if partition.is_draining:
            return
        deadlines = partition.deadlines
        while deadlines and deadlines[0][0] <= moment.monotonic:
            at, key = heappop(deadlines)
            session = partition.sessions_by_key.get(SessionKey(key))
            if session is None or session.watched_at != at:
                continue  # it is gone, or has an earlier entry
            session.watched_at = None
            if not session.leases:
                continue
            if session.deadline > moment.monotonic:  # renewed since the entry was made
                partition.watch(session)
                continue
            tokens = self._working.lose_all(session, moment, counted=not session.is_restored)
            if session.connection is not None:
                for token in tokens:
                    partition.open.revoke(session.connection, token, RevokeReason.LEASE_LOST)

    def forget_absent(self, moment: Moment) -> None:
        """Drop sessions that were not seen for session_ms and hold nothing; some at a time."""
        session_ms = self._partition.settings.session_ms
        if not self._partition.trusts_age(session_ms, moment):
            return
        absent = [
            session
            for session in self._partition.sessions.values()
            if session.connection is None and not session.leases
        ]
        for session in absent:  # seen at a time that was false, and yet to come
            session.seen_at_ms = min(session.seen_at_ms, moment.now_ms)
        old = [session for session in absent if session.seen_at_ms < moment.now_ms - session_ms]
        for session in old[:SESSIONS_FORGOTTEN_PER_TICK_MAX]:
            self._partition.forget_session(session)
