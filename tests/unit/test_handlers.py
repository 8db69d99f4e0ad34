"""What a worker takes for handlers: refused when it is made, with what to do."""

import functools
from collections.abc import Callable
from typing import Any

import pytest

from holdfast import MisuseError, Worker


def plain(job: Any) -> None: ...


async def later(job: Any) -> None: ...


def of_two(job: Any, other: Any) -> None: ...


def of_none() -> None: ...


class Called:
    def __call__(self, job: Any) -> None: ...


def inner() -> Callable[[Any], None]:
    def handler(job: Any) -> None: ...

    return handler


def made(handler: Any, **options: Any) -> Worker:
    return Worker("mail", handler, **options)


@pytest.mark.parametrize(
    "handler",
    [
        plain,
        later,
        Called(),
        print,
        lambda job: job,
        functools.partial(of_two, other=1),
        {"a": plain, "b": later},
    ],
)
def test_functions_and_dicts_of_them_are_taken(handler: Any) -> None:
    made(handler)


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (None, "the handler must be a function of one argument, the job, not None"),
        ("app:handle", "the handler must be a function of one argument, the job, not 'app:handle'"),
        (of_none, "the handler must take one argument, the job: too many positional arguments"),
        (of_two, "the handler must take one argument, the job: missing a required argument"),
        ({}, "the dict of handlers is empty: give one by job name"),
        ({"resize": None}, "the handler of 'resize' must be a function"),
        ({7: plain}, "handlers are given by job name, a str, and not by 7"),
    ],
)
def test_what_is_no_handler_is_refused_before_a_job_meets_it(handler: Any, words: str) -> None:
    with pytest.raises(MisuseError, match=words.replace("(", r"\(")):
        made(handler)


@pytest.mark.parametrize("handler", [lambda job: job, inner()])
def test_a_handler_for_processes_must_be_able_to_get_there(handler: Any) -> None:
    with pytest.raises(MisuseError, match=r"cannot go to another process .* function of a module"):
        made(handler, process=True)
    made(handler)


def test_a_handler_that_runs_on_the_loop_need_not_travel() -> None:
    async def handler(job: Any) -> None: ...

    made({"a": handler, "b": plain}, process=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"concurrency": 0}, "concurrency must be a whole number from 1 to 100,000, not 0"),
        ({"concurrency": "five"}, "concurrency must be a whole number .* not 'five'"),
        ({"prefetch": -1}, "prefetch must be a whole number from 0 to 99,999, not -1"),
        ({"drain_timeout": "soon"}, "drain_timeout must be seconds or a timedelta, not 'soon'"),
    ],
)
def test_an_option_that_cannot_be_is_named_with_its_value(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises(MisuseError, match=words):
        made(plain, **options)


@pytest.mark.parametrize(
    ("queues", "words"),
    [
        ([], "a worker of no queue has nothing to do"),
        (["a b"], "queue name 'a b' is not allowed: use"),
        (7, "queue name 7 is not allowed: use"),
        (["mail", None], "queue name None is not allowed: use"),
    ],
)
def test_a_queue_that_cannot_be_is_named(queues: Any, words: str) -> None:
    with pytest.raises(MisuseError, match=words):
        Worker(queues, plain)
