"""What a check is, how it fails, and how a module collects those of its theme."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from holdfast.wire.constants import ErrorCode, Op

if TYPE_CHECKING:
    from holdfast.conformance.scene import Scene

Subject: TypeAlias = Op | ErrorCode
Play: TypeAlias = "Callable[[Scene], Awaitable[None]]"


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


class Check(NamedTuple):
    id: str
    """`theme.name`."""
    sentence: str
    """What the server has to do."""
    section: str
    """Heading of protocol.md under which that stands."""
    about: frozenset[Subject]
    """Commands, pushes and error codes that it looks at."""
    play: Play
    is_alone: bool
    """Not beside others: it makes the server restart."""


@dataclass
class Theme:
    """The checks of one module."""

    name: str
    section: str
    """That of its checks which do not name another one."""
    checks: list[Check] = field(default_factory=list)

    def check(
        self,
        name: str,
        sentence: str,
        *about: Subject,
        section: str = "",
        is_alone: bool = False,
    ) -> Callable[[Play], Play]:
        """Take the function that follows as a check."""

        def collect(play: Play) -> Play:
            self.checks.append(
                Check(
                    f"{self.name}.{name}",
                    sentence,
                    section or self.section,
                    frozenset(about),
                    play,
                    is_alone,
                )
            )
            return play

        return collect


BEYOND_A_CLIENT: Final[dict[Subject, str]] = {
    Op.STOP: "an operator sends it, over HTTP",
    ErrorCode.UNKNOWN_WORKER: "answers what operators do over HTTP",
    ErrorCode.BUSY: "comes of load, or of ten wrong keys, which would shut out others",
    ErrorCode.DISK_FULL: "the server's disk would have to be full",
    ErrorCode.DRAINING: "only between GOAWAY and the end; going-down.goaway takes it, or the end",
    ErrorCode.INTERNAL: "would be an error of the server",
}
"""What no check is about, and why."""
