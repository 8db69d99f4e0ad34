"""Wiring: what the daemon consists of, in which order it starts and stops, and how it ends.

Exit codes: 0 a clean stop; 1 it could not start (one line says why); 2 wrong use or configuration;
70 the store broke: nothing more was confirmed, and the next start reads the truth from the disk.
"""

import asyncio
import contextlib
import gc
import logging
import os
import random
import resource
import signal
import socket
import sys
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final, NoReturn

import uvloop

from holdfastd import VERSION, config, logs, tls
from holdfastd.access import exposure
from holdfastd.access.keys import KeysError
from holdfastd.backups import Backups
from holdfastd.clock import SystemClock
from holdfastd.engine.transitions import InvariantError
from holdfastd.facts import Facts
from holdfastd.inforce import UNUSABLE, InForce
from holdfastd.inside import Inside
from holdfastd.observed import Observed
from holdfastd.reloading import Plan
from holdfastd.search.finder import Finder
from holdfastd.service import DRAIN_S, Service, listener_settings
from holdfastd.store.base import StoreError, StoreRefused
from holdfastd.store.sqlite import SqliteStore
from holdfastd.store.upgrade import Upgrade, Upgrading
from holdfastd.supervisor import Supervisor
from holdfastd.upkeep import Upkeep
from holdfastd.web.app import HttpServer, make_app
from holdfastd.web.bounded import CONNECTIONS_MAX
from holdfastd.web.front import Front
from holdfastd.web.guard import Guard
from holdfastd.web.metrics import Metrics
from holdfastd.web.pages.rendering import Look
from holdfastd.web.safe.policy import Policy
from holdfastd.web.safe.sessions import Sessions
from holdfastd.web.snapshot import Snapshots

log = logging.getLogger("holdfastd")

EXIT_NOT_STARTED: Final = 1
EXIT_BROKEN: Final = 70
"""EX_SOFTWARE of sysexits.h: supervisors restart on it."""
SWITCH_INTERVAL_S: Final = 0.0002
"""The writer thread gets the GIL back within this from a busy loop: commits of one row went from
100/s to 500/s against the default 5 ms (DESIGN.md, section 4)."""
GC_THRESHOLD: Final = (50_000, 20, 20)
"""The collector looks at what was made since its last look after so many objects, and not after
700: nearly all goes without it, by reference counts. Draining became a tenth faster (bench.drain,
interleaved)."""
LAG_SAMPLE_S: Final = 0.5
OWN_FILES: Final = 64 + CONNECTIONS_MAX
"""Open files besides the connections of clients: database, logs, pipes, a generous guess; and those
of the HTTP port."""


class StartError(Exception):
    """The daemon cannot start; the text is for the operator."""


