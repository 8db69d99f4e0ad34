"""`holdfastd healthcheck`: is the daemon of this configuration ready? For containers and scripts.

It asks /readyz on `http.listen`, so it needs what the daemon was given: the same file, environment
and flags.
"""

import http.client
import os
import ssl
from pathlib import Path
from typing import Final

import click

from holdfastd import config
from holdfastd.access import exposure
from holdfastd.cli_options import directory_options, told
from holdfastd.config import Address, ConfigError

TIMEOUT_S: Final = 3.0
"""Below the 5 s that the Dockerfile gives it, so that it can still say what is wrong."""
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Who listens everywhere listens here as well."""


class Unhealthy(Exception):
    """One line: what the daemon says, or why it cannot be asked."""


@click.command()
@directory_options
@click.option("--http", metavar="HOST:PORT", help="The daemon's address for HTTP.")
def healthcheck(path: Path | None, data: str | None, http: str | None) -> None:
    """Ask the daemon whether it is ready. Exit code 0: it is; 1: it is not, and why."""
    flags = {"data.dir": data, "http.listen": http}
    given = {key: text for key, text in flags.items() if text is not None}
    with told(ConfigError, Unhealthy):
        found = config.load(path, os.environ, given)
        click.echo(ask(found.http.listen, has_tls=exposure.http_has_tls(found)))


def ask(listen: Address, *, has_tls: bool) -> str:
    """What a daemon that is ready says. Raises Unhealthy."""
    if not listen.port:
        raise Unhealthy(
            f"http.listen = {listen} is any free port: give the one that the daemon took with "
            "--http HOST:PORT (its log has it, at READY)"
        )
    connection = _connection(_ANYWHERE.get(listen.host, listen.host), listen.port, has_tls)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        text = answer.read(1000).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        raise Unhealthy(
            f"nothing answers on http.listen = {listen} ({_reason(error)}): the daemon does not "
            "run, hangs, or was given another address"
        ) from error
    finally:
        connection.close()
    if answer.status == http.client.SERVICE_UNAVAILABLE:
        raise Unhealthy(text)
    if answer.status != http.client.OK:
        raise Unhealthy(
            f"http.listen = {listen} answers {answer.status} to /readyz: it is no holdfastd"
        )
    return text


def _connection(host: str, port: int, has_tls: bool) -> http.client.HTTPConnection:
    """Any certificate will do: it is for the name that clients use, and nothing secret is sent."""
    if not has_tls:
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
