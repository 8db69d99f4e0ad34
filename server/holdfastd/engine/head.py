"""The next jobs of an order, in memory; the rest stays on disk. This is why memory is flat.

Theory of operation. An order is a set of jobs sorted by a pair of integers: waiting jobs of a queue
by (priority, order), delayed jobs of the partition by (run_at_ms, seq). A Head keeps the first of
them and a **horizon**:

- every job of the order whose key is below the horizon is in the head;
- a job at or above the horizon is on disk (or in the open batch on its way there) and not here;
- horizon None means infinity: all jobs of the order are in the head.

When the head runs low, its owner reads the page of jobs from the horizon on, sets a higher horizon
and places them. When it is full, the horizon comes down to the first job that found no room. A job
that leaves in another way than `pop` (removed, changed) is unplaced and its entry skipped later.
"""

from heapq import heappop, heappush
from typing import Final, TypeAlias

from holdfastd.engine.model import Job

Key: TypeAlias = tuple[int, int]
Entry: TypeAlias = tuple[int, int, Job]

NOTHING: Final[Key] = (-(2**63), -(2**63))
"""Horizon of a closed head: nothing is in memory."""


class Head:
    def __init__(self, count_max: int, bytes_max: int):
        """count_max, bytes_max: jobs and payload bytes above which the horizon comes down. A job
        that belongs before the last one is let in up to twice the count, then the tail is cut."""
        self.count_max = count_max
        self.bytes_max = bytes_max
        self.horizon: Key | None = None
        self.count = 0
        self.bytes = 0
        self._entries: list[Entry] = []
        self._last: Key = NOTHING
        """No entry is above it (none may be there any more)."""

    def __len__(self) -> int:
        return self.count

    @property
    def is_low(self) -> bool:
        """A quarter is left, and there may be more on disk: time to read a page."""
        return self.horizon is not None and self.count <= self.count_max // 4

    @property
    def is_overfull(self) -> bool:
        """Jobs that belong in the middle have made it too long: time to `cut`."""
        return self.count > 2 * self.count_max

    def page_after(self) -> Key | None:
        """The key after which the next page starts (it is excluded itself); None = at the first."""
        if self.horizon is None or self.horizon == NOTHING:
            return None
        return (self.horizon[0], self.horizon[1] - 1)

    def place(self, job: Job, first: int, second: int) -> bool:
        """Take a job in under its key (first, second). False: it stays beyond the horizon."""
        key = (first, second)
        if self.horizon is not None and key >= self.horizon:
            return False
        if (self.count >= self.count_max or self.bytes >= self.bytes_max) and key > self._last:
            self.horizon = key
            return False
        entry = (first, second, job)
        job.place = entry
        heappush(self._entries, entry)
        self._last = max(self._last, key)
        self.count += 1
        self.bytes += len(job.payload) if job.payload else 0
        return True

    def unplace(self, job: Job) -> None:
        """Take a job out that is in this head, wherever it stands."""
        job.place = None
        self.count -= 1
        self.bytes -= len(job.payload) if job.payload else 0

    def peek(self) -> Job | None:
        """The first job; None = none in memory."""
        entries = self._entries
        while entries:
            entry = entries[0]
            if entry[2].place is entry:
                return entry[2]
            heappop(entries)
        return None

    def pop(self) -> None:
        """Take out the job that `peek` gave."""
        self.unplace(heappop(self._entries)[2])

    def fill(self, job: Job, payload: bytes) -> None:
        """Give a job that is in this head its payload, read from disk."""
        job.payload = payload
        self.bytes += len(payload)

    def first(self, count_max: int) -> list[Job]:
        """Up to count_max jobs from the front, roughly in order (heap order; sorted enough to read
        what will be needed soon)."""
        jobs: list[Job] = []
        for entry in self._entries:
            if entry[2].place is entry:
                jobs.append(entry[2])
                if len(jobs) == count_max:
                    break
        return jobs

    def clear(self, horizon: Key | None) -> list[Job]:
        """Forget all. Returns the jobs that were in it.

        Args:
            horizon: NOTHING if there are such jobs on disk, None if there are none at all.
        """
        jobs = [entry[2] for entry in self._entries if entry[2].place is entry]
        for job in jobs:
            job.place = None
        self._entries = []
        self.count = self.bytes = 0
        self._last = NOTHING
        self.horizon = horizon
        return jobs

    def cut(self) -> list[Job]:
        """Drop the tail behind count_max; the first one dropped is the new horizon. Returns it."""
        entries = sorted(entry for entry in self._entries if entry[2].place is entry)
        kept, dropped = entries[: self.count_max], entries[self.count_max :]
        for entry in dropped:
            self.unplace(entry[2])
        self._entries = kept  # sorted, hence a heap
        self._last = kept[-1][:2] if kept else NOTHING
        if dropped:
            self.horizon = dropped[0][:2]
        return [entry[2] for entry in dropped]
