"""replies.py: how a command is answered, now or later, and what a refusal says."""

from typing import Any

import pytest

from holdfastd.engine import commands
from holdfastd.engine.outputs import (
    Answer,
    AnswerItems,
    Refusal,
    Refuse,
    unknown_job,
    unknown_queue,
)
from holdfastd.engine.replies import WHY_NO_JOBS, Asked, Replies
from support.engine import Driver, P, V


def test_a_refusal_to_a_connection_that_has_gone_is_not_said(driver: Driver) -> None:
    driver.add(P, "q", "first", "x")
    driver.add(P, "r", "first")
    driver.do(P, commands.Obliterate("q", False))
    driver.do(P, commands.Detach(), 0)
    driver.outputs.clear()
    driver.flush()
    assert driver.outputs == []


@pytest.fixture
def asked(driver: Driver) -> Asked:
    """By the producer, of a job that is not there."""
    session = driver.engine.sessions["producer"]
    return Asked(session, 7, commands.Explain("q", "a"), {}, driver.moment)


def said(driver: Driver) -> list[Any]:
    return driver.engine._partition.open.outputs


def test_a_command_is_answered_over_the_connection_that_it_came_by(
    driver: Driver, asked: Asked
) -> None:
    replies = Replies(driver.engine._partition)
    replies.answer(asked, {"a": 1})
    replies.answer_items(asked, [1])
    assert said(driver) == [Answer(P, 7, {"a": 1}), AnswerItems(P, 7, [1])]


def test_an_answer_that_comes_later_is_for_the_connection_that_asked_alone(
    driver: Driver, asked: Asked
) -> None:
    replies = Replies(driver.engine._partition)
    first, second = replies.answer_later(asked), replies.answer_later(asked)
    first(5)
    assert said(driver) == [Answer(P, 7, 5)]
    driver.attach(V, "producer")
    second(6)
    assert said(driver) == []


def test_each_refusal_says_what_it_is_about(driver: Driver, asked: Asked) -> None:
    replies = Replies(driver.engine._partition)
    replies.refuse(asked, Refusal.TOO_MANY, "why")
    replies.refuse_unknown_queue(asked, "none")
    replies.refuse_unknown_job(asked)
    replies.refuse_jobs(asked, Refusal.DISK_FULL)
    replies.refuse_jobs(asked, Refusal.DRAINING)
    replies.refuse_clearing(asked, driver.engine._partition.add_queue("q"))
    assert said(driver) == [
        Refuse(P, 7, Refusal.TOO_MANY, "why"),
        Refuse(P, 7, Refusal.UNKNOWN_QUEUE, unknown_queue("none")),
        Refuse(P, 7, Refusal.UNKNOWN_JOB, unknown_job("a", "q")),
        Refuse(P, 7, Refusal.DISK_FULL, WHY_NO_JOBS[Refusal.DISK_FULL]),
        Refuse(P, 7, Refusal.DRAINING, WHY_NO_JOBS[Refusal.DRAINING]),
        Refuse(P, 7, Refusal.BUSY, "queue q is being cleared: wait"),
    ]
