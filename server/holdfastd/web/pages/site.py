"""What the pages are made with; each module of pages takes one and gives its routes."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from holdfastd.web.acting.acting import Acting
    from holdfastd.web.acting.scheduling import Scheduling
    from holdfastd.web.acting.upkeep import Upkeep
    from holdfastd.web.adding import Adding
    from holdfastd.web.board import Board
    from holdfastd.web.guard import Guard
    from holdfastd.web.live import Live
    from holdfastd.web.pages.rendering import Rendering
    from holdfastd.web.schedules import Timetable


class Site(NamedTuple):
    board: "Board"
    guard: "Guard"
    acting: "Acting"
    adding: "Adding"
    timetable: "Timetable"
    scheduling: "Scheduling"
    upkeep: "Upkeep"
    rendering: "Rendering"
    live: "Live"
    now_ms: Callable[[], int]
