"""Actions on all that match, remembered over a restart of the daemon: one small file in `data.dir`.

It is written before such an action touches anything, after each page of jobs, and at its end. A
start reads it. One that it finds in the middle was cut short by a kill: it is told as stopped, with
what is known to be done, which may be a page of jobs too little. Nothing depends on the file: what
was done is in the jobs. So it is not synced, and one that cannot be written or read (a full disk,
another version's) costs the memory of actions and nothing else.
"""

import asyncio
import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from holdfastd.access.rights import Identity
from holdfastd.web.acting import kinds
from holdfastd.web.acting.action import Action, Progress

NAME: Final = "actions.json"
MODE: Final = 0o600
CUT_SHORT: Final = (
    "the daemon went down while it ran, so it may have done up to 500 more: ask for it again, it "
    "passes over what is done"
)
NOT_BEGUN: Final = "the daemon went down before it began: nothing was done"
_FIELDS: Final = (
    *("id", "kind", "by", "params", "starts_at_ms", "query", "queue", "found", "done"),
    *("skipped", "failed", "ended_at_ms", "why"),
)
"""Of an action, as they are told of."""


class Kept:
    def __init__(self, folder: Path):
        self._path = folder / NAME
        self._writing = asyncio.Lock()

    def read(self) -> list[tuple[Identity, Action]]:
        """Those that were told of last, with their owners, who have a name and no rights here."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(self._path.read_bytes())
            return [_as_action(each) for each in kept if each["kind"] in kinds.JOBS]
        return []

    async def write(self, actions: Callable[[], Iterable[tuple[Identity, Action]]]) -> None:
        """In another thread; actions: as they are when it is its turn."""
        async with self._writing:
            kept = [
                {**action.told(), "key_id": owner.key_id}
                for owner, action in actions()
                if action.query is not None
            ]
            await asyncio.to_thread(self._put, json.dumps(kept).encode())

    def _put(self, content: bytes) -> None:
        """Whole or not at all."""
        fresh = self._path.with_suffix(".new")
        with suppress(OSError):
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, MODE)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            fresh.replace(self._path)


def _as_action(kept: dict[str, Any]) -> tuple[Identity, Action]:
    action = Action(**{name: kept[name] for name in _FIELDS}, state=Progress(kept["state"]))
    return Identity(action.by, kept["key_id"]), action
