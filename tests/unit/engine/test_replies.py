"""replies.py: how a command is answered, now or later, and what a refusal says."""

from holdfastd.engine import commands
from support.engine import Driver, P


def test_a_refusal_to_a_connection_that_has_gone_is_not_said(driver: Driver) -> None:
    driver.add(P, "q", "first", "x")
    driver.add(P, "r", "first")
    driver.do(P, commands.Obliterate("q", False))
    driver.do(P, commands.Detach(), 0)
    driver.outputs.clear()
    driver.flush()
    assert driver.outputs == []
