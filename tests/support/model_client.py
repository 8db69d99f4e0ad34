"""A client as protocol.md describes one, without sockets: it may be away, and its answers get lost.

It numbers its requests, keeps those without an answer, and on resuming its session sends again what
the rules of sessions say. What an answer means is the business of whoever sent the request.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from holdfastd.engine import commands
from holdfastd.engine.model import State, Token
from holdfastd.engine.outputs import ItemExisting, Refuse, Welcome
from support.engine import Driver

LOST_ANSWER = "done, but the answer was lost"
"""What a sender is told of a command whose effect is durable and whose answer nobody heard."""


@dataclass
class Pending:
    command: Any
    then: Callable[[Any], None]
    """Called with the answer: a list of items, a Refuse, a result, or LOST_ANSWER."""


@dataclass
class ModelClient:
    driver: Driver
    session: str
    next_connection: Callable[[], int]
    connection: int = 0
    """0 = away."""
    is_open: bool = False
    """Welcomed."""
    number: int = 0
    """Of its last request."""
    pending: dict[int, Pending] = field(default_factory=dict)
    held: dict[Token, Any] = field(default_factory=dict)
    """Delivered items by token, until they are answered or lost."""
    stale: list[Any] = field(default_factory=list)
    """Items whose lease is over."""

    # ---- connections -----------------------------------------------------------------------

    def connect(self) -> None:
        self.connection = self.next_connection()
        command = commands.Attach(self.session, self.session, tuple(self.held), {})
        self.driver.engine.attach(self.connection, command, self.driver.moment)

    def disconnect(self) -> None:
        """The connection breaks; what was on its way is lost."""
        self.driver.do(self.connection, commands.Detach(), 0)
        self.leave()

    def leave(self) -> None:
        self.connection = 0
        self.is_open = False

    def say_goodbye(self) -> None:
        """A client says it when it has all its answers and needs nothing more."""
        self.driver.do(self.connection, commands.End(), 0)
        self.stale += self.held.values()
        self.held.clear()
        self.leave()

    # ---- requests --------------------------------------------------------------------------

    def send(self, command: Any, then: Callable[[Any], None] = lambda answer: None) -> None:
        self.number += 1
        self.pending[self.number] = Pending(command, then)
        self.driver.do(self.connection, command, self.number)

    def say(self, command: Any) -> None:
        """A message without a number: nobody answers it."""
        self.driver.do(self.connection, command, 0)

    def listen(self) -> list[Any]:
        """Hear what has been said to this connection. Returns the items delivered to it."""
        driver = self.driver
        welcome = driver.welcomes.pop(self.connection, None)
        if welcome is not None:
            self._welcomed(welcome)
        for number in list(self.pending):
            answer = driver.refusals.pop((self.connection, number), None)
            if answer is None:
                if (self.connection, number) not in driver.answers:
                    continue
                answer = driver.answers.pop((self.connection, number))
            self.pending.pop(number).then(answer)
        items = driver.take(self.connection)
        for item in items:
            self.held[item[0]] = item
        for token, _ in driver.revoked.pop(self.connection, []):
            self.lose(token)
        return items

    def lose(self, token: Token) -> None:
        if token in self.held:
            self.stale.append(self.held.pop(token))

    def _welcomed(self, welcome: Welcome) -> None:
        self.is_open = True
        for token in welcome.lost:
            self.lose(token)
        unanswered, self.pending = self.pending, {}
        last_request, last_refused = welcome.last_request, welcome.last_refused
        if not welcome.resumed:
            last_request = last_refused = self.number  # nothing is known of any of them
        for number, pending in sorted(unanswered.items()):
            if number > last_request:
                self.pending[number] = pending
                self.driver.do(self.connection, pending.command, number)
        for number, pending in sorted(unanswered.items()):
            if number > last_request:
                continue
            if isinstance(pending.command, commands.Enqueue) and number > last_refused:
                # Done; which of them were there before is not known any more.
                pending.then([ItemExisting(at, State.WAITING) for at, _ in pending.command.items])
            else:
                self._send_anew(pending, welcome.resumed)

    def _send_anew(self, pending: Pending, resumed: bool) -> None:
        """Under a new number; what cannot be repeated is reported as done."""
        match pending.command:
            case commands.Enqueue(queue, items, refused):
                textual = [(at, new._replace(is_generated=False)) for at, new in items]
                self.send(commands.Enqueue(queue, textual, refused), pending.then)
            case commands.Ack() | commands.Fail() | commands.Release():
                self.send(pending.command._replace(credit=0), pending.then)
            case _ if not resumed:
                self.send(pending.command, pending.then)
            case _:
                pending.then(LOST_ANSWER)


def is_refused(answer: Any) -> bool:
    return isinstance(answer, Refuse)
