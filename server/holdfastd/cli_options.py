"""What the daemon's commands share: their options, and how they tell what is wrong."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import click

from holdfastd import config
from holdfastd.access import exposure
from holdfastd.config import Config, ConfigError

T = TypeVar("T")

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2

_DATA: Final = click.option("--data", metavar="DIR", help="Directory of the database.")
_CONFIG: Final = click.option(
    "--config",
    "path",
    envvar=config.FILE_VARIABLE,
    show_envvar=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="A TOML file; see config.toml for every key.",
)
_LISTEN: Final = click.option("--listen", metavar="HOST:PORT", help="Address for clients.")
_HTTP: Final = click.option(
    "--http", metavar="HOST:PORT", help="Address for dashboard, API, metrics."
)


def serving_options(command: Any) -> Any:
    return directory_options(_LISTEN(_HTTP(command)))


def directory_options(command: Any) -> Any:
    return _CONFIG(_DATA(command))


def reader(path: Path | None, flags: Mapping[str, str | None]) -> Callable[[], Config]:
    """A function that reads the configuration, as it is then, for a daemon to serve by.

    It raises ConfigError, also for what a daemon must not lay open.
    """
    said = given(flags)

    def read() -> Config:
        found = config.load(path, os.environ, said)
        problems = exposure.problems(found)
        if problems:
            raise ConfigError(problems)
        return found

    return read


def given(flags: Mapping[str, str | None]) -> dict[str, str]:
    """Those that stand on the command line."""
    return {key: text for key, text in flags.items() if text is not None}


def read_or_leave(read: Callable[[], T]) -> T:
    """The configuration; or a line for each problem, and exit code 2."""
    try:
        return read()
    except ConfigError as error:
        leave(error.problems)


def leave(problems: list[str]) -> NoReturn:
    """A line for each, and exit code 2."""
    for problem in problems:
        click.echo(f"holdfastd: {problem}", err=True)
    sys.exit(EXIT_USAGE)


def load(path: Path | None, data: str | None) -> Config:
    """For commands that look at the directory and serve nobody."""
    flags = {} if data is None else {"data.dir": data}
    return read_or_leave(lambda: config.load(path, os.environ, flags))


@contextmanager
def told(*errors: type[Exception]) -> Iterator[None]:
    """One line for the operator, and exit code 1."""
    try:
        yield
    except errors as error:
        click.echo(f"holdfastd: {error}", err=True)
        sys.exit(EXIT_FAILED)
