"""The real daemon keeps to protocol.md, check by check; and each kind of check can fail."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from holdfast.access import Access, access_of
from holdfast.conformance.catalogue import CHECKS
from holdfast.conformance.checks import BEYOND_A_CLIENT, Check
from holdfast.conformance.runner import Result, chosen, run
from holdfast.conformance.scene import Server
from holdfast.wire.constants import ErrorCode, Op
from holdfastd.access.rights import Role
from support.certificates import Authority
from support.daemon import DaemonProcess
from support.keys import new_key
from support.liar import LIES, Liar, Lie

LEASES = {
    # Short, so that losing one does not take long; long enough for a machine that is busy.
    "HOLDFAST_LEASES_HEARTBEAT_MS": "300",
    "HOLDFAST_LEASES_LEASE_MS": "2500",
    "HOLDFAST_LEASES_GRACE_MS": "1000",
    "HOLDFAST_TCP_HANDSHAKE_TIMEOUT_MS": "2000",
}
SABOTAGED = Path(__file__).parents[1] / "support" / "sabotaged_daemon.py"
PROTOCOL = (Path(__file__).parents[2] / "protocol.md").read_text()


# ---- an honest server --------------------------------------------------------------------------


@dataclass
class Closed:
    """A daemon that wants keys and TLS, and what is needed to be let in."""

    daemon: DaemonProcess
    environment: dict[str, str]
    viewer_key_file: Path

    def holdfast(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "holdfast", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=55, check=False, env=self.environment
        )


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Closed]:
    data, authority = tmp_path / "data", Authority(tmp_path / "authority")
    admin = new_key(data, "conformance")
    viewer_key_file = tmp_path / "viewer.key"
    viewer_key_file.touch(mode=0o600)
    viewer_key_file.write_text(new_key(data, "viewer", Role.VIEWER))
    environment = {
        **os.environ,
        **LEASES,
        "HOLDFAST_AUTH_REQUIRED": "on",
        "HOLDFAST_TLS_CERT_FILE": str(authority.issue("server.pem")),
    }
    with DaemonProcess(data, environment=environment) as daemon:
        url = daemon.url.replace("holdfast:", "holdfasts:")
        asks = {
            **os.environ,
            "HOLDFAST_URL": url,
            "HOLDFAST_KEY": admin,
            "HOLDFAST_CA_FILE": str(authority.ca_file),
        }
        yield Closed(daemon, asks, viewer_key_file)
        assert "Traceback" not in daemon.log()


def start_again_when_it_ends(daemon: DaemonProcess) -> threading.Thread:
    """As a supervisor does."""

    def supervise() -> None:
        assert daemon.process is not None
        daemon.process.wait(50)
        daemon.start()

    thread = threading.Thread(target=supervise)
    thread.start()
    return thread


def test_the_daemon_keeps_to_all_of_the_contract(closed: Closed) -> None:
    """With keys, TLS and a restart, so that nothing has to be skipped."""
    supervisor = start_again_when_it_ends(closed.daemon)
    asked = closed.holdfast(
        "conformance",
        "--json",
        "--viewer-key-file",
        str(closed.viewer_key_file),
        "--restart",
        f"kill -TERM {closed.daemon.pid}",
    )
    supervisor.join()
    assert asked.stderr == ""
    results = json.loads(asked.stdout)["checks"]
    others = {each["id"]: each for each in results if each["outcome"] != "passed"}
    assert others == {}
    assert asked.returncode == 0
    assert [each["id"] for each in results] == [check.id for check in CHECKS]
    for each in results:
        assert set(each["about"]) <= set(each["met"]), f"{each['id']} is not about what it says"
    assert json.loads(closed.holdfast("queues", "--json").stdout) == {}, "it has left something"


# ---- all of it ---------------------------------------------------------------------------------


def what_is_missed(checks: list[Check]) -> set[str]:
    """Commands, pushes and codes that no check is about, and for which there is no reason."""
    covered = {subject for check in checks for subject in check.about}
    return {subject.name for subject in (*Op, *ErrorCode) if subject not in covered} - {
        subject.name for subject in BEYOND_A_CLIENT
    }


def test_every_command_and_error_code_has_a_check() -> None:
    assert what_is_missed(CHECKS) == set()
    covered = {subject for check in CHECKS for subject in check.about}
    assert covered.isdisjoint(BEYOND_A_CLIENT)
    without = [check for check in CHECKS if check.id.partition(".")[0] != "events"]
    assert what_is_missed(without) == {"UNLISTEN"}


def test_every_check_names_a_section_of_the_protocol() -> None:
    headings = {line.lstrip("# ") for line in PROTOCOL.splitlines() if line.startswith("##")}
    assert {check.section for check in CHECKS} <= headings
    assert len({check.id for check in CHECKS}) == len(CHECKS)


# ---- servers that break a rule -----------------------------------------------------------------


@pytest.fixture(scope="module")
def open_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    environment = {**os.environ, **LEASES}
    with DaemonProcess(tmp_path_factory.mktemp("open") / "data", environment=environment) as found:
        yield found


async def result_of(access: Access | str, id: str, **server: Any) -> Result:
    """access: or an address, where no key is needed."""
    asked = access_of(access) if isinstance(access, str) else access
    found = Server(asked, answer_s=1.5, patience_s=4.0, **server)
    (result,) = [each async for each in run(found, chosen([id]))]
    return result


async def test_the_proxy_alone_changes_nothing(open_daemon: DaemonProcess) -> None:
    async with Liar(open_daemon.port, Lie()) as proxy:
        for id in ("handshake.welcome", "adding.existing", "ordering.credit", "events.life"):
            result = await result_of(proxy.url, id)
            assert result.outcome == "passed", result.failure


@pytest.mark.parametrize("name", LIES)
async def test_a_broken_rule_is_found_out(open_daemon: DaemonProcess, name: str) -> None:
    lie, id = LIES[name]
    async with Liar(open_daemon.port, lie) as liar:
        result = await result_of(liar.url, id)
    assert result.outcome == "failed"
    assert result.failure is not None
    assert all((result.failure.sent, result.failure.expected, result.failure.came))


def test_the_sample_has_something_of_every_theme() -> None:
    found_out = {id.partition(".")[0] for _, id in LIES.values()}
    elsewhere = {"keys", "going-down"}  # in tests of their own, below
    assert found_out | elsewhere == {check.id.partition(".")[0] for check in CHECKS}


async def test_rights_that_nobody_looks_at_are_found_out(tmp_path: Path) -> None:
    """The viewer's key has all rights there, and nobody is refused anything."""
    data = tmp_path / "data"
    admin, viewer = new_key(data, "conformance"), new_key(data, "viewer", Role.ADMIN)
    environment = {**os.environ, **LEASES, "HOLDFAST_AUTH_REQUIRED": "on"}
    with DaemonProcess(data, environment=environment) as daemon:
        result = await result_of(
            access_of(daemon.url, key=admin),
            "keys.forbidden",
            viewer=access_of(daemon.url, key=viewer),
        )
    assert result.outcome == "failed"
    assert result.failure is not None
    assert "FORBIDDEN" in result.failure.expected


