"""Who waits for the end of a job, and who listens to a queue."""

from typing import TYPE_CHECKING, Final

from holdfastd.engine.model import FINISHED
from holdfastd.engine.outputs import Refusal, Show
from holdfastd.engine.partition import Partition
from holdfastd.engine.queue import QueueState
from holdfastd.engine.replies import Asked, Replies

if TYPE_CHECKING:
    from holdfastd.engine.events import QueueEvent

WAITS_PER_SESSION_MAX: Final = 10_000
"""As in the protocol; a test compares them."""


class Following:
    def __init__(self, partition: Partition, replies: Replies):
        self._partition = partition
        self._replies = replies

    def wait(self, asked: Asked) -> None:
        """Answer when the job has ended, with the job."""
        partition, session, command = self._partition, asked.session, asked.command
        queue = partition.queues.get(command.queue)
        job = None if queue is None else partition.find(queue, command.id, asked.found)
        if queue is None or job is None:
            self._replies.refuse_unknown_job(asked)
        elif job.state in FINISHED:
            show = Show(asked.connection, asked.request, queue.key, command.id)
            partition.open.outputs.append(show)
        elif session.wait_count >= WAITS_PER_SESSION_MAX:
            text = f"this session has {session.wait_count:,} waits open already"
            self._replies.refuse(asked, Refusal.TOO_MANY, text)
        else:
            self._remember(queue, asked)

    def _remember(self, queue: QueueState, asked: Asked) -> None:
        session, id = asked.session, asked.command.id
        queue.waits.setdefault(id, []).append((asked.connection, asked.request))
        session.waits[queue.name, id] = None
        session.wait_count += 1

    def listen(self, asked: Asked) -> None:
        """Tell of what happens from now on, after what was missed and is still kept."""
        partition, session, command = self._partition, asked.session, asked.command
        queue = partition.add_queue(command.queue)
        ring = partition.add_listener(queue, asked.connection)
        session.listens[queue.name] = None
        events: list[QueueEvent] = []
        missed = False
        if command.after is not None:
            events, missed = ring.after(command.after)
        self._replies.answer(asked, {"missed": missed, "last": ring.last})
        if events:
            partition.send_events(queue, [asked.connection], events)

    def unlisten(self, asked: Asked) -> None:
        name = asked.command.queue
        queue = self._partition.queues.get(name)
        asked.session.listens.pop(name, None)
        if queue is not None:
            queue.listeners.pop(asked.connection, None)
        self._replies.answer(asked, None)
