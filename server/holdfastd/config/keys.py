"""Which settings there are, by section, with their defaults and what each may be.

`config.toml` lists every key; a test compares it with these dataclasses, so a new key is one line
here and one there. The key `tcp.listen` is HOLDFAST_TCP_LISTEN in the environment.
"""

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, cast

from holdfast.wire.constants import DEFAULT_HTTP_PORT, DEFAULT_PORT, PAYLOAD_BYTES_MAX
from holdfastd.config.rules import (
    Address,
    Directory,
    HostPort,
    OneOf,
    OptionalDirectory,
    OptionalFile,
    PathPrefix,
    Rule,
    Switch,
    Text,
    Texts,
    Whole,
)

ENVIRONMENT_PREFIX: Final = "HOLDFAST_"


def key(default: str | int | bool | list[str], rule: Rule) -> Any:
    """A field of a section. default: as it would stand in config.toml."""
    return field(default=rule.check(default), metadata={"rule": rule, "default": default})


HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]+\]", re.ASCII)
"""As it stands in a URL: IPv6 in brackets."""
REDACTED: Final = re.compile(r"[^,\x00-\x1f\x7f]{1,256}")
"""No comma: the environment has them between patterns. The length is arbitrary."""
LABEL_MAX: Final = 30
"""Characters that fit beside what else is at the top of a page."""
LABEL_COLOURS: Final = ("grey", "green", "blue", "amber", "red")
TLS_CHOICES: Final = ("auto", "on", "off")
SECOND_MS: Final = 1000
DAY_MS: Final = 24 * 3600 * SECOND_MS


@dataclass(frozen=True, slots=True)
class Data:
    """The directory that holds everything."""

    dir: Path = key("data", Directory())
    """Made if it is not there; belongs to one daemon at a time."""
    reserve_bytes: int = key(64 * 1024 * 1024, Whole(0, 1024**3))
    """Kept free on disk, so that workers can still answer when the disk is full."""


@dataclass(frozen=True, slots=True)
class Backup:
    """Copies that the daemon has made of its database; docs/how-to/backup.md."""

    dir: Path | None = key("", OptionalDirectory())
    """Made if it is not there; None = no backups are made."""
    every_ms: int = key(DAY_MS, Whole(SECOND_MS, 31 * DAY_MS))
    """From the beginning of one to the beginning of the next; restarts do not count."""
    keep: int = key(7, Whole(1, 10_000))
    """The newest so many stay, of those that the daemon has made."""


@dataclass(frozen=True, slots=True)
class Tcp:
    """The port for clients."""

    listen: Address = key(f"127.0.0.1:{DEFAULT_PORT}", HostPort())
    connections_max: int = key(10_000, Whole(1, 1_000_000))
    """One more is refused with BUSY."""
    handshake_timeout_ms: int = key(10_000, Whole(10, 600_000))
    """A client that has not said who it is by then is cut off."""
    tls: str = key("auto", OneOf(TLS_CHOICES))
    """auto = as soon as there is a certificate; see `access.exposure`."""


@dataclass(frozen=True, slots=True)
class Http:
    """The port for people, metrics and health; docs/how-to/secure.md."""

    listen: Address = key(f"127.0.0.1:{DEFAULT_HTTP_PORT}", HostPort())
    tls: str = key("auto", OneOf(TLS_CHOICES))
    """auto = as soon as there is a certificate, but not on a loopback address."""
    hosts: tuple[str, ...] = key([], Texts("host names", "queue.example", HOST, is_lowered=True))
    """By which it may be asked for where no key is required, besides loopback ones; without
    ports."""
    prefix: str = key("", PathPrefix())
    """The path below which a proxy has this port; see `web.prefixed`."""
    read_only: bool = key(False, Switch())
    """Nobody changes anything by HTTP, whatever the key."""
    hide_data: bool = key(False, Switch())
    """Jobs' data and results are shown to operators and admins only."""
    redact: tuple[str, ...] = key([], Texts("patterns of keys", "*.secret", REDACTED))
    """Not shown of data, results and progress, nor searched: see `web.safe.redact`."""
    label: str = key("", Text(LABEL_MAX))
    """At the top of each page, so that nobody takes one daemon for another."""
    label_colour: str = key("grey", OneOf(LABEL_COLOURS))


