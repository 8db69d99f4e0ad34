"""beanstalkd by its own protocol: answers come in the order of commands, which can be pipelined."""

import socket

from bench.clients.producing import produce
from bench.clients.settings import QUEUE, ROLE, URL
from bench.clients.tally import tally

BULK = 100
IN_FLIGHT = 2_000
RESERVES = 200


class Connection:
    def __init__(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", int(URL)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def call(self, command: bytes) -> bytes:
        self.socket.sendall(command)
        while b"\r\n" not in self.buffer:
            self.receive()
        answer, _, self.buffer = self.buffer.partition(b"\r\n")
        return answer

    def receive(self) -> None:
        data = self.socket.recv(1 << 18)
        if not data:
            raise ConnectionError("beanstalkd has closed the connection")
        self.buffer += data


def put(payload: str) -> bytes:
    """Priority 0, no delay, 60 s to run."""
    return b"put 0 0 60 %d\r\n%s\r\n" % (len(payload), payload.encode())


def add() -> None:
    connection = Connection()
    connection.call(b"use %s\r\n" % QUEUE.encode())
    unanswered = 0

    def single(payload: str) -> None:
        answer = connection.call(put(payload))
        if not answer.startswith(b"INSERTED"):
            raise RuntimeError(answer)

    def bulk(payload: str) -> int:
        """Counts what is answered, not what is sent."""
        nonlocal unanswered
        while unanswered < IN_FLIGHT:
            connection.socket.sendall(put(payload) * BULK)
            unanswered += BULK
        connection.receive()
        answers, _, rest = connection.buffer.rpartition(b"\r\n")
        connection.buffer = rest
        answered = answers.count(b"INSERTED")
        unanswered -= answered
        return answered

    produce(single=single, bulk=bulk)


def work() -> None:
    """Each job's delete goes with a reserve for the next."""
    connection = Connection()
    connection.call(b"watch %s\r\n" % QUEUE.encode())
    connection.socket.sendall(b"reserve\r\n" * RESERVES)
    while True:
        connection.receive()
        answers = []
        data, at = connection.buffer, 0
        while (end := data.find(b"\r\n", at)) >= 0:
            words = data[at:end].split()
            if words[0] != b"RESERVED":
                if words[0] != b"DELETED":
                    raise RuntimeError(words)
                at = end + 2
                continue
            stop = end + 2 + int(words[2])
            if len(data) < stop + 2:
                break
            tally.handled(data[end + 2 : stop].decode())
            answers.append(b"delete %s\r\nreserve\r\n" % words[1])
            at = stop + 2
        connection.buffer = data[at:]
        if answers:
            connection.socket.sendall(b"".join(answers))


if ROLE == "produce":
    add()
else:
    work()
