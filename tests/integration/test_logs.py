"""The log of a real daemon at its chattiest: events that are documented, and nothing of what jobs
carry."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from holdfast import AccessDenied, JobFailed, aio
from holdfast.active import ActiveJob
from holdfast.worker import Worker
from support import sabotaged_daemon
from support.daemon import DaemonProcess
from support.keys import new_key

SECRET = "what-only-the-worker-may-know"


async def handle(job: ActiveJob) -> Any:
    assert SECRET in job.data
    job.progress(SECRET)
    job.log(SECRET)
    if job.name == "fails":
        raise ValueError(SECRET)
    return SECRET


async def work_under(daemon: DaemonProcess, key: str) -> None:
    """Jobs with secrets through all that is done with them; a wrong key; broken frames."""
    async with aio.Queue("mail", url=daemon.url, key=key, timeout=10) as queue:
        done, failed = await queue.add_many([("succeeds", SECRET, {}), ("fails", SECRET, {})])
        await queue.add("later", SECRET, delay=3600)
        worker = Worker("mail", handle, url=daemon.url, key=key)
        working = asyncio.create_task(worker.run_async())
        assert await done.wait(10) == SECRET
        with pytest.raises(JobFailed, match=SECRET):
            await failed.wait(10)
        await queue.retry(failed.id, state="failed")
        worker.stop()
        await working
        await queue.drain(delayed=True)
    wrong = key[:-1] + ("1" if key.endswith("0") else "0")
    with pytest.raises(AccessDenied):
        async with aio.Queue("mail", url=daemon.url, key=wrong, timeout=10) as queue:
            await queue.counts()
    _, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
    writer.write(b"\x00\x00\x00\xff" + SECRET.encode() * 20)
    await writer.drain()
    writer.close()


async def log_of(tmp_path: Path, program: list[str]) -> tuple[str, str]:
    """What a daemon writes at level debug, and the secret of the key that was used."""
    key = new_key(tmp_path / "data", "web")
    levels = {"HOLDFAST_LOG_LEVEL": "debug", "HOLDFAST_LOG_FORMAT": "json"}
    environment = {**os.environ, **levels, "HOLDFAST_AUTH_REQUIRED": "on"}
    daemon = DaemonProcess(tmp_path / "data", environment=environment)
    daemon.program = program
    with daemon:
        await work_under(daemon, key)
        assert daemon.stop() == 0
        return daemon.log(), key.rpartition("_")[2]


async def test_no_data_result_error_or_key_is_in_the_log(tmp_path: Path) -> None:
    log, key_secret = await log_of(tmp_path, ["-m", "holdfastd"])
    assert SECRET not in log
    assert key_secret not in log
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert {"ready", "audit", "wrong_key", "protocol_error", "draining", "stopped"} <= set(events)


async def test_what_a_library_says_of_its_work_would_betray_the_data(tmp_path: Path) -> None:
    log, _ = await log_of(tmp_path, [sabotaged_daemon.__file__, "chatters"])
    assert SECRET in log
