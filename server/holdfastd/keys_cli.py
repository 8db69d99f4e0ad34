"""`holdfastd keys`: create, list, rotate and revoke keys, while the daemon runs or not.

Each changes the key file; the daemon notices within a second.
"""

import getpass
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from holdfast.wire.credentials import Key, key_text
from holdfastd.access import keyfile
from holdfastd.access.exposure import keys_file
from holdfastd.access.keys import KeyRecord, Keys, KeysError
from holdfastd.access.rights import Role
from holdfastd.audit import AuditError, AuditLog, Entry
from holdfastd.cli_options import EXIT_FAILED, directory_options, load, told
from holdfastd.clock import SystemClock
from holdfastd.config import Config

_UNITS_MS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Age(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5 only
    """`90s`, `10m`, `24h`, `30d`. Gives milliseconds."""

    name = "age"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        found = re.fullmatch(r"(\d{1,6})([smhd])", str(value))
        if found is None:
            self.fail(f"{value!r} is no age: use 90s, 10m, 24h, 30d", param, ctx)
        return int(found[1]) * _UNITS_MS[found[2]]


_OUT: Final = click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the key to this new file of mode 0600, and not to standard output.",
)


@click.group()
def keys() -> None:
    """Who may come in: create, list, rotate and revoke keys."""


@keys.command()
@click.argument("name")
@click.option(
    "--role",
    "roles",
    type=click.Choice([role.value for role in Role]),
    multiple=True,
    required=True,
    help="What it may do; may be given several times. docs/how-to/secure.md lists them.",
)
@click.option(
    "--queues",
    "patterns",
    multiple=True,
    metavar="PATTERN",
    help="For which queues, such as 'mail*'; may be given several times. Default: all.",
)
@click.option("--expires", type=Age(), help="After how long it is worth nothing, such as 90d.")
@_OUT
@directory_options
def create(
    name: str,
    roles: tuple[str, ...],
    patterns: tuple[str, ...],
    expires: int | None,
    out: Path | None,
    path: Path | None,
    data: str | None,
) -> None:
    """Make a key for NAME and show it, this once: nobody has it but you."""
    now_ms = SystemClock().now_ms()
    wanted = [Role(role) for role in roles]
    queues = patterns or ("*",)
    expires_at_ms = None if expires is None else now_ms + expires
    with _shown_once(out) as show:
        key = _change(
            load(path, data),
            lambda found: found.create(name, wanted, queues, now_ms, expires_at_ms),
            lambda key: _entry(
                "KEYS CREATE", name, [key.id], roles=list(roles), queues=list(queues)
            ),
        )
        show(key, f"key {key.id} of {name}: {', '.join(roles)} on {', '.join(queues)}")


@keys.command("list")
@click.option("--json", "is_json", is_flag=True, help="As one JSON document.")
@directory_options
def list_(is_json: bool, path: Path | None, data: str | None) -> None:
    """Show all keys: what they are for, not what they are."""
    file = keys_file(load(path, data))
    with told(KeysError):
        try:
            records = keyfile.read(file).records
        except FileNotFoundError:
            raise KeysError(f"there is no key file {file} yet: `holdfastd keys create`") from None
    now_ms = SystemClock().now_ms()
    if is_json:
        click.echo(json.dumps([_facts(record, now_ms) for record in records]))
        return
    for row in [("id", "name", "roles", "queues", "created", "expires"), *map(_row, records)]:
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(row, _WIDTHS, strict=True)))


@keys.command()
@click.argument("name")
@click.option(
    "--keep",
    type=Age(),
    help="The old key is good for so long, such as 24h. Default: until revoked.",
)
@_OUT
@directory_options
def rotate(
    name: str, keep: int | None, out: Path | None, path: Path | None, data: str | None
) -> None:
    """Make a second key for NAME and show it; the first stays valid for now."""
    now_ms = SystemClock().now_ms()
    until_ms = None if keep is None else now_ms + keep
    with _shown_once(out) as show:
        key = _change(
            load(path, data),
            lambda found: found.rotate(name, now_ms, until_ms),
            lambda key: _entry("KEYS ROTATE", name, [key.id], old_expires_at_ms=until_ms),
        )
        todo = (
            "when it is no longer used, revoke the old one"
            if keep is None
            else "the old one expires"
        )
        show(key, f"key {key.id} of {name}, beside the old one: {todo}")


