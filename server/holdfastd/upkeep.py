"""What an admin may have the daemon do to itself by HTTP: a backup now, a reload, a look by the
doctor. Here is how; who may, and that it is noted, is `web.acting.upkeep`'s."""

from collections.abc import Callable
from typing import Any

from holdfastd.backups import Backups
from holdfastd.clock import Clock
from holdfastd.examining import Examining
from holdfastd.inforce import InForce


class Upkeep:
    def __init__(self, in_force: InForce, backups: Callable[[], Backups | None], clock: Clock):
        """backups: by what is configured now; None = none are made."""
        self._in_force = in_force
        self._backups = backups
        self._examining = Examining(lambda: in_force.config, clock)

    @property
    def can_back_up(self) -> bool:
        return self._backups() is not None

    def back_up(self) -> None:
        """Begin to. Raises RuntimeError: nobody has said where to."""
        backups = self._backups()
        if backups is None:
            raise RuntimeError("the daemon makes no backups: set backup.dir, and reload it")
        backups.ask()

    async def reload(self) -> dict[str, Any]:
        """As by SIGHUP: `{problems, changed, needs_restart}`; with problems nothing has changed."""
        return (await self._in_force.reload_now())._asdict()

    def glance(self) -> dict[str, Any] | None:
        return self._examining.glance()

    @property
    def is_looking(self) -> bool:
        return self._examining.is_looking

    def examine(self) -> None:
        self._examining.begin()

    async def report(self) -> dict[str, Any]:
        return await self._examining.fresh_report()

    async def close(self) -> None:
        await self._examining.close()
