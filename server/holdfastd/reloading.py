"""What a reload (SIGHUP) of the configuration may change, and what waits for a restart.

One table, which a test compares with the keys and with docs/how-to/reload.md. The daemon
applies half of it in one go, after everything that could fail was tried; the other it names.
"""

from dataclasses import replace
from enum import Enum
from typing import Any, Final, NamedTuple

from holdfastd.access import exposure
from holdfastd.config import SECTIONS, Config, flatten


class Applies(Enum):
    AT_ONCE = "at once"
    NEW = "to new connections"
    RESTART = "after a restart"


APPLIES: Final[dict[str, Applies]] = {
    "data.dir": Applies.RESTART,
    "data.reserve_bytes": Applies.RESTART,
    "backup.dir": Applies.AT_ONCE,
    "backup.every_ms": Applies.AT_ONCE,
    "backup.keep": Applies.AT_ONCE,
    "tcp.listen": Applies.RESTART,
    "tcp.connections_max": Applies.NEW,
    "tcp.handshake_timeout_ms": Applies.NEW,
    "tcp.tls": Applies.RESTART,
    "http.listen": Applies.RESTART,
    "http.tls": Applies.RESTART,
    "http.hosts": Applies.AT_ONCE,
    "http.prefix": Applies.RESTART,
    "http.read_only": Applies.AT_ONCE,
    "http.hide_data": Applies.AT_ONCE,
    "http.redact": Applies.AT_ONCE,
    "http.label": Applies.AT_ONCE,
    "http.label_colour": Applies.AT_ONCE,
    "tls.cert_file": Applies.NEW,
    "tls.key_file": Applies.NEW,
    "tls.client_ca_file": Applies.NEW,
    # Whoever is in without a key would have to be put out.
    "auth.required": Applies.RESTART,
    "auth.keys_file": Applies.RESTART,
    "audit.file": Applies.AT_ONCE,
    "limits.payload_bytes_max": Applies.AT_ONCE,
    # Clients are told of these when they connect: with half of the old heartbeat and a new lease, a
    # worker that does all as it was told would lose its jobs.
    "leases.heartbeat_ms": Applies.RESTART,
    "leases.lease_ms": Applies.RESTART,
    "leases.grace_ms": Applies.RESTART,
    "leases.session_ms": Applies.RESTART,
    "metrics.queues_max": Applies.RESTART,
    "metrics.per_task": Applies.RESTART,
    "metrics.task_series_max": Applies.RESTART,
    "log.level": Applies.AT_ONCE,
    "log.format": Applies.AT_ONCE,
}
_TLS_FILES: Final = ("tls.cert_file", "tls.key_file", "tls.client_ca_file")


class Plan(NamedTuple):
    config: Config
    """What will be in force."""
    changed: list[str]
    """Paths of what will be different."""
    needs_restart: list[str]
    """Paths of what stays as it is until then."""


def plan(running: Config, wanted: Config) -> Plan:
    before, after = flatten(running), flatten(wanted)
    different = [path for path in before if before[path] != after[path]]
    stuck = [path for path in different if APPLIES[path] is Applies.RESTART]
    if _speaks_tls(running) != _speaks_tls(wanted):  # a port begins with TLS, or without it
        stuck += [path for path in different if path in _TLS_FILES]
    return Plan(
        _with_old(wanted, running, stuck), [path for path in different if path not in stuck], stuck
    )


def _speaks_tls(config: Config) -> tuple[bool, bool]:
    return exposure.tcp_has_tls(config), exposure.http_has_tls(config)


def _with_old(wanted: Config, running: Config, paths: list[str]) -> Config:
    changes: dict[str, Any] = {}
    for section in SECTIONS:
        names = [path.partition(".")[2] for path in paths if path.startswith(f"{section}.")]
        if names:
            old = getattr(running, section)
            kept = {name: getattr(old, name) for name in names}
            changes[section] = replace(getattr(wanted, section), **kept)
    return replace(wanted, **changes)
