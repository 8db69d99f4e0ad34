"""SIGHUP at a real daemon: all that can be is in force at once, or nothing is."""

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast import Refused, aio
from holdfast.wire.constants import ErrorCode
from support.daemon import DaemonProcess
from support.keys import new_key

CONFIG = """\
[limits]
payload_bytes_max = {payload}
[tcp]
connections_max = {connections}
[audit]
file = "{audit}"
[log]
format = "json"
level = "{level}"
[leases]
grace_ms = {grace}
"""
START: dict[str, Any] = {"payload": 100, "connections": 50, "level": "warning", "grace": 10_000}


class Reloadable:
    def __init__(self, folder: Path):
        self.file = folder / "config.toml"
        self.audit = folder / "audit.jsonl"
        self.write()
        self.daemon = DaemonProcess(folder / "data", "--config", str(self.file))

    def write(self, **changes: Any) -> None:
        self.file.write_text(CONFIG.format(**{"audit": self.audit, **START, **changes}))

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = (json.loads(line) for line in self.daemon.log().splitlines())
        return [line for line in lines if line["event"] == name]

    def audited(self, command: str) -> list[dict[str, Any]]:
        lines = (json.loads(line) for line in self.audit.read_text().splitlines())
        return [line for line in lines if line["command"] == command]

    async def reload(self) -> dict[str, Any]:
        """Until it has been done or refused; what the audit log says of it."""
        before = len(self.audited("RELOAD"))
        os.kill(self.daemon.pid, signal.SIGHUP)
        await until(lambda: len(self.audited("RELOAD")) > before)
        return self.audited("RELOAD")[-1]


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.02)


@pytest.fixture
def reloadable(tmp_path: Path) -> Iterator[Reloadable]:
    one = Reloadable(tmp_path)
    # Its READY line is of level info.
    one.write(level="info")
    with one.daemon as daemon:
        yield one
        assert "Traceback" not in daemon.log()


async def is_too_large(queue: aio.Queue, size: int) -> bool:
    try:
        await queue.add("n", b"x" * size)
    except Refused as refused:
        return refused.code is ErrorCode.PAYLOAD_TOO_LARGE
    return False


async def test_what_can_change_does_and_what_cannot_is_named(reloadable: Reloadable) -> None:
    async with aio.Queue("q", url=reloadable.daemon.url, timeout=10) as queue:
        assert await is_too_large(queue, 150)
        reloadable.write(payload=200, level="info", grace=5_000)
        entry = await reloadable.reload()
        assert entry["changed"] == ["limits.payload_bytes_max"]
        assert entry["needs_restart"] == ["leases.grace_ms"]
        assert not await is_too_large(queue, 150)
    (event,) = reloadable.events("needs_restart")
    assert event["keys"] == ["leases.grace_ms"]
    assert "in force after a restart only: leases.grace_ms" in event["message"]
    reloadable.write(level="debug")
    await reloadable.reload()
    assert len(reloadable.events("reloaded")) == 2
    reloadable.write(level="error")
    await reloadable.reload()
    assert len(reloadable.events("reloaded")) == 2, "the new level holds from then on"


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda one: one.write(payload="no number"), "is no TOML"),
        (lambda one: one.write(payload=200, connections=0), "tcp.connections_max must be"),
        (lambda one: one.write(payload=200, audit="/none/x"), "audit.file = /none/x cannot be"),
        (lambda one: one.file.unlink(), "cannot be read: No such file"),
        (
            lambda one: (
                one.write(payload=200),
                (one.daemon.directory / "keys.json").write_text("{"),
                (one.daemon.directory / "keys.json").chmod(0o600),
            ),
            "keys.json is no file of keys",
        ),
        (
            lambda one: (
                one.write(payload=200),
                one.file.write_text(one.file.read_text() + '[tls]\nkey_file = "k"\n'),
            ),
            "tls.key_file is set and tls.cert_file is not",
        ),
    ],
)
async def test_if_anything_is_wrong_nothing_changes(
    reloadable: Reloadable, break_it: Callable[[Reloadable], Any], words: str
) -> None:
    async with aio.Queue("q", url=reloadable.daemon.url, timeout=10) as queue:
        break_it(reloadable)
        entry = await reloadable.reload()
        assert entry["result"] == "refused"
        assert words in entry["why"]
        (event, *_) = reloadable.events("reload_refused")
        assert event["message"].startswith("reload refused, nothing was changed: ")
        assert await is_too_large(queue, 150)
        reloadable.write(payload=200, level="info")
        (reloadable.daemon.directory / "keys.json").unlink(missing_ok=True)
        assert (await reloadable.reload())["result"] == "ok", "it can be mended"
        assert not await is_too_large(queue, 150)


async def test_a_rotated_audit_log_is_begun_anew(reloadable: Reloadable, tmp_path: Path) -> None:
    async with aio.Queue("q", url=reloadable.daemon.url, timeout=10) as queue:
        await queue.pause()
        reloadable.audit.rename(tmp_path / "audit.1")
        reloadable.write(level="info")
        os.kill(reloadable.daemon.pid, signal.SIGHUP)
        await until(reloadable.audit.exists)
        await queue.resume()
        await until(lambda: bool(reloadable.audited("RESUME")))
    assert "PAUSE" in (tmp_path / "audit.1").read_text()
    assert not reloadable.audited("PAUSE")


async def test_a_new_key_file_is_taken_and_a_reload_during_the_stop_is_none(
    reloadable: Reloadable,
) -> None:
    new_key(reloadable.daemon.directory, "web")
    reloadable.write(level="info")
    await reloadable.reload()
    await until(lambda: bool(reloadable.audited("KEYS IN FORCE")))
    os.kill(reloadable.daemon.pid, signal.SIGTERM)
    os.kill(reloadable.daemon.pid, signal.SIGHUP)
    assert reloadable.daemon.process is not None
    assert reloadable.daemon.process.wait(15) == 0
