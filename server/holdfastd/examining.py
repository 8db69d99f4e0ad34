"""What the doctor says of a running daemon: `holdfastd doctor` in a process of its own, now and
then, as long as somebody wants to know.

It is asked for by a page that a hundred people may watch, and takes some hundred syncs of the disk:
so it looks once for all of them, and again when that was FRESH_S ago.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

from holdfastd import ownprocess
from holdfastd.clock import Clock
from holdfastd.config import Config, as_environment

FRESH_S: Final = 300.0
"""What it looks at changes slowly, but for what the page itself shows. Arbitrary."""
PATIENCE_S: Final = 60.0
"""It takes 2 s, on a slow disk 5."""


class Examining:
    """Attributes:
    report: the last one, as `holdfastd doctor --json` says it, with `at_ms`, when it was made; None
        = there is none yet.
    """

    def __init__(self, config: Callable[[], Config], clock: Clock):
        """config: in force; the doctor judges by this, whatever the files say by now."""
        self.report: dict[str, Any] | None = None
        self._config = config
        self._clock = clock
        self._fresh_until = float("-inf")
        self._looking: asyncio.Task[None] | None = None

    @property
    def is_looking(self) -> bool:
        return self._looking is not None and not self._looking.done()

    def glance(self) -> dict[str, Any] | None:
        """The last report; if it is old, another look begins."""
        if self._clock.monotonic() >= self._fresh_until:
            self.begin()
        return self.report

    def begin(self) -> asyncio.Task[None]:
        """A look, unless there is one going on."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())
        return self._looking

    async def fresh_report(self) -> dict[str, Any]:
        """One that is not old; it takes some seconds if there is none."""
        if self._clock.monotonic() >= self._fresh_until:
            # Who asks may go away; others wait for the same look.
            await asyncio.shield(self.begin())
        assert self.report is not None
        return self.report

    async def _look(self) -> None:
        at_ms = self._clock.now_ms()
        try:
            async with asyncio.timeout(PATIENCE_S):
                found = await self._ask()
        except (OSError, TimeoutError, RuntimeError, ValueError) as error:
            found = _could_not(str(error) or f"it did not end within {PATIENCE_S:g} s")
        self.report = {"at_ms": at_ms, **found}
        self._fresh_until = self._clock.monotonic() + FRESH_S

    async def _ask(self) -> dict[str, Any]:
        """Raises OSError, RuntimeError: it could not look."""
        ended = await ownprocess.run("doctor", "--json", settings=as_environment(self._config()))
        if not ended.said:  # 1 = something is bad, which it says
            raise RuntimeError(ended.last_words)
        found: dict[str, Any] = json.loads(ended.said)
        return found

    async def close(self) -> None:
        """The daemon stops."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)


def _could_not(why: str) -> dict[str, Any]:
    text = f"the doctor could not look: {why}"
    advice = "run holdfastd doctor by hand, as the daemon's user"
    return {
        "status": "unknown",
        "checks": {"doctor": {"status": "unknown", "text": text, "advice": advice}},
    }
