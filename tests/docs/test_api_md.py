"""docs/reference/api.md: its commands run, its page follows a job, its tables are the code's."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.wire.constants import ITEMS_MAX, EventKind
from holdfastd.engine.events import EVENTS_KEPT
from holdfastd.web.acting import acting
from holdfastd.web.api import held, jobs, shapes, streams
from holdfastd.web.guard import STREAMS_PER_CLIENT_MAX
from holdfastd.web.safe.shield import BODY_BYTES_MAX
from support.api import PREFIX, Api
from support.daemon import DaemonProcess

API_MD = (Path(__file__).parents[2] / "docs" / "reference" / "api.md").read_text()
COMMANDS = re.findall(r"^\$ (curl .*)$", API_MD, re.MULTILINE)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with DaemonProcess(tmp_path_factory.mktemp("page") / "data") as daemon:
        yield daemon


def run(command: str, daemon: DaemonProcess) -> tuple[int, str]:
    """Status and body."""
    words = shlex.split(command.replace("127.0.0.1:4654", daemon.http_address))
    done = subprocess.run(
        [*words, "-w", "\n%{http_code}"], capture_output=True, text=True, timeout=20, check=True
    )
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_every_command_does_what_it_says(daemon: DaemonProcess) -> None:
    """In the order of the page: each finds what the ones before it have made."""
    assert len(COMMANDS) > 20
    for command in COMMANDS:
        status, body = run(command, daemon)
        assert 200 <= status < 300, f"{command}: {body}"
        told = API_MD.split(f"$ {command}\n")[1].split("\n")[0]
        if told.startswith("{"):
            assert json.loads(body) == json.loads(told)
    assert run(COMMANDS[0].replace('"name"', '"nam"'), daemon)[0] == 400


def test_every_address_of_the_page_is_one_of_the_api(daemon: DaemonProcess) -> None:
    known = Api(daemon.http_address).get("/openapi.json").body["paths"]
    named = re.findall(r"`(?:GET|POST) (/[^`]+)`", API_MD)
    assert len(named) > 5
    for path in named:
        assert PREFIX + path.removeprefix(PREFIX) in known


def test_every_option_and_event_is_on_the_page() -> None:
    for option in shapes.OPTIONS:
        assert f"`{option}`" in API_MD
    table = API_MD.split("| event |")[1].split("\n\n")[0]
    events = {kind.name.lower() for kind in EventKind}
    assert events <= set(re.findall(r"`(\w+)`", table))
    assert {kind.name.lower() for kind in streams.ENDING} <= set(
        re.findall(r"`(\w+)`", API_MD.split("its end is another")[1].split(".")[0])
    )


def test_the_page_for_the_user_has_twenty_lines() -> None:
    (page,) = re.findall(r"```html\n(.*?)```", API_MD, re.DOTALL)
    assert page.count("\n") <= 20
    for name in re.findall(r'addEventListener\("(\w+)"', page):
        assert name == "job" or EventKind[name.upper()]


def test_the_bounds_are_those_of_the_code() -> None:
    for text in (
        f"{held.HELD_MAX} streams and waits",
        f"{STREAMS_PER_CLIENT_MAX} of one key",
        f"({jobs.WAIT_MS // 1000} s unless said, at most {jobs.WAIT_MS_MAX // 1000} s)",
        f"every {streams.QUIET_S:g} s",
        f"{EVENTS_KEPT:,} events",
        f"{acting.UNDO_S:g} s from now",
        f"last {acting.KEPT_MAX} actions",
        f"{BODY_BYTES_MAX // 2**20} MiB of a body",
    ):
        assert text in API_MD, text
    assert shapes.NEW_JOBS["properties"]["jobs"]["maxItems"] == ITEMS_MAX
