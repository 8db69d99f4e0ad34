"""What a command asks, and the ways to answer it: outputs of the open batch."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from holdfastd.engine.outputs import (
    Answer,
    AnswerItems,
    Refusal,
    Refuse,
    unknown_job,
    unknown_queue,
)
from holdfastd.engine.partition import Found, Moment, Partition
from holdfastd.engine.queue import QueueState
from holdfastd.engine.session import Session

WHY_NO_JOBS: Final = {
    Refusal.DISK_FULL: "the server's disk is full: no job is taken until there is room",
    Refusal.DRAINING: "the server is going down: connect again and send it again",
}


class Asked(NamedTuple):
    """One command on its way through the engine."""

    session: Session
    request: int
    """Its number within the session; 0 = it has none."""
    command: Any
    found: Found
    """The jobs that had to be read for it."""
    moment: Moment

    @property
    def connection(self) -> int:
        """Over which it came. When that goes, what waits of its session's commands is dropped."""
        assert self.session.connection is not None, "it is there while a command is applied"
        return self.session.connection


class Replies:
    def __init__(self, partition: Partition):
        self._partition = partition

    def answer(self, asked: Asked, result: Any) -> None:
        self._partition.open.outputs.append(Answer(asked.connection, asked.request, result))

    def answer_items(self, asked: Asked, items: list[Any]) -> None:
        """items: those that did not simply succeed; see `AnswerItems`."""
        self._partition.open.outputs.append(AnswerItems(asked.connection, asked.request, items))

    def answer_later(self, asked: Asked) -> Callable[[int], None]:
        """Call what is returned with the result, in whichever batch; it is said to the connection
        that asked, if that is still there."""
        connection = asked.connection

        def answer(result: int) -> None:
            if asked.session.connection == connection:
                self._partition.open.outputs.append(Answer(connection, asked.request, result))

        return answer

    def refuse(self, asked: Asked, refusal: Refusal, message: str) -> None:
        refuse = Refuse(asked.connection, asked.request, refusal, message)
        self._partition.open.outputs.append(refuse)

    def refuse_unknown_queue(self, asked: Asked, name: str) -> None:
        self.refuse(asked, Refusal.UNKNOWN_QUEUE, unknown_queue(name))

    def refuse_unknown_job(self, asked: Asked) -> None:
        """The command names one queue and one id."""
        command = asked.command
        self.refuse(asked, Refusal.UNKNOWN_JOB, unknown_job(command.id, command.queue))

    def refuse_jobs(self, asked: Asked, why: Refusal) -> None:
        """why: see `Partition.refuses_jobs`."""
        self.refuse(asked, why, WHY_NO_JOBS[why])

    def refuse_clearing(self, asked: Asked, queue: QueueState) -> None:
        self.refuse(asked, Refusal.BUSY, f"queue {queue.name} is being cleared: wait")
