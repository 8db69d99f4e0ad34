"""What people do wrong with the two commands. Each time: one line or two that say what, with which
value, and what to do; on standard error; with an exit code that is not 0; and never a traceback.

The daemons are real, and each command has a process of its own: here it would leave a connection
and its logging behind. What a word says in detail is tested where it is said.
"""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from holdfast import Queue
from holdfastd.access.rights import Role
from holdfastd.store.schema import APPLICATION_ID, SCHEMA_VERSION
from support.certificates import Authority
from support.daemon import DaemonProcess, ReservedPort
from support.keys import new_key

PAYLOAD_BYTES_MAX: Final = 1000
CALL_S: Final = 4
"""How long the client tries: two of the mistakes take it whole; a port with TLS looks for 2 s."""
LINES_MAX: Final = 4
"""Click's own: how it is used, where help is, an empty one, what is wrong."""


class Place(NamedTuple):
    """What there is to go wrong with; the names in braces of a command and of the words."""

    url: str
    """Of a daemon that is open; it has a waiting job "m1" in the queue "mail"."""
    http: str
    """Its HTTP port."""
    data: Path
    """Its directory."""
    locked: str
    """The URL of one that needs keys and TLS; plain: the same, without TLS."""
    plain: str
    ca: Path
    """What signed its certificate."""
    keys: Path
    """Its directory, with a key named "boss"."""
    work: Path
    """A directory with files that are wrong in many ways."""
    nobody: str
    """An address at which nobody listens."""


class Mistake(NamedTuple):
    command: str
    code: int
    words: str
    """That stand in what is said."""
    environment: str = ""
    """NAME=VALUE, with blanks between them."""


def holdfast(command: str, code: int, words: str, environment: str = "") -> Mistake:
    return Mistake(f"holdfast --timeout {CALL_S}s {command}", code, words, environment)


def open_daemon(command: str, code: int, words: str) -> Mistake:
    return holdfast(f"--url {{url}} {command}", code, words)


def locked(command: str, code: int, words: str) -> Mistake:
    return holdfast(f"--url {{locked}} --ca-file {{ca}} {command}", code, words)


def serve(command: str, code: int, words: str, environment: str = "") -> Mistake:
    flags = "--data {work}/new --listen 127.0.0.1:0 --http 127.0.0.1:0"
    return Mistake(f"holdfastd serve {flags} {command}", code, words, environment)


def holdfastd(command: str, code: int, words: str, environment: str = "") -> Mistake:
    return Mistake(f"holdfastd {command}", code, words, environment)


