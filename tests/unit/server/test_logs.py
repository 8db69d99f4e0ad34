"""Log lines: a sentence for people, or an object for programs."""

import json
import logging
import os
import re
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from holdfastd import logs

LOG = logging.getLogger("holdfastd.test")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Logging is the process's own; put it back."""
    root = logging.getLogger()
    ours = logging.getLogger(logs.OURS)
    before = (root.handlers[:], root.level, ours.level)
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def test_a_json_line_has_the_event_the_sentence_and_the_data(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.set_up("info", "json")
    logs.event(LOG, logging.INFO, "ready", 'ready at "noon"\n', jobs=3)
    (line,) = capsys.readouterr().err.splitlines()
    written = json.loads(line)
    at = datetime.fromisoformat(written.pop("at"))
    assert at.utcoffset() == timedelta(0)
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
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"
    assert re.fullmatch(rf"{time} WARNING the disk is full \[full\]\n", written)


def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("warning", "text")
    logs.event(LOG, logging.INFO, "ready", "ready")
    assert capsys.readouterr().err == ""


NASTY = "a\x1b[2J\x07\r\n2026-11-25 ERROR forged\x7f\x9b\u202e\u2028\udc80"
"""A name that clears the terminal, begins a new line, and turns the writing around."""


@pytest.mark.parametrize("style", ["text", "json"])
def test_what_a_stranger_calls_itself_cannot_leave_its_line(
    style: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.set_up("info", style)
    logs.event(LOG, logging.INFO, "came", f"{NASTY} came", name=NASTY)
    written = capsys.readouterr().err
    assert written.count("\n") == 1
    assert written.rstrip("\n").isprintable()
    assert "forged" in written


def test_a_traceback_for_people_has_a_line_each_and_is_harmless(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.set_up("info", "text")
    logs.event(LOG, logging.ERROR, "failed", "it failed", exc_info=ValueError(NASTY))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("it failed [failed]")
    assert len(lines) > 1
    assert all(line.isprintable() for line in lines)


def test_bytes_are_told_by_their_number_alone(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info", "json")
    logs.event(LOG, logging.INFO, "came", "it came", payload=b"secret", each=[b"secret"])
    written = capsys.readouterr().err
    assert "secret" not in written
    assert json.loads(written)["payload"] == "6 bytes"


def test_data_does_not_take_the_place_of_a_lines_own_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.set_up("info", "json")
    logs.event(LOG, logging.INFO, "came", "it came", name="n", level="l", event="e", text="t")
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"], line["name"], line["text"]) == ("came", "info", "n", "t")


def test_of_libraries_only_warnings_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("debug", "json")
    library = logging.getLogger("aiosqlite")
    library.debug("executing %s", b"a payload")
    library.info("chatter")
    library.warning("beware of %s", "the dog")
    (line,) = map(json.loads, capsys.readouterr().err.splitlines())
    found = (line["event"], line["logger"], line["message"])
    assert found == ("library", "aiosqlite", "beware of the dog")
    LOG.debug("our own")
    assert "our own" in capsys.readouterr().err


# ---- the journal ---------------------------------------------------------------------------------


def journalled(monkeypatch: pytest.MonkeyPatch, style: str, *, is_journal: bool = True) -> str:
    """What comes of four events where standard error is a file, which JOURNAL_STREAM may name."""
    with tempfile.TemporaryFile("w+") as stream:
        status = os.fstat(stream.fileno())
        inode = status.st_ino if is_journal else status.st_ino + 1
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{inode}")
        monkeypatch.setattr("sys.stderr", stream)
        logs.set_up("debug", style)
        for level in (logging.DEBUG, logging.INFO, logging.WARNING):
            logs.event(LOG, level, "came", "it came")
        logs.event(LOG, logging.ERROR, "failed", "it failed", exc_info=ValueError("no\nno"))
        stream.seek(0)
        return stream.read()


def test_each_line_for_the_journal_begins_with_its_priority(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = journalled(monkeypatch, "text").splitlines()
    assert lines[:4] == [
        "<7>DEBUG   it came [came]",
        "<6>INFO    it came [came]",
        "<4>WARNING it came [came]",
        "<3>ERROR   it failed [failed]",
    ]
    assert {line[:3] for line in lines[4:]} == {"<3>"}, "a traceback is of one priority"


def test_a_json_line_for_the_journal_has_its_priority_too(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = journalled(monkeypatch, "json").splitlines()
    assert [line[:3] for line in lines] == ["<7>", "<6>", "<4>", "<3>"]
    assert json.loads(lines[3][3:])["event"] == "failed"


def test_where_the_journal_is_not_standard_error_no_line_has_a_priority(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A daemon whose errors a unit sends to a file inherits the variable all the same."""
    assert "<" not in journalled(monkeypatch, "json", is_journal=False)
