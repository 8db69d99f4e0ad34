"""The daemon's settings: which keys there are, what they may be, and where a value came from.

A value is taken from the first source that has it: a flag, the environment, the TOML file, the
default. The key `tcp.listen` is `HOLDFAST_TCP_LISTEN` in the environment. Every source is checked
whole, and all that is wrong is told at once. `config.toml` lists every key; a test compares it with
the dataclasses below, so a new key is one line here and one there.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, cast

from holdfast.wire.checks import shown
from holdfast.wire.constants import DEFAULT_HTTP_PORT, DEFAULT_PORT, PAYLOAD_BYTES_MAX

ENVIRONMENT_PREFIX: Final = "HOLDFAST_"
FILE_VARIABLE: Final = "HOLDFAST_CONFIG"
"""The TOML file, where no flag names one."""
SERVICE_LINK: Final = re.compile(r"\w+_(SERVICE_(HOST|PORT\w*)|PORT(_\d+_\w+)?)")
"""Variables that Kubernetes sets for a service that happens to be named like one of our sections
(`holdfast-http`): not ours, and no mistake."""


class ConfigError(Exception):
    """The settings cannot be used.

    Attributes:
        problems: one line each: where, which key, what is wrong, what is allowed.
    """

    def __init__(self, problems: list[str]):
        self.problems = problems
        super().__init__("\n".join(problems))


# ---- what a value may be -------------------------------------------------------------------------


class Rule(Protocol):
    @property
    def allowed(self) -> str:
        """What may stand there, for people: "a whole number from 1 to 10"."""

    def check(self, value: object) -> Any:
        """The value for the dataclass, from one of TOML's types. Raises ValueError."""

    def parse(self, text: str) -> Any:
        """The same from a flag or the environment. Raises ValueError."""


@dataclass(frozen=True)
class Whole:
    """A whole number with low <= value <= high."""

    low: int
    high: int

    @property
    def allowed(self) -> str:
        return f"a whole number from {self.low:,} to {self.high:,}"

    def check(self, value: object) -> int:
        if type(value) is int and self.low <= value <= self.high:
            return value
        raise ValueError

    def parse(self, text: str) -> int:
        return self.check(int(text))


@dataclass(frozen=True)
class OneOf:
    choices: tuple[str, ...]

    @property
    def allowed(self) -> str:
        return "one of " + ", ".join(self.choices)

    def check(self, value: object) -> str:
        if isinstance(value, str) and value in self.choices:
            return value
        raise ValueError

    def parse(self, text: str) -> str:
        return self.check(text)


class Switch:
    """On or off."""

    allowed = "true or false"

    def check(self, value: object) -> bool:
        if isinstance(value, bool):
            return value
        raise ValueError

    def parse(self, text: str) -> bool:
        if text in ("true", "false"):
            return text == "true"
        raise ValueError


class Directory:
    allowed = "the path of a directory"

    def check(self, value: object) -> Path:
        if isinstance(value, str) and value and "\0" not in value:
            return Path(value)
        raise ValueError

    def parse(self, text: str) -> Path:
        return self.check(text)


class OptionalDirectory(Directory):
    allowed = 'the path of a directory, or "" for none'

    def check(self, value: object) -> Path | None:  # type: ignore[override]  # wider on purpose
        return None if value == "" else super().check(value)


class OptionalFile(OptionalDirectory):
    allowed = 'the path of a file, or "" for none'


