"""What the list of all words can be held to by machine; the rest is for people to read (`make
words`)."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import pytest

from holdfast.cli import cli as client_cli
from holdfastd.cli import cli as daemon_cli

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = "server/holdfastd/web/pages/"
"""People read sentences there."""
REPORT: Final = "client/holdfast/conformance/"
"""What it finds is told in three parts: what was sent, what was wanted, what came."""
VAGUE: Final = re.compile(
    r"\b(invalid|illegal|unexpected|something|unable|failed to|oops|sorry|please|successfully|"
    r"error occurred)\b|!$",
    re.I,
)
"""Words that stand where what is wrong should stand."""
SAYS_ALL: Final = frozenset(
    {
        # A part of a longer text, which has the value.
        'it must be an object with "version" and "keys"',
        "it is not between the years 1970 and 9999",
        "too deep",
        "it has gone",
        "it does not say which versions of the protocol it speaks",
        # There is no value: something was not given, or is not there.
        "ENQUEUE has no items: send at least one job",
        "this server cannot search",
        "the job's queue has been removed",
        "the terminal is gone",
        "a worker of no queue has nothing to do: name one at least",
        "nothing is to be changed: give priority, lifo, delay or run_at",
    }
)


def listed(kind: str) -> list[tuple[str, str]]:
    """(place, text) of all of a kind, as `make words` prints them."""
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "words.py", kind],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    rows = [line.split("\t", 2) for line in done.stdout.splitlines()]
    return [(place, text) for place, _, text in rows if not place.startswith(REPORT)]


@pytest.fixture(scope="module")
def errors() -> list[tuple[str, str]]:
    found = listed("error")
    assert len(found) > 200
    return found


def flaws(place: str, text: str) -> list[str]:
    """What is wrong with the text of an error."""
    found = []
    has_value = "{" in text
    has_advice = (
        re.search(r": \S|; |\b(use|give|name|must|needs|takes|cannot)\b", text, re.I) is not None
    )
    if not (has_value or has_advice or text in SAYS_ALL):
        found.append("neither a value nor what to do")
    if VAGUE.search(text):
        found.append("vague")
    if text.endswith(".") and not place.startswith(PAGES):
        found.append("ends with a full stop")
    if text[:1].isupper() and not place.startswith(PAGES) and not re.match(r"[A-Z]{2}|\w+_", text):
        found.append("begins with a capital")
    return found


def test_every_error_names_a_value_or_says_what_to_do(errors: list[tuple[str, str]]) -> None:
    wrong = {f"{place} {text}": flaws(place, text) for place, text in errors}
    assert {text: found for text, found in wrong.items() if found} == {}


def test_the_exceptions_are_still_there(errors: list[tuple[str, str]]) -> None:
    assert {text for _, text in errors} >= SAYS_ALL


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("Invalid value", "vague"),
        ("the value is bad", "neither a value nor what to do"),
        ("queue {name} is paused: resume it.", "ends with a full stop"),
        ("Queue {name} is paused", "begins with a capital"),
    ],
)
def test_a_poor_error_is_noticed(text: str, flaw: str) -> None:
    assert flaw in flaws("client/holdfast/x.py:1", text)


def test_every_command_and_option_has_its_help() -> None:
    """Of both programs, down to the last option."""
    missing = []
    for group in (client_cli, daemon_cli):
        for command in walk(group):
            if not command.help:
                missing.append(command.name)
            missing += [
                f"{command.name} {option.opts[0]}"
                for option in command.params
                if isinstance(option, click.Option) and not option.help
            ]
    assert missing == []


def walk(command: click.Command) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        for each in command.commands.values():
            yield from walk(each)
