"""The reference has what there is: every name, option, command, code and key."""

from pathlib import Path

import click
import pytest
from tools import reference

import holdfast
from holdfast import aio
from holdfast.cli import cli as holdfast_cli
from holdfast.options import OPTIONS
from holdfastd.cli import cli as holdfastd_cli

CLIENT = (reference.PAGES / "client.md").read_text()


@pytest.mark.parametrize("page", sorted(reference.PAGES.glob("*.md")), ids=lambda page: page.name)
def test_what_the_code_tells_is_up_to_date(page: Path) -> None:
    text = page.read_text()
    assert reference.brought_up_to_date(text) == text, "say make reference"


def test_what_is_out_of_date_is_found() -> None:
    text = (reference.PAGES / "cli.md").read_text()
    assert reference.brought_up_to_date(text.replace("Prints its id.", "")) == text


def test_every_part_stands_in_a_page() -> None:
    pages = "".join(page.read_text() for page in reference.PAGES.glob("*.md"))
    assert {name for _, name, _, _ in reference.PART.findall(pages)} == reference.PARTS.keys()


def test_every_public_name_is_told_of() -> None:
    errors = (reference.PAGES / "errors.md").read_text()
    for name in {*holdfast.__all__, *aio.__all__}:
        assert f"### {name}\n" in CLIENT or f"| `{name}` |" in errors, name


@pytest.mark.parametrize("kind", [holdfast.Queue, aio.Queue, holdfast.Job, aio.Job])
def test_every_method_of_both_clients_is_told_of(kind: type) -> None:
    methods = [name for name, found in vars(kind).items() if callable(found) and name[0] != "_"]
    assert methods
    for name in methods:
        assert f"#### {kind.__name__.lower()}.{name}\n" in CLIENT


def test_every_attribute_of_a_running_job_and_every_option_is_told_of() -> None:
    _, _, told = CLIENT.partition("### ActiveJob\n")
    for name in holdfast.ActiveJob.__slots__:
        assert name.startswith("_") or name in told, name
    _, _, told = CLIENT.partition("| option | what | default |")
    for name in OPTIONS:
        assert f"`{name}`" in told, name


@pytest.mark.parametrize("program", [holdfast_cli, holdfastd_cli])
def test_every_command_and_option_is_told_of(program: click.Group) -> None:
    name = "holdfast" if program is holdfast_cli else "holdfastd"
    told = (reference.PAGES / "cli.md").read_text()
    leaves = list(reference._leaves(name, program))
    assert len(leaves) > 10
    for path, command in leaves:
        _, _, section = told.partition(f"### {path}\n")
        section, _, _ = section.partition("\n### ")
        for each in command.params:
            if isinstance(each, click.Option):
                assert each.opts[0] in section, f"{path} {each.opts[0]}"
