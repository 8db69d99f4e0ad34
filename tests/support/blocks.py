"""The code blocks of the pages, and what a page says of those that are special.

It does so in comments right before the block, which no reader sees:

    <!-- file: NAME -->        what NAME has in it, in the directory where the page's commands run
    <!-- stays: TEXT -->       its last command runs on in a terminal of its own until the page is
                               over; what follows begins when it has said TEXT
    <!-- prints otherwise -->  what its commands print is an example
    <!-- setup: COMMAND -->    what its commands need, and nobody has to read
    <!-- not run: REASON -->   it is only parsed

There may be several, each on a line of its own.
"""

import configparser
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from ruamel.yaml import YAML

from holdfastd.config import from_tree

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "protocol.md")),
    *(ROOT / folder / "README.md" for folder in ("bench", "examples")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
NOTES: Final = ("file", "stays", "prints otherwise", "setup", "not run")
FENCE: Final = re.compile(
    r"(?P<notes>(?:^<!-- [^>]*? -->\n+)*)"
    r"^(?P<indent> *)```(?P<language>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


class Command(NamedTuple):
    """What stands behind a prompt of a console block."""

    text: str
    is_of_root: bool
    """Its prompt is #."""
    shown: list[str]
    """Lines that the page has it print."""
    place: str

    @property
    def program(self) -> str:
        words = self.text.split()
        while re.match(r"[A-Z_]+=", words[0]):
            words.pop(0)
        return words[0].rpartition("/")[2]


class Block(NamedTuple):
    page: str
    line: int
    """Of its first line of code, from 1."""
    language: str
    text: str
    notes: dict[str, str]

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[Command]:
        """Of a console block; one of sh is a command, without its lines of make."""
        found: list[Command] = []
        if self.language == "sh":
            text = re.sub(r"^make .*\n", "", self.text, flags=re.MULTILINE)
            return [Command(text.strip(), False, [], self.place)]
        goes_on = False
        for at, line in enumerate(self.text.splitlines(), self.line):
            if goes_on:
                found[-1] = found[-1]._replace(text=f"{found[-1].text}\n{line}")
            elif line[:2] in ("$ ", "# "):
                found.append(Command(line[2:], line[0] == "#", [], f"{self.page}:{at}"))
            else:
                found[-1].shown.append(line)
            goes_on = line.endswith("\\")
        return found


def blocks_of(name: str, text: str) -> list[Block]:
    """Raises ValueError for a note that is none."""
    found = []
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start("text")) + 1
        notes = dict(re.findall(r"<!-- ([^:>]*?)(?:: (.*?))? -->", match["notes"]))
        if not notes.keys() <= set(NOTES):
            raise ValueError(f"{name}:{line}: {set(notes)} are not all of {', '.join(NOTES)}")
        body = re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        found.append(Block(name, line, match["language"], body, notes))
    return found


def blocks(page: Path) -> list[Block]:
    return blocks_of(page.relative_to(ROOT).as_posix(), page.read_text())


# ---- is it what it says it is? ---------------------------------------------------------------


def _python(text: str) -> None:
    compile(text, "block", "exec", 0x2000)  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


def _console(text: str) -> None:
    if text[:2] not in ("$ ", "# "):
        raise ValueError("it begins with no prompt ($, or # for root)")


def _toml(text: str) -> None:
    """Of the daemon's configuration: all others would be another program's."""
    from_tree(tomllib.loads(text))


def _yaml(text: str) -> None:
    list(YAML(typ="safe").load_all(text))


def _json(text: str) -> None:
    for line in text.splitlines():
        json.loads(line)


def _ini(text: str) -> None:
    """As systemd reads it: a key may come again."""
    configparser.ConfigParser(strict=False, interpolation=None).read_string(text)


def _as_it_is(text: str) -> None:
    pass


PARSERS: Final[dict[str, Callable[[str], None]]] = {
    "python": _python,
    "console": _console,
    "sh": _as_it_is,  # it is run
    "toml": _toml,
    "yaml": _yaml,
    "json": _json,
    "ini": _ini,
    "js": _as_it_is,  # by node, where it is there
    "html": _as_it_is,  # test_api_md follows the one page
    "text": _as_it_is,
    "nginx": _as_it_is,  # another program's
    "golden": _as_it_is,  # test_protocol_md
    "payload": _as_it_is,  # likewise
}


def fault(block: Block) -> str | None:
    """What keeps it from being what its language says; None = nothing."""
    if block.language not in PARSERS:
        return f"{block.language!r} is none of {', '.join(PARSERS)}"
    try:
        PARSERS[block.language](block.text)
    except Exception as error:  # each parser has its own
        return f"{type(error).__name__}: {error}"
    return None
