"""All that the doctor looks at, in order."""

from collections.abc import Callable
from typing import Final, TypeAlias

from holdfastd import tls
from holdfastd.access import exposure
from holdfastd.clock import Clock
from holdfastd.config import Config
from holdfastd.doctor import database, disk, machine, software
from holdfastd.doctor.report import Finding, Status

DAY_MS: Final = 24 * 3600 * 1000


Look: TypeAlias = Callable[[], Finding]


def examine(settings: Config, clock: Clock, own_files: int) -> list[Finding]:
    """Look at a daemon's installation, machine and directory; it may be running there.

    own_files: open files that a daemon needs besides its connections.
    """
    return [looked_at(name, look) for name, look in looks(settings, clock, own_files).items()]


def looked_at(name: str, look: Look) -> Finding:
    """What cannot be looked at keeps nobody from looking at the rest."""
    try:
        return look()
    except OSError as error:
        text = f"cannot be looked at ({error.strerror}: {error.filename})"
        return Finding(name, Status.UNKNOWN, text, {}, "run the doctor as the daemon's user")


def looks(settings: Config, clock: Clock, own_files: int) -> dict[str, Look]:
    """By the finding's name, in order."""
    before = machine.read_clocks(clock)
    directory = settings.data.dir
    running = database.running(directory)
    is_shared = running.is_running or not running.is_known

    def moved() -> Finding:
        written_at_ms = database.written_at_ms(directory)
        return machine.clock(before, machine.read_clocks(clock), written_at_ms)

    return {
        "versions": software.versions,
        "sqlite": software.sqlite,
        "config": lambda: configuration(settings),
        "daemon": lambda: database.daemon(directory, running),
        "directory": lambda: disk.directory(directory),
        "file_system": lambda: disk.file_system(directory),
        "fsync": lambda: disk.fsync(directory),
        "space": lambda: disk.space(directory, settings.data.reserve_bytes),
        "clock": moved,  # after fsync, which takes a while
        "ntp": lambda: machine.ntp(machine.kernel_clock()),
        "open_files": lambda: machine.open_files(
            running.pid, settings.tcp.connections_max, own_files
        ),
        "database": lambda: database.database(directory, is_shared=is_shared),
        "log": lambda: database.log(directory, is_running=is_shared),
        "backup": lambda: database.backup(settings.backup, clock.now_ms()),
        "tls": lambda: certificate(settings, clock.now_ms()),
    }


def configuration(settings: Config) -> Finding:
    problems = exposure.problems(settings)
    if problems:
        return Finding("config", Status.BAD, "; ".join(problems), {"problems": problems})
    return Finding("config", Status.OK, f"clients at {settings.tcp.listen}")


def certificate(settings: Config, now_ms: int) -> Finding:
    files = settings.tls
    has_tls = exposure.tcp_has_tls(settings) or exposure.http_has_tls(settings)
    if not has_tls or files.cert_file is None:
        return Finding("tls", Status.OK, "no port speaks it", {"expires_at_ms": None})
    try:
        found = tls.read(files.cert_file, files.key_file, files.client_ca_file)
    except tls.TlsError as error:
        return Finding("tls", Status.BAD, str(error), {"expires_at_ms": None})
    facts = {"expires_at_ms": found.expires_at_ms}
    if found.expires_at_ms is None:
        return Finding("tls", Status.UNKNOWN, f"when {files.cert_file} expires cannot be told")
    left_ms = found.expires_at_ms - now_ms
    text = f"{files.cert_file} expires in {left_ms / DAY_MS:,.1f} days"
    if left_ms < tls.SOON_MS:
        return Finding("tls", Status.WARN, text, facts, "renew it, and send the daemon SIGHUP")
    return Finding("tls", Status.OK, text, facts)
