"""One background thread with an asyncio loop per process, for the blocking client and for workers.

A worker's heartbeats live there, so a handler that blocks its own loop for a minute does not lose
its lease. A forked child gets a thread of its own.
"""

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_current: "IoThread | None" = None


class IoThread:
    def __init__(self) -> None:
        self.pid = os.getpid()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="holdfast-io", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it there and wait for it; raises what it raises. Ctrl-C cancels it."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise


def io_thread() -> IoThread:
    """This process's thread; started when it is first needed."""
    global _current
    with _lock:
        if _current is None or _current.pid != os.getpid():
            _current = IoThread()
        return _current


def _forget_in_child() -> None:
    """After a fork the lock may be held by a thread that does not exist here."""
    global _current, _lock
    _lock = threading.Lock()
    _current = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
