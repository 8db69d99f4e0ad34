"""`holdfast queues`, `counts`, `top`, `tail`, `pause`, `resume`: what is about a whole queue."""

from dataclasses import asdict
from typing import Final

import click

from holdfast.cli_options import (
    Duration,
    guarded,
    json_option,
    print_json,
    queue_argument,
    queue_of,
)
from holdfast.errors import MisuseError
from holdfast.top import ORDERS

INTERVAL_S_MIN: Final = 0.1
"""Of `top`: counting is cheap, but not for nothing. Arbitrary."""


@click.command()
@json_option
@click.pass_context
@guarded
def queues(ctx: click.Context, as_json: bool) -> None:
    """List all queues with their counts."""
    found = queue_of(ctx, "any").all_queues()
    if as_json:
        print_json(found)
        return
    states = ("waiting", "delayed", "active", "completed", "failed")
    width = max([5, *map(len, found)])
    click.echo(f"{'queue':<{width}} " + " ".join(f"{state:>9}" for state in states) + "  workers")
    for name, counts in found.items():
        numbers = " ".join(f"{counts[state]:>9,}" for state in states)
        paused = "  paused" if counts["paused"] else ""
        click.echo(f"{name:<{width}} {numbers} {counts['workers']:>8}{paused}")


@click.command()
@click.option("--once", "is_once", is_flag=True, help="Print once, and end.")
@click.option(
    "--sort",
    "order",
    type=click.Choice(list(ORDERS)),
    default="waiting",
    help="Largest first by it.",
)
@click.option("--interval", type=Duration(), default=1.0, help="Between two looks; default 1s.")
@json_option
@click.pass_context
@guarded
def top(ctx: click.Context, interval: float, order: str, is_once: bool, as_json: bool) -> None:
    """Show all queues and what happens in them, each second.

    Keys: q or Ctrl-C ends, s sorts by the next column. Where the output is no terminal, and with
    --json, it is printed once. Rates are of all that happened between two looks, so even a single
    print takes one interval.
    """
    from holdfast import top_cli  # what it needs of a terminal is not there on Windows

    if interval < INTERVAL_S_MIN:
        raise MisuseError(f"--interval must be at least {INTERVAL_S_MIN:g} s, not {interval:g}")
    top_cli.run(queue_of(ctx, "any"), interval, order, is_once=is_once, as_json=as_json)


@click.command()
@queue_argument
@json_option
@click.pass_context
@guarded
def counts(ctx: click.Context, queue: str, as_json: bool) -> None:
    """Count a queue's jobs by state."""
    found = queue_of(ctx, queue).counts()
    if as_json:
        print_json(found)
    else:
        for state, count in found.items():
            click.echo(f"{state:<10} {count:>12,}")


@click.command()
@queue_argument
@click.option("--after", type=int, help="Number of the last event seen.")
@json_option
@click.pass_context
@guarded
def tail(ctx: click.Context, queue: str, after: int | None, as_json: bool) -> None:
    """Print a queue's events as they happen, until Ctrl-C."""
    for event in queue_of(ctx, queue).events(after):
        if as_json:
            print_json(asdict(event))
        else:
            at = event.at.strftime("%H:%M:%S.%f")[:-3] if event.at else "-"
            details = " ".join(f"{key}={value}" for key, value in event.details.items())
            click.echo(f"{at} {event.kind:<10} {event.id or ''} {event.name or ''} {details}")


@click.command()
@queue_argument
@click.pass_context
@guarded
def pause(ctx: click.Context, queue: str) -> None:
    """Let no job of the queue start any more."""
    queue_of(ctx, queue).pause()


@click.command()
@queue_argument
@click.pass_context
@guarded
def resume(ctx: click.Context, queue: str) -> None:
    """Let the queue's jobs start again."""
    queue_of(ctx, queue).resume()


COMMANDS: Final = (queues, top, counts, tail, pause, resume)
