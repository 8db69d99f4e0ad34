"""`holdfastd check-config`, `holdfastd config show`: what is in force, and where it is from."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click

from holdfastd import config, tls
from holdfastd.access import exposure, keyfile
from holdfastd.access.keys import KeysError
from holdfastd.cli_options import given, leave, read_or_leave, reader, serving_options
from holdfastd.config import Config, Origin, Traced

_FLAGS: Final = {"data.dir": "--data", "tcp.listen": "--listen", "http.listen": "--http"}


@click.command("check-config")
@serving_options
def check_config(path: Path | None, data: str | None, listen: str | None, http: str | None) -> None:
    """Say whether a daemon could start with the configuration, and what would be in force.

    Certificates and keys are read as a start reads them; nothing is made or changed. What is
    printed can be used as a configuration file.
    """
    flags = {"data.dir": data, "tcp.listen": listen, "http.listen": http}
    found = read_or_leave(reader(path, flags))
    problems = list(_unusable_files(found))
    if problems:
        leave(problems)
    for key, value in config.flatten(found).items():
        click.echo(f"{key} = {json.dumps(value)}")


def _unusable_files(settings: Config) -> Iterator[str]:
    """What a start would be refused for, although the configuration itself is right."""
    files = settings.tls
    has_tls = exposure.tcp_has_tls(settings) or exposure.http_has_tls(settings)
    if has_tls and files.cert_file is not None:
        try:
            tls.read(files.cert_file, files.key_file, files.client_ca_file)
        except tls.TlsError as error:
            yield str(error)
    try:
        with suppress(FileNotFoundError):  # no keys yet
            keyfile.read(exposure.keys_file(settings))
    except KeysError as error:
        yield str(error)


@click.group("config")
def config_group() -> None:
    """Look at the configuration."""


@config_group.command()
@serving_options
@click.option("--origin", "has_origin", is_flag=True, help="Say where each value comes from.")
@click.option("--json", "is_json", is_flag=True, help="One JSON object, by key.")
def show(
    path: Path | None,
    data: str | None,
    listen: str | None,
    http: str | None,
    has_origin: bool,
    is_json: bool,
) -> None:
    """Print every key with its value, as a file that can be used.

    Give the same --config and flags, in the same environment, as the daemon has: it prints what a
    daemon that is started so would use, not what a running one was started with.
    """
    flags = given({"data.dir": data, "tcp.listen": listen, "http.listen": http})
    found = read_or_leave(lambda: config.load_traced(path, os.environ, flags))
    if is_json:
        click.echo(json.dumps(facts(found, has_origin=has_origin)))
    else:
        for line in lines(found, has_origin=has_origin):
            click.echo(line)


def facts(found: Traced, *, has_origin: bool) -> dict[str, Any]:
    """By path, the value; with the origin, a map of value, origin and, of a file, variable or flag,
    its name."""
    values = config.flatten(found.config)
    if not has_origin:
        return dict(values)
    return {
        path: {"value": values[path], "origin": origin.kind, "name": named(path, origin) or None}
        for path, origin in found.origins.items()
    }


def lines(found: Traced, *, has_origin: bool) -> Iterator[str]:
    """TOML; the origin is a comment."""
    values = config.flatten(found.config)
    texts = {path: f"{path} = {json.dumps(values[path])}" for path in values}
    width = max(map(len, texts.values()))
    for path, text in texts.items():
        yield f"{text:<{width}}  # {_told(path, found.origins[path])}" if has_origin else text


def _told(path: str, origin: Origin) -> str:
    return f"{origin.kind} {named(path, origin)}".rstrip()


def named(path: str, origin: Origin) -> str:
    """The file, the variable, the flag; "" for a default."""
    return _FLAGS.get(path, "") if origin.kind == "flag" else origin.name
