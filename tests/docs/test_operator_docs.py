"""The pages for an operator name commands, keys, events, metrics and refusals as they are."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import pytest
from tools import site

from holdfast.cli import cli as holdfast
from holdfastd import daemon as exits
from holdfastd.cli import cli as holdfastd
from holdfastd.cli_options import EXIT_USAGE
from holdfastd.config import RULES, SECTIONS
from support.metrics import exported, series_names

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
FILES: Final = sorted(DOCS.rglob("*.md"))
PAGES: Final = {path.relative_to(DOCS).as_posix(): path.read_text() for path in FILES}
ENVIRONMENT: Final = re.compile(r"[A-Z_]+=")
TROUBLESHOOT: Final = PAGES["how-to/troubleshoot.md"]
PROGRAMS: Final[dict[str, click.Command]] = {"holdfast": holdfast, "holdfastd": holdfastd}


# ---- where links lead ------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^a-z0-9_ -]", "", title.lower()).replace(" ", "-") for title in titles}


def dead_links(page: Path, text: str) -> list[str]:
    dead = []
    shown = [(name, "") for name in re.findall(r'\bsrc(?:set)?="([^"]+)"', text)]
    linked = re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)]*))?\)", text)
    for target, anchor in [*linked, *shown]:
        path = page.parent / target if target else page
        if not path.is_file() or (anchor and anchor not in anchors(path)):
            dead.append(f"{target}#{anchor}")
    return dead


LINKED: Final = sorted(path for path in site.reached() if path.suffix == ".md")


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    assert dead_links(page, page.read_text()) == []
    wrong = '[a](gone.md) [b](#gone) <img src="gone.png"> [d](.)'
    assert dead_links(page, wrong) == ["gone.md#", "#gone", ".#", "gone.png#"]


def test_the_index_leads_to_every_page() -> None:
    named = set(re.findall(r"\]\(([\w/-]+\.md)\)", PAGES["README.md"]))
    assert named == PAGES.keys() - {"README.md"}
    assert "docs/README.md" in (ROOT / "README.md").read_text()


# ---- what commands are called ----------------------------------------------------------------


def lines(text: str) -> list[str]:
    """What stands behind the prompts of its console blocks."""
    blocks = "".join(re.findall(r"```console\n(.*?)```", text, re.DOTALL))
    return re.findall(r"^[$#] (.*)$", blocks.replace("\\\n", " "), re.MULTILINE)


def commands(text: str) -> Iterator[list[str]]:
    """Words of each of our commands, in console blocks and in code within sentences."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for line in [*lines(text), *re.findall(r"`([^`\n]*holdfast[^`\n]*)`", prose)]:
        words = [word for word in shlex.split(line, comments=True) if not ENVIRONMENT.match(word)]
        if words[:2] == ["docker", "build"]:
            continue
        if words[:1] == ["docker"]:  # behind the last name of image, service or program
            last = max((at for at, word in enumerate(words) if word in PROGRAMS), default=-1)
            words = ["holdfastd", *words[last + 1 :]] if last > 0 else []
        if words and words[0].rpartition("/")[2] in PROGRAMS and words[1:] not in ([], ["…"]):
            yield [words[0].rpartition("/")[2], *words[1:]]


def what_is_wrong(words: list[str]) -> str | None:
    """With a command as it stands in a page; None = nothing."""
    command: click.Command = PROGRAMS[words[0]]
    for word in words[1:]:
        if isinstance(command, click.Group) and not word.startswith("-"):
            if word not in command.commands:
                return f"no command {word}"
            command = command.commands[word]
        elif word.startswith("--") and word not in ("--version", *_options(command)):
            return f"no option {word}"
    return None


def _options(command: click.Command) -> set[str]:
    return {name for each in command.params for name in each.opts}


def test_commands_and_options_exist() -> None:
    found = [words for text in PAGES.values() for words in commands(text)]
    assert len(found) > 40
    assert {" ".join(words): why for words in found if (why := what_is_wrong(words))} == {}
    wrong = "```console\n$ holdfastd backup x --dta y\n$ docker exec holdfastd holdfastd bckup\n```"
    assert list(map(what_is_wrong, commands(wrong))) == ["no option --dta", "no command bckup"]


# ---- what else has a name --------------------------------------------------------------------


# That on metrics has a test of its own.
@pytest.mark.parametrize("page", sorted(PAGES.keys() - {"reference/metrics.md"}))
async def test_keys_variables_metrics_and_files_exist(page: str) -> None:
    code = re.findall(r"`([^`\n]+)`", PAGES[page])
    keys = {word for word in code if re.fullmatch(rf"({'|'.join(SECTIONS)})\.[a-z_]+", word)}
    assert keys - set(RULES) == set()
    metrics = set(re.findall(r"holdfast_[a-z_]+|process_[a-z_]+", " ".join(code)))
    assert metrics - set(await exported()) - await series_names() == set()
    for path in re.findall(r"deploy/[\w/.*@-]*\w[*]?", PAGES[page]):
        assert list(ROOT.glob(path)), path


def test_events_exist() -> None:
    table = TROUBLESHOOT.partition("| event | what it means |")[2].partition("\n\n")[0]
    events = [name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row[:45])]
    assert len(events) == 9
    assert [name for name in events if f'"{name}"' not in SOURCE] == []


SOURCE: Final = re.sub(
    r"[\"']\s*\n\s*f?[\"']",
    "",
    "\n".join(path.read_text() for path in ROOT.glob("server/**/*.py")),
)
"""With texts that go over several lines put together."""


def test_refusals_are_in_the_words_of_the_daemon() -> None:
    section = TROUBLESHOOT.partition("| it says | what to do |")[2]
    rows = section.partition("\n\n")[0].splitlines()[2:]
    quoted = [words for row in rows for words in re.findall(r"`([^`]+)`", row.split(" | ")[0])]
    parts = [part.strip() for words in quoted for part in words.split("…") if part.strip()]
    assert len(parts) > 14
    assert [part for part in parts if part not in SOURCE] == []


def test_exit_codes_are_those_of_the_daemon() -> None:
    told = re.findall(r"^\| (\d+) \|", TROUBLESHOOT, re.MULTILINE)
    known = [0, exits.EXIT_NOT_STARTED, EXIT_USAGE, exits.EXIT_BROKEN]
    assert list(map(int, told)) == known
