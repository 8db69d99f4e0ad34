"""Plays checks against a server, several at a time, and says what came of each."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from holdfast.conformance.catalogue import CHECKS
from holdfast.conformance.checks import Check
from holdfast.conformance.outcomes import Failed, Skipped, Subject
from holdfast.conformance.scene import Scene, Server
from holdfast.conformance.speaking import Speaker
from holdfast.errors import MisuseError, Unreachable

AT_ONCE: Final = 8
"""Checks beside each other: most of their time is waiting for delays and leases."""


class Result(NamedTuple):
    check: Check
    outcome: str
    """passed, failed or skipped."""
    failure: Failed | None
    why: str
    """Why it was skipped."""
    seconds: float
    transcript: list[str]
    met: frozenset[Subject]
    """Opcodes and error codes that went over the wire."""


def chosen(patterns: Sequence[str]) -> list[Check]:
    """The checks whose id matches one of the patterns, or whose theme is one; all without any.
    Raises MisuseError."""
    if not patterns:
        return CHECKS
    for pattern in patterns:
        if not any(_is_meant(check, pattern) for check in CHECKS):
            raise MisuseError(f"no check is called {pattern!r}: see holdfast conformance --list")
    return [check for check in CHECKS if any(_is_meant(check, each) for each in patterns)]


def _is_meant(check: Check, pattern: str) -> bool:
    return fnmatchcase(check.id, pattern) or check.id.partition(".")[0] == pattern


async def run(server: Server, checks: Sequence[Check]) -> AsyncIterator[Result]:
    """The results, in the order of the checks. Raises Unreachable if nobody answers there."""
    await _see_that_somebody_answers(server)
    prefix = f"conformance-{secrets.token_hex(4)}"
    room = asyncio.Semaphore(AT_ONCE)

    async def played(number: int, check: Check) -> Result:
        async with room:
            return await play(server, check, f"{prefix}-{number}")

    together = [
        (check, asyncio.create_task(played(number, check)))
        for number, check in enumerate(checks)
        if not check.is_alone
    ]
    try:
        for _, task in together:
            yield await task
        for number, check in enumerate(checks):
            if check.is_alone:
                yield await play(server, check, f"{prefix}-{number}")
    finally:
        for _, task in together:
            task.cancel()
        await asyncio.gather(*(task for _, task in together), return_exceptions=True)


async def _see_that_somebody_answers(server: Server) -> None:
    try:
        speaker = await Speaker.dial(server.access, server.answer_s, lambda line: None, set())
    except OSError as error:
        text = str(error) or type(error).__name__
        raise Unreachable(server.access.address.url, server.answer_s, text) from error
    speaker.cut()


async def play(server: Server, check: Check, prefix: str) -> Result:
    """One check, and its cleaning up."""
    scene = Scene(server, prefix)
    loop = asyncio.get_running_loop()
    began = loop.time()
    failure, why = None, ""
    try:
        await check.play(scene)
    except Failed as error:
        failure = error
    except Skipped as error:
        why = str(error)
    except (OSError, TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        # Something of another shape came than anybody thought of.
        came = f"{type(error).__name__}: {error}"
        failure = Failed("see the transcript", "an answer of the shape in protocol.md", came)
    with suppress(Failed, OSError):  # what was wrong is told already, or was none of its business
        await scene.clean()
    outcome = "failed" if failure else "skipped" if why else "passed"
    seconds = loop.time() - began
    return Result(check, outcome, failure, why, seconds, scene.transcript, frozenset(scene.met))
