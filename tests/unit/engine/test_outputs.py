"""outputs.py: what is said of a queue or a job that is not there."""

from holdfastd.engine.outputs import unknown_job, unknown_queue


def test_what_is_not_there_is_named() -> None:
    assert unknown_queue("mail").startswith("there is no queue mail: ")
    assert unknown_job("a", "mail").startswith("there is no job a in queue mail: ")
