"""What strangers do wrong at a port, told in the log: enough to see it, not enough to fill a disk.

One line per host and kind of trouble each TOLD_AGAIN_S; the counters in `observed` have them all.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from holdfastd import logs

log = logging.getLogger(__name__)

TOLD_AGAIN_S: Final = 60.0
REMEMBERED_MAX: Final = 1_000
"""Pairs of host and event; with more strangers than that, some are told of sooner. Arbitrary."""


class Telling:
    def __init__(self, monotonic: Callable[[], float]):
        self._monotonic = monotonic
        self._told_at: OrderedDict[tuple[str, str], float] = OrderedDict()

    def tell(self, event: str, host: str, text: str) -> None:
        """event: its stable name in the log."""
        now_s = self._monotonic()
        told_at = self._told_at.get((event, host))
        if told_at is not None and now_s < told_at + TOLD_AGAIN_S:
            return
        self._told_at[event, host] = now_s
        self._told_at.move_to_end((event, host))
        if len(self._told_at) > REMEMBERED_MAX:
            self._told_at.popitem(last=False)
        logs.event(log, logging.WARNING, event, text, host=host)
