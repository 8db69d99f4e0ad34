"""What all commands of `holdfast` share: options, errors as one line, how things are printed."""

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import wraps
from typing import Any, Final, TypeVar

import click

from holdfast.errors import HoldfastError, MisuseError, PeerError, Refused, Unreachable
from holdfast.options import Backoff
from holdfast.sync import Queue

EXIT_REFUSED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREACHABLE: Final = 3
EXIT_INTERRUPTED: Final = 128 + 2
"""As a shell says of one that SIGINT has ended."""
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


def guarded(command: F) -> F:
    """Errors as one line and an exit code."""

    @wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except MisuseError as error:
            leave(str(error), EXIT_USAGE)
        except (Unreachable, PeerError) as error:
            leave(str(error), EXIT_UNREACHABLE)
        except HoldfastError as error:
            leave(error.message if isinstance(error, Refused) else str(error), EXIT_REFUSED)
        except BrokenPipeError:  # its reader has enough, as `head` has
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        except KeyboardInterrupt:
            sys.exit(EXIT_INTERRUPTED)

    return guarded  # type: ignore[return-value]  # wraps keeps the signature


def leave(message: str, code: int) -> None:
    click.echo(f"holdfast: {message}", err=True)
    sys.exit(code)


def queue_of(ctx: click.Context, name: str) -> Queue:
    return Queue(name, **ctx.obj)


def shown(value: Any) -> Any:
    """For JSON: instants as text, bytes as hex."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, default=shown, ensure_ascii=False))


def queue_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """For the shell: the queues that there are; none if they cannot be had at once."""
    parent = ctx.parent
    given = {**(parent.params if parent else {}), "timeout": COMPLETION_S}
    try:
        found = Queue("any", **given).all_queues()
    except HoldfastError:
        return []
    return [name for name in found if name.startswith(incomplete)]


queue_argument = click.argument("queue", shell_complete=queue_names)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document per line.")


def from_json(data: str) -> Any:
    try:
        return json.loads(data)
    except json.JSONDecodeError as error:
        raise MisuseError(f"DATA is no JSON ({error}): quote it, as '{{\"a\": 1}}'") from error


def given_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a job that were given; --backoff is the first delay of an exponential one."""
    given = {key: option for key, option in options.items() if option not in (None, ())}
    if "backoff" in given:
        given["backoff"] = Backoff.exponential(given["backoff"], cap=3600, jitter="full")
    return given
