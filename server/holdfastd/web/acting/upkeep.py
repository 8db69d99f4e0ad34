"""What an admin may have the daemon do to itself: a backup now, a reload, another look by the
doctor; and the doctor's report, for who may see the server."""

from typing import Any, Final, Protocol

from holdfast.wire.checks import Refusal
from holdfast.wire.constants import ErrorCode
from holdfastd.access.rights import Identity, Need
from holdfastd.web.acting.noting import Noting
from holdfastd.web.guard import Guard

KINDS: Final = ("backup", "reload", "doctor")


class Machine(Protocol):
    """The daemon, as far as it lets itself be kept."""

    @property
    def can_back_up(self) -> bool: ...

    def back_up(self) -> None:
        """Begin to. Raises RuntimeError."""

    async def reload(self) -> dict[str, Any]:
        """`{problems, changed, needs_restart}`; with problems nothing has changed."""

    def glance(self) -> dict[str, Any] | None:
        """The doctor's last report, without waiting; None = there is none yet."""

    @property
    def is_looking(self) -> bool: ...

    def examine(self) -> None: ...

    async def report(self) -> dict[str, Any]:
        """The doctor's, not old; it may take some seconds."""


class Upkeep:
    def __init__(self, machine: Machine, guard: Guard, noting: Noting):
        self._machine = machine
        self._guard = guard
        self._noting = noting

    # ---- seeing --------------------------------------------------------------------------------

    def glance(self, identity: Identity) -> dict[str, Any] | None:
        """What the doctor said last; None = it is looking for the first time. Raises Refusal."""
        self._guard.require(identity, Need.SEE_COUNTS)
        return self._machine.glance()

    async def report(self, identity: Identity) -> dict[str, Any]:
        """`{at_ms, status, checks}`; checks by name: `{status, text, advice, …}`. Raises
        Refusal."""
        self._guard.require(identity, Need.SEE_COUNTS)
        return await self._machine.report()

    @property
    def is_looking(self) -> bool:
        return self._machine.is_looking

    @property
    def can_back_up(self) -> bool:
        return self._machine.can_back_up

    # ---- doing ---------------------------------------------------------------------------------

    async def do(self, identity: Identity, kind: str) -> dict[str, Any]:
        """Of KINDS. A backup has begun then, as a look has; a reload is done.

        Returns of a reload `{changed, needs_restart}`, else nothing.

        Raises:
            Refusal: it may not, or was not done; it says why.
        """
        self._guard.require(identity, Need.KEEP)
        if kind == "doctor":  # it only looks
            self._machine.examine()
            return {}
        try:
            done = await self._reload() if kind == "reload" else self._back_up()
        except Refusal as refusal:
            entry = {"result": "refused", "why": refusal.message}
            self._noting.write(identity, kind, entry)
            raise
        self._noting.write(identity, kind, {"result": "ok", **done})
        return done

    def _back_up(self) -> dict[str, Any]:
        try:
            self._machine.back_up()
        except RuntimeError as error:
            raise Refusal(ErrorCode.WRONG_STATE, str(error)) from error
        return {}

    async def _reload(self) -> dict[str, Any]:
        done = await self._machine.reload()
        problems = done.pop("problems")
        if problems:
            text = f"reload refused, nothing was changed: {'; '.join(problems)}"
            raise Refusal(ErrorCode.WRONG_STATE, text)
        return done
