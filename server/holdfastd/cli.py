"""The command line of the daemon."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import get_completion_class

from holdfastd import VERSION
from holdfastd.cli_options import (
    directory_options,
    load,
    read_or_leave,
    reader,
    serving_options,
    told,
)
from holdfastd.clock import SystemClock
from holdfastd.config import Config
from holdfastd.config_cli import check_config, config_group
from holdfastd.doctor_cli import doctor
from holdfastd.healthcheck import healthcheck
from holdfastd.keys_cli import keys

if TYPE_CHECKING:
    from holdfastd.engine.model import State
    from holdfastd.store.backup import Backup, Contents
    from holdfastd.store.restore import Restored

BACKUP_NICE: Final = 5
"""The daemon's work goes first, and yet a backup must end: with 10, beside six busy processes on
two cores, one of 70 MB took 10 s instead of 2, and the log grew all the while."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="holdfastd")
def cli() -> None:
    """Holdfast's daemon: a durable job queue over TCP."""


@cli.command()
@serving_options
def serve(path: Path | None, data: str | None, listen: str | None, http: str | None) -> None:
    """Run the daemon until SIGTERM or SIGINT."""
    from holdfastd import activation, daemon

    with told(activation.ActivationError):
        sockets = activation.take(os.environ)
    at = {name: str(activation.address(found)) for name, found in sockets.items()}
    read = _reader(path, data, at.get("tcp", listen), at.get("http", http))
    sys.exit(daemon.serve(read_or_leave(read), read, sockets))


def _reader(
    path: Path | None, data: str | None, listen: str | None, http: str | None
) -> Callable[[], Config]:
    return reader(path, {"data.dir": data, "tcp.listen": listen, "http.listen": http})


cli.add_command(check_config)
cli.add_command(config_group)
cli.add_command(doctor)
cli.add_command(keys)
cli.add_command(healthcheck)


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script with which SHELL completes commands and options.

    \b
    bash: eval "$(holdfastd completion bash)"      in ~/.bashrc
    zsh:  eval "$(holdfastd completion zsh)"       in ~/.zshrc, after compinit
    fish: holdfastd completion fish | source       in ~/.config/fish/config.fish
    """  # noqa: D301 - click takes the control character for: keep these lines
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "holdfastd", "_HOLDFASTD_COMPLETE").source())


# ---- backup --------------------------------------------------------------------------------------


@cli.command()
@click.argument("dest", type=click.Path(path_type=Path))
@directory_options
@click.option("--json", "is_json", is_flag=True, help="Say what was made as one JSON object.")
def backup(dest: Path, path: Path | None, data: str | None, is_json: bool) -> None:
    """Copy the database to DEST, a file or a directory, while the daemon works on.

    The copy is of one instant, checked, and never there by half.
    """
    from holdfastd.store import backup as store

    directory = load(path, data).data.dir
    signal.signal(signal.SIGTERM, _leave)
    os.nice(BACKUP_NICE)
    with told(store.BackupError):
        made = store.back_up(directory, dest, SystemClock().now_ms())
    click.echo(json.dumps(backup_facts(made)) if is_json else backup_text(made))
    if made.contents.damaged_count:
        click.echo(f"holdfastd: {damaged_text(made.contents)}", err=True)


@cli.command()
@click.argument("backup", type=click.Path(path_type=Path))
@directory_options
@click.option(
    "--move-aside",
    is_flag=True,
    help="If there is a database already, keep it in a folder beside the new one.",
)
def restore(backup: Path, path: Path | None, data: str | None, move_aside: bool) -> None:
    """Make the data directory's database from BACKUP. The daemon must be down.

    What was added or done after the backup is lost. Running jobs wait again.
    """
    from holdfastd.store import restore as store
    from holdfastd.store.base import StoreError

    directory = load(path, data).data.dir
    now_ms = SystemClock().now_ms()
    with told(StoreError):
        restored = store.restore(backup, directory, now_ms, moves_aside=move_aside)
    for line in restored_lines(restored, directory, now_ms):
        click.echo(line)
    if restored.contents.damaged_count:
        click.echo(f"holdfastd: {damaged_text(restored.contents)}", err=True)


def _leave(number: int, frame: object) -> None:
    """SIGTERM: by an exception, so that nothing is left lying about."""
    sys.exit(128 + number)


def backup_facts(made: "Backup") -> dict[str, Any]:
    """For programs; the daemon's own schedule reads it."""
    contents = made.contents
    return {
        "path": str(made.path),
        "at_ms": contents.at_ms,
        "epoch": contents.epoch,
        "batch": contents.batch,
        "schema": contents.schema,
        "jobs": {state.name.lower(): count for state, count in sorted(contents.jobs.items())},
        "damaged": contents.damaged,
        "damaged_count": contents.damaged_count,
        "bytes": made.size_bytes,
        "seconds": round(made.seconds, 3),
        "copy_seconds": round(made.copy_seconds, 3),
    }


def backup_text(made: "Backup") -> str:
    contents = made.contents
    return (
        f"{made.path}: {jobs_text(contents.jobs)}; batch {contents.batch} of epoch "
        f"{contents.epoch}; {made.size_bytes:,} bytes in {made.seconds:.1f} s, checked"
    )


def jobs_text(jobs: "Mapping[State, int]") -> str:
    """Such as "3 jobs (2 waiting, 1 failed)"."""
    total = sum(jobs.values())
    parts = ", ".join(f"{count:,} {state.name.lower()}" for state, count in sorted(jobs.items()))
    return f"{total:,} job{'s' * (total != 1)}" + (f" ({parts})" if parts else "")


def damaged_text(contents: "Contents") -> str:
    named = ", ".join(contents.damaged)
    more = contents.damaged_count - len(contents.damaged)
    others = f" and {more:,} more" if more else ""
    return (
        f"the payload or name of {contents.damaged_count:,} of these jobs is damaged ({named}"
        f"{others}): they are in the copy as they are and are never delivered; an older backup may "
        "have them whole; look at the disk"
    )


def restored_lines(restored: "Restored", directory: Path, now_ms: int) -> Iterator[str]:
    contents = restored.contents
    yield f"{directory}: {jobs_text(contents.jobs)}"
    if contents.at_ms:
        at = datetime.fromtimestamp(contents.at_ms / 1000, UTC)
        ago = timedelta(seconds=max(0, now_ms - contents.at_ms) // 1000)
        yield f"as of {at:%Y-%m-%d %H:%M:%S} UTC, {ago} ago; what was added or done after is lost"
    if restored.released_count:
        yield f"{restored.released_count:,} of the jobs were running then: they wait again"
    if restored.moved_to is not None:
        yield f"the database that was there is in {restored.moved_to}"
