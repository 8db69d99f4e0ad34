"""The daemon itself: what the doctor says of it, a backup now, a reload."""

from typing import Any, Final

from starlette.responses import Response

from holdfastd.web.acting.upkeep import Upkeep
from holdfastd.web.api import shapes
from holdfastd.web.api.operation import Call, Operation, said
from holdfastd.web.api.schema import listed, text
from holdfastd.web.board import Board

_KEYS: Final = listed(text())
RELOADED: Final = shapes.told(changed=_KEYS, needs_restart=_KEYS)


class Keeping:
    def __init__(self, board: Board, upkeep: Upkeep):
        self._board = board
        self._upkeep = upkeep

    def operations(self) -> list[Operation]:
        tag = "server"
        anything: dict[str, Any] = {"type": "object"}
        return [
            Operation(
                "GET",
                "/server",
                "get_server",
                tag,
                "The daemon",
                self._server,
                {200: ("It.", anything)},
            ),
            Operation(
                "GET",
                "/server/doctor",
                "get_report",
                tag,
                "What the doctor says of the daemon and its machine",
                self._report,
                {200: ("As `holdfastd doctor --json` says it.", shapes.REPORT)},
                description="One that is younger than 5 minutes; if there is none, it looks now, "
                "which takes some seconds.",
            ),
            Operation(
                "POST",
                "/server/backup",
                "back_up",
                tag,
                "Make a backup now",
                self._back_up,
                {202: ("It has begun: `backup` of the server tells of its end.", anything)},
            ),
            Operation(
                "POST",
                "/server/reload",
                "reload",
                tag,
                "Put into force what the configuration's file, certificates and keys are by now",
                self._reload,
                {200: ("It is done: keys of the configuration.", RELOADED)},
                description="As SIGHUP does: all of it, or, where anything is wrong, nothing.",
            ),
        ]

    async def _server(self, call: Call) -> Response:
        return said(await self._board.server(call.identity))

    async def _report(self, call: Call) -> Response:
        return said(await self._upkeep.report(call.identity))

    async def _back_up(self, call: Call) -> Response:
        return said(await self._upkeep.do(call.identity, "backup"), 202)

    async def _reload(self, call: Call) -> Response:
        return said(await self._upkeep.do(call.identity, "reload"))
