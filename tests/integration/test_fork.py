"""A forked child gets a connection of its own."""

import os

from holdfast import Queue
from support.daemon import DaemonProcess


def test_parent_and_child_both_go_on_after_a_fork(daemon: DaemonProcess) -> None:
    queue = Queue("work", url=daemon.url, timeout=10)
    queue.add("n", "before")
    child = os.fork()
    if child == 0:
        try:
            queue.add("n", "child")
            os._exit(0)
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    queue.add("n", "parent")
    assert sorted(job.data for job in queue.jobs("waiting")) == ["before", "child", "parent"]
    queue.close()
