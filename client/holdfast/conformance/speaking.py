"""One connection of a check: it says right and wrong things, and keeps what comes, by kind.

Everything that is waited for has a deadline, and fails with what was sent last, what was expected,
and what has come since.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple, NoReturn, TypeVar

from holdfast.access import Access
from holdfast.conformance.outcomes import Failed, Subject
from holdfast.wire import messages as wire
from holdfast.wire.checks import shown
from holdfast.wire.connection import ClientConnection, ProtocolError
from holdfast.wire.constants import ERROR_CODES, ErrorCode, Op

T = TypeVar("T")

QUIET_S: Final = 0.05
"""After an answer, how long something that must not come is waited for. Arbitrary: it would be in
the same write, or in one that has begun."""
SHOWN_MAX: Final = 300
"""Characters of a message in a failure."""
READ_BYTES: Final = 2**18


class Job(NamedTuple):
    """An item of JOBS."""

    token: int
    queue: str
    id: str
    name: str
    payload: bytes
    attempt: int
    attempts: int
    created_at_ms: int
    crashes: int
    releases: int

    @property
    def held(self) -> list[Any]:
        """How an answer of the worker begins."""
        return [self.token, self.queue, self.id]


class Event(NamedTuple):
    """An item of EVENTS."""

    number: int
    kind: int
    at_ms: int
    id: str | None
    name: str | None
    details: dict[str, Any]


def told(message: wire.Message | wire.MessageError) -> str:
    """A message on one line, cut."""
    if isinstance(message, wire.MessageError):
        return f"a frame that is no message ({message.text})"
    fields = ", ".join(
        f"{name} {shown(value, SHOWN_MAX)}"
        for name, value in zip(message._fields, message, strict=True)
    )
    return shown_name(message) + (f": {fields}" if fields else "")


def shown_name(message: wire.Message) -> str:
    return wire.name_of(type(message))


class Speaker:
    """Attributes:
    hello, welcome: what the server said; None = not yet.
    jobs, revoked, events: what was pushed and not taken yet.
    went: the server has said GOAWAY.
    is_closed: by the server.
    met: opcodes and error codes that went over the wire, shared by the connections of a check.
    """

    def __init__(
        self,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        answer_s: float,
        note: Callable[[str], None],
        met: set[Subject],
    ):
        """answer_s: how long any answer is waited for. note: takes each line of the transcript."""
        self._reader, self._writer = streams
        self._answer_s = answer_s
        self._note = note
        self.met = met
        self._wire = ClientConnection()
        self._number = 0
        self._sent = "nothing"
        self._came: list[str] = []
        """Since it was sent."""
        self.hello: wire.Hello | None = None
        self.welcome: wire.Welcome | None = None
        self.answers: dict[int, wire.Reply | wire.Error] = {}
        self.error: wire.Error | None = None
        """The last one that answers no request."""
        self.jobs: list[Job] = []
        self.revoked: list[list[int]] = []
        self.events: list[Event] = []
        self.went = False
        self.is_closed = False
        self.session = ""
        self.has_left = False
        """GOODBYE was said, or the session was taken by another connection."""

    @classmethod
    async def dial(
        cls, access: Access, answer_s: float, note: Callable[[str], None], met: set[Subject]
    ) -> "Speaker":
        """Raises OSError, TimeoutError."""
        address = access.address
        tls = access.tls_context() if address.is_tls else None
        async with asyncio.timeout(answer_s):
            streams = await asyncio.open_connection(address.host, address.port, ssl=tls)
        return cls(streams, answer_s, note, met)

    # ---- saying --------------------------------------------------------------------------------

    async def say(self, *messages: wire.Message) -> None:
        """Send messages as they are, in one write."""
        await self.say_bytes(self.frames_of(*messages), "; ".join(map(told, messages[:3])))

    def frames_of(self, *messages: wire.Message) -> bytes:
        """For who sends them in another form; they count as sent."""
        self.met.update(Op[shown_name(message)] for message in messages)
        return self._wire.send_many(messages)

    async def say_bytes(self, data: bytes, what: str) -> None:
        """Send anything. what: for the failure's text."""
        self._sent, self._came = what, []
        self._note(f"-> {what}")
        self._writer.write(data)
        try:
            await self._writer.drain()
        except OSError:
            self.is_closed = True

    def numbered(self, message: Any) -> Any:
        """A request with the session's next number."""
        self._number += 1
        return message._replace(request=self._number)

    def count_from(self, number: int) -> None:
        """The next request has the number after that."""
        self._number = number

    async def post(self, message: Any) -> int:
        """Send a request and do not wait. Returns its number."""
        message = self.numbered(message)
        await self.say(message)
        return int(message.request)

    # ---- what comes ------------------------------------------------------------------------------

    async def until(self, ready: Callable[[], T], expected: str, within_s: float = 0.0) -> T:
        """What `ready` gives, as soon as that is true. Raises Failed.

        Args:
            within_s: instead of the usual time for an answer.
        """
        seconds = within_s or self._answer_s
        if not await self.sees(ready, seconds):
            self.fail(expected, self._what_came(seconds))
        return ready()

    async def sees(self, ready: Callable[[], object], within_s: float) -> bool:
        """Whether it comes true in time, and before the connection ends."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        while not ready():
            left_s = deadline - loop.time()
            if left_s <= 0 or self.is_closed or not await self._read(left_s):
                return bool(ready())
        return True

    async def _read(self, within_s: float) -> bool:
        """False: nothing came in time. The end of the connection is something."""
        try:
            async with asyncio.timeout(within_s):
                data = await self._reader.read(READ_BYTES)
        except TimeoutError:
            return False
        except OSError:
            data = b""
        if not data:
            self.is_closed = True
            self._note("<- the end of the connection")
        try:
            for message in self._wire.receive(data):
                self._keep(message)
        except ProtocolError as error:
            self.fail("messages of the protocol, at their place", str(error))
        return True

    def _keep(self, message: wire.Message | wire.MessageError) -> None:
        self._note(f"<- {told(message)}")
        self._came.append(told(message))
        if isinstance(message, wire.MessageError):
            return  # of a newer server, perhaps
        self.met.add(Op[shown_name(message)])
        match message:
            case wire.Hello():
                self.hello = message
            case wire.Welcome():
                self.welcome = message
            case wire.Reply():
                self.answers[message.request] = message
            case wire.Error():
                self._keep_error(message)
            case wire.Jobs():
                self.jobs += [Job(*item[:10]) for item in message.items]
            case wire.Revoke():
                self.revoked += message.items
            case wire.Events():
                self.events += [Event(*item[:6]) for item in message.events]
            case wire.Goaway():
                self.went = True
            case _:
                pass

    def _keep_error(self, error: wire.Error) -> None:
        if error.code in ErrorCode._value2member_map_:
            self.met.add(ErrorCode(error.code))
        if error.request is None:
            self.error = error
        else:
            self.answers[error.request] = error

    def _what_came(self, seconds: float) -> str:
        came = "; ".join(self._came[-3:])
        if self.is_closed:
            return f"{came}; the end of the connection" if came else "the end of the connection"
        return came or f"nothing within {seconds:g} s"

    def fail(self, expected: str, came: str) -> NoReturn:
        raise Failed(self._sent, expected, came)

    def expect(self, is_so: object, expected: str, came: object) -> None:
        """Raises Failed unless it is so."""
        if not is_so:
            self.fail(expected, shown(came, SHOWN_MAX))

    def same(self, what: str, came: object, expected: object) -> None:
        """Raises Failed unless they are equal, of the same types."""
        is_same = came == expected and isinstance(came, bool) == isinstance(expected, bool)
        self.expect(is_same, f"{what} {shown(expected, SHOWN_MAX)}", came)

    # ---- requests --------------------------------------------------------------------------------

    async def answered(self, number: int) -> wire.Reply | wire.Error:
        """What came for the request of that number."""
        found = await self.until(
            lambda: self.answers.get(number), f"REPLY or ERROR to request {number}"
        )
        assert found is not None, "until gives what is there"
        return self.answers.pop(number)

    async def ask(self, message: Any) -> Any:
        """Send a request under the next number; the result of its REPLY. Raises Failed."""
        return await self.result_of(await self.post(message))

    async def result_of(self, number: int) -> Any:
        answer = await self.answered(number)
        if isinstance(answer, wire.Error):
            self.fail("REPLY", told(answer))
        return answer.result

    async def ask_items(self, message: Any, *refused: tuple[int, int]) -> list[Any]:
        """A request whose REPLY lists items; each pair is the index of one that is refused, or is
        there already, and its code or status. Returns the list."""
        result = await self.ask(message)
        came = [item[:2] for item in result] if isinstance(result, list) else result
        self.same("REPLY with", came, [list(pair) for pair in refused])
        codes = [code for _, code in refused if code in ErrorCode._value2member_map_]
        self.met.update(map(ErrorCode, codes))
        return list(result)

    async def refused(self, message: Any, code: ErrorCode) -> wire.Error:
        """A request that is refused, on a connection that stays open. Where it is of no use to try
        again, it is refused a second time."""
        error = await self._refused_once(message, code)
        if not ERROR_CODES[code].retryable:
            await self._refused_once(message, code)
        return error

    async def _refused_once(self, message: Any, code: ErrorCode) -> wire.Error:
        answer = await self.answered(await self.post(message))
        if isinstance(answer, wire.Reply) or answer.code != code:
            self.fail(f"ERROR {int(code)} ({code.name})", told(answer))
        self.expect(answer.message, "an ERROR with a message for people", answer.message)
        self.expect(isinstance(answer.details, dict), "details that are a map", answer.details)
        return answer

    async def is_refused(self, code: ErrorCode) -> wire.Error:
        """The connection is: ERROR without a request, and its end."""
        what = f"ERROR {int(code)} ({code.name}) with request nil, and the end of the connection"
        error = await self.until(lambda: self.error, what)
        assert error is not None, "until gives what is there"
        self.expect(error.code == code, what, told(error))
        await self.ends()
        return error

    async def ends(self, within_s: float = 0.0) -> None:
        """The server closes the connection."""
        await self.until(lambda: self.is_closed, "the end of the connection", within_s)

    # ---- pushes ----------------------------------------------------------------------------------

    async def take_jobs(self, count: int, within_s: float = 0.0) -> list[Job]:
        """So many jobs, and no more."""
        await self.until(lambda: len(self.jobs) >= count, f"{count} jobs pushed", within_s)
        self.expect(len(self.jobs) == count, f"{count} jobs pushed", [job.id for job in self.jobs])
        taken, self.jobs = self.jobs, []
        return taken

    async def take_job(self, within_s: float = 0.0) -> Job:
        (job,) = await self.take_jobs(1, within_s)
        return job

    async def take_events(self, count: int, within_s: float = 0.0) -> list[Event]:
        """The next so many events."""
        await self.until(lambda: len(self.events) >= count, f"{count} events", within_s)
        taken, self.events = self.events[:count], self.events[count:]
        return taken

    async def is_told(self, token: int, reason: int) -> None:
        """REVOKE of that lease comes."""
        await self.until(
            lambda: [token, reason] in self.revoked, f"REVOKE of lease {token}, reason {reason}"
        )

    async def gets_nothing(self, expected: str) -> None:
        """Neither job nor event nor REVOKE is on its way: an answer that was asked for later is
        here, and a moment has passed."""
        await self.ask(wire.Heartbeat(0, []))
        await self.sees(lambda: False, QUIET_S)
        came: list[Any] = [*self.jobs, *self.events, *self.revoked]
        self.expect(not came, expected, came)

    # ---- the end ---------------------------------------------------------------------------------

    def cut(self) -> None:
        """Break the connection without a word."""
        self._note("-- cut")
        self._writer.transport.abort()
        self.is_closed = True

    async def leave(self) -> None:
        """GOODBYE, and see the end."""
        self.has_left = True
        await self.say(wire.Goodbye())
        await self.ends()
        self._writer.close()
