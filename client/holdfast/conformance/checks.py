"""What a check is, and how a module collects those of its theme."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from holdfast.conformance.outcomes import Subject
from holdfast.conformance.scene import Scene
from holdfast.wire.constants import ErrorCode, Op

Play: TypeAlias = Callable[[Scene], Awaitable[None]]


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
