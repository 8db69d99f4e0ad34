"""What producers do: add jobs, and count them."""

from collections.abc import Mapping
from typing import Any

from holdfastd.engine import commands
from holdfastd.engine.dispatch import Dispatcher
from holdfastd.engine.events import EventNumber
from holdfastd.engine.model import Job, NewJob, QueueSettings, State
from holdfastd.engine.outputs import ItemExisting
from holdfastd.engine.partition import Found, Moment, Partition
from holdfastd.engine.queue import QueueState
from holdfastd.engine.stats import QueueStats


class Producing:
    def __init__(self, partition: Partition, dispatcher: Dispatcher):
        self._partition = partition
        self._dispatcher = dispatcher

    def enqueue(self, command: commands.Enqueue, found: Found, moment: Moment) -> list[Any]:
        """Add the jobs. Returns the results of the items that were not simply created."""
        partition = self._partition
        results: list[Any] = command.refused
        if results:
            self.note_rejected(command.queue, len(results))
        if not command.items:
            return results
        queue = partition.add_queue(command.queue)
        # Looked up before any is added: adding may push others out of memory.
        known = {
            new.id: partition.find(queue, new.id, found)
            for _, new in command.items
            if not new.is_generated
        }
        for at, new in command.items:
            existing = known.get(new.id)
            if existing is not None:
                queue.stats.duplicates += 1
                results.append(ItemExisting(at, int(existing.state)))
                continue
            known[new.id] = self.add(queue, new, moment)
        self._dispatcher.dispatch(queue, moment)
        return results

    def add(self, queue: QueueState, new: NewJob, moment: Moment) -> Job:
        """Add a job whose id the queue does not have. It is not given to a worker yet."""
        job = self._partition.add_job(queue, new, moment)
        queue.stats.accepted += 1
        tally = queue.tallies.get(new.name) or self._partition.history.tally(
            queue, new.name, moment.now_ms
        )
        tally.added += 1
        if queue.ring is not None:
            self._emit_added(queue, job, moment)
        return job

    def note_rejected(self, name: str, count: int) -> None:
        """Jobs were not taken. A queue does not come into being for that."""
        queue = self._partition.queues.get(name)
        stats = self._partition.ledger.other if queue is None else queue.stats
        stats.rejected += count

    def _emit_added(self, queue: QueueState, job: Job, moment: Moment) -> None:
        details = {"run_at_ms": job.run_at_ms} if job.state is State.DELAYED else {}
        self._partition.emit(queue, EventNumber.ADDED, moment, job, details)


def counts_of(
    queues: Mapping[str, QueueState], command: commands.Counts
) -> list[tuple[str, dict[str, Any]]] | None:
    """Counts of one queue, or of all, by name; None = there is no such queue."""
    if command.queue is not None:
        queue = queues.get(command.queue)
        return None if queue is None else [(queue.name, describe(queue))]
    names = sorted(
        name
        for name in filter(command.shows, queues)
        if command.after is None or name > command.after
    )
    return [(name, describe(queues[name])) for name in names[: command.limit]]


def describe(queue: QueueState) -> dict[str, Any]:
    """A queue as COUNTS shows it."""
    return {
        **{state.name.lower(): queue.counts[state] for state in State},
        "paused": queue.is_paused,
        "workers": len(queue.subscribers),
        "settings": describe_settings(queue.settings),
        "since_start": describe_stats(queue.stats),
    }


def describe_stats(stats: QueueStats) -> dict[str, int]:
    """What has happened since the daemon's start. Counts of jobs by state do not tell it: what is
    finished is pruned."""
    return {
        "added": stats.accepted,
        "completed": stats.completed,
        "failed": stats.jobs_failed,
        "retries": stats.retries,
        "lost": stats.attempts_lost,
    }


def describe_settings(settings: QueueSettings) -> dict[str, Any]:
    """Settings as CONFIGURE takes them."""
    rate, retention = settings.rate, settings.retention
    kept = {
        "completed": retention.completed,
        "failed": retention.failed,
        "cancelled": retention.cancelled,
    }
    return {
        "concurrency": settings.concurrency,
        "rate": rate and {"limit": rate.limit, "period_ms": rate.period_ms, "burst": rate.burst},
        "retention": {
            name: {"age_ms": keep.age_ms, "count": keep.count} for name, keep in kept.items()
        },
    }
