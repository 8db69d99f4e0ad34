"""Fetch the dashboard's vendored files anew from npm, at the versions of vendor.toml.

Run by `make vendor`, after a version there was changed: it writes the files beside vendor.toml and
their digests into it. Nothing is built or changed; `git diff` then shows what is new.
"""

import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import Any, Final

VENDOR: Final = Path(__file__).parents[1] / "server" / "holdfastd" / "web" / "static" / "vendor"
LIST: Final = VENDOR / "vendor.toml"
FETCH_S: Final = 120


def main() -> int:
    text = LIST.read_text()
    for package in tomllib.loads(text)["package"]:
        for entry, content in fetched(package):
            (VENDOR / entry["name"]).write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            text = with_digest(text, entry["name"], digest)
            print(f"{entry['name']}: {len(content):,} bytes of {package['name']}")
    LIST.write_text(text)
    return 0


def fetched(package: dict[str, Any]) -> list[tuple[dict[str, str], bytes]]:
    """The listed files of one package's tarball, with what is in them."""
    with tempfile.TemporaryDirectory() as directory:
        wanted = f"{package['name']}@{package['version']}"
        command = ["npm", "pack", "--silent", "--pack-destination", directory, wanted]
        subprocess.run(command, check=True, timeout=FETCH_S)
        (tarball,) = Path(directory).glob("*.tgz")
        with tarfile.open(tarball) as archive:
            return [(entry, content_of(archive, entry["from"])) for entry in package["files"]]


def content_of(archive: tarfile.TarFile, path: str) -> bytes:
    member = archive.extractfile(f"package/{path}")
    if member is None:
        raise FileNotFoundError(f"{path} is no file of the package")
    return member.read()


def with_digest(text: str, name: str, digest: str) -> str:
    line = re.compile(rf'(name = "{re.escape(name)}".*sha256 = ")[0-9a-f]*(")')
    return line.sub(rf"\g<1>{digest}\g<2>", text)


if __name__ == "__main__":
    sys.exit(main())
