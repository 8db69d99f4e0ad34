"""`holdfast schedule`, `schedules` and what is done to them."""

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
    queue_of,
)
from holdfast.schedules import Schedule
from holdfast.wire.schedules import POLICIES


@click.command()
@queue_argument
@click.argument("id")
@click.argument("name")
@click.argument("data", default="null")
@click.option("--cron", help="Such as '30 2 * * 1-5': minute hour day-of-month month day-of-week.")
@click.option("--every", type=Duration(), help="Such as 5m; at least 1s.")
@click.option("--tz", default="UTC", help="Time zone of --cron, such as Europe/Berlin.")
@click.option("--missed", type=click.Choice(POLICIES["missed"]), help="After the server was down.")
@click.option("--overlap", type=click.Choice(POLICIES["overlap"]), help="While the last job runs.")
@click.option("--attempts", type=int, help="Failures that end a job; default 1, no retry.")
@click.option("--priority", type=int, help="Smaller runs first; default 0.")
@click.option("--backoff", type=Duration(), help="First delay of an exponential backoff.")
@click.option(
    "--tag", "tags", multiple=True, help="To find its jobs by; may be given several times."
)
@json_option
@click.pass_context
@guarded
def schedule(
    ctx: click.Context,
    /,
    queue: str,
    id: str,
    name: str,
    data: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Add a job each time that it is due; DATA is JSON.

    In place of the queue's schedule of that ID, if there is one. Prints it in words.
    """
    value = from_json(data)
    made = queue_of(ctx, queue).schedule(id, name, value, **given_of(options))
    if as_json:
        print_json(asdict(made))
    else:
        click.echo(f"{made.words}; next at {_at(made.next_at)}")


@click.command()
@click.argument("queue", required=False)
@json_option
@click.pass_context
@guarded
def schedules(ctx: click.Context, queue: str | None, as_json: bool) -> None:
    """List the schedules of a queue, or of all."""
    asked = queue_of(ctx, queue or "any")
    found = list(asked.all_schedules() if queue is None else asked.schedules())
    if as_json:
        for each in found:
            print_json(asdict(each))
        return
    rows = [("queue", "id", "next", "last", "fired", "when"), *map(_row, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _row(found: Schedule) -> tuple[str, ...]:
    next_at = "paused" if found.paused else _at(found.next_at)
    return found.queue, found.id, next_at, _at(found.last_at), f"{found.fired:,}", found.words


def _at(at: datetime | None) -> str:
    return "never" if at is None else at.strftime("%Y-%m-%d %H:%M:%S UTC")


@click.command()
@queue_argument
@click.argument("id")
@click.pass_context
@guarded
def unschedule(ctx: click.Context, queue: str, id: str) -> None:
    """Remove a schedule; its jobs stay."""
    queue_of(ctx, queue).unschedule(id)


@click.command()
@queue_argument
@click.argument("id")
@json_option
@click.pass_context
@guarded
def run_schedule(ctx: click.Context, queue: str, id: str, as_json: bool) -> None:
    """Add one job of a schedule now; its plan stays. Prints the job's id."""
    job = queue_of(ctx, queue).run_schedule(id)
    if as_json:
        print_json({"id": job.id, "state": job.state})
    else:
        click.echo(job.id)


@click.command()
@queue_argument
@click.argument("id")
@click.pass_context
@guarded
def pause_schedule(ctx: click.Context, queue: str, id: str) -> None:
    """Let a schedule add no jobs any more."""
    queue_of(ctx, queue).pause_schedule(id)


@click.command()
@queue_argument
@click.argument("id")
@click.pass_context
@guarded
def resume_schedule(ctx: click.Context, queue: str, id: str) -> None:
    """Let a schedule add jobs again, from now on."""
    queue_of(ctx, queue).resume_schedule(id)


COMMANDS: Final = (schedule, schedules, unschedule, run_schedule, pause_schedule, resume_schedule)