class Daemon:
    def __init__(
        self,
        settings: config.Config,
        reread: Callable[[], config.Config],
        sockets: Mapping[str, socket.socket],
    ):
        """reread: the configuration as it is now, for a reload; raises ConfigError. sockets: those
        that listen already, by name (see `activation`).

        Raises:
            StartError: a certificate, the keys or the audit log cannot be used.
        """
        self._clock = SystemClock()
        self._supervisor = Supervisor(os.environ, self._clock)
        self._sockets = sockets
        self._observed = Observed(config_reloaded_at_ms=self._clock.now_ms())
        try:
            self._in_force = InForce(settings, reread, self._clock, self._observed)
        except UNUSABLE as error:
            raise StartError(str(error)) from error
        upgrading = Upgrading(settings.backup.dir, self._clock.now_ms, _on_upgrade)
        store = SqliteStore(settings.data.dir, settings.data.reserve_bytes, upgrading)
        self._finder = Finder(settings.data.dir)
        self._service = Service(
            settings,
            store,
            self._clock,
            random.Random(),
            self._observed,
            self._in_force.door,
            self._in_force.audit,
            self._in_force.tcp_context if exposure.tcp_has_tls(settings) else None,
            self._finder,
        )
        self._pipeline = self._service.pipeline
        self._pipeline.on_stall = self._on_stall
        self._pipeline.on_jump = self._on_jump
        self._listener = self._service.listener
        snapshots = Snapshots(
            self._pipeline.engine,
            self._observed,
            lambda: self._listener.connections,
            store.stats,
            lambda: self._why_not_ready is None,
            self._clock.now_ms,
            self._clock.monotonic,
        )
        metrics = Metrics(snapshots, self._clock.monotonic)
        self._backups: Backups | None = None
        self._upkeep = Upkeep(self._in_force, lambda: self._backups, self._clock)
        self._sessions = Sessions(self._clock)
        self._guard = Guard(self._in_force.door, self._sessions, http_policy(settings))
        self._front = self._make_front(settings, store)
        app = make_app(
            metrics,
            lambda: self._why_not_ready,
            self._guard,
            self._front.routes,
            self._front.handlers,
            settings.http.prefix,
        )
        has_tls = exposure.http_has_tls(settings)
        http = settings.http.listen
        self._http = HttpServer(
            app, http.host, http.port, tls.front(self._in_force.http_context) if has_tls else None
        )
        self._backing_up: asyncio.Task[None] | None = None
        self._why_not_ready: str | None = "starting"
        self._status = ""
        """What the service manager shows of us, while we serve."""
        self._stop = asyncio.Event()
        self._signals = 0

    def _make_front(self, settings: config.Config, store: SqliteStore) -> Front:
        in_force, clock = self._in_force, self._clock
        facts = Facts(
            lambda: in_force.config,
            store,
            self._observed,
            lambda: self._listener.connections,
            clock,
        )
        return Front(
            self._pipeline.engine,
            store,
            Inside(self._pipeline),
            self._finder,
            self._service.chronicle,
            self._guard,
            facts,
            self._upkeep,
            lambda: in_force.audit,
            lambda: look(in_force.config),
            lambda: in_force.config.limits.payload_bytes_max,
            clock.now_ms,
            clock.monotonic,
            lambda: uuid.uuid4().hex,
            settings.http.prefix,
        )

    def _make_backups(self) -> Backups | None:
        settings = self._in_force.config
        data, backup = settings.data, settings.backup
        if backup.dir is None:
            return None
        return Backups(
            data.dir, backup.dir, backup.every_ms, backup.keep, self._clock, self._observed
        )

    async def run(self) -> None:
        """Start, serve until a signal, stop.

        Raises:
            StartError: it could not start. StoreError: the store broke; end the process at once.
        """
        started = self._clock.monotonic()
        loop = asyncio.get_running_loop()
        # Done when it serves; without a handler it would be the end of a long recovery.
        loop.add_signal_handler(signal.SIGHUP, self._in_force.ask_reload)
        try:
            async with self._supervisor.recovering():
                await self._pipeline.open()
        except StoreRefused as error:
            raise StartError(str(error)) from error
        await self._open_sessions()
        loop.set_exception_handler(_on_stray_error)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_or_end(self._pipeline.run))
                reading = tasks.create_task(_or_end(self._listener.run))
                lagging = tasks.create_task(self._sample_lag())
                http_address = await self._bind(
                    "http.listen", self._http.listen(self._sockets.get("http"))
                )
                serving = tasks.create_task(self._http.serve_until_stopped())
                address = await self._bind(
                    "tcp.listen", self._listener.start(self._sockets.get("tcp"))
                )
                self._ready(address, http_address, sum(self._job_counts()), started)
                self._back_up(tasks)
                self._in_force.on_change = lambda plan: self._reconfigure(plan, tasks)
                self._in_force.on_reload = self._reloading
                watching = tasks.create_task(_or_end(lambda: self._in_force.watch(self._listener)))
                feeding = tasks.create_task(_or_end(self._feed_watchdog))
                await self._stop.wait()
                watching.cancel()
                feeding.cancel()
                self._stop_backing_up()
                await self._drain()
                for task in (reading, lagging):
                    task.cancel()
                self._http.stop()
                await asyncio.wait([serving], timeout=2.0)
                serving.cancel()
        except BaseExceptionGroup as group:
            first = group.exceptions[0]
            if isinstance(first, StartError):
                await self._pipeline.store.close()
            raise first from None

    async def _open_sessions(self) -> None:
        """The data directory is there by now, and ours."""
        try:
            self._sessions.open(self._in_force.config.data.dir)
        except KeysError as error:
            await self._pipeline.store.close()
            raise StartError(str(error)) from error
        await self._front.open(self._in_force.config.data.dir)

    async def _bind(self, key: str, starting: Awaitable[tuple[str, int]]) -> str:
        try:
            host, port = await starting
        except OSError as error:
            wanted = config.flatten(self._in_force.config)[key]
            raise StartError(
                f"{key} = {wanted} cannot be listened on ({_reason(error)}): stop "
                "what uses it, or choose another address"
            ) from error
        return str(config.Address(host, port))

    def _job_counts(self) -> list[int]:
        return [sum(queue.counts) for queue in self._pipeline.engine.queues.values()]

    def _ready(self, address: str, http_address: str, jobs: int, started: float) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        # What start-up made lives as long as the process: the collector need not look at it.
        gc.collect()
        gc.freeze()
        self._why_not_ready = None
        self._in_force.warn_of_certificate()
        seconds = self._clock.monotonic() - started
        self._status = f"serving on {address}, http on {http_address}"
        self._supervisor.ready(self._status)
        logs.event(
            log,
            logging.INFO,
            "ready",
            f"READY holdfastd {VERSION} listening on {address}, http on {http_address}, "
            f"{jobs:,} jobs recovered in {seconds:.3f} s",
            address=address,
            http=http_address,
            jobs=jobs,
            seconds=round(seconds, 3),
        )

    def _on_signal(self) -> None:
        self._signals += 1
        if self._signals > 1:
            logs.event(log, logging.WARNING, "stop_now", "second signal: stopping at once")
            os._exit(EXIT_NOT_STARTED)
        self._stop.set()

    async def _feed_watchdog(self) -> None:
        """As long as the writer thread answers: if the disk hangs, it does not."""
        await self._supervisor.feed_watchdog(self._pipeline.store.last_batch)

    @contextlib.contextmanager
    def _reloading(self) -> Iterator[None]:
        self._supervisor.reloading()
        try:
            yield
        finally:
            is_ok = self._observed.config_reload_ok
            news = "" if is_ok else "; the last reload was refused: see the log"
            self._supervisor.ready(self._status + news)

    async def _drain(self) -> None:
        """Say goodbye, write and say what is due, close."""
        self._why_not_ready = "draining"
        self._supervisor.stopping("draining")
        logs.event(log, logging.INFO, "draining", "draining: no new leases, no new jobs")
        self._front.end_streams()
        await self._service.say_goodbye()
        try:
            async with asyncio.timeout(DRAIN_S):
                await self._upkeep.close()
                await self._front.close()
                await self._service.close()
        except TimeoutError:
            logs.event(
                log, logging.WARNING, "drain_timeout", f"not drained within {DRAIN_S:g} s: leaving"
            )
            self._listener.abort()
            os._exit(EXIT_NOT_STARTED)
        logs.event(log, logging.INFO, "stopped", "stopped: everything confirmed is on disk")

    def _on_stall(self, seconds: float) -> None:
        text = f"the daemon did not run for {seconds:.1f} s: no lease ends for that"
        logs.event(log, logging.WARNING, "stalled", text, seconds=round(seconds, 1))

    def _on_jump(self, seconds: float) -> None:
        way = "forward" if seconds > 0 else "back"
        moved = f"the wall clock was set {way} by {abs(seconds):,.0f} s"
        text = f"{moved}: see docs/explanation/reliability.md#clocks"
        logs.event(log, logging.WARNING, "clock_jump", text, seconds=round(seconds))

    def _reconfigure(self, plan: Plan, tasks: asyncio.TaskGroup) -> None:
        """A reload has changed something."""
        settings = plan.config
        logs.set_up(settings.log.level, settings.log.format)
        self._listener.configure(listener_settings(settings))
        self._guard.policy = http_policy(settings)
        if any(path.startswith("backup.") for path in plan.changed):
            self._back_up(tasks)

    def _back_up(self, tasks: asyncio.TaskGroup) -> None:
        """Make backups by what is configured now."""
        self._stop_backing_up()
        self._backups = self._make_backups()
        if self._backups is not None:
            self._backing_up = tasks.create_task(self._backups.run())

    def _stop_backing_up(self) -> None:
        if self._backing_up is not None:
            self._backing_up.cancel()

    async def _sample_lag(self) -> None:
        while True:
            before = self._clock.monotonic()
            await asyncio.sleep(LAG_SAMPLE_S)
            late = self._clock.monotonic() - before - LAG_SAMPLE_S
            self._observed.loop_lag_seconds.observe(max(0.0, late))


