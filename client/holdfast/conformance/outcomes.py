"""How a check ends that does not pass, and what it may be about."""

from typing import TypeAlias

from holdfast.wire.constants import ErrorCode, Op

Subject: TypeAlias = Op | ErrorCode


class Failed(Exception):
    """The server did something else than the contract says.

    Attributes: sent, expected, came: texts for people, each on one line.
    """

    def __init__(self, sent: str, expected: str, came: str):
        self.sent = sent
        self.expected = expected
        self.came = came
        super().__init__(f"sent {sent}; expected {expected}; came {came}")


class Skipped(Exception):
    """It cannot be checked here; the text says why, and what would make it possible."""
