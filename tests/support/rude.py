"""Mutated frames by the million, over TCP at a real daemon, beside honest clients."""

import asyncio
import contextlib
import multiprocessing
import random
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from holdfast import aio
from holdfast.wire import messages as wire
from holdfast.wire.frames import encode_frame
from support.daemon import DaemonProcess
from support.mutation import GOLDEN, mutated

FRAMES: Final = [GOLDEN[name] for name in GOLDEN if name not in ("HELLO", "WELCOME")]
PER_CONNECTION: Final = 200
AT_ONCE: Final = 10
"""Connections that throw at the same time."""
SILENCE_S: Final = 0.2
"""Without an answer for so long, all of them have come."""
HONEST: Final = 50
GROWTH_BYTES_MAX: Final = 64 * 2**20
PAUSE_S: Final = 0.02
"""Between two jobs of an honest client: what they add up to must fit into memory and be looked at
at the end."""


def throw(port: int, seed: int, frames: int) -> int:
    """Throw so many at a port; for a process of its own. Returns how many were thrown."""
    return asyncio.run(_throw_all(port, seed, frames))


async def _throw_all(port: int, seed: int, frames: int) -> int:
    rng = random.Random(seed)
    left = -(-frames // PER_CONNECTION)

    async def throw_some() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await throw_over_one_connection(port, rng)

    await asyncio.gather(*(throw_some() for _ in range(AT_ONCE)))
    return -(-frames // PER_CONNECTION) * PER_CONNECTION


async def throw_over_one_connection(port: int, rng: random.Random) -> None:
    """PER_CONNECTION frames, of which the first that breaks the protocol ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    session = rng.randbytes(8).hex()
    writer.write(encode_frame(wire.encode(wire.Identify({"protocol": 1, "session": session}))))
    await reader.read(2**12)
    writer.write(b"".join([mutated(rng.choice(FRAMES), rng) for _ in range(PER_CONNECTION)]))
    with contextlib.suppress(OSError):
        await writer.drain()
        while await asyncio.wait_for(reader.read(2**16), SILENCE_S):
            pass
    writer.close()


@dataclass(frozen=True)
class Beside:
    """What came of it."""

    frames: int
    added: int
    """Jobs that the honest ones were confirmed."""
    found: int
    """Of those, there with what was in them."""
    p99_ms: float
    longest_ms: float
    growth_bytes: int
    """Of the daemon's memory, from before the first frame to after the last."""
    exit_code: int
    tracebacks: int

    @property
    def is_wrong(self) -> bool:
        return (
            self.found != self.added
            or self.added == 0
            or self.growth_bytes > GROWTH_BYTES_MAX
            or (self.exit_code, self.tracebacks) != (0, 0)
        )

    def __str__(self) -> str:
        return (
            f"{self.frames:,} mutated frames beside {HONEST} honest clients: {self.found:,} of "
            f"{self.added:,} jobs there, waits {self.p99_ms:.1f} ms (p99), {self.longest_ms:.1f} "
            f"ms at most, memory {self.growth_bytes / 2**20:+.0f} MiB, {self.tracebacks} errors "
            f"in the log, exit {self.exit_code}"
        )


async def throw_beside_honest(folder: Path, seed: int, frames: int) -> Beside:
    """At a daemon of its own, in a folder that is there."""
    is_over = asyncio.Event()
    waits_s: list[float] = []
    added = 0

    async def be_honest(queue: aio.Queue) -> None:
        nonlocal added
        while not is_over.is_set():
            began = time.perf_counter()
            await queue.add("n", b"honest")
            waits_s.append(time.perf_counter() - began)
            added += 1
            await asyncio.sleep(PAUSE_S)

    with DaemonProcess(folder / "data") as daemon:
        process = psutil.Process(daemon.pid)
        async with contextlib.AsyncExitStack() as stack:
            queues = [
                await stack.enter_async_context(aio.Queue("honest", url=daemon.url, timeout=30))
                for _ in range(HONEST)
            ]
            before = process.memory_info().rss
            honest = [asyncio.create_task(be_honest(queue)) for queue in queues]
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                loop = asyncio.get_running_loop()
                thrown = await loop.run_in_executor(pool, throw, daemon.port, seed, frames)
            is_over.set()
            await asyncio.gather(*honest)
            growth = process.memory_info().rss - before
            data = [job.data async for job in queues[0].jobs("waiting")]
        exit_code = daemon.stop()
        waits_s.sort()
        return Beside(
            thrown,
            added,
            data.count(b"honest"),
            waits_s[len(waits_s) * 99 // 100] * 1000,
            waits_s[-1] * 1000,
            growth,
            exit_code,
            daemon.log().count("Traceback"),
        )
