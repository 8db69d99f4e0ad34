"""The site has every page, and what is wrong with one ends `make site`."""

import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
from tools import site

from support.needs import need

CONFIG = (site.ROOT / "mkdocs.yml").read_text()


def test_the_menu_has_every_page_that_links_lead_to() -> None:
    pages = {
        path.relative_to(site.ROOT).as_posix() for path in site.reached() if path.suffix == ".md"
    }
    assert set(re.findall(r": (\S+\.md)$", CONFIG, re.MULTILINE)) == pages
    assert set((site.ROOT / "docs").rglob("*.md")) <= site.reached()


@pytest.mark.parametrize(
    ("shown", "is_left"),
    [
        ("<p>A text.</p>", False),
        ("<pre>| a | b |</pre><p>A <code>**kwargs</code>.</p>", False),
        ("<p>| a | b |</p>", True),
        ("<p>These:\n- one</p>", True),
        ("<p>**bold</p>", True),
        ("<p>[a](b.md)</p>", True),
    ],
)
def test_markdown_that_came_out_as_text_is_found(shown: str, is_left: bool) -> None:
    assert bool(site.left_as_text(shown)) is is_left


def test_each_warning_ends_it(tmp_path: Path) -> None:
    need("mkdocs", find_spec("mkdocs") is not None, "there is no mkdocs here: say make site")
    menu = CONFIG.index("\nnav:\n") + 1
    config = CONFIG[:menu].replace("build/pages", "pages").replace("build/site", "site")
    (tmp_path / "mkdocs.yml").write_text(f"{config}nav: [README.md]\n")
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "README.md").write_text("# A page\n")
    assert built(tmp_path) == (0, 0)
    (pages / "README.md").write_text("# A page\n\n[a](gone.md) [b](#gone) [c](folder)\n")
    (pages / "unknown.md").write_text("# It is in no menu\n")
    assert built(tmp_path) == (1, 4)


def built(directory: Path) -> tuple[int, int]:
    """Exit code, and number of warnings."""
    done = subprocess.run(
        site.command(directory / "mkdocs.yml"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr.count("WARNING")
