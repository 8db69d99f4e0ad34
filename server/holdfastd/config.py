"""The daemon's configuration: frozen values, read from flags, environment, a TOML file, defaults.

Precedence: flag > environment > file > default. config.toml lists every key with its default; a
test compares it with the dataclasses here. To add a key: a field here and its line there.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, get_type_hints

from holdfast.wire.constants import DEFAULT_HTTP_PORT, DEFAULT_PORT

ENVIRONMENT_PREFIX: Final = "HOLDFASTD_"


class ConfigError(Exception):
    """A key that cannot be used; the text names it, its value and what is allowed."""


def _between(low: int, high: int, default: int) -> Any:
    """An integer field with its range, both ends included."""
    return field(default=default, metadata={"low": low, "high": high})


def _one_of(*choices: str) -> Any:
    """The first one is the default."""
    return field(default=choices[0], metadata={"choices": choices})


@dataclass(frozen=True, slots=True)
class Server:
    data: str = "data"
    """Directory of the database; made if it is missing."""
    listen: str = f"127.0.0.1:{DEFAULT_PORT}"
    http: str = f"127.0.0.1:{DEFAULT_HTTP_PORT}"


@dataclass(frozen=True, slots=True)
class Leases:
    lease_ms: int = _between(1_000, 3_600_000, 30_000)
    heartbeat_ms: int = _between(100, 600_000, 10_000)
    grace_ms: int = _between(100, 3_600_000, 10_000)


@dataclass(frozen=True, slots=True)
class Limits:
    connections: int = _between(1, 1_000_000, 10_000)
    payload_bytes: int = _between(1, 1024 * 1024, 1024 * 1024)
    handshake_ms: int = _between(100, 600_000, 5_000)


@dataclass(frozen=True, slots=True)
class Storage:
    reserve_bytes: int = _between(0, 2**40, 64 * 1024 * 1024)


@dataclass(frozen=True, slots=True)
class Log:
    level: str = _one_of("info", "debug", "warning", "error")
    format: str = _one_of("console", "json")


@dataclass(frozen=True, slots=True)
class Config:
    server: Server = Server()
    leases: Leases = Leases()
    limits: Limits = Limits()
    storage: Storage = Storage()
    log: Log = Log()


def load(path: Path | None, environment: Mapping[str, str], flags: Mapping[str, Any]) -> Config:
    """The configuration in force.

    Args:
        path: a TOML file; None = no file.
        environment: variables such as HOLDFASTD_SERVER_LISTEN are taken from it.
        flags: values by dotted key, such as `server.listen`; None values are left out.

    Raises:
        ConfigError: with the key, the value and what is allowed.
    """
    config = Config()
    if path is not None:
        config = from_mapping(_read_toml(path), config, str(path))
    config = from_mapping(_from_environment(environment), config, "environment")
    given: dict[str, dict[str, Any]] = {}
    for key, value in flags.items():
        if value is not None:
            section, name = key.split(".")
            given.setdefault(section, {})[name] = value
    config = from_mapping(given, config, "command line")
    _check_together(config)
    return config


def from_mapping(mapping: Mapping[str, Any], base: Config, origin: str) -> Config:
    """`base` with the sections of the mapping laid over it. Raises ConfigError."""
    config: Config = _overlaid(base, mapping, "", origin)
    return config


def _overlaid(base: Any, mapping: Mapping[str, Any], path: str, origin: str) -> Any:
    known = {item.name: item for item in fields(base)}
    changes: dict[str, Any] = {}
    for name, value in mapping.items():
        key = f"{path}{name}"
        if name not in known:
            close = get_close_matches(name, known, 1)
            hint = f"did you mean {path}{close[0]}?" if close else f"known: {', '.join(known)}"
            raise ConfigError(f"{origin}: unknown key {key}: {hint}")
        before = getattr(base, name)
        if is_dataclass(before):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{origin}: {key} is a section, not {value!r}")
            changes[name] = _overlaid(before, value, f"{key}.", origin)
        else:
            kind = get_type_hints(type(base))[name]
            changes[name] = _checked(key, value, kind, known[name].metadata, origin)
    return replace(base, **changes)


def _checked(key: str, value: Any, kind: type, rules: Mapping[str, Any], origin: str) -> Any:
    if type(value) is not kind:
        raise ConfigError(f"{origin}: {key} must be {_NAMES[kind]}, not {value!r}")
    if "low" in rules and not rules["low"] <= value <= rules["high"]:
        low, high = rules["low"], rules["high"]
        raise ConfigError(f"{origin}: {key} must be from {low:,} to {high:,}, not {value:,}")
    if "choices" in rules and value not in rules["choices"]:
        choices = ", ".join(rules["choices"])
        raise ConfigError(f"{origin}: {key} must be one of {choices}, not {value!r}")
    return value


_NAMES: Final = {int: "a whole number", str: "a text", bool: "true or false"}


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error


def _from_environment(environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """HOLDFASTD_<SECTION>_<KEY>; numbers are read as numbers."""
    found: dict[str, dict[str, Any]] = {}
    for variable, text in environment.items():
        if variable.startswith(ENVIRONMENT_PREFIX):
            section, _, name = variable[len(ENVIRONMENT_PREFIX) :].lower().partition("_")
            value = int(text) if text.lstrip("-").isdigit() else text
            found.setdefault(section, {})[name] = value
    return found


def _check_together(config: Config) -> None:
    leases = config.leases
    if leases.heartbeat_ms * 2 > leases.lease_ms:
        raise ConfigError(
            f"leases.heartbeat_ms ({leases.heartbeat_ms:,}) must be at most half of "
            f"leases.lease_ms ({leases.lease_ms:,}), or one late heartbeat loses every lease"
        )
    for key in ("listen", "http"):
        address(f"server.{key}", getattr(config.server, key))


def address(key: str, text: str) -> tuple[str, int]:
    """`HOST:PORT` or `[V6]:PORT`; port 0 = any free one. Raises ConfigError."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise ConfigError(f"{key} must be HOST:PORT, such as 127.0.0.1:4653, not {text!r}")
    return host, int(port)


def environment() -> Mapping[str, str]:
    return os.environ
