"""What a value may be: how it is checked, read from a text, and told to people."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol


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
