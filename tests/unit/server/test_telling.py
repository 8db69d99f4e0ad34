"""Strangers are told of in the log, and cannot fill it."""

import logging

import pytest

from holdfastd.net.telling import TOLD_AGAIN_S, Telling


def test_a_host_is_told_of_once_a_minute_and_event(caplog: pytest.LogCaptureFixture) -> None:
    now_s = 0.0
    telling = Telling(lambda: now_s)
    with caplog.at_level(logging.WARNING):
        for _ in range(1_000):
            telling.tell("tls_failed", "a", "first")
        telling.tell("tls_failed", "b", "another host")
        telling.tell("not_let_in", "a", "another event")
        now_s = TOLD_AGAIN_S
        telling.tell("tls_failed", "a", "again")
    told = [record.getMessage() for record in caplog.records]
    assert told == ["first", "another host", "another event", "again"]


def test_what_is_remembered_is_bounded() -> None:
    telling = Telling(lambda: 0.0)
    logging.disable(logging.WARNING)
    try:
        for number in range(3_000):
            telling.tell("e", f"h{number}", "text")
    finally:
        logging.disable(logging.NOTSET)
    assert len(telling._told_at) == 1_000
