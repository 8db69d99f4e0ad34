"""Writing the history: a minute that is over is added to what is stored, one at a time."""

from functools import partial
from math import inf
from typing import Final

from holdfastd.engine.changes import HistoryCut, HistoryPage, Page
from holdfastd.engine.history import (
    HOUR_MS,
    HOURS_KEPT_MS,
    MINUTE_MS,
    MINUTES_KEPT_MS,
    Period,
    begin_of,
    folded,
)
from holdfastd.engine.partition import Moment, Partition

CUT_ROWS: Final = 2_000
"""Rows that go with each minute that is written, at most: more than it can bring (1,503), so that
they never pile up; some 3 ms."""
KEPT: Final = ((MINUTE_MS, MINUTES_KEPT_MS), (HOUR_MS, HOURS_KEPT_MS))


class Remembering:
    def __init__(self, partition: Partition):
        self._partition = partition
        self._history = partition.history
        self._is_reading = False

    def tick(self, moment: Moment) -> None:
        self._history.tick(moment.now_ms)
        self._go_on()

    def finish(self, moment: Moment) -> None:
        """Write what there is of the running minute."""
        self._history.end_minute(moment.now_ms)
        self._go_on()

    def next_tick_s(self, moment: Moment) -> float:
        """Seconds until `tick` has something to do; inf = nothing by itself."""
        if self._history.unwritten and not self._is_reading:
            return 0.0
        next_ms = self._history.next_tick_ms(moment.now_ms)
        return inf if next_ms is None else next_ms / 1000

    def _go_on(self) -> None:
        """Two minutes are mostly of one hour: the second is read for when the first is written."""
        unwritten = self._history.unwritten
        if not unwritten or self._is_reading:
            return
        self._is_reading = True
        minute = unwritten.popleft()
        read = HistoryPage(minute.at_ms, begin_of(minute.at_ms, HOUR_MS))
        self._partition.want(read, partial(self._write, minute))

    def _write(self, minute: Period, read: HistoryPage, page: Page, moment: Moment) -> None:
        self._is_reading = False
        batch = self._partition.open
        batch.history += folded(minute, page.history)
        batch.history_cuts += [
            HistoryCut(step_ms, moment.now_ms - kept_ms, CUT_ROWS)
            for step_ms, kept_ms in KEPT
            if self._partition.trusts_age(kept_ms, moment)
        ]
