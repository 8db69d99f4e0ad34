"""When the store breaks under a running daemon, the process ends before it can say a wrong word."""

import asyncio
import contextlib
import sqlite3

from holdfast import aio
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
