"""Brings the peers, with the ordinary clients of the package registries, into bench/.peers.

Python packages go into an environment per peer, npm packages into a folder per peer, Debian's are
downloaded with what they need and unpacked: nothing is installed into the system, no service of
theirs is started.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

PEERS_DIR: Final = Path(__file__).parents[1] / ".peers"
_DEBIAN_ROOT: Final = PEERS_DIR / "debian"


class CannotInstall(Exception):
    """Its text is the reason, for the report."""


def python(name: str, *requirements: str) -> Path:
    """The Python of an environment with these packages, newest versions."""
    folder = PEERS_DIR / f"python-{name}"
    interpreter = folder / "bin" / "python"
    if not (folder / ".installed").exists():
        _run(sys.executable, "-m", "venv", "--clear", str(folder))
        _run(str(interpreter), "-m", "pip", "install", "-q", *requirements)
        (folder / ".installed").touch()
    return interpreter


def python_version(name: str, package: str) -> str:
    """Of a package in such an environment."""
    script = f"import importlib.metadata as m; print(m.version({package!r}))"
    interpreter = PEERS_DIR / f"python-{name}" / "bin" / "python"
    return _run(str(interpreter), "-c", script).strip()


def npm(name: str, *packages: str) -> Path:
    """The folder with node_modules. Scripts of packages are not run: none here needs its own."""
    folder = PEERS_DIR / f"npm-{name}"
    if not (folder / ".installed").exists():
        if shutil.which("npm") is None:
            raise CannotInstall("there is no npm")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true}\n')
        _run("npm", "install", "--silent", "--ignore-scripts", *packages, folder=folder)
        (folder / ".installed").touch()
    return folder


def npm_version(name: str, package: str) -> str:
    path = PEERS_DIR / f"npm-{name}" / "node_modules" / package / "package.json"
    return str(json.loads(path.read_text())["version"])


def node() -> str:
    """Raises CannotInstall."""
    found = shutil.which("node")
    if found is None:
        raise CannotInstall("there is no node")
    return found


def debian(package: str, *binaries: str) -> None:
    """Unpack a package, with those it needs that are missing, unless its binaries are here."""
    if all(_find(binary) for binary in binaries):
        return
    if shutil.which("apt-get") is None:
        raise CannotInstall("there is no apt-get")
    archives = PEERS_DIR / "archives"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    options = ["-o", f"Dir::Cache::archives={archives}", "-o", "Debug::NoLocking=1"]
    _run("apt-get", "-q", "-y", "--no-install-recommends", "--download-only", *options,
         "install", package)  # fmt: skip
    for archive in archives.glob("*.deb"):
        _run("dpkg", "-x", str(archive), str(_DEBIAN_ROOT))
        archive.unlink()


def binary(path: str) -> str:
    """A program of an unpacked package or of the system, by its path or name.

    Raises:
        CannotInstall: there is none.
    """
    found = _find(path)
    if found is None:
        raise CannotInstall(f"there is no {path}")
    return found


def said_version(path: str, flag: str, pattern: str) -> str:
    """What a program says of itself, cut out by the pattern's group."""
    done = subprocess.run(
        [binary(path), flag], capture_output=True, text=True, env=environment(), check=False
    )
    found = re.search(pattern, done.stdout + done.stderr)
    return found[1] if found else "unknown"


def _find(path: str) -> str | None:
    """path: absolute as in the package, or a name."""
    if path.startswith("/"):
        places = [_DEBIAN_ROOT / path[1:], Path(path)]
    else:
        places = [_DEBIAN_ROOT / "usr/bin" / path, *map(Path, filter(None, [shutil.which(path)]))]
    return next((str(place) for place in places if place.exists()), None)


def environment(**more: str) -> dict[str, str]:
    """For programs of unpacked packages: where their libraries and each other are."""
    libraries = f"{_DEBIAN_ROOT}/usr/lib/{os.uname().machine}-linux-gnu"
    path = f"{_DEBIAN_ROOT}/usr/bin:{_DEBIAN_ROOT}/usr/lib/erlang/bin:{os.environ['PATH']}"
    return {**os.environ, "LD_LIBRARY_PATH": libraries, "PATH": path, **more}


def _run(*command: str, folder: Path | None = None) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise CannotInstall(f"{' '.join(command[:4])} …: {' '.join(said)}")
    return done.stdout