def look(settings: config.Config) -> Look:
    http = settings.http
    return Look(http.label, http.label_colour, http.read_only)


def http_policy(settings: config.Config) -> Policy:
    http = settings.http
    return Policy(
        is_read_only=http.read_only,
        redact=http.redact,
        hides_data=http.hide_data,
        hosts=frozenset(http.hosts),
        is_key_required=exposure.is_key_required(settings, http.listen),
        has_tls=exposure.http_has_tls(settings),
    )


def _reason(error: OSError) -> str:
    """What went wrong, in the system's words; asyncio and uvloop put their own around it."""
    if isinstance(error, socket.gaierror) or not error.errno:
        return error.strerror or str(error)
    return os.strerror(error.errno)


async def _or_end(run: Callable[[], Awaitable[None]]) -> None:
    """Run a part without which the daemon cannot go on; end the process where it breaks.

    At once, and not by letting the error rise: while other tasks were being cancelled they could
    still say something that is not on disk.
    """
    try:
        await run()
    except Exception as error:
        _end_broken(error)


def _on_upgrade(upgrade: Upgrade) -> None:
    said = "was backed up before to" if upgrade.is_made else "is first backed up to"
    text = (
        f"the database is migrated from schema {upgrade.from_schema} to {upgrade.to_schema}; it "
        f"{said} {upgrade.backup}"
    )
    logs.event(
        log,
        logging.INFO,
        "upgrading",
        text,
        from_schema=upgrade.from_schema,
        to_schema=upgrade.to_schema,
        backup=upgrade.backup,
    )


