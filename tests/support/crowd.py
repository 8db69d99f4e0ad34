"""Many connections from one process: `crowd.py URL`, driven by lines of JSON.

A line on standard input is `[command, argument…]`; the answer is one line on standard output.
Raw connections are strangers to the daemon or rude to it; links are the real client's.
"""

import asyncio
import contextlib
import json
import random
import resource
import socket
import subprocess
import sys
import time
from typing import Any, Final

import uvloop

from holdfast.access import access_of
from holdfast.errors import HoldfastError
from holdfast.link import Link
from holdfast.wire import messages as wire
from holdfast.wire.constants import FRAME_BYTES_MAX_BEFORE_WELCOME
from holdfast.wire.frames import encode_frame

DRIP_S: Final = 0.1
GETS: Final = 20
OPENED_AT_ONCE_MAX: Final = 200
CLAIM: Final = {
    "silent": b"",
    "drip": FRAME_BYTES_MAX_BEFORE_WELCOME.to_bytes(4),
    "stuffed": FRAME_BYTES_MAX_BEFORE_WELCOME.to_bytes(4)
    + bytes(FRAME_BYTES_MAX_BEFORE_WELCOME - 1),
    "gigabytes": b"\x7f\xff\xff\xff",
}
"""What a stranger says first: nothing, the length of a frame, all but its last byte, too much."""


class Stranger(asyncio.Protocol):
    def __init__(self, crowd: "Crowd"):
        self._crowd = crowd

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._crowd.strangers.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.strangers.discard(self)