@keys.command()
@click.argument("name_or_id")
@click.option("--all", "is_all", is_flag=True, help="Both keys of a name that has two.")
@directory_options
def revoke(name_or_id: str, is_all: bool, path: Path | None, data: str | None) -> None:
    """Make a key worth nothing, by NAME or ID; its connections are closed."""
    ids = _change(
        load(path, data),
        lambda found: found.revoke(name_or_id, all_of_name=is_all),
        lambda ids: _entry("KEYS REVOKE", name_or_id, ids),
    )
    click.echo(f"revoked {', '.join(ids)}", err=True)


# ---- parts -----------------------------------------------------------------------------------


def _change(config: Config, how: Callable[[Keys], Any], entry: Callable[[Any], Entry]) -> Any:
    """Change the key file and note it in the audit log; that is opened first, so that nothing
    changes unnoted."""
    file = keys_file(config)
    with told(KeysError, AuditError):
        if not config.auth.keys_file:
            _make_data_directory(file.parent)
        audit = None if config.audit.file is None else AuditLog(config.audit.file)
        result = keyfile.change(file, how)
    if audit is not None:
        audit.write(SystemClock().now_ms(), entry(result))
        audit.close()
    return result


def _make_data_directory(directory: Path) -> None:
    """As the daemon would: the first key is made before its first start."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise KeysError(f"data.dir = {directory} cannot be made: {error.strerror}") from error


def _entry(command: str, name: str, ids: list[str], **details: Any) -> Entry:
    return {
        "command": command,
        "user": _user(),
        "name": name,
        "keys": ids,
        **details,
        "result": "ok",
    }


def _user() -> str:
    """A container's may have a number only."""
    try:
        return f"{getpass.getuser()} (uid {os.getuid()})"
    except (KeyError, OSError):  # up to Python 3.12, and from 3.13
        return f"uid {os.getuid()}"


@contextmanager
def _shown_once(out: Path | None) -> Iterator[Callable[[Key, str], None]]:
    """Gives a function that hands the key over, with a sentence on it; the file for it is made
    before the key is."""
    if out is None:

        def show(key: Key, what: str) -> None:
            click.echo(f"{what}. It is shown this once:", err=True)
            click.echo(key_text(key))

        yield show
        return
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, keyfile.MODE)
    except OSError as error:
        click.echo(f"holdfastd: {out} cannot be made: {error.strerror}: no key was made", err=True)
        sys.exit(EXIT_FAILED)

    def write(key: Key, what: str) -> None:
        os.write(descriptor, f"{key_text(key)}\n".encode())
        click.echo(f"{what}. It is in {out}, and nowhere else", err=True)

    try:
        yield write
    except BaseException:
        out.unlink()
        raise
    finally:
        os.close(descriptor)


_WIDTHS: Final = (8, 20, 18, 24, 20, 20)


def _row(record: KeyRecord) -> tuple[str, ...]:
    expires = "-" if record.expires_at_ms is None else _instant(record.expires_at_ms)
    return (
        record.id,
        record.name,
        _roles(record),
        ",".join(record.queues),
        _instant(record.created_at_ms),
        expires if record.is_valid(SystemClock().now_ms()) else f"expired {expires}",
    )


def _facts(record: KeyRecord, now_ms: int) -> dict[str, Any]:
    return {
        "id": record.id,
        "name": record.name,
        "roles": _roles(record).split(","),
        "queues": list(record.queues),
        "created_at_ms": record.created_at_ms,
        "expires_at_ms": record.expires_at_ms,
        "is_valid": record.is_valid(now_ms),
    }


def _roles(record: KeyRecord) -> str:
    return ",".join(role.value for role in Role if role in record.roles)


def _instant(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%SZ}"
