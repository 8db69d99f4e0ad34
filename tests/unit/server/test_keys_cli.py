"""`holdfastd keys` as it is typed; what a running daemon makes of it is in tests/integration."""

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from holdfast.wire.credentials import parse_key
from holdfastd.cli import cli


def run(tmp_path: Path, *arguments: str, **environment: str) -> Result:
    command = ["keys", *arguments, "--data", str(tmp_path / "data")]
    return CliRunner().invoke(cli, command, env=environment)


def test_a_first_key_is_made_before_the_daemon_has_ever_run(tmp_path: Path) -> None:
    made = run(tmp_path, "create", "web", "--role", "producer", "--role", "worker")
    assert made.exit_code == 0
    key = parse_key(made.stdout)
    assert made.stderr == f"key {key.id} of web: producer, worker on *. It is shown this once:\n"
    (entry,) = json.loads(run(tmp_path, "list", "--json").stdout)
    assert (entry["id"], entry["name"]) == (key.id, "web")
    assert (entry["roles"], entry["queues"]) == (["producer", "worker"], ["*"])
    file = tmp_path / "data" / "keys.json"
    assert key.secret.hex() not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_key_is_written_to_a_private_file_that_was_not_there(tmp_path: Path) -> None:
    out = tmp_path / "web.key"
    made = run(tmp_path, "create", "web", "--role", "admin", "--out", str(out))
    assert (made.exit_code, made.stdout) == (0, "")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    before = out.read_text()
    again = run(tmp_path, "rotate", "web", "--out", str(out))
    assert again.exit_code == 1
    assert "web.key cannot be made: File exists: no key was made" in again.stderr
    assert out.read_text() == before
    assert len(json.loads(run(tmp_path, "list", "--json").stdout)) == 1
    other = tmp_path / "other.key"
    assert run(tmp_path, "create", "web", "--role", "admin", "--out", str(other)).exit_code == 1
    assert not other.exists(), "there is no key for it"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["create", "x", "--role", "king"], 2, "'king' is not one of"),
        (["create", "x"], 2, "Missing option '--role'"),
        (["create", "a b", "--role", "admin"], 1, "'a b' is no name for a key"),
        (["create", "x", "--role", "admin", "--queues", "a/b"], 1, "no pattern of queue names"),
        (["create", "x", "--role", "admin", "--expires", "soon"], 2, "'soon' is no age"),
        (["rotate", "x"], 1, "there is no key 'x': none is"),
        (["revoke", "x"], 1, "there is no key 'x': none is"),
        (["list"], 1, "there is no key file"),
    ],
)
def test_what_is_wrong_is_one_line(
    tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    done = run(tmp_path, *arguments)
    assert (done.exit_code, done.stdout) == (code, "")
    assert words in done.stderr
    assert not (tmp_path / "data" / "keys.json").exists() or arguments[0] != "create"


def test_nothing_changes_unnoted(tmp_path: Path) -> None:
    audit = tmp_path / "none" / "audit.jsonl"
    refused = run(tmp_path, "create", "x", "--role", "admin", HOLDFAST_AUDIT_FILE=str(audit))
    assert refused.exit_code == 1
    assert "audit.file = " in refused.stderr
    assert run(tmp_path, "list").exit_code == 1, "no key was made"


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    done = run(tmp_path, "create", "x", "--role", "admin")
    assert done.exit_code == 1
    assert "cannot be made: File exists" in done.stderr
