"""check-config and wrong use; `serve` itself is started in tests/crash."""

import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from holdfastd import VERSION
from holdfastd.cli import cli
from holdfastd.config import Config, flatten


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(cli, arguments, env=environment)


def test_check_config_prints_what_is_in_force(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[tcp]\nlisten = "127.0.0.1:1"\n[log]\nlevel = "debug"\n')
    done = run("check-config", "--config", str(file), "--listen", "127.0.0.1:2")
    assert done.exit_code == 0
    tree = tomllib.loads(done.stdout)  # the paths are TOML's dotted keys: it can be used as a file
    expected = Config.from_mapping({"tcp": {"listen": "127.0.0.1:2"}, "log": {"level": "debug"}})
    assert flatten(Config.from_mapping(tree)) == flatten(expected)


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


@pytest.mark.parametrize("arguments", [["srve"], ["serve", "--lisen", "a:1"], ["serve", "extra"]])
def test_wrong_use_is_exit_code_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_the_version_is_that_of_the_distribution() -> None:
    assert version("holdfast") == VERSION
    assert run("--version").stdout.strip() == f"holdfastd, version {VERSION}"
