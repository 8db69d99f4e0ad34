"""The fault campaign: `python -m support.torture`, or `make torture SECONDS=… SEED=… IMAGES=…`.

What else can be bounded: SWEEPS= runs of which every operation fails, FRAMES= mutated frames.
Producers and worker processes never stop; between them and the daemon are proxies that lose what
they are told to; a nemesis follows a schedule that is made from the seed alone. At the end all is
healed, the queues run dry, and the history is judged. Then the power is lost, many times, every
operation of a run fails (see `support.diskfaults`), and strangers send mutated frames (see
`support.rude`).
"""

import asyncio
import itertools
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from holdfast.aio import Queue
from holdfast.errors import HoldfastError
from support import diskfaults, torture_worker
from support.daemon import DaemonProcess
from support.fakeclock import DAY_S, LIBRARY, MISSING, FakeClock, remove_leftovers
from support.history import Done, History, Run, Stored, Verdict, judge
from support.proxy import Proxy
from support.rude import throw_beside_honest
from support.smalldisk import SmallDisk, can_mount
from support.torture_backups import Backups
from support.vfs import Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

QUEUES: Final = ("red", "blue", "brief")
"""The last one keeps but a few finished jobs: it is pruned all the time."""
PRODUCERS: Final = 3
TASKS_PER_PRODUCER: Final = 8
WORKERS: Final = 3
LEASE_S: Final = 2.0
DISK_MIB: Final = 4096
CONFIG: Final = f"""
[data]
reserve_bytes = 25_165_824
[leases]
lease_ms = {LEASE_S * 1000:.0f}
heartbeat_ms = 400
grace_ms = 1000
"""
JUMP_S: Final = 30 * DAY_S
"""The wall clock is set so far ahead or back at most."""
DRAIN_S: Final = 120.0
IMAGES_PER_RUN: Final = 1_000
SWEEP_STEPS: Final = 30
"""Of a run of which every operation fails: some 770 operations, in 6 ways each."""


class Step(NamedTuple):
    after_s: float
    """Since the step before."""
    fault: str
    amount: float
    """From 0 to 1; what it means is the fault's affair."""


def schedule(seed: int, seconds: float, faults: list[str]) -> list[Step]:
    """The same for the same arguments, whatever happens in the run."""
    rng = random.Random(seed)
    steps: list[Step] = []
    left_s = seconds
    while left_s > 0:
        step = Step(rng.uniform(0.1, 1.5), rng.choice(faults), rng.random())
        steps.append(step)
        left_s -= step.after_s + 1.0  # the faults take about as long
    return steps