@dataclass(frozen=True, slots=True)
class Tls:
    """The daemon's certificate, in PEM, for both ports; docs/how-to/secure.md."""

    cert_file: Path | None = key("", OptionalFile())
    """With the chain of those that signed it; None = there is none."""
    key_file: Path | None = key("", OptionalFile())
    """Its private key; None = it is in cert_file."""
    client_ca_file: Path | None = key("", OptionalFile())
    """Clients of the TCP port must have a certificate signed by one of these; None = they need
    not."""


@dataclass(frozen=True, slots=True)
class Auth:
    """Who may come in; docs/how-to/secure.md."""

    required: str = key("auto", OneOf(("auto", "on")))
    """Whether clients must give a key. auto = unless the port listens on a loopback address."""
    keys_file: Path | None = key("", OptionalFile())
    """None = keys.json in data.dir. Changed by `holdfastd keys`."""


@dataclass(frozen=True, slots=True)
class Audit:
    """The log of every administrative command."""

    file: Path | None = key("", OptionalFile())
    """One line of JSON each; None = they stand in the log, as events named "audit"."""


@dataclass(frozen=True, slots=True)
class Limits:
    payload_bytes_max: int = key(PAYLOAD_BYTES_MAX, Whole(1, PAYLOAD_BYTES_MAX))
    """Of a job's data; it is packed by then."""


@dataclass(frozen=True, slots=True)
class Leases:
    """How a worker's silence is judged."""

    heartbeat_ms: int = key(5_000, Whole(20, 600_000))
    """How often clients are asked to report; at most half of lease_ms."""
    lease_ms: int = key(30_000, Whole(100, 3_600_000))
    """Without a report for so long, a connected worker's jobs run again elsewhere."""
    grace_ms: int = key(10_000, Whole(0, 3_600_000))
    """The same for a worker whose connection broke, or after a restart of the daemon."""
    session_ms: int = key(DAY_MS, Whole(60_000, 30 * DAY_MS))
    """An absent client may resume its session for so long."""


@dataclass(frozen=True, slots=True)
class Metrics:
    queues_max: int = key(100, Whole(0, 10_000))
    """Queues up to which each has series of its own; with more, ever fewer: see engine.ledger."""
    per_task: bool = key(False, Switch())
    """Durations by queue and job name as well."""
    task_series_max: int = key(100, Whole(1, 10_000))
    """Pairs of queue and job name with series of their own, if per_task."""


LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("text", "json")


@dataclass(frozen=True, slots=True)
class Log:
    """What is written to standard error."""

    level: str = key("info", OneOf(LEVELS))
    format: str = key("text", OneOf(FORMATS))


@dataclass(frozen=True, slots=True)
class Config:
    """All settings, by section."""

    data: Data = field(default_factory=Data)
    backup: Backup = field(default_factory=Backup)
    tcp: Tcp = field(default_factory=Tcp)
    http: Http = field(default_factory=Http)
    tls: Tls = field(default_factory=Tls)
    auth: Auth = field(default_factory=Auth)
    audit: Audit = field(default_factory=Audit)
    limits: Limits = field(default_factory=Limits)
    leases: Leases = field(default_factory=Leases)
    metrics: Metrics = field(default_factory=Metrics)
    log: Log = field(default_factory=Log)


SECTIONS: Final[dict[str, type]] = {
    section.name: cast("type", section.default_factory) for section in fields(Config)
}
RULES: Final[dict[str, Rule]] = {
    f"{section}.{each.name}": each.metadata["rule"]
    for section, kind in SECTIONS.items()
    for each in fields(kind)
}
"""By path, such as "tcp.listen", in the order of config.toml."""

VARIABLES: Final = {ENVIRONMENT_PREFIX + path.replace(".", "_").upper(): path for path in RULES}
"""Environment variable -> path."""
