"""The wheel holds everything that the daemon reads besides its modules."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVER = ROOT / "server"
NOT_PYTHON = (".html", ".css", ".js", ".svg", ".toml", ".LICENSE", ".sql", ".typed")


def needed() -> set[str]:
    files = (path for path in SERVER.rglob("*") if path.suffix in NOT_PYTHON)
    return {path.relative_to(SERVER).as_posix() for path in files}


def missing(wheel: Path, wanted: set[str]) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return wanted - set(archive.namelist())


def test_a_wheel_has_templates_style_scripts_licences_and_migrations(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=50)
    (wheel,) = tmp_path.glob("*.whl")
    wanted = needed()
    assert {Path(name).suffix for name in wanted} >= {".html", ".css", ".js", ".LICENSE", ".sql"}
    assert "holdfastd/web/static/vendor/htmx.min.js" in wanted
    assert missing(wheel, wanted) == set()
    assert missing(wheel, {"holdfastd/web/templates/gone.html"}) != set()