@pytest.mark.parametrize(
    ("rule", "id", "words"),
    [("no_fence", "leasing.stale-token", "402"), ("no_goaway", "going-down.restart", "GOAWAY")],
)
async def test_a_sabotaged_daemon_is_found_out(
    tmp_path: Path, rule: str, id: str, words: str
) -> None:
    daemon = DaemonProcess(tmp_path / "data", environment={**os.environ, **LEASES})
    daemon.program = [str(SABOTAGED), rule]
    with daemon:
        result = await result_of(daemon.url, id, restart=f"kill -TERM {daemon.pid}")
    assert result.failure is not None
    assert words in result.failure.expected


# ---- the command -------------------------------------------------------------------------------


def holdfast(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "holdfast", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=55, check=False)


def test_a_failure_is_told_with_what_was_sent_expected_and_came(open_daemon: DaemonProcess) -> None:
    """The server is not asked to restart, so that one is skipped, which is no failure; a theme
    that there is not is wrong use."""
    asked = holdfast("conformance", open_daemon.url, "--only", "going-down", "--only", "*.hello")
    assert asked.returncode == 0
    assert "passed   handshake.hello" in asked.stdout
    assert "--restart COMMAND" in asked.stdout
    assert asked.stdout.endswith(f"{open_daemon.url}: 1 passed, 0 failed, 1 skipped\n")
    asked = holdfast("conformance", open_daemon.url, "--only", "nonsense")
    assert (asked.returncode, "no check is called 'nonsense'" in asked.stderr) == (2, True)
    asked = holdfast("--timeout", "1s", "conformance", "holdfast://127.0.0.1:1")
    assert (asked.returncode, "is holdfastd running there?" in asked.stderr) == (3, True)


def test_the_list_asks_nobody() -> None:
    listed = holdfast("conformance", "--list", "--json")
    document = json.loads(listed.stdout)
    assert [check["id"] for check in document["checks"]] == [check.id for check in CHECKS]
    codes = {code["name"]: code for code in document["codes"]}
    assert codes["TOO_MANY"]["retry"] is True
    assert codes["TOO_MANY"]["checks"] == ["adding.too-many-waits"]
    assert codes["DISK_FULL"]["beyond"] == "the server's disk would have to be full"
