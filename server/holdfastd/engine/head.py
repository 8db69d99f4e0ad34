"""The next jobs of an order, in memory; the rest stays on disk. This is why memory is flat.

Theory of operation. An order is a set of jobs sorted by a pair of integers: waiting jobs of a queue
by (priority, order), delayed jobs of the partition by (run_at_ms, seq). A Head keeps the first of
them and a **horizon**:

- every job of the order whose key is below the horizon is in the head;
- a job at or above the horizon is on disk (or in the open batch on its way there) and not here;
- horizon None means infinity: all jobs of the order are in the head.

When the head runs low, its owner reads the page of jobs from the horizon on, sets a higher horizon
and places them. When it is full, the horizon comes down to the first job that found no room. A job
that leaves in another way than `pop` (removed, changed) is unplaced and its entry skipped later;
when most entries are such, they are swept out.
"""

from heapq import heappop, heappush
from typing import Final, TypeAlias

from holdfastd.engine.changes import Key
from holdfastd.engine.model import Job

Entry: TypeAlias = tuple[int, int, Job]

NOTHING: Final[Key] = (-(2**63), -(2**63))
"""Horizon of a closed head: nothing is in memory."""

LEFT_ENTRIES_MAX: Final = 64
"""Entries of jobs that left, above which they are swept out once they are the majority: small, yet
enough that a short head is not swept for each of its jobs; arbitrary."""


class Head:
    def __init__(self, count_max: int, bytes_max: int | None):
        """count_max, bytes_max: jobs and payload bytes at which the horizon comes down (None:
        payloads do not count). A job that belongs before the last one is let in up to twice of
        either, then the tail is cut."""
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
        """Half is left, and there may be more on disk: time to read a page. Few jobs are not low
        while their payloads fill it: what was read would find no room."""
        return (
            self.horizon is not None
            and self.count <= self.count_max // 2
            and (self.bytes_max is None or self.bytes <= self.bytes_max // 2)
        )

    @property
    def is_overfull(self) -> bool:
        """Jobs that belong in the middle have made it too long or too large: time to `cut`."""
        return self.count > 2 * self.count_max or (
            self.bytes_max is not None and self.bytes > 2 * self.bytes_max and self.count > 1
        )

    @property
    def is_full(self) -> bool:
        return self.count >= self.count_max or (
            self.bytes_max is not None and self.bytes >= self.bytes_max
        )

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
        if key > self._last and self.is_full:
            self.horizon = key
            return False
        entry = (first, second, job)
        job.place = entry
        heappush(self._entries, entry)
        self._last = max(self._last, key)
        self.count += 1
        self.bytes += self._bytes_of(job)
        return True

    def _bytes_of(self, job: Job) -> int:
        return len(job.payload) if job.payload and self.bytes_max is not None else 0

    def unplace(self, job: Job) -> None:
        """Take a job out that is in this head, wherever it stands."""
        job.place = None
        self.count -= 1
        self.bytes -= self._bytes_of(job)
        if len(self._entries) - self.count > max(self.count, LEFT_ENTRIES_MAX):
            self._entries = self._placed()

    def _placed(self) -> list[Entry]:
        """The entries of the jobs that are in it, sorted, hence a heap."""
        return sorted(entry for entry in self._entries if entry[2].place is entry)

    def peek(self) -> Job | None:
        """The first job; None = none in memory."""
        entries = self._entries
        while entries:
            entry = entries[0]
            if entry[2].place is entry:
                return entry[2]
            heappop(entries)
        return None

    def count_before(self, job: Job) -> int:
        """How many jobs come before one that is in this head. Looks at all of them."""
        place = job.place
        assert isinstance(place, tuple), "it is in this head"
        return sum(1 for entry in self._entries if entry < place and entry[2].place is entry)

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
        jobs = [entry[2] for entry in self._placed()]
        for job in jobs:
            job.place = None
        self._entries = []
        self.count = self.bytes = 0
        self._last = NOTHING
        self.horizon = horizon
        return jobs

    def cut(self) -> list[Job]:
        """Drop the tail behind count_max and bytes_max; the first one dropped is the new horizon.
        Returns the tail."""
        entries = self._placed()
        self.clear(self.horizon)
        for at, (first, second, job) in enumerate(entries):
            if self.is_full:
                self.horizon = (first, second)
                return [entry[2] for entry in entries[at:]]
            self.place(job, first, second)
        return []
