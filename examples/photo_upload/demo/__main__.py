"""Run the story on a stage, check every outcome, print a table.

    python -m examples.photo_upload.demo

Exit code 0: all holds. 1: something does not, and is named. 130: interrupted. Whatever happens, no
process and no file is left. KEEP=1 leaves all up until Ctrl-C, and prints the addresses.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from examples.photo_upload.demo.outcome import Outcome
from examples.photo_upload.demo.stage import Stage
from examples.photo_upload.demo.story import play, say
from holdfast.aio import Queue

DEADLINE_S: Final = 50.0
"""The whole story; it takes some 20 s."""


async def main() -> int:
    cancel_on_signals()
    stage = Stage()
    try:
        problems = await perform(stage)
        for problem in problems:
            say(f"  FAILED  {problem}")
        say("" if problems else "\nEvery photo, mail and row is there. Nothing was lost.")
        if os.environ.get("KEEP"):
            await keep(stage)
        return 1 if problems else 0
    except asyncio.CancelledError:
        say("\ninterrupted; nothing is left running")
        return 130
    finally:
        stage.strike()


def cancel_on_signals() -> None:
    """The first signal ends the demo in good order; those that follow change nothing about it."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def cancel() -> None:
        for number in signals:
            loop.add_signal_handler(number, lambda: None)
        task.cancel()

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, cancel)


async def perform(stage: Stage) -> list[str]:
    """Returns what went wrong, one line each; empty = nothing."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            say("starting holdfastd, a web application and two workers")
            await stage.set_up()
            async with (
                Queue("image-processing", url=stage.queue_url) as photos,
                Queue("mail", url=stage.queue_url) as mails,
            ):
                outcome = Outcome(stage, await play(stage, photos, mails))
                await outcome.check(photos, mails)
    except TimeoutError as error:
        say(stage.last_words())
        return [f"expected an end within {DEADLINE_S:g} s, found none {error}"]
    except Exception as error:
        say(stage.last_words())
        return [f"{type(cause).__name__}: {cause}" for cause in causes(error)]
    say("")
    for name, value in outcome.rows:
        say(f"  {name:<30}{value:>10}")
    return outcome.problems


def causes(error: Exception) -> Iterator[Exception]:
    """The exceptions inside a group of them."""
    if isinstance(error, ExceptionGroup):
        for inner in error.exceptions:
            yield from causes(inner)
    else:
        yield error


async def keep(stage: Stage) -> None:
    say(f"""
  upload a photo   curl --data-binary @photo.jpg '{stage.web}/upload?user_id=1'
  see its job      curl {stage.web}/jobs/JOB_ID
  all queues       HOLDFAST_URL={stage.queue_url} {sys.prefix}/bin/holdfast queues
  metrics          {stage.http}/metrics
  files and logs   {stage.folder}

Ctrl-C ends it and removes everything.""")
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
