"""The directory's lock: held by one daemon, looked at by others without harm."""

import fcntl
import os
import time
from pathlib import Path

import pytest

from holdfastd.store.base import StoreRefused
from holdfastd.store.lock import LOCK_NAME, LOCK_PAUSES_S, DirectoryLock, is_held


def test_a_lock_that_another_has_is_refused_with_its_pid(tmp_path: Path) -> None:
    lock, second = DirectoryLock(tmp_path), DirectoryLock(tmp_path)
    assert not is_held(tmp_path)
    lock.acquire()
    assert is_held(tmp_path)
    with pytest.raises(StoreRefused, match=f"another holdfastd \\(pid {os.getpid()}\\)"):
        second.acquire()
    lock.release()
    assert not is_held(tmp_path)
    second.acquire()
    second.release()


def test_a_look_at_the_lock_keeps_no_daemon_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = os.open(tmp_path / LOCK_NAME, os.O_RDONLY | os.O_CREAT, 0o600)
    fcntl.flock(looking, fcntl.LOCK_SH)
    paused: list[float] = []

    def pause(seconds: float) -> None:
        paused.append(seconds)
        os.close(looking)  # the look is over

    monkeypatch.setattr(time, "sleep", pause)
    lock = DirectoryLock(tmp_path)
    lock.acquire()
    lock.release()
    assert paused == [LOCK_PAUSES_S[0]]