def _on_stray_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An error in a callback, such as a connection's: it costs that connection, unless it says
    that memory is not what it should be."""
    error = context.get("exception")
    if isinstance(error, InvariantError):
        _end_broken(error)
    text = context.get("message", "an error in a callback")
    logs.event(log, logging.ERROR, "callback_failed", text, exc_info=error)


def _end_broken(error: Exception) -> NoReturn:
    """Exit 70 now: nothing more is said or written, no clean-up runs."""
    if isinstance(error, StoreError):
        logs.event(log, logging.CRITICAL, "store_broken", f"the store broke: {error}")
    else:
        text = "a bug: memory cannot be trusted any more"
        logs.event(log, logging.CRITICAL, "bug", text, exc_info=error)
    os._exit(EXIT_BROKEN)


def _take_open_files(connections_max: int) -> None:
    """As many as we may have: shells give 1,024, of a limit that is often far higher."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS has a limit beyond the limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < connections_max + OWN_FILES:
        text = (
            f"tcp.connections_max = {connections_max:,} needs more open files than the system "
            f"allows ({soft:,}): raise that limit (ulimit -n, LimitNOFILE)"
        )
        logs.event(log, logging.WARNING, "open_files", text, limit=soft)


def serve(
    settings: config.Config,
    reread: Callable[[], config.Config],
    sockets: Mapping[str, socket.socket],
) -> int:
    """Run the daemon. Returns the exit code; 70 does not return at all.

    reread: the configuration as it is now; raises ConfigError. sockets: those that listen already,
    by name (see `activation`).
    """
    logs.set_up(settings.log.level, settings.log.format)
    _take_open_files(settings.tcp.connections_max)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(*GC_THRESHOLD)
    try:
        uvloop.run(_run(settings, reread, sockets))
    except StartError as error:
        logs.event(log, logging.CRITICAL, "not_started", str(error))
        return EXIT_NOT_STARTED
    return 0


async def _run(
    settings: config.Config,
    reread: Callable[[], config.Config],
    sockets: Mapping[str, socket.socket],
) -> None:
    try:
        await Daemon(settings, reread, sockets).run()
    except StoreError as error:
        _end_broken(error)
