"""The command line: data on stdout, messages on stderr.

Exit codes: 0 done; 1 the server refused it or it is not there; 2 wrong use; 3 the server cannot be
reached; 130 Ctrl-C.
"""

from typing import Any

import click
from click.shell_completion import get_completion_class

from holdfast import jobs_cli, queues_cli, schedules_cli, worker_cli
from holdfast.cli_options import Duration, guarded, json_option


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


for part in (jobs_cli, queues_cli, schedules_cli, worker_cli):
    for command in part.COMMANDS:
        cli.add_command(command)


@cli.command()
@click.argument("url", required=False)
@click.option("--only", "patterns", multiple=True, help="A theme, or an id such as 'adding.*'.")
@click.option("--list", "is_list", is_flag=True, help="Tell of the checks, and ask nobody.")
@click.option("--patience", type=Duration(), default=60.0, help="For leases to be lost; 60s.")
@click.option("--viewer-key-file", help="A key of the role viewer, to see what it may not do.")
@click.option("--restart", help="A command for the shell that restarts the server.")
@click.option("--verbose", "is_verbose", is_flag=True, help="Every frame that went over the wire.")
@json_option
@click.pass_context
@guarded
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
