"""`holdfastd doctor`: is the machine fit for a daemon, and how is the one that runs there?"""

import json
import os
import sys
from pathlib import Path
from typing import Final

import click

from holdfastd import config
from holdfastd.cli_options import EXIT_FAILED, given, read_or_leave, serving_options
from holdfastd.clock import SystemClock
from holdfastd.doctor.report import Status, as_json, as_lines, worst

_COLOURS: Final = {
    Status.OK: "green",
    Status.UNKNOWN: "cyan",
    Status.WARN: "yellow",
    Status.BAD: "red",
}
_NICE: Final = 5
"""A daemon beside it goes first; as for a backup."""


@click.command()
@serving_options
@click.option("--json", "is_json", is_flag=True, help="One JSON object.")
def doctor(
    path: Path | None, data: str | None, listen: str | None, http: str | None, is_json: bool
) -> None:
    """Look at the machine, the data directory and its daemon, and say what to do.

    Give the same --config and flags as the daemon has, and run it as the daemon's user. It changes
    nothing, and may be run beside a daemon at work. Exit code: 0 all is well or there are warnings
    only, 1 something is bad, 2 wrong use.
    """
    from holdfastd.daemon import OWN_FILES
    from holdfastd.doctor.examination import examine

    flags = given({"data.dir": data, "tcp.listen": listen, "http.listen": http})
    settings = read_or_leave(lambda: config.load(path, os.environ, flags))
    os.nice(_NICE)
    findings = examine(settings, SystemClock(), OWN_FILES)
    if is_json:
        click.echo(json.dumps(as_json(findings)))
    else:
        for status, text, advice in as_lines(findings):
            click.echo(f"{click.style(f'{status.value:<7}', fg=_COLOURS[status])} {text}")
            if advice:
                click.echo(f"{'':<7} {advice}")
    if worst(findings) is Status.BAD:
        sys.exit(EXIT_FAILED)