class Crowd:
    def __init__(self, url: str):
        self._access = access_of(url)
        self.strangers: set[Stranger] = set()
        self.links: list[Link] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._unread: list[socket.socket] = []
        self._failed_calls: list[str] = []
        self.acks = 0

    # ---- strangers ---------------------------------------------------------------------------

    async def strangers_open(self, kind: str, count: int) -> dict[str, Any]:
        """So many connections that never say who they are."""
        gate = asyncio.Semaphore(OPENED_AT_ONCE_MAX)

        async def open_one() -> None:
            async with gate:
                _, stranger = await asyncio.get_running_loop().create_connection(
                    lambda: Stranger(self), self._access.address.host, self._access.address.port
                )
            stranger.transport.write(CLAIM[kind])

        await asyncio.gather(*(open_one() for _ in range(count)))
        if kind == "drip":
            self._tasks.append(asyncio.create_task(self._drip()))
        return {"open": len(self.strangers)}

    async def _drip(self) -> None:
        while True:
            for stranger in list(self.strangers):
                stranger.transport.write(b"x")
            await asyncio.sleep(DRIP_S)

    async def strangers_left(self) -> dict[str, Any]:
        return {"open": len(self.strangers)}

    # ---- clients that never read -------------------------------------------------------------

    async def unread_open(self, count: int, queue: str, credit: int, id: str) -> dict[str, Any]:
        """Workers that take jobs, ask for one GETS times, and never read what they are sent."""
        for number in range(count):
            await asyncio.to_thread(self._open_unread, number, queue, credit, id)
        return {"open": len(self._unread)}

    def _open_unread(self, number: int, queue: str, credit: int, id: str) -> None:
        rude = socket.socket()
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # or the kernel reads for us
        rude.connect((self._access.address.host, self._access.address.port))
        info = {"protocol": 1, "session": f"rude-{number}", "worker": {"name": f"rude-{number}"}}
        rude.sendall(encode_frame(wire.encode(wire.Identify(info))))
        while b"last_request" not in rude.recv(4096):  # a field of WELCOME
            pass
        rude.sendall(encode_frame(wire.encode(wire.Subscribe(1, [queue], credit))))
        for request in range(GETS):
            rude.sendall(encode_frame(wire.encode(wire.Get(2 + request, queue, id))))
        self._unread.append(rude)

    # ---- honest ones -------------------------------------------------------------------------

    async def workers_open(self, count: int, queue: str) -> dict[str, Any]:
        """Workers with room for one job each; what they get they ack at once."""
        for number in range(count):
            link = Link(self._access, {"name": f"w{number}", "host": "h", "pid": 1})
            self.links.append(link)
            self._work(link, queue)
            link.start()
            if number % OPENED_AT_ONCE_MAX == 0:
                await self._all_open(60)
        await self._all_open(60)
        self._tasks.append(asyncio.create_task(self._beat()))
        return {"open": self._open_count()}

    def _work(self, link: Link, queue: str) -> None:
        def opened(lost: list[int]) -> None:
            self._listen_to(link.send(wire.Subscribe(0, [queue], 1)))

        def arrived(items: list[Any]) -> None:
            self.acks += len(items)
            held = [[item[0], item[1], item[2], None] for item in items]
            self._listen_to(link.send(wire.Ack(0, held, len(held))))

        link.on_open, link.on_jobs = opened, arrived

    def _listen_to(self, future: "asyncio.Future[Any]") -> None:
        future.add_done_callback(self._note)

    def _note(self, future: "asyncio.Future[Any]") -> None:
        if not future.cancelled() and (error := future.exception()):
            self._failed_calls.append(str(error))

    async def _beat(self) -> None:
        """Heartbeats of all, spread over their rhythm."""
        while True:
            for number, link in enumerate(self.links):
                if link.is_open:
                    self._listen_to(link.send(wire.Heartbeat(0, [])))
                if number % 100 == 99:
                    await asyncio.sleep(self.links[0].heartbeat_s * 100 / len(self.links))
            await asyncio.sleep(DRIP_S)

    def _open_count(self) -> int:
        return sum(link.is_open for link in self.links)

    async def _all_open(self, seconds: float) -> None:
        async with asyncio.timeout(seconds):
            while self._open_count() < len(self.links):
                await asyncio.sleep(0.01)

    async def links_wait(self, seconds: float) -> dict[str, Any]:
        """Until all links are open; how long that took."""
        began = time.monotonic()
        with contextlib.suppress(TimeoutError):
            await self._all_open(seconds)
        return {"open": self._open_count(), "seconds": time.monotonic() - began}

    async def links_state(self) -> dict[str, Any]:
        errors = self._failed_calls
        return {"open": self._open_count(), "acks": self.acks, "errors": errors[:5]}

    async def callers_open(self, count: int) -> dict[str, Any]:
        self.links = [Link(self._access) for _ in range(count)]
        for number, link in enumerate(self.links):
            link.start()
            if number % OPENED_AT_ONCE_MAX == 0:
                await asyncio.sleep(0.01)
        await self._all_open(60)
        return {"open": self._open_count()}

    async def calls(self, per_second: int, seconds: float, queue: str) -> dict[str, Any]:
        """Jobs added by links in turn, at a given speed, whatever the answers do."""
        waits_s: list[float] = []
        errors: list[str] = []

        async def call(link: Link, serial: int) -> None:
            item = [random.randbytes(16), "n", b"\xc0"]
            began = time.perf_counter()
            try:
                await link.call(wire.Enqueue(0, queue, [item], False), 30)
                waits_s.append(time.perf_counter() - began)
            except HoldfastError as error:
                errors.append(str(error))

        began = time.monotonic()
        calling = []
        for serial in range(int(per_second * seconds)):
            await asyncio.sleep(max(0.0, began + serial / per_second - time.monotonic()))
            calling.append(asyncio.create_task(call(random.choice(self.links), serial)))
        await asyncio.gather(*calling)
        waits_s.sort()
        return {
            "calls": len(waits_s),
            "errors": errors[:5],
            "p50_ms": waits_s[len(waits_s) // 2] * 1000,
            "p99_ms": waits_s[len(waits_s) * 99 // 100] * 1000,
        }

    async def leave(self) -> dict[str, Any]:
        """Close everything."""
        for task in self._tasks:
            task.cancel()
        for stranger in list(self.strangers):
            stranger.transport.abort()
        for rude in self._unread:
            rude.close()
        for link in self.links:
            await link.close()
        self.links, self._unread, self._tasks = [], [], []
        return {}


async def obey(url: str) -> None:
    crowd = Crowd(url)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        name, *arguments = json.loads(line)
        print(json.dumps(await getattr(crowd, name)(*arguments)), flush=True)


class CrowdProcess:
    """The crowd, seen from the test."""

    def __init__(self, url: str):
        self._process = subprocess.Popen(
            [sys.executable, __file__, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    async def do(self, *command: Any) -> dict[str, Any]:
        """Raises RuntimeError: the process has ended; its words are in the test's output."""
        return await asyncio.to_thread(self._do, command)

    def _do(self, command: tuple[Any, ...]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the crowd ended at {command}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> "CrowdProcess":
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.communicate()


def raise_open_files() -> int:
    """As many as are allowed, for this process and those it starts. Returns how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


if __name__ == "__main__":
    uvloop.run(obey(sys.argv[1]))
