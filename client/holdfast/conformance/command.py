"""The command `holdfast conformance`: which checks, against whom, and what is printed."""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import click

from holdfast.access import Access, access_of
from holdfast.conformance.checks import Check
from holdfast.conformance.reporting import (
    check_map,
    codes_map,
    lines_of,
    listed,
    result_map,
    total_of,
)
from holdfast.conformance.runner import Result, chosen, run
from holdfast.conformance.scene import Server

EXIT_NOT_CONFORMING: Final = 1


def show_list(patterns: Sequence[str], *, as_json: bool) -> None:
    """The checks, without asking anybody. Raises MisuseError."""
    checks = chosen(patterns)
    if as_json:
        document = {"checks": [check_map(check) for check in checks], "codes": codes_map(checks)}
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    for check in checks:
        click.echo(listed(check))


def run_checks(
    options: dict[str, Any],
    patterns: Sequence[str],
    *,
    patience_s: float,
    viewer_key_file: str | None,
    restart: str | None,
    as_json: bool,
    is_verbose: bool,
) -> None:
    """Play them, print what came of each, and leave with 1 if one failed. options: of the group
    `holdfast`. Raises HoldfastError."""
    access = access_of(
        options["url"],
        key_file=options["key_file"],
        ca_file=options["ca_file"],
        cert_file=options["cert_file"],
    )
    server = Server(
        access,
        options["timeout"],
        patience_s,
        _viewer(access, viewer_key_file),
        restart,
    )
    results = asyncio.run(_play_all(server, chosen(patterns), as_json, is_verbose))
    if as_json:
        document = {"url": access.address.url, "checks": [result_map(each) for each in results]}
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        click.echo(f"{access.address.url}: {total_of(results)}")
    if any(result.failure for result in results):
        sys.exit(EXIT_NOT_CONFORMING)


def _viewer(access: Access, key_file: str | None) -> Access | None:
    """The same server with another key."""
    if key_file is None:
        return None
    other = access_of(access.address.url, key_file=key_file, ca_file=access.ca_file)
    return replace(other, cert_file=access.cert_file)


async def _play_all(
    server: Server, checks: Sequence[Check], as_json: bool, is_verbose: bool
) -> list[Result]:
    results = []
    async for result in run(server, checks):
        results.append(result)
        if not as_json:
            click.echo("\n".join(lines_of(result, is_verbose=is_verbose)))
    return results
