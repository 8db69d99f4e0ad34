"""Log lines: a sentence for people, or an object for programs."""

import json
import logging
import re
from collections.abc import Iterator

import pytest

from holdfastd import logs

LOG = logging.getLogger("holdfastd.test")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Logging is the process's own; put it back."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level, logging.getLogger("uvicorn").level)
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    logging.getLogger("uvicorn").setLevel(before[2])


def test_a_json_line_has_the_event_the_sentence_and_the_data(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.set_up("info", "json")
    logs.event(LOG, logging.INFO, "ready", 'ready at "noon"\n', jobs=3)
    (line,) = capsys.readouterr().err.splitlines()
    written = json.loads(line)
    del written["at"]
    assert written == {"level": "info", "event": "ready", "message": 'ready at "noon"\n', "jobs": 3}


def test_a_json_line_holds_a_whole_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info", "json")
    try:
        raise ValueError("boom")
    except ValueError:
        LOG.exception("it went wrong")
    (line,) = capsys.readouterr().err.splitlines()
    assert "ValueError: boom" in json.loads(line)["traceback"]


def test_a_line_for_people_has_time_level_and_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info", "text")
    logs.event(LOG, logging.WARNING, "full", "the disk is full", free=0)
    written = capsys.readouterr().err
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} WARNING the disk is full\n", written)


def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("warning", "text")
    logs.event(LOG, logging.INFO, "ready", "ready")
    assert capsys.readouterr().err == ""
