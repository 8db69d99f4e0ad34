"""The command line of the daemon."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from holdfastd import VERSION, config
from holdfastd.config import Config, ConfigError

EXIT_USAGE = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="holdfastd")
def cli() -> None:
    """Holdfast's daemon: a durable job queue over TCP."""


def _options(command: Any) -> Any:
    for option in (
        click.option("--http", metavar="HOST:PORT", help="Address for metrics and health."),
        click.option("--listen", metavar="HOST:PORT", help="Address for clients."),
        click.option("--data", metavar="DIR", help="Directory of the database."),
        click.option(
            "--config",
            "path",
            type=click.Path(dir_okay=False, path_type=Path),
            help="A TOML file; see config.toml for every key.",
        ),
    ):
        command = option(command)
    return command


def _load(path: Path | None, data: str | None, listen: str | None, http: str | None) -> Config:
    given = {"data.dir": data, "tcp.listen": listen, "http.listen": http}
    flags = {key: text for key, text in given.items() if text is not None}
    try:
        return config.load(path, os.environ, flags)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"holdfastd: {problem}", err=True)
        sys.exit(EXIT_USAGE)


@cli.command()
@_options
def serve(path: Path | None, data: str | None, listen: str | None, http: str | None) -> None:
    """Run the daemon until SIGTERM or SIGINT."""
    from holdfastd import daemon

    sys.exit(daemon.serve(_load(path, data, listen, http)))


@cli.command("check-config")
@_options
def check_config(path: Path | None, data: str | None, listen: str | None, http: str | None) -> None:
    """Say whether the configuration can be used, and what is in force."""
    for key, value in config.flatten(_load(path, data, listen, http)).items():
        click.echo(f"{key} = {json.dumps(value)}")
