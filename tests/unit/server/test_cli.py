"""check-config, config show, wrong use; `serve` itself is started in tests/crash."""

import json
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import holdfast
from holdfastd import VERSION
from holdfastd.cli import cli
from holdfastd.config import RULES, flatten, from_tree


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(cli, arguments, env=environment)


def test_check_config_prints_what_is_in_force(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[tcp]\nlisten = "127.0.0.1:1"\n[log]\nlevel = "debug"\n')
    done = run("check-config", "--config", str(file), "--listen", "127.0.0.1:2")
    assert done.exit_code == 0
    tree = tomllib.loads(done.stdout)  # the paths are TOML's dotted keys: it can be used as a file
    expected = from_tree({"tcp": {"listen": "127.0.0.1:2"}, "log": {"level": "debug"}})
    assert flatten(from_tree(tree)) == flatten(expected)


def test_check_config_obeys_the_environment() -> None:
    done = run("check-config", HOLDFAST_LEASES_GRACE_MS="123")
    assert "leases.grace_ms = 123\n" in done.stdout


def test_what_is_wrong_goes_to_stderr_with_exit_code_2() -> None:
    done = run("check-config", "--listen", "nowhere", HOLDFAST_LOG_LEVEL="loud")
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "holdfastd: HOLDFAST_LOG_LEVEL: log.level must be one of debug, info, warning, error, "
        "not 'loud'",
        'holdfastd: command line: tcp.listen must be HOST:PORT, such as "127.0.0.1:4653" or '
        "\"[::1]:4653\", port 0 to 65,535, not 'nowhere'",
    ]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("auth.keys_file", "no JSON", "is no file of keys"),
        ("tls.cert_file", "no PEM", "they must be a certificate and its private key"),
    ],
)
def test_check_config_refuses_files_with_which_no_daemon_could_start(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    file = tmp_path / "wrong"
    file.touch(mode=0o600)
    file.write_text(text)
    done = run("check-config", **{f"HOLDFAST_{name.replace('.', '_').upper()}": str(file)})
    assert (done.exit_code, done.stdout) == (2, "")
    assert words in done.stderr


def test_check_config_makes_nothing(tmp_path: Path) -> None:
    assert run("check-config", "--data", str(tmp_path / "data")).exit_code == 0
    assert list(tmp_path.iterdir()) == []


def test_config_show_says_where_each_value_comes_from(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[leases]\ngrace_ms = 1\n[log]\nlevel = "debug"\n[backup]\nkeep = 3\n')
    arguments = ["config", "show", "--config", str(file), "--listen", "127.0.0.1:2", "--origin"]
    environment = {"HOLDFAST_LOG_LEVEL": "error", "HOLDFAST_TCP_LISTEN": "127.0.0.1:1"}
    done = run(*arguments, "--json", **environment)
    assert done.exit_code == 0
    shown = json.loads(done.stdout)
    assert list(shown) == list(RULES)
    origins = {path: (each["value"], each["origin"], each["name"]) for path, each in shown.items()}
    assert origins["leases.grace_ms"] == (1, "file", str(file))
    assert origins["log.level"] == ("error", "environment", "HOLDFAST_LOG_LEVEL")
    assert origins["tcp.listen"] == ("127.0.0.1:2", "flag", "--listen")
    assert origins["leases.lease_ms"] == (30_000, "default", None)
    text = run(*arguments, **environment).stdout
    told = {line.partition(" = ")[0]: line.partition("  # ")[2] for line in text.splitlines()}
    assert told["leases.grace_ms"] == f"file {file}"
    assert told["log.level"] == "environment HOLDFAST_LOG_LEVEL"
    assert told["tcp.listen"] == "flag --listen"
    assert told["leases.lease_ms"] == "default"


@pytest.mark.parametrize("options", [[], ["--origin"]])
def test_what_config_show_prints_can_be_used_as_a_file(options: list[str]) -> None:
    done = run("config", "show", *options, HOLDFAST_LOG_LEVEL="debug")
    shown = from_tree(tomllib.loads(done.stdout))
    assert shown == from_tree({"log": {"level": "debug"}})


def test_config_show_tells_what_is_wrong_and_shows_nothing(tmp_path: Path) -> None:
    done = run("config", "show", "--config", str(tmp_path / "none.toml"))
    assert (done.exit_code, done.stdout) == (2, "")
    assert "none.toml: cannot be read: No such file" in done.stderr


@pytest.mark.parametrize("arguments", [["srve"], ["serve", "--lisen", "a:1"], ["serve", "extra"]])
def test_wrong_use_is_exit_code_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_the_version_is_that_of_the_distribution() -> None:
    assert version("holdfast") == VERSION == holdfast.__version__
    assert run("--version").stdout.strip() == f"holdfastd, version {VERSION}"
