"""The settings from all that may say something about them, and where each value came from.

A value is taken from the first source that has it: a flag, the environment, the TOML file, the
default. Every source is checked whole, and all that is wrong is told at once.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from holdfast.wire.checks import shown
from holdfastd.config.keys import ENVIRONMENT_PREFIX, RULES, SECTIONS, VARIABLES, Config
from holdfastd.config.rules import Address

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


def from_tree(tree: Mapping[str, object], source: str = "config") -> Config:
    """Settings from section -> key -> value. Raises ConfigError; source is named in it."""
    return _build([_from_tree(tree, source)])


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