MISTAKES: Final = [
    # Where the server is, and how to be let in.
    holdfast(
        "--url holdfast://{nobody} queues",
        3,
        f"no answer from holdfast://{{nobody}} within {CALL_S} s (Connection refused): is holdf",
    ),
    holdfast("--url holdfast://{http} queues", 3, "connected, but it says nothing: is it the"),
    holdfast("--url http://{http} queues", 2, "'http://{http}' is no address: use one like"),
    holdfast("--url holdfast://h:99999 queues", 2, "'holdfast://h:99999' is no address"),
    holdfast("--url holdfast://hfk_1_2@h queues", 2, "a key does not belong into the address"),
    holdfast("--url holdfasts://{nobody} --ca-file {work}/none queues", 2, "ca_file {work}/none"),
    holdfast("--url {url} --ca-file {ca} queues", 2, "goes without TLS, and a certificate is"),
    holdfast("--url {url} --key-file {work}/none queues", 2, "key_file {work}/none cannot be read"),
    holdfast("--url {url} --key-file {work}/open queues", 2, "mode 0644): chmod 600 {work}/open"),
    holdfast(
        "--url {url} --key-file {work}/text queues", 2, "it is no key of holdfastd: one looks"
    ),
    holdfast("--url {plain} queues", 3, "this port speaks TLS: use holdfasts://"),
    holdfast("--url {locked} queues", 3, "its certificate is refused"),
    locked("queues", 1, "a key is needed here: set HOLDFAST_KEY"),
    locked("--key-file {work}/wrong queues", 1, "is wrong, unknown here or revoked: set"),
    locked("--key-file {work}/monitor add mail n", 1, "ENQUEUE is for"),
    # Jobs and queues.
    open_daemon("job post m1", 1, "there is no queue post: check the name"),
    open_daemon("job mail m2", 1, "there is no job m2 in queue mail: check both"),
    open_daemon("explain mail m2", 1, "there is no job m2 in queue mail: check both"),
    open_daemon("retry mail m1", 1, "job m1 is waiting: only a finished job is put back"),
    open_daemon("promote mail m1", 1, "job m1 is waiting, not delayed"),
    open_daemon("remove mail m2", 1, "there is no job m2 in queue mail"),
    open_daemon("cancel a/b m1", 2, "queue name 'a/b' is not allowed: use 1 to 128 of"),
    open_daemon("move mail m1 --to a/b", 2, "queue name 'a/b' is not allowed"),
    open_daemon("add mail n {{bad", 2, "DATA is no JSON (Expecting"),
    open_daemon("edit mail m1 nope", 2, "DATA is no JSON"),
    open_daemon("add mail n {long}", 1, "bytes is over the limit of 1,000: store the data else"),
    open_daemon("add mail n --id {long}", 2, "is not allowed: use 1 to 128 printable"),
    open_daemon("add mail n --delay soon", 2, "'soon' is no duration: use 500ms, 2s"),
    open_daemon(
        "add mail n --delay 99999d", 2, "delay must be 0 s to 3,650 days, not 8,639,913,600 s"
    ),
    open_daemon("add mail n --attempts 0", 2, "attempts must be a whole number from 1 to"),
    open_daemon("add mail n --attempts few", 2, "'few' is not a valid integer"),
    open_daemon("add mail n --priority 9999999999", 2, "priority must be a whole number from"),
    open_daemon("add mail n --tag a,b", 2, "tags[0] must be 1 to 64 printable characters"),
    open_daemon("jobs state:deed", 1, "state:deed is no state: did you mean dead"),
    open_daemon("jobs colour:red", 1, "colour is no field"),
    open_daemon("jobs --limit 0", 2, "0 is not in the range x>=1"),
    open_daemon("tail a/b", 2, "queue name 'a/b' is not allowed"),
    open_daemon("top --once --interval 0", 2, "--interval must be at least 0.1 s, not 0"),
    # Workers.
    holdfast("worker app", 2, "'app' must be MODULE:ATTRIBUTE, such as app:worker"),
    holdfast("worker ./app.py:worker", 2, "'./app.py:worker' must be MODULE:ATTRIBUTE"),
    holdfast("worker nowhere:worker", 2, "nowhere:worker cannot be had: No module named 'nowhere'"),
    holdfast("worker app:wroker", 2, "module 'app' has no attribute 'wroker'"),
    holdfast("worker app:handle", 2, "app:handle takes arguments: name a Worker"),
    holdfast("worker app:nothing", 2, "app:nothing is NoneType, not a holdfast.Worker"),
    holdfast("worker app:careless", 2, "the handler must be a function of one argument, the job,"),
    # Wrong use.
    holdfast("ad mail n", 2, "No such command 'ad'"),
    holdfast("add mail", 2, "Missing argument 'NAME'"),
    holdfast("completion tcsh", 2, "'tcsh' is not one of 'bash', 'zsh', 'fish'"),
    # The daemon's configuration.
    serve("--config {work}/none.toml", 2, "{work}/none.toml: cannot be read: No such file"),
    serve("--config {work}", 2, "is a directory"),
    serve("--config {work}/text", 2, "{work}/text: is no TOML"),
    serve("--config {work}/section.toml", 2, "tpc is no section: did you mean tcp?"),
    serve("--config {work}/key.toml", 2, "tcp.lisen is no key: did you mean tcp.listen?"),
    serve("--config {work}/value.toml", 2, "leases.lease_ms must be a whole number from 100 to"),
    serve("--config {work}/type.toml", 2, "metrics.per_task must be true or false, not 'yes'"),
    serve("", 2, "environment: HOLDFAST_LOG_LEVLE is no variable", "HOLDFAST_LOG_LEVLE=debug"),
    serve("", 2, "HOLDFAST_LOG_LEVEL: log.level must be one of", "HOLDFAST_LOG_LEVEL=loud"),
    serve("--listen 4653", 2, "command line: tcp.listen must be HOST:PORT, such as"),
    serve("--listen 0.0.0.0:0", 2, "can be reached from other machines: set tls.cert_file"),
    serve("", 1, "tls.cert_file = {work}/text", "HOLDFAST_TLS_CERT_FILE={work}/text"),
    serve("", 1, "nobody could come in: make a first key", "HOLDFAST_AUTH_REQUIRED=on"),
    serve("", 1, "cannot be written", "HOLDFAST_AUDIT_FILE=/proc/none/audit"),
    serve("--listen {taken}", 1, "tcp.listen = {taken} cannot be listened on (Address already"),
    serve("--http {http}", 1, "http.listen = {http} cannot be listened on (Address already in use"),
    # Its directory.
    serve("--data {data}", 1, "has {data} open: stop it first, or choose another directory"),
    serve("--data {work}/text", 1, "the data directory {work}/text cannot be written (File exists"),
    serve("--data /proc/none", 1, "the data directory /proc/none cannot be written"),
    serve("--data {work}/foreign", 1, "is a database, but not one of Holdfast"),
    serve("--data {work}/junk", 1, "cannot be opened as a database (file is not a database)"),
    serve("--data {work}/newer", 1, f"has schema {SCHEMA_VERSION + 1}, this holdfastd knows up to"),
    # Keys, backups, health.
    holdfastd("keys create boss --role admin --data {keys}", 1, "there is a key boss already"),
    holdfastd("keys create a/b --role admin --data {keys}", 1, "'a/b' is no name for a key: use"),
    holdfastd("keys create n --role chief --data {keys}", 2, "'chief' is not one of"),
    holdfastd("keys create n --role admin --expires soon", 2, "'soon' is no age: use 90s"),
    holdfastd("keys create n --role admin --data {keys} --out {work}/text", 1, "no key was made"),
    holdfastd("keys revoke nobody --data {keys}", 1, "there is no key 'nobody': there are boss"),
    holdfastd("keys list --data {work}/none", 1, "there is no key file"),
    holdfastd("backup {work}/b.db --data {work}/none", 1, "there is no database in {work}/none"),
    holdfastd("backup {work}/text --data {data}", 1, "is there already and is not overwritten"),
    holdfastd("backup {work}/no/b.db --data {data}", 1, "there is no directory {work}/no: make it"),
    holdfastd("restore {work}/none --data {work}/none", 1, "there is no backup {work}/none"),
    holdfastd("restore {work}/text --data {work}/none", 1, "{work}/text"),
    holdfastd("restore {data}/holdfast.db --data {work}/none", 1, "is a database in use"),
    holdfastd("healthcheck --http {nobody}", 1, "nothing answers on http.listen = {nobody}"),
    holdfastd("healthcheck --http {taken}", 1, "http.listen = {taken}"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    work = tmp_path_factory.mktemp("work")
    make_wrong_files(work)
    authority = Authority(work / "ca")
    nobody = ReservedPort()
    data, keys = work / "data", work / "keys"
    new_key(keys, "boss")
    write_private(work / "monitor", new_key(keys, "eye", Role.MONITOR))
    limits = {"HOLDFAST_LIMITS_PAYLOAD_BYTES_MAX": str(PAYLOAD_BYTES_MAX)}
    closed = {
        "HOLDFAST_AUTH_REQUIRED": "on",
        "HOLDFAST_TCP_TLS": "on",
        "HOLDFAST_TLS_CERT_FILE": str(authority.issue("server.pem")),
    }
    with (
        DaemonProcess(data, environment={**os.environ, **limits}) as daemon,
        DaemonProcess(keys, environment={**os.environ, **closed}) as locked,
    ):
        with Queue("mail", url=daemon.url) as queue:
            queue.add("welcome", id="m1")
        secure = f"holdfasts://{locked.address}"
        yield Place(
            daemon.url,
            daemon.http_address,
            data,
            secure,
            locked.url,
            authority.ca_file,
            keys,
            work,
            nobody.address,
        )
        for each in (daemon, locked):
            assert "Traceback" not in each.log()


def make_wrong_files(work: Path) -> None:
    write_private(work / "text", "just words")
    write_private(work / "wrong", "hfk_00000000_" + "0" * 64)
    (work / "open").write_text("hfk_00000000_" + "0" * 64)
    (work / "open").chmod(0o644)
    (work / "section.toml").write_text('[tpc]\nlisten = "127.0.0.1:0"\n')
    (work / "key.toml").write_text('[tcp]\nlisen = "127.0.0.1:0"\n')
    (work / "value.toml").write_text("[leases]\nlease_ms = 3\n")
    (work / "type.toml").write_text('[metrics]\nper_task = "yes"\n')
    (work / "app.py").write_text(
        "from holdfast import Worker\n"
        "nothing = None\n"
        "def handle(job): ...\n"
        "def careless(): return Worker('mail', handle(None))\n"
    )
    make_database(work / "foreign", "PRAGMA application_id = 7", "CREATE TABLE other (x)")
    make_database(work / "newer", f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    (work / "junk").mkdir()
    (work / "junk" / "holdfast.db").write_bytes(b"no database" * 1000)


def write_private(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text)


def make_database(directory: Path, *statements: str) -> None:
    """Holdfast's own by its mark, unless a statement says otherwise."""
    directory.mkdir()
    connection = sqlite3.connect(directory / "holdfast.db")
    for statement in (f"PRAGMA application_id = {APPLICATION_ID}", *statements):
        connection.execute(statement)
    connection.close()


class Said(NamedTuple):
    code: int
    stdout: str
    stderr: str


def say(mistake: Mistake, place: Place) -> Said:
    filled = filler(place)
    program, *arguments = (filled(word) for word in mistake.command.split())
    settings = dict(filled(each).split("=", 1) for each in mistake.environment.split())
    environment = {name: text for name, text in os.environ.items() if "HOLDFAST" not in name}
    done = subprocess.run(
        [sys.executable, "-m", program, *arguments],
        cwd=place.work,
        env={**environment, **settings},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def filler(place: Place) -> Callable[[str], str]:
    taken = place.url.removeprefix("holdfast://")
    return lambda text: text.format(**place._asdict(), taken=taken, long='"' + "x" * 2000 + '"')


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.command[:60])
def test_a_mistake_is_told_in_a_line_and_nothing_is_done(mistake: Mistake, place: Place) -> None:
    done = say(mistake, place)
    assert done.code == mistake.code, done.stderr
    assert filler(place)(mistake.words) in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert 0 < len(done.stderr.strip().splitlines()) <= LINES_MAX
    with Queue("mail", url=place.url) as queue:
        assert sum(queue.counts().values()) == 1
