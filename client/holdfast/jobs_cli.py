"""`holdfast add`, `job`, `jobs`, `explain` and what is done to jobs by their ids."""

from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

import click

from holdfast.cli_options import (
    Duration,
    from_json,
    given_of,
    guarded,
    json_option,
    print_json,
    queue_argument,
    queue_names,
    queue_of,
    shown,
)
from holdfast.errors import Refused
from holdfast.sync import Job, search


@click.command()
@queue_argument
@click.argument("name")
@click.argument("data", default="null")
@click.option("--id", help="Adding the same id again adds nothing.")
@click.option("--attempts", type=int, help="Failures that end it; default 1, no retry.")
@click.option("--delay", type=Duration(), help="Such as 2s or 10m.")
@click.option("--priority", type=int, help="Smaller runs first; default 0.")
@click.option("--lifo", is_flag=True, default=None, help="First within its priority.")
@click.option("--backoff", type=Duration(), help="First delay of an exponential backoff.")
@click.option("--tag", "tags", multiple=True, help="To find it by; may be given several times.")
@json_option
@click.pass_context
@guarded
def add(
    ctx: click.Context, /, queue: str, name: str, data: str, as_json: bool, **options: Any
) -> None:
    """Add a job; DATA is JSON. Prints its id."""
    value = from_json(data)
    job = queue_of(ctx, queue).add(name, value, **given_of(options))
    if as_json:
        print_json({"id": job.id, "created": job.created, "state": job.state})
    else:
        click.echo(job.id)
        if job.created is False:
            click.echo(f"it was there already, and is {job.state}", err=True)


@click.command()
@queue_argument
@click.argument("id")
@json_option
@click.pass_context
@guarded
def job(ctx: click.Context, queue: str, id: str, as_json: bool) -> None:
    """Show one job with its errors and logs."""
    found = queue_of(ctx, queue).get(id)
    if as_json:
        print_json(asdict(found))
        return
    for key, value in asdict(found).items():
        if key not in ("errors", "logs") and value not in (None, "", []):
            click.echo(f"{key:<12} {shown(value) if isinstance(value, datetime) else value}")
    for error in found.errors:
        click.echo(f"attempt {error.attempt:<4} {error.outcome}: {error.type}: {error.message}")
    for line in found.logs:
        click.echo(f"log          {line}")


@click.command()
@queue_argument
@click.argument("id")
@json_option
@click.pass_context
@guarded
def explain(ctx: click.Context, queue: str, id: str, as_json: bool) -> None:
    """Say why a job is not running."""
    why = queue_of(ctx, queue).explain(id)
    if as_json:
        print_json(asdict(why))
    else:
        click.echo(why.text)


@click.command()
@click.argument("query", nargs=-1)
@click.option("--limit", type=click.IntRange(1), default=50, help="So many at most; default 50.")
@json_option
@click.pass_context
@guarded
def jobs(ctx: click.Context, query: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Find jobs: holdfast jobs 'state:failed queue:mail error:timeout'.

    docs/reference/search.md tells of all that can be asked. Without a QUERY, the newest jobs are
    listed. Quote it for the shell; behind -- it may begin with a minus.
    """
    text = " ".join(query)
    try:
        for found in search(text, limit=limit, **ctx.obj):
            if as_json:
                print_json(_found_map(found))
            else:
                click.echo(_found_line(found))
    except Refused as error:
        if "at" in error.details:
            _point_at(text, error.details["at"])
        raise


NOT_SEARCHED: Final = ("data", "result", "errors", "logs", "created")
"""Fields of a job that a search does not fill."""
ERROR_SHOWN: Final = 80
"""Characters of an error in a line of a listing."""


def _found_map(job: Job) -> dict[str, Any]:
    return {key: value for key, value in asdict(job).items() if key not in NOT_SEARCHED}


def _found_line(job: Job) -> str:
    line = f"{job.id}  {job.name}  attempt {job.attempt}/{job.attempts}  {job.queue}  {job.state}"
    first, _, _ = job.error.partition("\n")
    return f"{line}  {first[:ERROR_SHOWN]}" if first else line


def _point_at(text: str, at: int) -> None:
    """Show the place in a query, on one line whatever is in it."""
    shown = "".join(each if each.isprintable() else " " for each in text)
    click.echo(f"  {shown}\n  {' ' * at}^", err=True)


@click.command()
@queue_argument
@click.argument("ids", nargs=-1, required=True)
@click.pass_context
@guarded
def retry(ctx: click.Context, queue: str, ids: tuple[str, ...]) -> None:
    """Put finished jobs back, with all their attempts."""
    queue_of(ctx, queue).retry(*ids)


@click.command()
@queue_argument
@click.argument("ids", nargs=-1, required=True)
@click.pass_context
@guarded
def promote(ctx: click.Context, queue: str, ids: tuple[str, ...]) -> None:
    """Let delayed jobs wait no longer."""
    queue_of(ctx, queue).promote(*ids)


@click.command()
@queue_argument
@click.argument("ids", nargs=-1, required=True)
@click.option("--active", is_flag=True, help="Remove active jobs; their workers are told to stop.")
@click.pass_context
@guarded
def remove(ctx: click.Context, queue: str, ids: tuple[str, ...], active: bool) -> None:
    """Delete jobs."""
    queue_of(ctx, queue).remove(*ids, state="active" if active else None)


@click.command()
@queue_argument
@click.argument("ids", nargs=-1, required=True)
@click.pass_context
@guarded
def cancel(ctx: click.Context, queue: str, ids: tuple[str, ...]) -> None:
    """End jobs; the worker of one that runs is told to stop."""
    queue_of(ctx, queue).cancel(*ids)


@click.command()
@queue_argument
@click.argument("ids", nargs=-1, required=True)
@click.option("--to", "target", required=True, shell_complete=queue_names, help="The queue.")
@click.pass_context
@guarded
def move(ctx: click.Context, queue: str, ids: tuple[str, ...], target: str) -> None:
    """Take waiting or delayed jobs over to another queue."""
    queue_of(ctx, queue).move(*ids, to=target)


@click.command()
@queue_argument
@click.argument("id")
@click.argument("data")
@click.pass_context
@guarded
def edit(ctx: click.Context, queue: str, id: str, data: str) -> None:
    """Give a waiting or delayed job other data; DATA is JSON."""
    queue_of(ctx, queue).edit(id, from_json(data))


COMMANDS: Final = (add, job, explain, jobs, retry, promote, remove, cancel, move, edit)
