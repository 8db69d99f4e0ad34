"""The command line: data on stdout, messages on stderr.

Exit codes: 0 done; 1 the server refused it or it is not there; 2 wrong use; 3 the server cannot be
reached; 130 Ctrl-C.
"""

import importlib
import inspect
import json
import logging
import os
import re
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from functools import wraps
from typing import Any, Final, TypeVar

import click
from click.shell_completion import get_completion_class

from holdfast.errors import HoldfastError, MisuseError, PeerError, Refused, Unreachable
from holdfast.options import Backoff
from holdfast.schedules import Schedule
from holdfast.sync import Job, Queue, search
from holdfast.top import ORDERS
from holdfast.wire.schedules import POLICIES

EXIT_REFUSED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREACHABLE: Final = 3
EXIT_INTERRUPTED: Final = 128 + 2
"""As a shell says of one that SIGINT has ended."""
INTERVAL_S_MIN: Final = 0.1
"""Of `top`: counting is cheap, but not for nothing. Arbitrary."""
COMPLETION_S: Final = 1.0
"""To ask for the names of queues when Tab is pressed: somebody is waiting."""
F = TypeVar("F", bound=Callable[..., Any])

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "": 1.0}


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5 only
    """`2s`, `500ms`, `10m`, `1h`, `1d`, or a number of seconds. Gives seconds."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|)", str(value))
        if found is None:
            self.fail(f"{value!r} is no duration: use 500ms, 2s, 10m, 1h, 1d", param, ctx)
        return float(found[1]) * _UNITS[found[2]]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--url", envvar="HOLDFAST_URL", help="holdfast://HOST:PORT; default $HOLDFAST_URL.")
@click.option("--key-file", help="Holds the key; default $HOLDFAST_KEY, else $HOLDFAST_KEY_FILE.")
@click.option("--ca-file", help="Who signed the server's certificate; default $HOLDFAST_CA_FILE.")
@click.option("--cert-file", help="A certificate of ours, with key; default $HOLDFAST_CERT_FILE.")
@click.option("--timeout", type=Duration(), default=10.0, help="For each call, such as 5s.")
@click.pass_context
def cli(ctx: click.Context, /, **options: Any) -> None:
    """Add jobs to a Holdfast server, look at them, act on them."""
    ctx.obj = options


def _guarded(command: F) -> F:
    """Errors as one line and an exit code."""

    @wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except MisuseError as error:
            _leave(str(error), EXIT_USAGE)
        except (Unreachable, PeerError) as error:
            _leave(str(error), EXIT_UNREACHABLE)
        except HoldfastError as error:
            _leave(error.message if isinstance(error, Refused) else str(error), EXIT_REFUSED)
        except BrokenPipeError:  # its reader has enough, as `head` has
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        except KeyboardInterrupt:
            sys.exit(EXIT_INTERRUPTED)

    return guarded  # type: ignore[return-value]  # wraps keeps the signature


def _leave(message: str, code: int) -> None:
    click.echo(f"holdfast: {message}", err=True)
    sys.exit(code)


def _queue(ctx: click.Context, name: str) -> Queue:
    return Queue(name, **ctx.obj)


def _shown(value: Any) -> Any:
    """For JSON: instants as text, bytes as hex."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, default=_shown, ensure_ascii=False))


def _job_map(job: Job) -> dict[str, Any]:
    return asdict(job)


def _queue_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """For the shell: the queues that there are; none if they cannot be had at once."""
    parent = ctx.parent
    given = {**(parent.params if parent else {}), "timeout": COMPLETION_S}
    try:
        found = Queue("any", **given).all_queues()
    except HoldfastError:
        return []
    return [name for name in found if name.startswith(incomplete)]


_queue_argument = click.argument("queue", shell_complete=_queue_names)
_json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document per line.")


def _from_json(data: str) -> Any:
    try:
        return json.loads(data)
    except json.JSONDecodeError as error:
        raise MisuseError(f"DATA is no JSON ({error}): quote it, as '{{\"a\": 1}}'") from error


# ---- adding --------------------------------------------------------------------------------------


