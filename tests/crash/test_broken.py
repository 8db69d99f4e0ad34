"""When the store breaks under a running daemon, the process ends before it can say a wrong word."""

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast import aio
from support import faulty_daemon
from support.daemon import DaemonProcess


async def test_a_deposed_daemon_ends_with_70_and_confirms_nothing(daemon: DaemonProcess) -> None:
    """Another epoch in the file is what a second daemon, let in by a broken lock, would leave."""
    async with aio.Queue("q", url=daemon.url) as queue:
        await queue.add("before", id="before")
        with contextlib.closing(sqlite3.connect(daemon.directory / "holdfast.db")) as other:
            other.execute("UPDATE part SET epoch = epoch + 1")
            other.commit()
        adding = asyncio.create_task(queue.add("after", id="after"))
        assert daemon.process is not None
        assert await asyncio.to_thread(daemon.process.wait, 10) == 70
        assert not adding.done(), "confirmed by a daemon that could not write"
        assert "does not follow what is stored" in daemon.log()
        assert "Traceback" not in daemon.log()

        daemon.start()
        async with asyncio.timeout(30):
            await adding  # sent again, once, to the daemon that can write
        assert (await queue.counts())["waiting"] == 2


@pytest.mark.parametrize("number", [1, 30])
@pytest.mark.parametrize("plan", ["write:EIO", "write:SHORT", "sync:EIO"])
async def test_an_error_of_the_disk_ends_the_daemon_with_70_and_loses_nothing(
    tmp_path: Path, plan: str, number: int
) -> None:
    with DaemonProcess(tmp_path / "data") as daemon:
        daemon.stop()  # its files are made
        failing = str(Path(faulty_daemon.__file__))
        daemon.program = [failing, f"{plan}:{number + 10}"]
        daemon.environment = {**os.environ, "PYTHONPATH": str(Path(failing).parents[1])}
        daemon.start()
        confirmed: list[str] = []
        async with aio.Queue("q", url=daemon.url, timeout=20) as queue:

            async def produce(producer: int) -> None:
                for serial in range(40):
                    job = await queue.add("n", id=f"{producer}-{serial}")
                    confirmed.append(job.id)

            producing = [asyncio.create_task(produce(producer)) for producer in range(5)]
            assert daemon.process is not None
            assert await asyncio.to_thread(daemon.process.wait, 20) == 70
            assert "disk I/O error" in daemon.log()
            before = set(confirmed)
            daemon.program = ["-m", "holdfastd"]
            daemon.start()
            found = {job.id async for job in queue.jobs("waiting")}
            assert before <= found
            await asyncio.gather(*producing)
            assert (await queue.counts())["waiting"] == 200


def test_a_broken_invariant_in_a_callback_ends_the_process_with_70() -> None:
    """There is no known way to break one from outside, so a callback raises it in the real loop."""
    program = """
import asyncio
from holdfastd import daemon, logs
from holdfastd.engine.transitions import InvariantError

def broken():
    raise InvariantError("two leases for one job")

async def main():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(daemon._on_stray_error)
    loop.call_soon(broken)
    await asyncio.Event().wait()

logs.set_up("info", "text")
daemon.uvloop.run(main())
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=15, check=False)
    assert done.returncode == 70
    assert "InvariantError: two leases for one job" in done.stderr
