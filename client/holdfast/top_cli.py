"""`holdfast top`: the queues as they are, each second, in a terminal; once into anything else."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

import click

from holdfast.errors import HoldfastError, Unreachable
from holdfast.screen import HEADER, PLAIN, TITLE, Screen, is_usable
from holdfast.sync import Queue
from holdfast.top import ORDERS, Sample, View, compare, facts, table

_KEYS: Final = "q ends, s sorts otherwise"
_TOP_LINES: Final = 2


def run(queue: Queue, interval_s: float, order: str, *, is_once: bool, as_json: bool) -> None:
    """Show all queues of the queue's server. Raises HoldfastError."""
    first = _sample(queue)
    if as_json or is_once or not is_usable():
        time.sleep(interval_s)
        view = compare(first, _sample(queue))
        text = json.dumps(facts(view, order)) if as_json else "\n".join(_once(view, order))
        click.echo(text)
        return
    _Live(queue, first, interval_s, order).run()


def _sample(queue: Queue) -> Sample:
    found = queue.all_queues()
    return Sample(time.monotonic(), found)


def _once(view: View, order: str) -> Iterator[str]:
    if not view.rows:
        yield "there are no queues yet"
        return
    yield from table(view, order, None, None)


class _Live:
    """Samples are taken by a thread, so that a server that is away makes no key wait."""

    def __init__(self, queue: Queue, first: Sample, interval_s: float, order: str):
        self._queue = queue
        self._interval_s = interval_s
        self._order = order
        self._before: Sample | None = None
        self._now = first
        self._error: Exception | None = None
        """Of the last attempt; None = it went well."""
        self._is_ended = threading.Event()
        self._screen = Screen()

    def run(self) -> None:
        with self._screen:
            sampler = threading.Thread(target=self._take_samples, daemon=True)
            sampler.start()
            try:
                while self._step(self._screen.wait_for_key):
                    pass
            except (KeyboardInterrupt, EOFError):
                pass  # the ordinary ways to leave
            finally:
                self._is_ended.set()
        if self._error is not None and not isinstance(self._error, Unreachable):
            raise self._error

    def _step(self, wait_for_key: Callable[[], str]) -> bool:
        """Draw, wait, obey. False = the end."""
        if self._error is not None and not isinstance(self._error, Unreachable):
            return False
        self._screen.draw(self._lines())
        key = wait_for_key()
        if key == "s":
            orders = list(ORDERS)
            self._order = orders[(orders.index(self._order) + 1) % len(orders)]
        return key not in ("q", "Q")

    def _take_samples(self) -> None:
        while not self._is_ended.wait(self._interval_s):
            try:
                now = _sample(self._queue)
            except HoldfastError as error:
                self._error = error
            else:
                self._before, self._now, self._error = self._now, now, None
            self._screen.wake()

    def _lines(self) -> Iterator[str]:
        width, height = self._screen.size
        view = compare(self._before, self._now)
        yield f"{TITLE}{self._title(view)[:width]}{PLAIN}"
        yield self._status()[:width]
        for at, line in enumerate(table(view, self._order, width, height - _TOP_LINES)):
            yield f"{HEADER}{line:<{width}}{PLAIN}" if at == 0 else line

    def _title(self, view: View) -> str:
        count = len(view.rows)
        return (
            f"holdfast top  {datetime.now().astimezone():%H:%M:%S}  {count:,} "
            f"queue{'s' * (count != 1)} by {self._order}  {_KEYS}"
        )

    def _status(self) -> str:
        if self._error is not None:
            age_s = time.monotonic() - self._now.at
            return f"figures {age_s:.0f} s old, trying again: {self._error}"
        return f"each {self._interval_s:g} s; per second: since the figures before"
