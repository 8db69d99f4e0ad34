"""What the daemon costs while nothing happens and a worker waits."""

import time

from bench.lab import Figures, Lab, cpu_s, new_queue
from bench.processes import python_role


def ask(lab: Lab) -> Figures:
    with lab.daemon() as daemon:
        spec = {"url": daemon.url, "queue": new_queue(), "seconds": lab.idle_s + 1}
        with python_role("idle_work", **spec) as worker:
            worker.wait_ready()
            worker.go()
            time.sleep(0.5)  # for the worker to subscribe, and the start's last work to end
            before_s, started = cpu_s(daemon.pid), time.perf_counter()
            time.sleep(lab.idle_s)
            used_s = cpu_s(daemon.pid) - before_s
            share = used_s / (time.perf_counter() - started)
            worker.result()
    return {"idle daemon, % of a core": share * 100}
