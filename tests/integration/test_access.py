"""Keys at a real daemon: made, used, rotated and revoked while it runs; and what strangers get."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast import AccessDenied, Queue, Unreachable, Worker, aio
from holdfast.errors import MisuseError
from holdfast.wire import messages as wire
from holdfast.wire.connection import ClientConnection
from holdfast.wire.constants import ErrorCode
from holdfast.wire.credentials import parse_key
from holdfastd.access.rights import Role
from support.daemon import DaemonProcess
from support.keys import new_key, revoke

NO_KEY = "hfk_00000000_" + "0" * 64
AUDIT = "audit.jsonl"


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[DaemonProcess]:
    """A daemon that asks for keys; "boss" is the first."""
    environment = {
        **os.environ,
        "HOLDFAST_AUTH_REQUIRED": "on",
        "HOLDFAST_AUDIT_FILE": str(tmp_path / AUDIT),
    }
    new_key(tmp_path / "data", "boss")
    with DaemonProcess(tmp_path / "data", environment=environment) as daemon:
        yield daemon
        assert "Traceback" not in daemon.log()


def holdfastd(daemon: DaemonProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "holdfastd", *arguments, "--data", str(daemon.directory)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=False, env=daemon.environment
    )


def audited(daemon: DaemonProcess) -> list[dict[str, object]]:
    lines = (daemon.directory.parent / AUDIT).read_text().splitlines()
    return [json.loads(line) for line in lines]


async def until_put_out(queue: aio.Queue) -> AccessDenied:
    """One whose key is no longer good has its connection closed, within a second or two."""
    async with asyncio.timeout(10):
        while True:
            try:
                await queue.add("n")
            except AccessDenied as error:
                return error
            await asyncio.sleep(0.05)


# ---- from the first key to the last --------------------------------------------------------------


async def test_a_key_is_made_used_rotated_and_revoked_under_a_running_daemon(
    closed: DaemonProcess,
) -> None:
    created = holdfastd(closed, "keys", "create", "web", "--role", "producer", "--queues", "mail*")
    assert created.returncode == 0
    old = created.stdout.strip()
    old_id = parse_key(old).id
    assert f"key {old_id} of web: producer on mail*. It is shown this once" in created.stderr
    async with aio.Queue("mail", url=closed.url, key=old, timeout=15) as queue:
        await queue.add("welcome")
        fresh = holdfastd(closed, "keys", "rotate", "web").stdout.strip()
        async with aio.Queue("mail", url=closed.url, key=fresh, timeout=15) as other:
            await other.add("welcome")
            await queue.add("welcome")
            assert holdfastd(closed, "keys", "revoke", old_id).returncode == 0
            refused = await until_put_out(queue)
            assert refused.code is ErrorCode.NOT_AUTHENTICATED
            assert "is wrong, unknown here or revoked" in str(refused)
            await other.add("welcome")
    listed = json.loads(holdfastd(closed, "keys", "list", "--json").stdout)
    assert [entry["name"] for entry in listed] == ["boss", "web"]
    shown = holdfastd(closed, "keys", "list").stdout
    assert parse_key(fresh).id in shown
    everything = closed.log() + shown + json.dumps(audited(closed)) + created.stderr
    for key in (old, fresh):
        assert parse_key(key).secret.hex() not in everything
    commands = [(line["command"], line.get("name")) for line in audited(closed)]
    for command in ("KEYS CREATE", "KEYS ROTATE"):
        assert (command, "web") in commands
    assert ("KEYS REVOKE", old_id) in commands
    assert "KEYS IN FORCE" in [command for command, _ in commands]


async def test_an_open_connection_is_closed_when_its_key_expires(closed: DaemonProcess) -> None:
    key = new_key(closed.directory, "brief", Role.PRODUCER, expires_after_ms=3_000)
    async with aio.Queue("q", url=closed.url, key=key, timeout=10) as queue:
        await queue.add("n")
        assert "has expired" in str(await until_put_out(queue))


async def test_a_damaged_key_file_changes_nothing_and_is_told(closed: DaemonProcess) -> None:
    key = new_key(closed.directory, "web", Role.PRODUCER)
    async with aio.Queue("q", url=closed.url, key=key, timeout=15) as queue:
        await queue.add("n")
        (closed.directory / "keys.json").write_text("{")
        while "keys.json is no file of keys" not in closed.log():
            await asyncio.sleep(0.05)
        assert "the keys read before stay in force" in closed.log()
        await queue.add("n")
        (closed.directory / "keys.json").unlink()
        while "is gone: put it back" not in closed.log():
            await asyncio.sleep(0.05)
        await queue.add("n")


# ---- who may not come in -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (None, "a key is needed here: set HOLDFAST_KEY or HOLDFAST_KEY_FILE"),
        (NO_KEY, "key 00000000 is wrong, unknown here or revoked"),
    ],
)
async def test_who_has_no_valid_key_is_told_so_at_once(
    closed: DaemonProcess, key: str | None, words: str
) -> None:
    async with aio.Queue("q", url=closed.url, key=key, timeout=10) as queue:
        async with asyncio.timeout(5):
            for _ in range(2):  # the second time without asking the server
                with pytest.raises(AccessDenied) as refused:
                    await queue.add("n")
        assert words in str(refused.value)
    assert words.partition(":")[0].partition(" is wrong")[0] in closed.log()


def test_a_wrong_key_is_an_error_of_the_command_line(closed: DaemonProcess, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(NO_KEY)

    def run(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "holdfast", "--url", closed.url, *options, "counts", "q"]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env={**os.environ, **environment},
        )

    file.chmod(0o644)
    loose = run("--key-file", str(file))
    assert loose.returncode == 2
    assert f"{file} can be read or changed by others (mode 0644): chmod 600 {file}" in loose.stderr
    file.chmod(0o600)
    wrong = run("--key-file", str(file))
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "key 00000000 is wrong" in wrong.stderr
    good = run(HOLDFAST_KEY=another_key(closed))
    assert (good.returncode, good.stderr) == (0, "")
    missing = run("--key-file", str(tmp_path / "none"))
    assert missing.returncode == 2
    assert "none cannot be read (No such file or directory): name a file" in missing.stderr


def another_key(daemon: DaemonProcess, *roles: Role) -> str:
    """Good at once: the daemon looks when it does not know one."""
    return new_key(daemon.directory, "-".join(["n", *(role.value for role in roles)]), *roles)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"key": "secret"}, "the key cannot be used: it is no key of holdfastd"),
        ({"key": NO_KEY, "key_file": "k"}, "give key or key_file, not both"),
        ({"url": f"holdfast://{NO_KEY}@h"}, "a key does not belong into the address"),
        ({"url": "holdfast://h", "ca_file": "c"}, "goes without TLS, and a certificate is given"),
        ({"url": "holdfasts://h", "ca_file": "/none"}, "ca_file /none: No such file"),
    ],
)
def test_misuse_is_told_before_anything_is_sent(given: dict[str, str], words: str) -> None:
    with pytest.raises(MisuseError) as refused:
        Queue("q", **given)  # type: ignore[arg-type]  # all are texts
    assert words in str(refused.value)
    assert NO_KEY not in str(refused.value)


async def answers_to(daemon: DaemonProcess, key: str | None) -> wire.Error:
    """What a handshake with a key leads to, which is refused."""
    reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
    client = ClientConnection()
    (hello,) = client.receive(await reader.read(2**16))
    assert isinstance(hello, wire.Hello)
    id = parse_key(key).id if key else "00000000"
    auth = {"key": id, "proof": os.urandom(32)}
    writer.write(client.send(wire.Identify({"protocol": 1, "session": "s", "auth": auth})))
    (error,) = client.receive(await reader.read(2**16))
    writer.close()
    assert isinstance(error, wire.Error)
    return error


async def test_of_many_wrong_keys_ten_are_looked_at_and_a_known_one_still_comes_in(
    closed: DaemonProcess,
) -> None:
    good = another_key(closed)
    async with aio.Queue("q", url=closed.url, key=good, timeout=10) as queue:
        await queue.add("n")
        answers = [await answers_to(closed, good if n % 2 else None) for n in range(200)]
        codes = [ErrorCode(error.code) for error in answers]
        # Those with the id of the good key are looked at: it was good from this address.
        others = codes[::2]
        assert others.count(ErrorCode.NOT_AUTHENTICATED) <= 10
        assert set(codes[100::2]) == {ErrorCode.BUSY}
        assert answers[-2].details["retry_after_ms"] > 0
        assert set(codes) == {ErrorCode.NOT_AUTHENTICATED, ErrorCode.BUSY}
        await queue.add("n")
    async with aio.Queue("q", url=closed.url, key=good, timeout=10) as again:
        await again.add("n")
        assert (await again.counts())["waiting"] == 3
    async with aio.Queue("q", url=closed.url, key=NO_KEY, timeout=3) as wrong:
        with pytest.raises(Unreachable, match=r"too many wrong keys came from 127\.0\.0\.1"):
            await wrong.counts()
    assert closed.log().count("a wrong key came from 127.0.0.1") < 200
    assert closed.log().count("10 wrong keys came from 127.0.0.1") == 1


# ---- roles ---------------------------------------------------------------------------------------


async def test_a_role_without_the_right_is_told_and_nothing_is_done(closed: DaemonProcess) -> None:
    key = another_key(closed, Role.PRODUCER)
    async with aio.Queue("q", url=closed.url, key=key, timeout=10) as queue:
        await queue.add("n")
        with pytest.raises(AccessDenied, match="PAUSE is for operator, admin: this key is for"):
            await queue.pause()
        assert (await queue.info())["paused"] is False
        await queue.add("n")
    line = audited(closed)[-1]
    assert (line["command"], line["queue"], line["result"]) == ("PAUSE", "q", "FORBIDDEN")
    assert line["key"] == "n-producer"


async def test_a_worker_without_the_right_says_so(closed: DaemonProcess) -> None:
    key = another_key(closed, Role.PRODUCER)
    errors: asyncio.Queue[Exception] = asyncio.Queue()
    worker = Worker("q", print, url=closed.url, key=key)
    worker.on("error", errors.put_nowait)
    running = asyncio.create_task(worker.run_async())
    async with asyncio.timeout(10):
        error = await errors.get()
    assert isinstance(error, AccessDenied)
    assert "SUBSCRIBE is for worker, admin" in str(error)
    worker.stop()
    await running


async def test_who_may_not_listen_is_told_so(closed: DaemonProcess) -> None:
    worker = another_key(closed, Role.WORKER)
    for key, words in [(worker, "LISTEN is for producer"), (NO_KEY, "key 00000000 is wrong")]:
        async with aio.Queue("q", url=closed.url, key=key, timeout=10) as queue:
            async with asyncio.timeout(5):
                with pytest.raises(AccessDenied, match=words):
                    await anext(queue.events())


async def test_a_key_file_is_read_again_at_each_connection(
    closed: DaemonProcess, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.touch(mode=0o600)
    file.write_text(another_key(closed))
    first = parse_key(file.read_text()).id
    async with aio.Queue("q", url=closed.url, key_file=file, timeout=15) as queue:
        await queue.add("n")
        file.write_text(another_key(closed, Role.PRODUCER))
        revoke(closed.directory, first)
        while f"1 gone ({first})" not in closed.log():
            await queue.add("n")
        await queue.add("n")


# ---- HTTP ----------------------------------------------------------------------------------------


def fetch(daemon: DaemonProcess, path: str, key: str | None = None) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(f"http://{daemon.http_address}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with contextlib.closing(error):
            return error.code, error.read().decode()


def test_metrics_ask_for_a_key_and_health_does_not(closed: DaemonProcess) -> None:
    assert fetch(closed, "/livez") == (200, "alive\n")
    assert fetch(closed, "/readyz") == (200, "ready\n")
    assert fetch(closed, "/metrics")[0] == 401
    assert fetch(closed, "/metrics", "nonsense")[0] == 401
    assert fetch(closed, "/metrics", NO_KEY)[0] == 401
    assert fetch(closed, "/metrics", another_key(closed, Role.PRODUCER))[0] == 403
    status, page = fetch(closed, "/metrics", another_key(closed, Role.MONITOR))
    assert status == 200
    assert "holdfast_ready 1.0" in page


# ---- open ----------------------------------------------------------------------------------------


async def test_where_no_key_is_required_a_given_one_is_checked_all_the_same(
    daemon: DaemonProcess,
) -> None:
    async with aio.Queue("q", url=daemon.url, timeout=10) as anybody:
        await anybody.pause()
        await anybody.add("n")
    async with aio.Queue("q", url=daemon.url, key=NO_KEY, timeout=10) as wrong:
        with pytest.raises(AccessDenied):
            await wrong.add("n")
    key = another_key(daemon, Role.PRODUCER)
    async with aio.Queue("q", url=daemon.url, key=key, timeout=10) as producer:
        await producer.add("n")
        with pytest.raises(AccessDenied):
            await producer.resume()
