"""systemd's own judgement of our units (Debian: `apt-get install systemd`, which starts nothing).

Where the program is not there, the tests that need it are left out and say so;
HOLDFAST_NEEDS=systemd (our CI sets it) makes that an error.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from support.needs import need

UNITS: Final = Path(__file__).parents[2] / "deploy" / "systemd"
ANALYZE: Final = shutil.which("systemd-analyze")
MISSING: Final = "systemd-analyze is not in the PATH: the units cannot be checked"
SYSTEM_UNITS: Final = Path("/lib/systemd/system")
"""Where Debian has systemd's own: targets and slices, without which ours mean nothing."""


def need_systemd() -> None:
    """See `support.needs`."""
    need("systemd", ANALYZE is not None, MISSING)


def exposure(unit: Path) -> float:
    """As `systemd-analyze security` sees it: 0 (nothing) to 10."""
    said = _analyze("security", "--offline=yes", "--no-pager", str(unit))
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", said.stdout)
    assert found is not None, said.stdout + said.stderr
    return float(found[1])


def complaints(units: Path, root: Path, programs: list[str]) -> str:
    """What `systemd-analyze verify` says of the units in a folder, on a file system of their own
    under `root` that has these programs."""
    installed = root / "etc" / "systemd" / "system"
    shutil.copytree(units, installed)
    for pattern in ("*.target", "*.slice"):
        for path in SYSTEM_UNITS.glob(pattern):
            _copy(path, root / "usr/lib/systemd/system" / path.name)
    for program in programs:
        _copy(Path("/bin/true"), root / program.lstrip("/"))
    names = [path.name.replace("@", "@mail") for path in installed.iterdir()]
    said = _analyze("verify", f"--root={root}", *names)
    return said.stdout + said.stderr


def values(unit: Path, key: str) -> list[str]:
    """What a unit sets the key to, each time."""
    lines = unit.read_text().splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


def value(unit: Path, key: str) -> str:
    (only,) = values(unit, key)
    return only


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert ANALYZE is not None
    return subprocess.run(
        [ANALYZE, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
