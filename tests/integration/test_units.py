"""The units in deploy/systemd: what systemd says of them, and that what they start is there."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from holdfast import Queue
from holdfast.worker import DRAIN_TIMEOUT_S
from holdfastd import activation, config, service
from support.daemon import DaemonProcess, ReservedPort
from support.manager import manager
from support.units import UNITS, complaints, exposure, need_systemd, value, values

SERVICE: Final = UNITS / "holdfastd.service"
WORKER: Final = UNITS / "holdfast-worker@.service"
SOCKETS: Final = {"tcp": UNITS / "holdfastd.socket", "http": UNITS / "holdfastd-http.socket"}
EXPOSURE_MAX: Final = 1.5
PROGRAMS: Final = ["/opt/holdfast/bin/holdfastd", "/opt/holdfast/bin/holdfast", "/bin/kill"]
"""Where docs/how-to/install.md has them."""


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def without(unit: Path, line: str, path: Path) -> Path:
    """A unit that lacks a line."""
    text = unit.read_text()
    assert f"\n{line}\n" in text
    path.write_text(text.replace(f"\n{line}\n", "\n"))
    return path


@pytest.mark.parametrize("unit", [SERVICE, WORKER], ids=["daemon", "worker"])
def test_a_service_is_little_exposed(unit: Path) -> None:
    need_systemd()
    assert exposure(unit) <= EXPOSURE_MAX


def test_a_service_that_is_more_exposed_is_found_out(tmp_path: Path) -> None:
    need_systemd()
    bare = without(SERVICE, "SystemCallFilter=@system-service", tmp_path / SERVICE.name)
    bare = without(bare, "CapabilityBoundingSet=", bare)
    assert exposure(bare) > EXPOSURE_MAX


def test_systemd_has_nothing_to_say_about_the_units(tmp_path: Path) -> None:
    need_systemd()
    assert complaints(UNITS, tmp_path, PROGRAMS) == ""


def test_a_unit_with_a_false_name_or_program_is_found_out(tmp_path: Path) -> None:
    need_systemd()
    shutil.copytree(UNITS, tmp_path / "units")
    service = tmp_path / "units" / SERVICE.name
    service.write_text(SERVICE.read_text().replace("StateDirectory=", "StateFolder="))
    said = complaints(tmp_path / "units", tmp_path / "root", PROGRAMS[1:])
    assert "StateFolder" in said
    assert "holdfastd is not executable" in said


def installed(command: str, tmp_path: Path) -> list[str]:
    """A command of a unit, as it is on this machine: our virtual environment, other directories."""
    places = {
        "/opt/holdfast/bin/": f"{Path(sys.executable).parent}/",
        "/etc/holdfast/": f"{tmp_path}/",
        "/var/lib/holdfast": f"{tmp_path}/data",
    }
    for place, here in places.items():
        command = command.replace(place, here)
    return shlex.split(command)


def test_the_command_of_the_daemon_s_unit_starts_it(tmp_path: Path) -> None:
    ports = ReservedPort(), ReservedPort()
    tcp, http = (port.address for port in ports)
    (tmp_path / "config.toml").write_text(f'[tcp]\nlisten = "{tcp}"\n[http]\nlisten = "{http}"\n')
    start = installed(value(SERVICE, "ExecStart"), tmp_path)
    with manager(f"{tmp_path}/notify") as listening:
        with subprocess.Popen(
            start, env=listening.environment, stderr=subprocess.DEVNULL
        ) as process:
            ready = listening.hears("READY")
            process.terminate()
            assert process.wait(15) == 0
        assert ready is not None
        assert tcp in ready["STATUS"]
    assert (tmp_path / "data" / "holdfast.db").exists()
    (tmp_path / "config.toml").write_text("[nonsense]")
    wrong = subprocess.run(start, stderr=subprocess.DEVNULL, timeout=20, check=False).returncode
    assert str(wrong) == value(SERVICE, "RestartPreventExitStatus"), "it would be tried in vain"


TASKS = """
from holdfast import Worker
worker = Worker("q", lambda job: job.data)
"""


def test_the_command_of_the_worker_s_unit_runs_what_its_file_says(
    daemon: DaemonProcess, tmp_path: Path
) -> None:
    (tmp_path / "tasks.py").write_text(TASKS)
    command = value(WORKER, "ExecStart").replace("${HOLDFAST_WORKER}", "tasks:worker")
    with subprocess.Popen(
        installed(command, tmp_path),
        cwd=tmp_path,
        env={"HOLDFAST_URL": daemon.url},
        stderr=subprocess.DEVNULL,
    ) as process:
        with Queue("q", url=daemon.url, timeout=20) as queue:
            assert queue.add("n", 7).wait(20) == 7
        process.terminate()
        assert process.wait(15) == 0


def test_the_sockets_are_those_that_the_daemon_takes_at_its_own_addresses() -> None:
    defaults = config.flatten(config.Config())
    for name, unit in SOCKETS.items():
        assert value(unit, "FileDescriptorName") == name
        assert value(unit, "ListenStream") == defaults[f"{name}.listen"]
    assert set(SOCKETS) == set(activation.NAMES)
    assert value(SOCKETS["http"], "Service") == SERVICE.name
    assert SOCKETS["tcp"].stem == SERVICE.stem, "it starts the service of its own name"


def test_who_is_stopped_has_time_for_it() -> None:
    assert seconds(value(SERVICE, "TimeoutStopSec")) > service.DRAIN_S
    assert seconds(value(WORKER, "TimeoutStopSec")) > DRAIN_TIMEOUT_S


def test_the_files_that_a_unit_names_are_under_the_places_of_the_docs() -> None:
    named = [path for unit in (SERVICE, WORKER) for path in values(unit, "LoadCredential")]
    named = [path.partition(":")[2] for path in named] + values(WORKER, "EnvironmentFile")
    assert all(path.startswith("/etc/holdfast/") for path in named)
    assert value(SERVICE, "StateDirectory") == "holdfast"
    assert "--data /var/lib/holdfast" in value(SERVICE, "ExecStart")


def test_every_unit_is_explained() -> None:
    page = (UNITS.parents[1] / "docs" / "how-to" / "systemd.md").read_text()
    assert [unit.name for unit in UNITS.iterdir() if f"`{unit.name}`" not in page] == []
