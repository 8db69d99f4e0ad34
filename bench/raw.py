"""A client with nothing but the wire, so that the daemon is measured and not a client.

It is made to cost less per job than the daemon: a blocking socket, no event loop, frames of a
producer packed before the clock starts, answers looked at only as far as it takes to know that
they are no refusals. Jobs have ids of the real client's kind (UUIDv7), rising as its are.
"""

import os
import select
import socket
import time
from collections.abc import Callable
from struct import Struct
from typing import Any, Final

import msgpack

from holdfast.wire import messages as wire
from holdfast.wire.constants import Op
from holdfast.wire.frames import encode_frame
from holdfast.wire.ids import new_id

DATA: Final = b"x" * 198
"""What the Python client is given: packed it is the payload."""
PAYLOAD: Final[bytes] = msgpack.packb(DATA)
"""200 bytes, and msgpack, so that the Python worker can read it too."""
HEARTBEAT_S: Final = 5.0
"""As the server asks for by default."""
_RECEIVE_BYTES: Final = 1 << 18
_LENGTH: Final = Struct("!I")
_INSTANT: Final = Struct("!d")


class RawClient:
    """One connection that has said who it is. worker: its name, "" for a producer."""

    def __init__(self, port: int, worker: str = ""):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number = 0
        self._buffer = b""
        self._ahead: list[list[Any]] = []
        self.expect(Op.HELLO)
        info: dict[str, Any] = {"protocol": 1, "session": os.urandom(16).hex()}
        if worker:
            info["worker"] = {"name": worker}
        self.socket.sendall(encode_frame(wire.encode(wire.Identify(info))))
        self.expect(Op.WELCOME)

    def frame(self, message: Any) -> bytes:
        """The frame of a request, with the next number. To be sent in the order of the numbers."""
        self.number += 1
        return encode_frame(wire.encode(message._replace(request=self.number)))

    def call(self, message: Any) -> None:
        """Send one request and wait for its reply. Raises RuntimeError if it is refused."""
        self.socket.sendall(self.frame(message))
        self.expect(Op.REPLY)

    def expect(self, op: Op) -> None:
        """Wait for a frame of this kind; what comes with it is kept for `receive`."""
        ahead: list[list[Any]] = []
        while not any(array[0] == op for array in ahead):
            ahead += self.receive()
        ahead.remove(next(array for array in ahead if array[0] == op))
        self._ahead = ahead

    def receive(self) -> list[list[Any]]:
        """Wait for bytes; the arrays of the frames that are complete with them, maybe none.

        Raises:
            ConnectionError: the server has closed. RuntimeError: it has refused something.
        """
        if self._ahead:
            arrays, self._ahead = self._ahead, []
            return arrays
        data = self.socket.recv(_RECEIVE_BYTES)
        if not data:
            raise ConnectionError("the daemon has closed the connection")
        arrays, self._buffer = _cut(self._buffer + data if self._buffer else data)
        for array in arrays:
            if array[0] == Op.ERROR:
                raise RuntimeError(f"refused: {array}")
        return arrays

    def close(self) -> None:
        self.socket.close()


def _cut(buffer: bytes) -> tuple[list[list[Any]], bytes]:
    """The arrays of the complete frames, and the bytes of the incomplete rest."""
    arrays = []
    start, end = 0, len(buffer)
    while end - start >= _LENGTH.size:
        stop = start + _LENGTH.size + _LENGTH.unpack_from(buffer, start)[0]
        if stop > end:
            break
        arrays.append(msgpack.unpackb(buffer[start + _LENGTH.size : stop]))
        start = stop
    return arrays, buffer[start:]


def items(count: int, options: dict[str, Any] | None = None) -> list[list[Any]]:
    """Items of an ENQUEUE with ids made up now."""
    return [[new_id(), "n", PAYLOAD, options] for _ in range(count)]


def add_frames(
    client: RawClient,
    queues: list[str],
    calls: int,
    per_call: int,
    options: Callable[[], dict[str, Any] | None] = lambda: None,
) -> list[bytes]:
    """So many ENQUEUEs of so many jobs each, over the queues in turn."""
    return [
        client.frame(wire.Enqueue(0, queues[call % len(queues)], items(per_call, options())))
        for call in range(calls)
    ]


