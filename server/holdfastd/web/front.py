"""All that people and programs are answered over HTTP, put together."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfastd.engine.broker import Engine
from holdfastd.inside import Inside
from holdfastd.search.finder import Finder
from holdfastd.store.base import Store
from holdfastd.web.acting.acting import Acting
from holdfastd.web.acting.noting import Noting
from holdfastd.web.acting.scheduling import Scheduling
from holdfastd.web.acting.upkeep import Machine, Upkeep
from holdfastd.web.adding import Adding
from holdfastd.web.api.assembly import Api
from holdfastd.web.assets import Assets
from holdfastd.web.board import Board, Facts
from holdfastd.web.guard import Guard
from holdfastd.web.live import Live
from holdfastd.web.pages import assembly
from holdfastd.web.pages.rendering import Look, Rendering
from holdfastd.web.pages.site import Site
from holdfastd.web.schedules import Timetable

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from holdfastd.audit import AuditLog
    from holdfastd.chronicle import Chronicle


class Front:
    """Attributes: routes, handlers: for `make_app`."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        inside: Inside,
        finder: Finder,
        chronicle: "Chronicle",
        guard: Guard,
        facts: Facts,
        machine: Machine,
        audit: "Callable[[], AuditLog]",
        look: Callable[[], Look],
        payload_bytes_max: Callable[[], int],
        now_ms: Callable[[], int],
        monotonic: Callable[[], float],
        new_id: Callable[[], str],
        prefix: str = "",
    ):
        """audit, look, payload_bytes_max: what is in force; a reload changes them. prefix: see
        `web.prefixed`."""
        self._inside = inside
        self._finder = finder
        self._live = Live(guard, monotonic)
        noting = Noting(audit, now_ms)
        upkeep = Upkeep(machine, guard, noting)
        self._acting = Acting(
            engine,
            inside,
            finder,
            guard,
            lambda identity, text: board.query(identity, text),
            noting,
            now_ms,
            new_id,
        )
        board = Board(
            engine,
            store,
            inside,
            finder,
            chronicle,
            guard,
            now_ms,
            facts,
            self._acting,
        )
        adding = Adding(inside, guard, now_ms, payload_bytes_max)
        timetable = Timetable(engine, board, guard, now_ms)
        scheduling = Scheduling(engine, inside, guard, noting, payload_bytes_max, now_ms, new_id)
        self._api = Api(
            engine,
            store,
            inside,
            board,
            self._acting,
            adding,
            timetable,
            scheduling,
            upkeep,
            guard,
            now_ms,
            prefix,
        )
        assets = Assets()
        site = Site(
            board,
            guard,
            self._acting,
            adding,
            timetable,
            scheduling,
            upkeep,
            Rendering(assets, now_ms, look, prefix),
            self._live,
            now_ms,
        )
        self.routes: list[BaseRoute] = [
            *self._api.routes(),
            *assembly.routes(site, assets, monotonic),
        ]
        self.handlers: Mapping[Any, assembly.Handler] = assembly.handlers(site)

    async def open(self, folder: Path) -> None:
        """The data directory is there, and ours."""
        await self._acting.remember(folder)

    def end_streams(self) -> None:
        """The daemon begins to stop: nobody is to be kept waiting by an open page."""
        self._live.stop()
        self._api.stop()

    async def close(self) -> None:
        """Nothing more is asked of the pipeline."""
        self.end_streams()
        await self._acting.close()
        await self._finder.close()
        self._inside.close()
