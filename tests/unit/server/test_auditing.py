"""What is noted of a command, however odd it is, and of one that is never answered."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from holdfast.wire import messages as wire
from holdfastd.access.rights import ANYBODY
from holdfastd.audit import AuditLog
from holdfastd.clock import SystemClock
from holdfastd.engine.outputs import Answer, AnswerItems, ItemRefusal, Refusal
from holdfastd.net import auditing as auditing_module
from holdfastd.net.auditing import Auditing, who_of

WHO = who_of(ANYBODY, "10.0.0.7:1", "0123456789abcdef", "client")


class Book:
    def __init__(self, file: Path):
        self.file = file
        self.auditing = Auditing(AuditLog(file), SystemClock())

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text().splitlines()]


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path / "audit.jsonl")


def test_a_command_is_noted_when_its_answer_is_durable_and_not_before(book: Book) -> None:
    book.auditing.asked(1, WHO, wire.Drain(7, "mail"))
    book.auditing.said([Answer(2, 7, 5), Answer(1, 8, 5)])
    assert book.lines() == []
    book.auditing.said([Answer(1, 7, 5)])
    book.auditing.said([Answer(1, 7, 5)])
    (line,) = book.lines()
    assert (line["command"], line["removed"], line["session"]) == ("DRAIN", 5, "01234567")


def test_of_many_ids_the_first_are_named_and_all_are_counted(book: Book) -> None:
    ids = [f"j{number}" for number in range(1_000)]
    book.auditing.asked(1, WHO, wire.Remove(1, "mail", ids))
    refused = [ItemRefusal(at, Refusal.UNKNOWN_JOB, "") for at in range(10)]
    book.auditing.said([AnswerItems(1, 1, refused)])
    (line,) = book.lines()
    assert (line["id_count"], len(line["ids"]), line["done"]) == (1_000, 20, 990)
    assert (line["result"], line["refused"]) == ("ok", {"UNKNOWN_JOB": 10})


@pytest.mark.parametrize(
    "settings",
    [
        {"x": b"a payload" * 1_000},
        {b"bytes": 1},
        {"x": "y" * 100_000},
        {"x": float("nan")},
        {"x": [[[]]] * 5_000},
    ],
)
def test_what_json_cannot_carry_or_is_too_long_is_cut(book: Book, settings: Any) -> None:
    book.auditing.asked(1, WHO, wire.Configure(1, "q" * 5_000, settings))
    book.auditing.said([Answer(1, 1, None)])
    (line,) = book.lines()
    assert isinstance(line["settings"], str)
    assert len(json.dumps(line)) < 10_000


async def test_one_that_is_never_answered_is_noted_after_a_while(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing_module, "GONE_S", 0.0)
    book.auditing.asked(1, WHO, wire.Drain(1, "mail"))
    book.auditing.asked(2, WHO, wire.Pause(1, "mail"))
    book.auditing.gone(1)
    while not book.lines():
        await asyncio.sleep(0)
    assert [(line["command"], line["result"]) for line in book.lines()] == [("DRAIN", "unanswered")]
    book.auditing.close()
    assert book.lines()[1]["result"] == "unanswered"