def send_all(client: RawClient, frames: list[bytes], in_flight: int) -> None:
    """Send them all, never more than in_flight unanswered; return when all are confirmed."""
    sent = answered = 0
    while answered < len(frames):
        stop = min(len(frames), answered + in_flight)
        if stop > sent:
            client.socket.sendall(b"".join(frames[sent:stop]))
            sent = stop
        for array in client.receive():
            if array[2]:
                raise RuntimeError(f"not created: {array}")
            answered += 1


def send_paced(client: RawClient, queue: str, count: int, per_s: float) -> None:
    """One job per frame at a steady rate; its payload begins with the instant of its sending."""
    filler = bytes(len(PAYLOAD) - _INSTANT.size)
    started = time.perf_counter()
    sent = answered = 0
    while answered < count:
        due = min(count, int((time.perf_counter() - started) * per_s) + 1)
        frames = []
        for _ in range(due - sent):
            payload = _INSTANT.pack(time.perf_counter()) + filler
            item = [new_id(), "n", payload, None]
            frames.append(client.frame(wire.Enqueue(0, queue, [item])))
        if frames:
            client.socket.sendall(b"".join(frames))
            sent = due
        pause_s = started + sent / per_s - time.perf_counter() if sent < count else 1.0
        if pause_s > 0 and select.select([client.socket], [], [], pause_s)[0]:
            answered += sum(1 for _ in client.receive())


class RawWorker:
    """Takes jobs and answers them at once.

    Attributes:
        completed: jobs whose ack the daemon has confirmed.
        waits_s: from sending to arrival, of jobs that carry the instant; if asked for.
    """

    def __init__(self, client: RawClient, *, is_timing: bool = False, fails_first: bool = False):
        """fails_first: the first attempt of each job fails, to be retried at once."""
        self._client = client
        self._is_timing = is_timing
        self._fails_first = fails_first
        self._completing: dict[int, int] = {}
        """Request number of an answer: how many jobs are completed with its reply."""
        self.completed = 0
        self.waits_s: list[float] = []

    def take(self, queues: list[str], credit: int) -> None:
        self._client.call(wire.Subscribe(0, queues, credit))

    def work(self, target: int) -> None:
        """Until so many are completed."""
        client = self._client
        beat_at = time.monotonic() + HEARTBEAT_S
        while self.completed < target:
            answers = []
            for array in client.receive():
                if array[0] == Op.JOBS:
                    answers += self._answers(array[1])
                elif array[0] == Op.REPLY:
                    self._confirmed(*array[1:3])
            if time.monotonic() >= beat_at:
                beat_at = time.monotonic() + HEARTBEAT_S
                answers.append(client.frame(wire.Heartbeat(0, [])))
            if answers:
                client.socket.sendall(b"".join(answers))

    def _answers(self, jobs: list[Any]) -> list[bytes]:
        if self._is_timing:
            now = time.perf_counter()
            self.waits_s += [now - _INSTANT.unpack_from(job[4])[0] for job in jobs]
        if not self._fails_first:
            return [self._ack(jobs)]
        answers = []
        if failing := [job for job in jobs if job[5] == 1]:
            answers.append(self._fail(failing))
        if good := [job for job in jobs if job[5] > 1]:
            answers.append(self._ack(good))
        return answers

    def _ack(self, jobs: list[Any]) -> bytes:
        fields = [(job[0], job[1], job[2], None) for job in jobs]
        frame = self._client.frame(wire.Ack(0, fields, len(jobs)))
        self._completing[self._client.number] = len(jobs)
        return frame

    def _fail(self, jobs: list[Any]) -> bytes:
        error = {"type": "Error", "message": "the first time it fails", "traceback": ""}
        fields = [(job[0], job[1], job[2], error, 0) for job in jobs]
        return self._client.frame(wire.Fail(0, fields, len(jobs)))

    def _confirmed(self, request: int, refused: list[Any] | None = None) -> None:
        if refused:
            raise RuntimeError(f"answers refused: {refused}")
        self.completed += self._completing.pop(request, 0)
