"""Mutated frames through decoder, requests, engine, encoder: refused or applied, never broken."""

import os
import random
from collections import Counter
from typing import Any

import pytest

from holdfast.wire import messages as wire
from holdfast.wire.checks import Refusal
from holdfast.wire.connection import ProtocolError, ServerConnection
from holdfast.wire.constants import PAYLOAD_BYTES_MAX
from holdfast.wire.frames import FrameDecoder
from holdfastd.engine import commands
from holdfastd.engine.model import QueueSettings
from holdfastd.net.answers import messages_of
from holdfastd.net.requests import Requests
from support.engine import START_MS, Driver, P, W
from support.mutation import GOLDEN, mutated

FRAMES = 60_000
CUT_FRAMES = 400_000 if os.environ.get("HOLDFAST_OUTSIDE") == "long" else 1_000
FROM_CLIENTS = [name for name in GOLDEN if name not in ("IDENTIFY", "GOODBYE", "HELLO", "WELCOME")]


class Server:
    """The daemon without sockets and disk."""

    def __init__(self) -> None:
        self.driver = Driver()
        self.requests = Requests(PAYLOAD_BYTES_MAX, self._settings_of)
        self.outcomes: Counter[str] = Counter()
        self.connect()

    def _settings_of(self, name: str) -> QueueSettings:
        queue = self.driver.engine.queues.get(name)
        return QueueSettings() if queue is None else queue.settings

    def connect(self) -> None:
        self.wire = ServerConnection()
        self.wire.receive(GOLDEN["IDENTIFY"])
        self.wire.send(wire.Welcome({}))
        self.driver.attach(P, "producer")
        self.driver.attach(W, "worker", worker="w")
        self.driver.subscribe(W, "mail", credit=5)

    def take(self, frame: bytes) -> None:
        try:
            messages = self.wire.receive(frame)
        except ProtocolError as error:
            self.outcomes[error.code.name] += 1
            self.connect()
            return
        for message in messages:
            self._take(message)

    def _take(self, message: wire.Message | wire.MessageError) -> None:
        if isinstance(message, wire.MessageError):
            self.outcomes[message.code.name] += 1
        elif not self.requests.knows(message):
            self.outcomes["read"] += 1
        else:
            try:
                command = self.requests.command(message, START_MS)
            except Refusal as refusal:
                self.outcomes[refusal.code.name] += 1
                return
            self.outcomes["applied"] += 1
            for connection in (P, W):
                self.driver.do(connection, command)

    def settle(self) -> None:
        """Write, and say everything, in frames that the client's decoder takes."""
        self.driver.pass_time(0.05)
        for output in self.driver.outputs:
            for message in messages_of(output):
                wire.decode(wire.encode(message))
        self.driver.clear()
        if len(self.driver.disk.jobs) > 500:
            self.driver.ask(P, commands.Obliterate("mail", True))


def test_no_mutated_frame_breaks_the_server() -> None:
    rng = random.Random(1)
    server = Server()
    frames = [GOLDEN[name] for name in FROM_CLIENTS]
    for number in range(FRAMES):
        server.take(mutated(rng.choice(frames), rng))
        if number % 20 == 0:
            server.settle()
    assert server.outcomes["applied"] > FRAMES // 20
    assert server.outcomes["BAD_REQUEST"] > FRAMES // 50
    assert len(server.outcomes) > 8


def outcome_of(*pieces: bytes) -> list[Any]:
    """What a connection makes of bytes in pieces: messages, errors of requests, and the end."""
    connection = ServerConnection()
    connection.receive(GOLDEN["IDENTIFY"])
    connection.send(wire.Welcome({}))
    seen: list[Any] = []
    for piece in pieces:
        try:
            seen += connection.receive(piece)
        except ProtocolError as error:
            return [*seen, error.code]
    return seen


def test_mutated_frames_mean_the_same_wherever_they_are_cut() -> None:
    """HOLDFAST_OUTSIDE=long tries 400 times as many. Before an error the whole may tell less: what
    came in the same bytes is lost with it."""
    rng = random.Random(2)
    frames = [GOLDEN[name] for name in FROM_CLIENTS]
    decoded = 0
    for _ in range(CUT_FRAMES):
        data = mutated(rng.choice(frames), rng) + GOLDEN["CREDIT"]
        whole = repr(outcome_of(data))
        for at in range(1, len(data)):
            parts = outcome_of(data[:at], data[at:])
            assert repr(parts) == whole or (parts and repr([parts[-1]]) == whole)
            decoded += 1
    assert decoded > 20 * CUT_FRAMES


@pytest.mark.parametrize("name", list(GOLDEN))
def test_a_frame_is_the_same_wherever_it_is_cut(name: str) -> None:
    data = GOLDEN[name] + GOLDEN["CREDIT"]
    whole = FrameDecoder(2**20).feed(data)
    for at in range(len(data)):
        decoder = FrameDecoder(2**20)
        assert decoder.feed(data[:at]) + decoder.feed(data[at:]) == whole
