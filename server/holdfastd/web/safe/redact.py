"""What is not shown of jobs' data, results and progress, and cannot be searched for either.

A pattern without a dot is the name of a key, at any depth: `password` hides `{"user": {"password":
…}}`. One with a dot is a whole path from the top: `card.number`; places in lists do not count. `*`
stands for any characters, dots too: `*.secret` hides `a.secret` and `a.b.secret`, not `secret`.
Capitals do not matter.

It knows keys, not meanings: error messages, tracebacks, logs, names, tags and ids are shown as they
are.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from holdfast.wire.checks import Refusal, shown
from holdfast.wire.constants import ErrorCode

REDACTED: Final = "[redacted]"
"""In place of a value whose key is hidden."""
HIDDEN: Final = "[hidden]"
"""In place of all data, from who may see none."""
DEPTH_MAX: Final = 100
"""What lies deeper is not shown where anything is to be hidden: nobody reads that far, and Python
itself counts the levels of a recursion. Arbitrary."""
PATH_LENGTH_MAX: Final = 2_000
"""The same for what lies under longer names: a hundred thousand paths of a megabyte each would keep
the daemon busy for minutes. Arbitrary."""
READINGS_MAX: Final = 1_000
"""Of a path with numbers in it; one with more is not searched for. Arbitrary."""
UNREADABLE: Final = "$raw"
"""The key under which data that is no msgpack is shown (`jsonable`): its keys are unknown."""

_INDEX: Final = re.compile("[0-9]+", re.ASCII)

SearchPath: TypeAlias = tuple[str | None, ...]
"""Keys, and places in lists, from outside in, as a query has them; None = any of them."""


class Redactor:
    """Attributes:
    hides_all: who looks may see no data and no results at all.
    """

    def __init__(self, patterns: Iterable[str] = (), *, hides_all: bool = False):
        self.hides_all = hides_all
        lowered = [pattern.lower() for pattern in patterns]
        self._is_name = _matcher(pattern for pattern in lowered if "." not in pattern)
        self._is_path = _matcher(pattern for pattern in lowered if "." in pattern)
        self._hides_some = bool(lowered)

    def __call__(self, value: Any) -> Any:
        """A job's data or result, with REDACTED in place of what is hidden."""
        return HIDDEN if self.hides_all else self.progress(value)

    def progress(self, value: Any) -> Any:
        """The same for what everybody may see who sees the job."""
        if not self._hides_some:
            return value
        if isinstance(value, dict) and UNREADABLE in value:
            return REDACTED
        return self._redacted(value, "", 0)

    def check_search(self, paths: Iterable[SearchPath]) -> None:
        """Whether jobs may be looked for by what is at these paths in their data: what is found
        tells what is there.

        Raises:
            Refusal: FORBIDDEN.
        """
        for path in paths:
            why = self._why_not_searched(path)
            if why:
                told = ".".join("*" if key is None else key for key in path)
                raise Refusal(
                    ErrorCode.FORBIDDEN, f"data.{shown(told)[1:-1]} cannot be searched for: {why}"
                )

    def _why_not_searched(self, path: SearchPath) -> str:
        """Empty = it may be."""
        if self.hides_all:
            return "data is shown to operators and admins only here (http.hide_data)"
        if not self._hides_some:
            return ""
        if None in path:
            return "* may stand for what is hidden here (http.redact): name each key"
        return "it is hidden here (http.redact)" if self._may_hide(path) else ""

    def check_new_data(self, value: Any) -> None:
        """Whether a job, or another like it, can be given this data: what somebody was shown of
        other data has stand-ins in it.

        Raises:
            Refusal: FORBIDDEN.
        """
        if (self.hides_all or self._hides_some) and _has(value, (REDACTED, HIDDEN)):
            raise Refusal(
                ErrorCode.FORBIDDEN,
                f"this data has {REDACTED} or {HIDDEN} in it, which stands for what is hidden here "
                "(http.redact, http.hide_data): put the value itself there, or do it from Python",
            )

    def _may_hide(self, path: SearchPath) -> bool:
        """It, or what it lies in. A number may be a key or a place in a list, which does not count:
        every reading is tried."""
        readings = {""}
        for name in filter(None, path):
            longer = {f"{before}.{name}" if before else name for before in readings}
            if any(len(inside) > PATH_LENGTH_MAX or self._hides(name, inside) for inside in longer):
                return True
            readings = readings | longer if _INDEX.fullmatch(name) else longer
            if len(readings) > READINGS_MAX:
                return True
        return len(path) > DEPTH_MAX

    def _hides(self, name: str, path: str) -> bool:
        return self._is_name(name) or self._is_path(path)

    def _redacted(self, value: Any, path: str, depth: int) -> Any:
        if not isinstance(value, dict | list | tuple):
            return value
        if depth == DEPTH_MAX:
            return REDACTED
        if not isinstance(value, dict):
            return [self._redacted(each, path, depth + 1) for each in value]
        found = {}
        for key, inner in value.items():
            name = _text(key)
            inside = f"{path}.{name}" if path else name
            is_hidden = len(inside) > PATH_LENGTH_MAX or self._hides(name, inside)
            found[key] = REDACTED if is_hidden else self._redacted(inner, inside, depth + 1)
        return found


def _text(key: object) -> str:
    """A key of msgpack may be of any type."""
    return key.decode(errors="replace") if isinstance(key, bytes) else str(key)


def _matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    parts = [re.escape(pattern).replace(r"\*", ".*") for pattern in patterns]
    if not parts:
        return lambda text: False
    match = re.compile("|".join(parts), re.DOTALL).fullmatch
    return lambda text: match(text.lower()) is not None


def _has(value: Any, marks: tuple[str, ...]) -> bool:
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            left += one.values()
        elif isinstance(one, list | tuple):
            left += one
        elif isinstance(one, str) and one in marks:
            return True
    return False
