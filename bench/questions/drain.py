"""How fast waiting jobs are leased, handled (nothing is done) and acknowledged."""

from bench.lab import Figures, Lab, add, new_queue, rate, rate_of_all
from bench.processes import LoadProcess, role, run_together


def ask(lab: Lab) -> Figures:
    """Credit is what a worker calls concurrency: so many jobs leased to it at once."""
    figures = {}
    jobs = max(600, lab.jobs(100_000, 200))
    for credit, share in ((10, 5), (50, 2), (500, 1)):
        with lab.daemon() as daemon:
            queue = new_queue()
            add(daemon, queue, jobs)
            (worker,) = run_together(_worker(daemon.port, queue, jobs // share, credit))
            figures[f"drain jobs/s, one worker, concurrency {credit}"] = rate(worker)
    with lab.daemon() as daemon:
        queue = new_queue()
        add(daemon, queue, jobs)
        # The faster one would be left waiting for jobs that the other has: so less than half each.
        workers = [_worker(daemon.port, queue, jobs * 2 // 5, 50) for _ in range(2)]
        figures["drain jobs/s, two workers, concurrency 50"] = rate_of_all(run_together(*workers))
    return figures


def _worker(port: int, queue: str, jobs: int, credit: int) -> LoadProcess:
    return role("work", port=port, queues=[queue], jobs=jobs, credit=credit)
