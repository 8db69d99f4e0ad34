"""The surroundings of one check: connections, queues of its own, and the cleaning up."""

import asyncio
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from holdfast.access import Access
from holdfast.conformance.outcomes import Failed, Skipped, Subject
from holdfast.conformance.speaking import Job, Speaker
from holdfast.wire import messages as wire
from holdfast.wire.constants import PROTOCOL_VERSION, ErrorCode

NIL: Final = b"\xc0"
"""The smallest payload: msgpack's nil."""
CLIENT: Final = "holdfast conformance"
BUSY_TRIES: Final = 50
BUSY_S: Final = 0.05
TRANSCRIPT_LINES: Final = 200
"""The last ones; a check seldom has more."""


@dataclass(frozen=True)
class Server:
    """Which one is asked, and how.

    Attributes:
        access: with a key that may do everything, if it wants one.
        answer_s: how long any answer is waited for.
        patience_s: how long something is waited for that takes its time by nature, such as the
            loss of a lease; what takes longer is skipped.
        viewer: with a key of the role viewer; None = what that may not do is not checked.
        restart: command for the shell that makes the server go down and come back; None = what
            then happens is not checked.
    """

    access: Access
    answer_s: float = 10.0
    patience_s: float = 60.0
    viewer: Access | None = None
    restart: str | None = None


class Scene:
    def __init__(self, server: Server, prefix: str):
        """prefix: of the names of queues; nobody else has it."""
        self.server = server
        self._prefix = prefix
        self.met: set[Subject] = set()
        self.transcript: list[str] = []
        self._speakers: list[Speaker] = []
        self._queues: dict[str, None] = {}

    # ---- connections -----------------------------------------------------------------------------

    async def dial(self, access: Access | None = None) -> Speaker:
        """A connection on which nothing was said yet, by nobody."""
        label = f"#{len(self._speakers) + 1}"
        try:
            speaker = await Speaker.dial(
                access or self.server.access,
                self.server.answer_s,
                lambda line: self._note(f"{label} {line}"),
                self.met,
            )
        except OSError as error:
            raise Failed("a connection", "that it is accepted", str(error)) from error
        self._speakers.append(speaker)
        return speaker

    def _note(self, line: str) -> None:
        self.transcript.append(line)
        del self.transcript[:-TRANSCRIPT_LINES]

    async def connect(self, access: Access | None = None) -> Speaker:
        """A connection on which the server has said HELLO."""
        speaker = await self.dial(access)
        await speaker.until(lambda: speaker.hello, "HELLO, as the first thing said")
        return speaker

    def identity(
        self, speaker: Speaker, access: Access | None = None, **fields: Any
    ) -> dict[str, Any]:
        """What IDENTIFY carries; `fields` are added, or take the place of what is there."""
        assert speaker.hello is not None, "connect has waited for it"
        info = {
            "protocol": PROTOCOL_VERSION,
            "client": CLIENT,
            "session": secrets.token_hex(16),
            **fields,
        }
        auth = (access or self.server.access).auth(speaker.hello.info.get("nonce", b""))
        return info if auth is None or "auth" in fields else {**info, "auth": auth}

    async def enter(self, access: Access | None = None, **fields: Any) -> Speaker:
        """A connection that was let in. fields: of IDENTIFY."""
        speaker = await self.connect(access)
        await self.identify(speaker, self.identity(speaker, access, **fields))
        return speaker

    async def identify(self, speaker: Speaker, info: dict[str, Any]) -> dict[str, Any]:
        """Returns WELCOME's map."""
        await speaker.say(wire.Identify(info))
        welcome = await speaker.until(lambda: speaker.welcome, "WELCOME")
        assert welcome is not None, "until gives what is there"
        speaker.session = info["session"]
        last_request = welcome.info.get("last_request")
        speaker.count_from(last_request if isinstance(last_request, int) else 0)
        return welcome.info

    async def resume(self, before: Speaker, **fields: Any) -> Speaker:
        """Cut a connection, and take up its session with another one."""
        before.cut()
        return await self.enter(session=before.session, **fields)

    async def worker(self, *queues: str, credit: int, **fields: Any) -> Speaker:
        """One that has subscribed."""
        name = {"name": "conformance", "host": "conformance", "pid": 1}
        speaker = await self.enter(**{"worker": name, **fields})
        await speaker.ask(wire.Subscribe(0, list(queues), credit))
        return speaker

    # ---- queues and jobs -------------------------------------------------------------------------

    def queue(self, name: str = "q") -> str:
        """A name that nobody else uses; what is in it goes at the end."""
        full = f"{self._prefix}:{name}"
        self._queues[full] = None
        return full

    async def add(self, speaker: Speaker, queue: str, *ids: str, **options: Any) -> None:
        """Jobs with these ids and options."""
        items = [[id, "conformance", NIL, options or None] for id in ids]
        await speaker.ask_items(wire.Enqueue(0, queue, items))

    async def job(self, speaker: Speaker, queue: str, id: str) -> dict[str, Any]:
        """As GET tells of it."""
        found = await speaker.ask(wire.Get(0, queue, id))
        speaker.expect(isinstance(found, dict), "the job's map", found)
        return dict(found)

    async def leased(self, queue: str, id: str = "a", **options: Any) -> tuple[Speaker, Job]:
        """A worker that runs the only job of a new queue, and has no credit left."""
        worker = await self.worker(queue, credit=1)
        await self.add(worker, queue, id, **options)
        return worker, await worker.take_job()

    # ---- waiting ---------------------------------------------------------------------------------

    def skip(self, why: str) -> NoReturn:
        raise Skipped(why)

    def waits(self, needed_s: float, what: str) -> float:
        """How long to wait for something that takes so long by nature. Raises Skipped."""
        if needed_s > self.server.patience_s:
            self.skip(f"{what} takes {needed_s:g} s: --patience is {self.server.patience_s:g} s")
        return needed_s + self.server.answer_s

    # ---- the end ---------------------------------------------------------------------------------

    async def clean(self) -> None:
        """Take away queues and sessions. Raises OSError, Failed where the server does not help."""
        if not self._speakers:
            return
        kept = {each.session for each in self._speakers if each.session and not each.has_left}
        for speaker in self._speakers:
            speaker.cut()
        for session in sorted(kept):
            with suppress(Failed):  # it was another key's
                await (await self.enter(session=session)).leave()
        if self._queues:
            sweeper = await self.enter()
            for queue in self._queues:
                await self._obliterate(sweeper, queue)
            await sweeper.leave()
        for speaker in self._speakers:
            speaker.cut()

    async def _obliterate(self, sweeper: Speaker, queue: str) -> None:
        for _ in range(BUSY_TRIES):
            request = await sweeper.post(wire.Obliterate(0, queue, True))
            answer = await sweeper.answered(request)
            if not isinstance(answer, wire.Error) or answer.code != ErrorCode.BUSY:
                return
            await asyncio.sleep(BUSY_S)