@cli.command()
@_queue_argument
@click.argument("name")
@click.argument("data", default="null")
@click.option("--id", help="Adding the same id again adds nothing.")
@click.option("--attempts", type=int, help="Failures that end it; default 1, no retry.")
@click.option("--delay", type=Duration(), help="Such as 2s or 10m.")
@click.option("--priority", type=int, help="Smaller runs first; default 0.")
@click.option("--lifo", is_flag=True, default=None, help="First within its priority.")
@click.option("--backoff", type=Duration(), help="First delay of an exponential backoff.")
@click.option("--tag", "tags", multiple=True, help="To find it by; may be given several times.")
@_json_option
@click.pass_context
@_guarded
def add(
    ctx: click.Context, /, queue: str, name: str, data: str, as_json: bool, **options: Any
) -> None:
    """Add a job; DATA is JSON. Prints its id."""
    value = _from_json(data)
    if options["backoff"] is not None:
        options["backoff"] = Backoff.exponential(options["backoff"], cap=3600, jitter="full")
    given = {key: option for key, option in options.items() if option not in (None, ())}
    job = _queue(ctx, queue).add(name, value, **given)
    if as_json:
        _print_json({"id": job.id, "created": job.created, "state": job.state})
    else:
        click.echo(job.id)
        if job.created is False:
            click.echo(f"it was there already, and is {job.state}", err=True)


# ---- looking -------------------------------------------------------------------------------------


@cli.command()
@_queue_argument
@click.argument("id")
@_json_option
@click.pass_context
@_guarded
def job(ctx: click.Context, queue: str, id: str, as_json: bool) -> None:
    """Show one job with its errors and logs."""
    found = _queue(ctx, queue).get(id)
    if as_json:
        _print_json(_job_map(found))
        return
    for key, value in _job_map(found).items():
        if key not in ("errors", "logs") and value not in (None, "", []):
            click.echo(f"{key:<12} {_shown(value) if isinstance(value, datetime) else value}")
    for error in found.errors:
        click.echo(f"attempt {error.attempt:<4} {error.outcome}: {error.type}: {error.message}")
    for line in found.logs:
        click.echo(f"log          {line}")


@cli.command()
@_queue_argument
@click.argument("id")
@_json_option
@click.pass_context
@_guarded
def explain(ctx: click.Context, queue: str, id: str, as_json: bool) -> None:
    """Say why a job is not running."""
    why = _queue(ctx, queue).explain(id)
    if as_json:
        _print_json(asdict(why))
    else:
        click.echo(why.text)