class Address(NamedTuple):
    """Where to listen."""

    host: str
    """A name or an address; IPv6 without brackets."""
    port: int
    """0 = any free one."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class HostPort:
    allowed = 'HOST:PORT, such as "127.0.0.1:4653" or "[::1]:4653", port 0 to 65,535'

    _FORM: Final = re.compile(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^\[\]:\s/]+)):(\d{1,5})", re.ASCII)

    def check(self, value: object) -> Address:
        found = self._FORM.fullmatch(value) if isinstance(value, str) else None
        if found is None or int(found[3]) > 65535:
            raise ValueError
        return Address(found[1] or found[2], int(found[3]))

    def parse(self, text: str) -> Address:
        return self.check(text)


class Texts:
    """A list of texts; in a flag or variable with commas between them."""

    def __init__(self, what: str, example: str, form: re.Pattern[str], *, is_lowered: bool = False):
        """what: they are, for people. form: of each."""
        self.allowed = f'a list of {what}, such as ["{example}"]'
        self._form = form
        self._is_lowered = is_lowered

    def check(self, value: object) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise ValueError
        for each in value:
            if not isinstance(each, str) or not self._form.fullmatch(each):
                raise ValueError
        return tuple(each.lower() if self._is_lowered else each for each in value)

    def parse(self, text: str) -> tuple[str, ...]:
        return self.check([each.strip() for each in text.split(",")] if text.strip() else [])


class PathPrefix:
    """Of addresses: "/holdfast"."""

    allowed = 'a path such as "/holdfast" that begins as none of this port does, or "" for none'

    _FORM: Final = re.compile(r"(?:/[A-Za-z0-9._~-]*[A-Za-z0-9_~-])+", re.ASCII)
    _LENGTH_MAX: Final = 200
    TAKEN: Final = frozenset(
        {"actions", "api", "do", "jobs", "live", "livez", "login", "logout", "metrics"}
        | {"metrics-history", "queues", "readyz", "robots.txt", "schedules", "server", "static"}
        | {"workers"}
    )
    """First parts of this port's own paths: a proxy may take the prefix away, or leave it, and what
    begins like one of these could be either."""

    def check(self, value: object) -> str:
        if value == "":
            return ""
        if not isinstance(value, str) or len(value) > self._LENGTH_MAX:
            raise ValueError
        if not self._FORM.fullmatch(value) or value.split("/")[1] in self.TAKEN:
            raise ValueError
        return value

    def parse(self, text: str) -> str:
        return self.check(text)


class Text:
    """A few words for people to see; "" for none."""

    def __init__(self, length_max: int):
        self.allowed = f'a text of at most {length_max} characters, or "" for none'
        self._length_max = length_max

    def check(self, value: object) -> str:
        if isinstance(value, str) and len(value) <= self._length_max and value.isprintable():
            return value
        raise ValueError

    def parse(self, text: str) -> str:
        return self.check(text)


# ---- the keys ------------------------------------------------------------------------------------


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

    @classmethod
    def from_mapping(cls, tree: Mapping[str, object], source: str = "config") -> "Config":
        """Settings from section -> key -> value. Raises ConfigError; source is named in it."""
        return _build([_from_tree(tree, source)])


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


# ---- reading them --------------------------------------------------------------------------------


class Origin(NamedTuple):
    """Where a value comes from."""

    kind: str
    """default, file, environment or flag"""
    name: str
    """The file, the variable; "" for the others."""


DEFAULT: Final = Origin("default", "")


class Found(NamedTuple):
    """What one source says."""

    values: dict[str, Any]
    """By path, checked."""
    origins: dict[str, Origin]
    """Of the same."""
    problems: list[str]


class Traced(NamedTuple):
    """Settings, and where each of them comes from."""

    config: Config
    origins: dict[str, Origin]
    """By path, of every key, in the order of config.toml."""


def load(file: Path | None, environment: Mapping[str, str], flags: Mapping[str, str]) -> Config:
    """The settings from all sources.

    Args:
        file: TOML; None = there is none.
        environment: all of it; what is not for the daemon is left alone.
        flags: path -> text, of those that were given, such as {"tcp.listen": "127.0.0.1:0"}.

    Raises:
        ConfigError: with all that is wrong in any source.
    """
    return load_traced(file, environment, flags).config


def load_traced(
    file: Path | None, environment: Mapping[str, str], flags: Mapping[str, str]
) -> Traced:
    """The same, with the origin of each value."""
    sources = [_from_environment(environment), _from_flags(flags)]
    if file is not None:
        sources.insert(0, _from_tree(_read_toml(file), str(file)))
    config = _build(sources)
    said = {path: origin for source in sources for path, origin in source.origins.items()}
    return Traced(config, {path: said.get(path, DEFAULT) for path in RULES})


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"{file}: cannot be read: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{file}: is no TOML: {error}"]) from error


def _from_tree(tree: Mapping[str, object], source: str) -> Found:
    found = Found({}, {}, [])
    for section, content in tree.items():
        if section not in SECTIONS:
            found.problems.append(f"{source}: {_unknown(section, SECTIONS, 'section')}")
        elif not isinstance(content, Mapping):
            found.problems.append(f"{source}: {section} is a section, write [{section}]")
        else:
            for name, value in content.items():
                _take(found, source, f"{section}.{name}", value)
    return found


def _take(found: Found, source: str, path: str, value: object) -> None:
    if path not in RULES:
        found.problems.append(f"{source}: {_unknown(path, RULES, 'key')}")
        return
    try:
        found.values[path] = RULES[path].check(value)
        found.origins[path] = Origin("file", source)
    except ValueError:
        problem = f"{path} must be {RULES[path].allowed}, not {shown(value)}"
        found.problems.append(f"{source}: {problem}")


def _from_environment(environment: Mapping[str, str]) -> Found:
    found = Found({}, {}, [])
    ours = tuple(f"{ENVIRONMENT_PREFIX}{section.upper()}_" for section in SECTIONS)
    for variable in sorted(environment):
        if variable in VARIABLES:
            origin = Origin("environment", variable)
            _take_text(found, origin, VARIABLES[variable], environment[variable])
        elif variable.startswith(ours) and not SERVICE_LINK.fullmatch(variable):
            found.problems.append(f"environment: {_unknown(variable, VARIABLES, 'variable')}")
    return found


def _from_flags(flags: Mapping[str, str]) -> Found:
    found = Found({}, {}, [])
    for path, text in flags.items():
        _take_text(found, Origin("flag", ""), path, text)
    return found


def _take_text(found: Found, origin: Origin, path: str, text: str) -> None:
    try:
        found.values[path] = RULES[path].parse(text)
        found.origins[path] = origin
    except ValueError:
        source = origin.name or "command line"
        found.problems.append(f"{source}: {path} must be {RULES[path].allowed}, not {shown(text)}")


def _unknown(name: str, known: Mapping[str, object], what: str) -> str:
    close = get_close_matches(name, known, n=1)
    if not close and what == "key":
        last = name.rpartition(".")[2]
        close = [path for path in known if path.endswith(f".{last}")][:1]
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
    return f"{shown(name)[1:-1]} is no {what}: {hint}"


def _build(sources: list[Found]) -> Config:
    """sources: the weakest first."""
    problems = [problem for source in sources for problem in source.problems]
    values = {path: value for source in sources for path, value in source.values.items()}
    sections: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for path, value in values.items():
        section, _, name = path.partition(".")
        sections[section][name] = value
    config = Config(**{name: SECTIONS[name](**given) for name, given in sections.items()})
    problems += _contradictions(config)
    if problems:
        raise ConfigError(problems)
    return config


def _contradictions(config: Config) -> list[str]:
    """What is wrong with values that are right one by one."""
    found = []
    leases = config.leases
    if leases.heartbeat_ms * 2 > leases.lease_ms:
        found.append(
            f"leases.heartbeat_ms ({leases.heartbeat_ms:,}) must be at most half of "
            f"leases.lease_ms ({leases.lease_ms:,}): one lost heartbeat must not end a lease"
        )
    if config.backup.dir is not None and config.backup.dir == config.data.dir:
        found.append(
            f"backup.dir must not be data.dir ({config.data.dir}): what happens to the one must "
            "not happen to the other"
        )
    return found


Flat: TypeAlias = dict[str, str | int | bool | list[str]]


def flatten(config: Config) -> Flat:
    """The settings by path, each as it would stand in config.toml."""
    return {
        f"{section}.{each.name}": _flat(getattr(getattr(config, section), each.name))
        for section, kind in SECTIONS.items()
        for each in fields(kind)
    }


def as_environment(config: Config) -> dict[str, str]:
    """The variables that give another process these settings, if it reads no file and has no
    flags."""
    flat = flatten(config)
    return {variable: _text(flat[path]) for variable, path in VARIABLES.items()}


def _text(value: str | int | bool | list[str]) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, list) else str(value)


def _flat(value: object) -> str | int | bool | list[str]:
    if isinstance(value, int):
        return value
    if isinstance(value, tuple) and not isinstance(value, Address):
        return list(value)
    return "" if value is None else str(value)
