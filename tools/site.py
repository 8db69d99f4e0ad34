"""The documentation as a site, in build/site: `make site`.

README.md, protocol.md and docs/ link to one another, and to files that are no pages, by their
places in the repository. So the site is built from a copy with the same places, of the pages and of
all that they lead to. What is wrong ends it with 1: a warning of mkdocs (a dead link, a missing
anchor, a page that the menu does not have), and Markdown that came out as text, which the site's
reading of it does where GitHub's does not.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
COPY: Final = ROOT / "build" / "pages"
SITE: Final = ROOT / "build" / "site"
FIRST: Final = ("README.md", "docs/README.md", "docs/site.css")
"""From these, links lead to all the others; but to the style."""
LINK: Final = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)[^)]*\)|\bsrc(?:set)?=\"([^\"]+)\"")
AS_TEXT: Final = re.compile(r"<p>(?:[^<]*\n)?(?:\||- |\d\. |#|```)|\*\*\w|\]\(")
"""A paragraph with a line that begins like a table, a list, a title or a block; what is left of
emphasis and links."""


def main() -> None:
    shutil.rmtree(COPY, ignore_errors=True)
    for path in sorted(reached()):
        target = COPY / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    if subprocess.run(command(ROOT / "mkdocs.yml"), check=False).returncode:
        sys.exit(1)
    left = [
        f"{page.relative_to(SITE)}: {found}"
        for page in sorted(SITE.rglob("*.html"))
        for found in left_as_text(page.read_text())
    ]
    sys.exit("\n".join(left) or None)


def command(config: Path) -> list[str]:
    """It ends with 1 for a warning. (Not with --quiet: what is not told is not counted.)"""
    return [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(config)]


def reached() -> set[Path]:
    """The first pages, and all files that they and the pages they lead to link to."""
    found: set[Path] = set()
    ahead = [ROOT / name for name in FIRST]
    while ahead:
        page = ahead.pop()
        if page in found or not page.is_file():
            continue
        found.add(page)
        if page.suffix == ".md":
            ahead += links(page)
    return found


def links(page: Path) -> Iterator[Path]:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for linked, shown in LINK.findall(text):
        yield (page.parent / (linked or shown)).resolve()


def left_as_text(page: str) -> list[str]:
    """Markdown in a page of HTML, with what is around it."""
    prose = re.sub(r"<(pre|code|script)\b.*?</\1>", "", page, flags=re.DOTALL)
    return [prose[max(0, at.start() - 20) : at.end() + 40] for at in AS_TEXT.finditer(prose)]


if __name__ == "__main__":
    main()
