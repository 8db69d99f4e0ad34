"""What an operator reads when the daemon cannot start: one line, and an exit code."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from holdfastd.store.schema import APPLICATION_ID, SCHEMA_VERSION
from support.daemon import DaemonProcess
from support.keys import new_key


def attempt(*arguments: str, environment: dict[str, str] | None = None) -> tuple[int, str]:
    command = [sys.executable, "-m", "holdfastd", "serve", *arguments]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    return done.returncode, done.stderr


def free(directory: Path) -> list[str]:
    return ["--data", str(directory), "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]


def one_line(code_and_text: tuple[int, str], code: int, words: str) -> None:
    assert code_and_text[0] == code
    assert words in code_and_text[1]
    assert code_and_text[1].count("\n") == 1, "more than one line, or a traceback"


def test_a_second_daemon_on_the_directory_names_the_first(daemon: DaemonProcess) -> None:
    started = time.monotonic()
    refused = attempt(*free(daemon.directory))
    assert time.monotonic() - started < 5
    one_line(refused, 1, f"another holdfastd (pid {daemon.pid}) has {daemon.directory} open")


def test_a_port_in_use_is_named(daemon: DaemonProcess, tmp_path: Path) -> None:
    flags = ["--data", str(tmp_path / "other"), "--listen", daemon.address, "--http", "127.0.0.1:0"]
    one_line(attempt(*flags), 1, f"tcp.listen = {daemon.address} cannot be listened on")
    assert attempt(*flags)[0] == 1, "the refused start has left the directory locked or broken"


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    one_line(attempt(*free(tmp_path / "file" / "data")), 1, "cannot be written")


def test_a_foreign_database_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holdfast.db").write_bytes(b"these are somebody's letters" * 100)
    one_line(attempt(*free(tmp_path)), 1, "cannot be opened as a database")
    assert (tmp_path / "holdfast.db").read_bytes().startswith(b"these are somebody's letters")


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "holdfast.db")) as theirs:
        theirs.execute("CREATE TABLE letters (text)")
    one_line(attempt(*free(tmp_path)), 1, "is a database, but not one of Holdfast")
    with contextlib.closing(sqlite3.connect(tmp_path / "holdfast.db")) as theirs:
        assert theirs.execute("SELECT name FROM sqlite_schema").fetchall() == [("letters",)]


def test_a_newer_schema_is_refused_unread(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "holdfast.db")) as newer:
        newer.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        newer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    one_line(attempt(*free(tmp_path)), 1, f"has schema {SCHEMA_VERSION + 1}, this holdfastd knows")


def test_an_address_that_is_not_of_this_machine_is_named(tmp_path: Path) -> None:
    new_key(tmp_path, "any")
    flags = ["--data", str(tmp_path), "--listen", "192.0.2.1:0", "--http", "127.0.0.1:0"]
    refused = attempt(*flags, environment={"HOLDFAST_TCP_TLS": "off"})
    one_line(refused, 1, "tcp.listen = 192.0.2.1:0 cannot be listened on")


def test_a_host_that_does_not_exist_is_named(tmp_path: Path) -> None:
    new_key(tmp_path, "any")
    flags = ["--data", str(tmp_path), "--listen", "127.0.0.1:0", "--http", "no.such.invalid:0"]
    refused = attempt(*flags, environment={"HOLDFAST_HTTP_TLS": "off"})
    one_line(refused, 1, "http.listen = no.such.invalid:0 cannot be listened on (")


@pytest.mark.parametrize(
    ("flag", "address"), [("--listen", "0.0.0.0:0"), ("--listen", "[::]:0"), ("--http", "host:1")]
)
def test_nothing_is_laid_open_in_the_clear_unless_that_is_said(
    tmp_path: Path, flag: str, address: str
) -> None:
    section = {"--listen": "tcp", "--http": "http"}[flag]
    refused = attempt(*free(tmp_path), flag, address)
    one_line(refused, 2, f"{section}.listen = {address} can be reached from other machines: set ")
    assert f'{section}.tls = "off"' in refused[1]


def test_nothing_is_laid_open_without_keys(tmp_path: Path) -> None:
    open_tls = {"HOLDFAST_TCP_TLS": "off"}
    refused = attempt(*free(tmp_path), "--listen", "0.0.0.0:0", environment=open_tls)
    one_line(refused, 1, "a key is required, and there is no key file")
    assert "holdfastd keys create" in refused[1]
    required = attempt(*free(tmp_path), environment={"HOLDFAST_AUTH_REQUIRED": "on"})
    one_line(required, 1, "a key is required, and there is no key file")


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    new_key(tmp_path, "any")
    (tmp_path / "keys.json").chmod(0o644)
    one_line(attempt(*free(tmp_path)), 1, "can be read or changed by others (mode 0644): chmod 600")


def test_a_key_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("{")
    (tmp_path / "keys.json").chmod(0o600)
    one_line(attempt(*free(tmp_path)), 1, "keys.json is no file of keys")


def test_wrong_configuration_is_told_with_a_suggestion(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[tcp]\nlisen = "x"\n')
    code, text = attempt("--config", str(file))
    assert code == 2
    assert "tcp.lisen is no key: did you mean tcp.listen?" in text


def test_the_ready_line_can_be_read_by_a_program(tmp_path: Path) -> None:
    environment = {**os.environ, "HOLDFAST_LOG_FORMAT": "json"}
    command = [sys.executable, "-m", "holdfastd", "serve", *free(tmp_path / "data")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stderr is not None
        line = json.loads(process.stderr.readline())
        process.terminate()
        assert process.wait(10) == 0
    assert (line["event"], line["jobs"]) == ("ready", 0)
    assert line["address"].startswith("127.0.0.1:")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_the_http_port_answers(daemon: DaemonProcess, path: str) -> None:
    import urllib.request

    with urllib.request.urlopen(f"http://{daemon.http_address}{path}", timeout=5) as answer:
        assert answer.status == 200
        assert answer.read()
