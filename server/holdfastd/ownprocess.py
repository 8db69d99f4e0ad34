"""Commands of our own, run by the daemon in processes of their own: their work takes neither its
loop nor its memory, and they may go before it."""

import asyncio
import os
import sys
from collections.abc import Mapping
from typing import Final, NamedTuple

from holdfastd.config import FILE_VARIABLE

STOP_S: Final = 2.0
"""One that is at work when the daemon stops has so long to clean up."""


class Ended(NamedTuple):
    code: int
    said: bytes
    complained: bytes

    @property
    def last_words(self) -> str:
        """Why it failed, for people."""
        words = self.complained.decode(errors="replace").strip().removeprefix("holdfastd: ")
        return words or f"it ended with {self.code}"


async def run(*arguments: str, settings: Mapping[str, str] | None = None) -> Ended:
    """`holdfastd ARGUMENTS`, until it ends; cancelled, it is stopped.

    settings: variables that it gets besides ours. It never reads the file that we have read: that
    may be edited just now, and must not keep it from its work.
    """
    inherited = {name: text for name, text in os.environ.items() if name != FILE_VARIABLE}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "holdfastd", *arguments),
        env={**inherited, **(settings or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        said, complained = await process.communicate()
    finally:
        if process.returncode is None:
            await _stop(process)
    assert process.returncode is not None
    return Ended(process.returncode, said, complained)


async def _stop(process: asyncio.subprocess.Process) -> None:
    process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
