"""Every code block of the pages is what it says, and does what its page says."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from support.blocks import PAGES, ROOT, Block, blocks, blocks_of, fault
from support.needs import need
from support.pages import LEFT_OUT, Failed, is_run, run_page

BLOCKS: Final = {page.relative_to(ROOT).as_posix(): blocks(page) for page in PAGES}
ALL: Final = [block for found in BLOCKS.values() for block in found]
RUN_ELSEWHERE: Final = {
    "docs/reference/api.md": "tests/docs/test_api_md.py runs its commands",
}
RUN: Final = [name for name, found in BLOCKS.items() if is_run(found) and name not in RUN_ELSEWHERE]
NEEDED: Final = {"curl": "asks over HTTP", "openssl": "makes certificates"}
"""Programs that a page uses and a machine may lack."""


@pytest.mark.parametrize("name", BLOCKS)
def test_every_block_is_what_its_language_says(name: str) -> None:
    assert [f"{block.place}: {why}" for block in BLOCKS[name] if (why := fault(block))] == []


@pytest.mark.parametrize(
    "wrong",
    [
        "```python\nqueue.add(\n```",
        "```console\nholdfast queues\n```",
        '```toml\n[tcp]\nlistn = "127.0.0.1:4653"\n```',
        "```yaml\na: [\n```",
        '```json\n{"a": }\n```',
        "```ini\nListenStream=\n```",
        "```\nno language\n```",
    ],
)
def test_a_block_that_is_not_is_found(wrong: str) -> None:
    (block,) = blocks_of("wrong.md", f"Text.\n\n{wrong}\n")
    assert fault(block) is not None


def test_blocks_of_javascript_can_be_parsed(tmp_path: Path) -> None:
    node = shutil.which("node")
    need("node", node is not None, "there is no node here: blocks of JavaScript are not parsed")
    found = [block for block in ALL if block.language == "js"]
    assert found
    for block in [*found, Block("wrong.md", 1, "js", "const a =;", {})]:
        file = tmp_path / "block.mjs"
        file.write_text(block.text)
        done = subprocess.run(
            [str(node), "--check", file], capture_output=True, text=True, timeout=30, check=False
        )
        assert (done.returncode == 0) is (block.page != "wrong.md"), f"{block.place}: {done.stderr}"


# ---- what is run -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(300)  # a page has many programs, and waits for what it says
@pytest.mark.parametrize("name", RUN)
def test_a_page_does_what_it_says(name: str, tmp_path: Path) -> None:
    text = (ROOT / name).read_text()
    for program, why in NEEDED.items():
        if re.search(rf"^\$ {program} ", text, re.MULTILINE):
            there = shutil.which(program) is not None
            need(program, there, f"there is no {program} here: {name} {why}")
    assert run_page(BLOCKS[name], tmp_path) > 0


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("```python\nassert 1 + 1 == 3\n```", "AssertionError"),
        ("```python\nimport holdfast\n\nawait holdfast.aio.nothing()\n```", "AttributeError"),
        ("```console\n$ holdfast job mail none\n```", "ended with 1, not 0"),
        ("```console\n$ holdfast add mail hi  # ends with 2\n```", "ended with 0, not 2"),
        ("```console\n$ echo yes\nno\n```", "not there: ['no']"),
        ("<!-- stays: ready -->\n```console\n$ echo steady; sleep 60\n```", "never said 'ready'"),
    ],
)
def test_a_page_that_does_not_is_found(
    wrong: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("support.pages.PATIENCE_S", 4.0)
    with pytest.raises(Failed, match=re.escape(why)):
        run_page(blocks_of("wrong.md", f"{wrong}\n"), tmp_path)


def test_what_is_not_run_is_little_and_has_its_reason() -> None:
    left = {block.place: block.notes["not run"] for block in ALL if "not run" in block.notes}
    assert [place for place, reason in left.items() if len(reason.split()) < 3] == []
    assert len(left) < len(ALL) / 5
    with pytest.raises(ValueError, match="are not all of"):
        blocks_of("wrong.md", "<!-- skip -->\n```python\n1\n```\n")


def test_what_is_run_elsewhere_is_there_and_no_program_is_left_out_for_nothing() -> None:
    assert set(RUN_ELSEWHERE) <= BLOCKS.keys()
    used = {
        command.program
        for block in ALL
        if block.language == "console"
        for command in block.commands
    }
    assert set(LEFT_OUT) <= used


def test_every_target_of_make_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = [*PAGES, ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md"]
    named = {
        target
        for page in pages
        for target in re.findall(r"(?:`|\$ |&& )(?:\w+=\S+ )*make ([a-z-]+)", page.read_text())
    }
    assert len(named) > 8
    assert named <= targets