@cli.command()
@click.argument("query", nargs=-1)
@click.option("--limit", type=click.IntRange(1), default=50, help="So many at most; default 50.")
@_json_option
@click.pass_context
@_guarded
def jobs(ctx: click.Context, query: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Find jobs: holdfast jobs 'state:failed queue:mail error:timeout'.

    docs/reference/search.md tells of all that can be asked. Without a QUERY, the newest jobs are
    listed. Quote it for the shell; behind -- it may begin with a minus.
    """
    text = " ".join(query)
    try:
        for found in search(text, limit=limit, **ctx.obj):
            if as_json:
                _print_json(_found_map(found))
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
    return {key: value for key, value in _job_map(job).items() if key not in NOT_SEARCHED}


def _found_line(job: Job) -> str:
    line = f"{job.id}  {job.name}  attempt {job.attempt}/{job.attempts}  {job.queue}  {job.state}"
    first, _, _ = job.error.partition("\n")
    return f"{line}  {first[:ERROR_SHOWN]}" if first else line


def _point_at(text: str, at: int) -> None:
    """Show the place in a query, on one line whatever is in it."""
    shown = "".join(each if each.isprintable() else " " for each in text)
    click.echo(f"  {shown}\n  {' ' * at}^", err=True)


@cli.command()
@_json_option
@click.pass_context
@_guarded
def queues(ctx: click.Context, as_json: bool) -> None:
    """List all queues with their counts."""
    found = _queue(ctx, "any").all_queues()
    if as_json:
        _print_json(found)
        return
    states = ("waiting", "delayed", "active", "completed", "failed")
    width = max([5, *map(len, found)])
    click.echo(f"{'queue':<{width}} " + " ".join(f"{state:>9}" for state in states) + "  workers")
    for name, counts in found.items():
        numbers = " ".join(f"{counts[state]:>9,}" for state in states)
        paused = "  paused" if counts["paused"] else ""
        click.echo(f"{name:<{width}} {numbers} {counts['workers']:>8}{paused}")


@cli.command()
@click.option("--once", "is_once", is_flag=True, help="Print once, and end.")
@click.option(
    "--sort",
    "order",
    type=click.Choice(list(ORDERS)),
    default="waiting",
    help="Largest first by it.",
)
@click.option("--interval", type=Duration(), default=1.0, help="Between two looks; default 1s.")
@_json_option
@click.pass_context
@_guarded
def top(ctx: click.Context, interval: float, order: str, is_once: bool, as_json: bool) -> None:
    """Show all queues and what happens in them, each second.

    Keys: q or Ctrl-C ends, s sorts by the next column. Where the output is no terminal, and with
    --json, it is printed once. Rates are of all that happened between two looks, so even a single
    print takes one interval.
    """
    from holdfast import top_cli  # what it needs of a terminal is not there on Windows

    if interval < INTERVAL_S_MIN:
        raise MisuseError(f"--interval must be at least {INTERVAL_S_MIN:g} s, not {interval:g}")
    top_cli.run(_queue(ctx, "any"), interval, order, is_once=is_once, as_json=as_json)


@cli.command()
@_queue_argument
@_json_option
@click.pass_context
@_guarded
def counts(ctx: click.Context, queue: str, as_json: bool) -> None:
    """Count a queue's jobs by state."""
    found = _queue(ctx, queue).counts()
    if as_json:
        _print_json(found)
    else:
        for state, count in found.items():
            click.echo(f"{state:<10} {count:>12,}")


@cli.command()
@_queue_argument
@click.option("--after", type=int, help="Number of the last event seen.")
@_json_option
@click.pass_context
@_guarded
def tail(ctx: click.Context, queue: str, after: int | None, as_json: bool) -> None:
    """Print a queue's events as they happen, until Ctrl-C."""
    for event in _queue(ctx, queue).events(after):
        if as_json:
            _print_json(asdict(event))
        else:
            at = event.at.strftime("%H:%M:%S.%f")[:-3] if event.at else "-"
            details = " ".join(f"{key}={value}" for key, value in event.details.items())
            click.echo(f"{at} {event.kind:<10} {event.id or ''} {event.name or ''} {details}")


# ---- acting --------------------------------------------------------------------------------------


@cli.command()
@_queue_argument
@click.argument("ids", nargs=-1, required=True)
@click.pass_context
@_guarded
def retry(ctx: click.Context, queue: str, ids: tuple[str, ...]) -> None:
    """Put finished jobs back, with all their attempts."""
    _queue(ctx, queue).retry(*ids)


@cli.command()
@_queue_argument
@click.argument("ids", nargs=-1, required=True)
@click.pass_context
@_guarded
def promote(ctx: click.Context, queue: str, ids: tuple[str, ...]) -> None:
    """Let delayed jobs wait no longer."""
    _queue(ctx, queue).promote(*ids)


@cli.command()
@_queue_argument
@click.argument("ids", nargs=-1, required=True)
@click.option("--active", is_flag=True, help="Remove active jobs; their workers are told to stop.")
@click.pass_context
@_guarded
def remove(ctx: click.Context, queue: str, ids: tuple[str, ...], active: bool) -> None:
    """Delete jobs."""
    _queue(ctx, queue).remove(*ids, state="active" if active else None)


@cli.command()
@_queue_argument
@click.argument("ids", nargs=-1, required=True)
@click.pass_context
@_guarded
def cancel(ctx: click.Context, queue: str, ids: tuple[str, ...]) -> None:
    """End jobs; the worker of one that runs is told to stop."""
    _queue(ctx, queue).cancel(*ids)


@cli.command()
@_queue_argument
@click.argument("ids", nargs=-1, required=True)
@click.option("--to", "target", required=True, shell_complete=_queue_names, help="The queue.")
@click.pass_context
@_guarded
def move(ctx: click.Context, queue: str, ids: tuple[str, ...], target: str) -> None:
    """Take waiting or delayed jobs over to another queue."""
    _queue(ctx, queue).move(*ids, to=target)


@cli.command()
@_queue_argument
@click.argument("id")
@click.argument("data")
@click.pass_context
@_guarded
def edit(ctx: click.Context, queue: str, id: str, data: str) -> None:
    """Give a waiting or delayed job other data; DATA is JSON."""
    _queue(ctx, queue).edit(id, _from_json(data))


@cli.command()
@_queue_argument
@click.pass_context
@_guarded
def pause(ctx: click.Context, queue: str) -> None:
    """Let no job of the queue start any more."""
    _queue(ctx, queue).pause()


@cli.command()
@_queue_argument
@click.pass_context
@_guarded
def resume(ctx: click.Context, queue: str) -> None:
    """Let the queue's jobs start again."""
    _queue(ctx, queue).resume()


# ---- schedules -----------------------------------------------------------------------------------


@cli.command()
@_queue_argument
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
@_json_option
@click.pass_context
@_guarded
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
    value = _from_json(data)
    if options["backoff"] is not None:
        options["backoff"] = Backoff.exponential(options["backoff"], cap=3600, jitter="full")
    given = {key: option for key, option in options.items() if option not in (None, ())}
    made = _queue(ctx, queue).schedule(id, name, value, **given)
    if as_json:
        _print_json(asdict(made))
    else:
        click.echo(f"{made.words}; next at {_at(made.next_at)}")


@cli.command()
@click.argument("queue", required=False)
@_json_option
@click.pass_context
@_guarded
def schedules(ctx: click.Context, queue: str | None, as_json: bool) -> None:
    """List the schedules of a queue, or of all."""
    asked = _queue(ctx, queue or "any")
    found = list(asked.all_schedules() if queue is None else asked.schedules())
    if as_json:
        for each in found:
            _print_json(asdict(each))
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


@cli.command()
@_queue_argument
@click.argument("id")
@click.pass_context
@_guarded
def unschedule(ctx: click.Context, queue: str, id: str) -> None:
    """Remove a schedule; its jobs stay."""
    _queue(ctx, queue).unschedule(id)


@cli.command()
@_queue_argument
@click.argument("id")
@_json_option
@click.pass_context
@_guarded
def run_schedule(ctx: click.Context, queue: str, id: str, as_json: bool) -> None:
    """Add one job of a schedule now; its plan stays. Prints the job's id."""
    job = _queue(ctx, queue).run_schedule(id)
    if as_json:
        _print_json({"id": job.id, "state": job.state})
    else:
        click.echo(job.id)


@cli.command()
@_queue_argument
@click.argument("id")
@click.pass_context
@_guarded
def pause_schedule(ctx: click.Context, queue: str, id: str) -> None:
    """Let a schedule add no jobs any more."""
    _queue(ctx, queue).pause_schedule(id)


@cli.command()
@_queue_argument
@click.argument("id")
@click.pass_context
@_guarded
def resume_schedule(ctx: click.Context, queue: str, id: str) -> None:
    """Let a schedule add jobs again, from now on."""
    _queue(ctx, queue).resume_schedule(id)


# ---- working -------------------------------------------------------------------------------------


@cli.command()
@click.argument("target", metavar="MODULE:ATTRIBUTE")
@_guarded
def worker(target: str) -> None:
    """Run a Worker, or what a function without arguments returns, until SIGTERM."""
    from holdfast.worker import Worker

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    sys.path.insert(0, "")
    found = _attribute(target)
    if callable(found):
        if not _takes_nothing(found):
            raise MisuseError(f"{target} takes arguments: name a Worker, or what makes one")
        found = found()
    if not isinstance(found, Worker):
        raise MisuseError(f"{target} is {type(found).__name__}, not a holdfast.Worker")
    found.run()


_TARGET: Final = re.compile(r"(\w+(?:\.\w+)*):(\w+)")


def _attribute(target: str) -> Any:
    """What MODULE:ATTRIBUTE names. An error of the module itself rises: its traceback is needed."""
    named = _TARGET.fullmatch(target)
    if named is None:
        raise MisuseError(f"{target!r} must be MODULE:ATTRIBUTE, such as app:worker")
    try:
        return getattr(importlib.import_module(named[1]), named[2])
    except (ImportError, AttributeError) as error:
        raise MisuseError(
            f"{target} cannot be had: {error}: name what can be imported here"
        ) from error


def _takes_nothing(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError):  # arguments are missing; it says nothing of its arguments
        return False
    return True


@cli.command()
@click.argument("url", required=False)
@click.option("--only", "patterns", multiple=True, help="A theme, or an id such as 'adding.*'.")
@click.option("--list", "is_list", is_flag=True, help="Tell of the checks, and ask nobody.")
@click.option("--patience", type=Duration(), default=60.0, help="For leases to be lost; 60s.")
@click.option("--viewer-key-file", help="A key of the role viewer, to see what it may not do.")
@click.option("--restart", help="A command for the shell that restarts the server.")
@click.option("--verbose", "is_verbose", is_flag=True, help="Every frame that went over the wire.")
@_json_option
@click.pass_context
@_guarded
def conformance(
    ctx: click.Context, /, url: str | None, patterns: tuple[str, ...], is_list: bool, **options: Any
) -> None:
    """See whether a server keeps to protocol.md, check by check.

    It works on queues of its own, and leaves nothing behind. It needs a key of the role admin if
    the server wants keys. Exit code 1 if a check fails: docs/reference/conformance.md.
    """
    from holdfast.conformance import command  # nothing else needs the checks

    if is_list:
        command.show_list(patterns, as_json=options["as_json"])
        return
    patience_s = options.pop("patience")
    server = {**ctx.obj, "url": url or ctx.obj["url"]}
    command.run_checks(server, patterns, patience_s=patience_s, **options)


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script with which SHELL completes commands, options and names of queues.

    \b
    bash: eval "$(holdfast completion bash)"       in ~/.bashrc
    zsh:  eval "$(holdfast completion zsh)"        in ~/.zshrc, after compinit
    fish: holdfast completion fish | source        in ~/.config/fish/config.fish
    """  # noqa: D301 - click takes the control character for: keep these lines
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "holdfast", "_HOLDFAST_COMPLETE").source())
