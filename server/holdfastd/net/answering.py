"""How long a connection's requests took and how they ended, counted when they are answered.

The answer is what tells: whether a command was refused is known once the engine has seen it, and
its time ends when its batch is durable. Costs 0.7 us a request (bench.observing), however many
jobs are in it.
"""

from collections.abc import Sequence
from typing import Any, Final

from holdfast.wire import messages as wire
from holdfastd.observed import Observed

NAMES: Final = {kind: wire.name_of(kind).lower() for kind in wire.MESSAGES.values()}
"""As they are counted."""
UNTIMED: Final = frozenset({wire.Wait, wire.Drain, wire.Obliterate})
"""WAIT takes as long as the job does, the others as long as there is something to remove."""
_STATUSES: Final = {1: "client", 2: "client", 3: "client", 4: "conflict", 5: "unavailable"}


def status_of(code: int) -> str:
    """Whose fault it was: "client" (wrong as it stood), "conflict" (right, but things are not as it
    thought), "unavailable" (send it again later), "internal"."""
    return _STATUSES.get(code // 100, "internal")


class Answers:
    """Of one connection. What is not answered when it ends is not counted: it will be sent again.

    Attributes:
        are_due: requests are waiting for their answers.
    """

    def __init__(self, observed: Observed):
        self._observed = observed
        self.are_due: dict[int, tuple[type[Any], float]] = {}
        """By request number: which message, and when its turn came, in monotonic seconds."""

    def expect(self, message: Any, monotonic: float) -> None:
        """It was handed on. One without a request number has no answer: it counts as done."""
        kind = type(message)
        if kind in _NUMBERED:
            self.are_due[message.request] = (kind, monotonic)
        else:
            self._observed.commands[NAMES[kind], "ok"] += 1

    def count(self, message: Any, status: str) -> None:
        """It was refused at once."""
        self._observed.commands[NAMES[type(message)], status] += 1

    def note(self, messages: Sequence[wire.Message], monotonic: float) -> None:
        """These are being sent."""
        for message in messages:
            if type(message) is wire.Reply:
                self._answered(message.request, "ok", monotonic)
            elif type(message) is wire.Error and message.request is not None:
                self._answered(message.request, status_of(message.code), monotonic)

    def _answered(self, request: int, status: str, monotonic: float) -> None:
        due = self.are_due.pop(request, None)
        if due is None:
            return
        kind, began = due
        name = NAMES[kind]
        self._observed.commands[name, status] += 1
        if kind not in UNTIMED:
            self._observed.command_seconds[name].observe(monotonic - began)


_NUMBERED: Final = frozenset(
    kind for kind in wire.MESSAGES.values() if "request" in kind._fields
) - {wire.Reply, wire.Error}
