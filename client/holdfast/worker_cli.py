"""`holdfast worker`."""

import importlib
import inspect
import logging
import re
import sys
from collections.abc import Callable
from typing import Any, Final

import click

from holdfast.cli_options import (
    guarded,
)
from holdfast.errors import MisuseError


@click.command()
@click.argument("target", metavar="MODULE:ATTRIBUTE")
@guarded
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


COMMANDS: Final = (worker,)
