"""Every administrative command is noted: who, what, and what came of it; and no payload."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from holdfast import Refused, aio
from holdfastd.audit import AuditError, AuditLog
from support.daemon import DaemonProcess
from support.keys import new_key

SECRET_DATA = "a-payload-that-nobody-else-is-to-read"


async def test_each_command_is_one_line_with_what_came_of_it(tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    environment = {**os.environ, "HOLDFAST_AUDIT_FILE": str(audit)}
    key = new_key(tmp_path / "data", "ops")
    with DaemonProcess(tmp_path / "data", environment=environment) as daemon:
        async with aio.Queue("mail", url=daemon.url, key=key, timeout=10) as queue:
            for id in ("a", "b", "c", "d"):
                await queue.add("welcome", SECRET_DATA, id=id, delay=3600)
            await queue.promote("a", "b")
            await queue.change("c", priority=7)
            await queue.edit("c", SECRET_DATA + "!")
            await queue.configure(concurrency=3)
            await queue.pause()
            await queue.resume()
            await queue.remove("a")
            with pytest.raises(Refused):
                await queue.remove("a", "nobody")
            with pytest.raises(Refused):
                await queue.retry("b", state="failed")
            assert await queue.drain(delayed=True) == 3
            assert await queue.obliterate() == 0
            with pytest.raises(Refused):
                await queue.obliterate()
        assert daemon.stop() == 0
    lines: list[dict[str, Any]] = [json.loads(line) for line in audit.read_text().splitlines()]
    told = [(line["command"], line["result"]) for line in lines]
    assert told == [
        ("PROMOTE", "ok"),
        ("CHANGE", "ok"),
        ("EDIT", "ok"),
        ("CONFIGURE", "ok"),
        ("PAUSE", "ok"),
        ("RESUME", "ok"),
        ("REMOVE", "ok"),
        ("REMOVE", "refused"),
        ("RETRY", "refused"),
        ("DRAIN", "ok"),
        ("OBLITERATE", "ok"),
        ("OBLITERATE", "UNKNOWN_QUEUE"),
    ]
    promote, change, edit, configure, *_ = lines
    assert (promote["id_count"], promote["ids"], promote["done"]) == (2, ["a", "b"], 2)
    assert change["changes"] == {"priority": 7}
    assert (edit["id"], edit["payload_bytes"]) == ("c", len(SECRET_DATA) + 3)
    assert configure["settings"] == {"concurrency": 3}
    assert lines[7]["refused"] == {"UNKNOWN_JOB": 2}
    assert (lines[8]["refused"], lines[8]["expected"]) == ({"WRONG_STATE": 1}, "failed")
    assert lines[9]["removed"] == 3
    for line in lines:
        assert (line["key"], line["queue"]) == ("ops", "mail")
        assert line["address"].startswith("127.0.0.1:")
        assert line["client"].startswith("holdfast-python")
        assert len(line["session"]) == 8
        assert line["at"].endswith("+00:00")
    assert SECRET_DATA not in audit.read_text()
    assert key.rpartition("_")[2] not in audit.read_text()
    assert audit.stat().st_mode & 0o777 == 0o600


async def test_without_a_file_it_stands_in_the_log_whatever_the_level(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[log]\nformat = "json"\n')
    with DaemonProcess(tmp_path / "data", "--config", str(config)) as daemon:
        async with aio.Queue("mail", url=daemon.url, timeout=10) as queue:
            await queue.pause()
        async with asyncio.timeout(5):
            while '"event": "audit"' not in daemon.log():
                await asyncio.sleep(0.02)
        lines = [json.loads(line) for line in daemon.log().splitlines()]
    (entry,) = [line for line in lines if line["event"] == "audit"]
    assert (entry["command"], entry["queue"], entry["key"]) == ("PAUSE", "mail", "")
    assert entry["message"] == "audit: PAUSE mail by anybody: ok"


async def test_a_command_whose_client_has_gone_is_noted_all_the_same(tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    environment = {**os.environ, "HOLDFAST_AUDIT_FILE": str(audit)}
    with DaemonProcess(tmp_path / "data", environment=environment) as daemon:
        queue = aio.Queue("mail", url=daemon.url, timeout=10)
        await queue.counts()
        link = queue._link()
        asking = [asyncio.create_task(queue.pause()) for _ in range(5)]
        await asyncio.sleep(0)  # they are in the outbox
        link._flush()
        assert link._connection is not None
        link._connection.close()
        async with asyncio.timeout(10):
            while not audit.exists() or audit.read_text().count("PAUSE") < 5:
                await asyncio.sleep(0.02)
        await asyncio.gather(*asking)
        await queue.close()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        AuditError, match=r"audit\.file = .*none/a cannot be written \(No such file"
    ):
        AuditLog(tmp_path / "none" / "a")
    assert AuditLog(tmp_path / "a").path == tmp_path / "a"


def test_what_the_file_does_not_take_stands_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    full = AuditLog(Path("/dev/full"))
    for _ in range(2):
        full.write(0, {"command": "PAUSE", "result": "ok"})
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "audit.file = /dev/full cannot be written (No space left on device): see the log",
        "audit: PAUSE  by anybody: ok",
        "audit: PAUSE  by anybody: ok",
    ]