class Torture:
    def __init__(
        self,
        folder: Path,
        seed: int,
        seconds: float,
        *,
        pause_s: float = 0.3,
        program: list[str] | None = None,
        worker_mode: str = "honest",
    ):
        """pause_s: of each producing task between two calls, at most; it sets the load. program:
        what Python runs as the daemon, if it is not the true one. worker_mode: of
        `support.torture_worker`."""
        self.folder = folder
        self.seed = seed
        self.seconds = seconds
        self.pause_s = pause_s
        self.history = History()
        self.done_faults: Counter[str] = Counter()
        self._worker_mode = worker_mode
        self._rng = random.Random(seed)
        self._serial = 0
        self._is_over = False
        self._workers: dict[int, subprocess.Popen[bytes]] = {}
        config = folder / "config.toml"
        config.write_text(CONFIG)
        self._small_disk = can_mount()
        arguments = ("--config", str(config))
        self.daemon = (
            SmallDisk(folder / "data", DISK_MIB, *arguments)
            if self._small_disk
            else DaemonProcess(folder / "data", *arguments)
        )
        if program is not None:
            self.daemon.program = program
        self._clock = None if LIBRARY is None else FakeClock(folder / "clock")
        if self._clock is not None:
            self.daemon.environment = self._clock.environment
        self.faults: dict[str, Callable[[float], Awaitable[None]]] = {
            "kill daemon": self._kill_daemon,
            "kill daemon in recovery": self._kill_in_recovery,
            "stop daemon": self._stop_daemon,
            "pause daemon": self._pause_daemon,
            "kill worker": self._kill_worker,
            "pause worker": self._pause_worker,
            "cut": self._cut,
            "lose replies": self._lose_replies,
            "half open": self._half_open,
            "disk full": self._disk_full,
            "clock jump": self._clock_jump,
        }
        backups = Backups(self.daemon, self.history, folder / "backups", "brief-")
        self.faults |= {
            "backup": backups.make,
            "kill backup": backups.kill,
            "kill daemon in backup": backups.make_while_the_daemon_dies,
        }
        if not self._small_disk:
            del self.faults["disk full"]
        if self._clock is None:
            del self.faults["clock jump"]

    async def run(self, faults: list[str] | None = None) -> Verdict:
        """Returns the verdict; `history` has what it is from.

        Raises TimeoutError: the queues did not run dry.
        """
        async with AsyncExitStack() as stack:
            processes = stack.enter_context(ExitStack())
            processes.enter_context(self.daemon)
            processes.callback(remove_leftovers)
            processes.callback(self._end_workers)
            self.proxies = [
                await stack.enter_async_context(Proxy(self.daemon.port))
                for _ in range(PRODUCERS + 1)
            ]
            await self._configure()
            for number in range(WORKERS):
                self._start_worker(number)
            producing = [
                asyncio.create_task(self._produce(proxy.url)) for proxy in self.proxies[:PRODUCERS]
            ]
            for step in schedule(self.seed, self.seconds, faults or list(self.faults)):
                await asyncio.sleep(step.after_s)
                await self.faults[step.fault](step.amount)
                self.done_faults[step.fault] += 1
            self._is_over = True
            await asyncio.gather(*producing)
            await self._drain()
        self._read_logs()
        return judge(self.history)

    async def _configure(self) -> None:
        for name in QUEUES:
            count = 50 if name == "brief" else None
            keep = {"age_ms": None, "count": count}
            async with Queue(name, url=self.daemon.url) as queue:
                await queue.configure(retention={"completed": keep, "failed": keep})

    # ---- load --------------------------------------------------------------------------------

    async def _produce(self, url: str) -> None:
        async with AsyncExitStack() as stack:
            queues = [
                await stack.enter_async_context(Queue(name, url=url, timeout=60)) for name in QUEUES
            ]
            tasks = [self._add_jobs(queues) for _ in range(TASKS_PER_PRODUCER)]
            await asyncio.gather(*tasks)

    async def _add_jobs(self, queues: list[Queue]) -> None:
        while not self._is_over:
            queue = self._rng.choice(queues)
            jobs = [self._new_job(queue.name) for _ in range(self._rng.choice((1, 1, 1, 20)))]
            for _, data, _ in jobs:
                self.history.attempted[data["serial"]] = data["pad"]
            with suppress(HoldfastError):
                await queue.add_many(jobs)
                self.history.confirmed.update(data["serial"] for _, data, _ in jobs)
            await asyncio.sleep(self._rng.uniform(0, self.pause_s))

    def _new_job(self, queue: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
        self._serial += 1
        rng = self._rng
        data = {"serial": f"{queue}-{self._serial}", "pad": rng.randbytes(rng.choice((8, 60, 900)))}
        options: dict[str, Any] = {"attempts": 5, "max_crashes": 100, "priority": rng.randint(0, 2)}
        if rng.random() < 0.5:
            options["id"] = f"id-{self._serial}"
        if rng.random() < 0.1:
            options["delay"] = rng.uniform(0.01, 2)
        return rng.choice(torture_worker.KINDS), data, options

    def _start_worker(self, number: int) -> None:
        url, log = self.proxies[PRODUCERS].url, self.folder / f"worker-{number}.log"
        with (self.folder / f"worker-{number}.err").open("ab") as words:
            self._workers[number] = subprocess.Popen(
                [
                    sys.executable,
                    torture_worker.__file__,
                    self._worker_mode,
                    url,
                    str(log),
                    *QUEUES,
                ],
                stdout=words,
                stderr=words,
            )

    def _end_workers(self) -> None:
        for process in self._workers.values():
            process.kill()
            process.wait()

    # ---- faults ------------------------------------------------------------------------------

    async def _kill_daemon(self, amount: float) -> None:
        self.daemon.kill()
        await asyncio.sleep(amount / 2)
        await asyncio.to_thread(self.daemon.start)

    async def _kill_in_recovery(self, amount: float) -> None:
        self.daemon.kill()
        for _ in range(3):
            process = await asyncio.create_subprocess_exec(
                *self.daemon.command(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self.daemon.environment,
            )
            await asyncio.sleep(0.15 + amount * 0.25)
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        await asyncio.to_thread(self.daemon.start)

    async def _stop_daemon(self, amount: float) -> None:
        code = await asyncio.to_thread(self.daemon.stop)
        if code != 0:
            raise RuntimeError(f"the daemon stopped with {code}:\n{self.daemon.log()}")
        await asyncio.to_thread(self.daemon.start)

    async def _pause_daemon(self, amount: float) -> None:
        os.kill(self.daemon.pid, signal.SIGSTOP)
        await asyncio.sleep(amount * 2 * LEASE_S)
        os.kill(self.daemon.pid, signal.SIGCONT)

    def _worker_of(self, amount: float) -> int:
        return int(amount * WORKERS) % WORKERS

    async def _kill_worker(self, amount: float) -> None:
        number = self._worker_of(amount)
        self._workers[number].kill()
        self._workers[number].wait()
        self._start_worker(number)

    async def _pause_worker(self, amount: float) -> None:
        process = self._workers[self._worker_of(amount)]
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(LEASE_S * 1.5)
        process.send_signal(signal.SIGCONT)

    def _proxy_of(self, amount: float) -> Proxy:
        return self.proxies[int(amount * len(self.proxies))]

    async def _cut(self, amount: float) -> None:
        self._proxy_of(amount).cut()

    async def _lose_replies(self, amount: float) -> None:
        proxy = self._proxy_of(amount)
        proxy.loses_replies = True
        await asyncio.sleep(0.3)
        proxy.cut()

    async def _half_open(self, amount: float) -> None:
        """Nothing passes, and nobody is told."""
        proxy = self._proxy_of(amount)
        proxy.loses_requests = proxy.loses_replies = True
        await asyncio.sleep(LEASE_S * 1.5)
        proxy.cut()

    async def _disk_full(self, amount: float) -> None:
        assert isinstance(self.daemon, SmallDisk)
        await asyncio.to_thread(self.daemon.fill)
        await asyncio.sleep(0.5 + amount)
        await asyncio.to_thread(self.daemon.free)

    async def _clock_jump(self, amount: float) -> None:
        """The wall clock of the daemon, by days, and it stays there until the next one."""
        assert self._clock is not None
        self._clock.set((2 * amount - 1) * JUMP_S)

    # ---- the end -----------------------------------------------------------------------------

    async def _drain(self) -> None:
        if self._clock is not None:  # what was delayed while the clock was ahead is due as well
            self._clock.set(2 * JUMP_S)
        async with asyncio.timeout(DRAIN_S), AsyncExitStack() as stack:
            queues = [
                await stack.enter_async_context(Queue(name, url=self.daemon.url)) for name in QUEUES
            ]
            for queue in queues:
                while (counts := await queue.counts()) and (
                    counts["waiting"] + counts["delayed"] + counts["active"]
                ):
                    await asyncio.sleep(0.1)
            await asyncio.sleep(1)  # for the workers to note the last confirmations
            for queue in queues:
                for state in ("completed", "failed"):
                    async for job in queue.jobs(state):
                        reruns = job.failures + job.crashes + job.releases
                        self.history.stored.append(Stored(job.data["serial"], job.state, reruns))

    def _read_logs(self) -> None:
        for log in self.folder.glob("worker-*.log"):
            for line in log.read_text().splitlines():
                match line.split():
                    case ["run", serial, token, pad, pid]:
                        payload = b"" if pad == "-" else bytes.fromhex(pad)
                        self.history.runs.append(Run(serial, int(token), payload, pid))
                    case ["done", serial, token]:
                        self.history.done.append(Done(serial, int(token)))
        self._believe_what_was_pruned()

    def _believe_what_was_pruned(self) -> None:
        """Of the queue that keeps little, a job that ran and is gone was completed and pruned."""
        kept = {job.serial for job in self.history.stored}
        ran = Counter(run.serial for run in self.history.runs)
        for serial, count in ran.items():
            if serial.startswith("brief-") and serial not in kept:
                self.history.stored.append(Stored(serial, "completed", count))

    def report(self, verdict: Verdict) -> str:
        """For people."""
        history = self.history
        lines = [
            f"seed {self.seed}, {self.seconds:g} s",
            f"attempted {len(history.attempted):,}, confirmed {len(history.confirmed):,}, "
            f"recovered {len(verdict.recovered):,}, runs {len(history.runs):,}, "
            f"acks {len(history.done):,}, whole backups {len(history.backups)}",
            "faults: " + ", ".join(f"{name} {n}" for name, n in sorted(self.done_faults.items())),
        ]
        if not self._small_disk:
            lines.append("disk full was left out: no mount namespaces for this user here")
        if self._clock is None:
            lines.append(f"clock jumps were left out: {MISSING}")
        for name in asdict(verdict):
            if name != "recovered":
                serials = getattr(verdict, name)
                some = f"  {sorted(serials)[:5]}" if serials else ""
                lines.append(f"  {name:<16}{len(serials):>6}{some}")
        return "\n".join(lines)


def main() -> int:
    seconds = float(os.environ.get("SECONDS", "1200"))
    seed = int(os.environ.get("SEED", str(time.time_ns() % 1_000_000)))
    print(f"seed {seed}: SEED={seed} SECONDS={seconds:g} make torture tries the same again")
    folder = Path(tempfile.mkdtemp(prefix="holdfast-torture-"))
    torture = Torture(folder, seed, seconds)
    verdict = asyncio.run(torture.run())
    print(torture.report(verdict))
    disks = lose_power_often(seed, int(os.environ.get("IMAGES", "100000")))
    print(
        f"power lost {disks.total:,} times: {disks.lost} disks lost something confirmed, "
        f"{disks.wrong} were wrong, {disks.in_doubt:,} had a batch that was not confirmed yet"
    )
    runs, failing = fail_every_operation(seed, int(os.environ.get("SWEEPS", "5")))
    print(
        f"an operation of the disk failed in {runs:,} runs, {failing.total:,} disks of them: "
        f"{failing.lost} lost something confirmed, {failing.wrong} were wrong"
    )
    disks.add(failing)
    for example in disks.examples:
        print(f"  {example}")
    frames = int(os.environ.get("FRAMES", "1000000"))
    rude_folder = folder / "rude"
    rude_folder.mkdir()
    rude = asyncio.run(throw_beside_honest(rude_folder, seed, frames))
    print(rude)
    if not verdict.wrong:
        shutil.rmtree(folder)
        return 1 if disks.lost or disks.wrong or rude.is_wrong else 0
    (folder / "history.json").write_text(json.dumps(asdict(torture.history), default=list_of))
    print(f"the history and the logs are in {folder}")
    return 1


def lose_power_often(seed: int, images: int) -> diskfaults.Report:
    """As many disks, of runs of different seeds, on two cores."""
    whole = diskfaults.Report()
    seeds = range(seed, seed - (-images // IMAGES_PER_RUN))
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        for report in pool.map(
            diskfaults.lose_power_often, seeds, itertools.repeat(IMAGES_PER_RUN)
        ):
            whole.add(report)
    return whole


def fail_every_operation(seed: int, sweeps: int) -> tuple[int, diskfaults.Report]:
    """Each in every way, on two cores. Returns how many runs failed somewhere, and their report."""
    whole, runs = diskfaults.Report(), 0
    tasks = list(itertools.product(range(seed, seed + sweeps), Fault, (False, True)))
    seeds, faults, forever = zip(*tasks, strict=True) if tasks else ((), (), ())
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        for count, report in pool.map(
            diskfaults.fail_every_operation, seeds, itertools.repeat(SWEEP_STEPS), faults, forever
        ):
            runs += count
            whole.add(report)
    return runs, whole


def list_of(value: Any) -> Any:
    """What JSON has no word for."""
    return value.hex() if isinstance(value, bytes) else sorted(value)


if __name__ == "__main__":
    sys.exit(main())
