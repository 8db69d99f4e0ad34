"""Who counts for itself: the bound on the series of the metrics page, kept where it is counted.

A queue's counters and histograms make some 70 series. Up to `own_max` queues, each has its own.
With more, each one above it costs another its own: the youngest, which from then on counts with the
others; down to OWN_MIN, that the oldest keep. So a queue too many costs two their series and not
all, and names that are made up by the hundred thousand cost next to nothing, neither here nor in
Prometheus. The others share one QueueStats: nothing has to be added up, and what it counts only
rises, as counters must, whoever joins or leaves.
"""

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from holdfastd.engine.stats import DURATION_SECONDS, Histogram, QueueStats

if TYPE_CHECKING:
    from holdfastd.engine.model import QueueKey
    from holdfastd.engine.queue import QueueState

OTHER: Final = "_other"
"""Under which the others are shown. A queue of that very name is one of them."""
OWN_MIN: Final = 5
"""With the series of the rest of the page, these make less than 1,000."""


class Ledger:
    """Attributes:
    own: the queues that count for themselves, the oldest first.
    others: those that count together, the oldest first.
    other: what they count, since the daemon's start.
    tasks: durations by job name; None = they are not kept.
    """

    def __init__(self, own_max: int, task_series_max: int):
        """own_max: 0 = no queue counts for itself. task_series_max: 0 = none is kept."""
        self.own: dict[QueueKey, QueueState] = {}
        self.others: OrderedDict[QueueKey, QueueState] = OrderedDict()
        self.other = QueueStats()
        self.tasks = Tasks(task_series_max) if task_series_max else None
        self._own_max = own_max

    def open(self, queue: "QueueState") -> None:
        """A queue has become known; from now on it has `stats`."""
        self._share(queue)
        self._settle()

    def close(self, queue: "QueueState") -> None:
        """It has been removed. What is still counted of it goes to the others."""
        self.own.pop(queue.key, None)
        self.others.pop(queue.key, None)
        queue.stats = self.other
        if self.tasks is not None:
            self.tasks.forget(queue.name)
        self._settle()

    @property
    def _room(self) -> int:
        """How many may count for themselves."""
        above = max(0, len(self.own) + len(self.others) - self._own_max)
        return max(min(self._own_max, OWN_MIN), self._own_max - above)

    def _settle(self) -> None:
        while len(self.own) > self._room:
            _, youngest = self.own.popitem()
            self._share(youngest)
            self.others.move_to_end(youngest.key, last=False)
        while len(self.own) < self._room and (oldest := self._oldest_other()) is not None:
            del self.others[oldest.key]
            oldest.stats = QueueStats()
            self.own[oldest.key] = oldest

    def _oldest_other(self) -> "QueueState | None":
        return next((queue for queue in self.others.values() if queue.name != OTHER), None)

    def _share(self, queue: "QueueState") -> None:
        queue.stats = self.other
        self.others[queue.key] = queue


class Tasks:
    """Durations of attempts by queue and job name, for as many pairs as there is room.

    Attributes:
        by_queue: queue's name -> job's name -> its histogram.
        other: of the pairs that found no room.
        folded: attempts counted there.
    """

    def __init__(self, series_max: int):
        self.by_queue: dict[str, dict[str, Histogram]] = {}
        self.other = Histogram(DURATION_SECONDS)
        self.folded = 0
        self._room = series_max

    def observe(self, queue: str, task: str, seconds: float) -> None:
        tasks = self.by_queue.get(queue)
        histogram = None if tasks is None else tasks.get(task)
        if histogram is None:
            histogram = self._open(queue, task)
        histogram.observe(seconds)

    def _open(self, queue: str, task: str) -> Histogram:
        if not self._room or queue == OTHER:
            self.folded += 1
            return self.other
        self._room -= 1
        histogram = Histogram(DURATION_SECONDS)
        self.by_queue.setdefault(queue, {})[task] = histogram
        return histogram

    def forget(self, queue: str) -> None:
        """It has been removed: others may have its room."""
        self._room += len(self.by_queue.pop(queue, ()))
