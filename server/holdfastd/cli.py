"""The command line of the daemon."""

import sys
from pathlib import Path
from typing import Any

import click

from holdfastd import VERSION, config
from holdfastd.config import ConfigError

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


def _load(path: Path | None, data: str | None, listen: str | None, http: str | None) -> Any:
    flags = {"server.data": data, "server.listen": listen, "server.http": http}
    try:
        return config.load(path, config.environment(), flags)
    except ConfigError as error:
        click.echo(f"holdfastd: {error}", err=True)
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
    settings = _load(path, data, listen, http)
    click.echo(f"ok: data in {settings.server.data}, clients on {settings.server.listen}")
