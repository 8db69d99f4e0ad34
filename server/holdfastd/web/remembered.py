"""What takes a read of the disk, made once in a while for all who look.

A live page is made every second, but its history has a new point each minute only.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from holdfastd.access.rights import Identity

T = TypeVar("T")

KEPT_MAX: Final = 100
"""Different things at a time; the oldest are forgotten. Arbitrary."""


def rights_key(identity: Identity) -> Hashable:
    """The same for those who see the same."""
    rights = identity.rights
    return None if rights is None else (rights.roles, rights.patterns)


class Remembered(Generic[T]):
    def __init__(self, seconds: float, monotonic: Callable[[], float]):
        """seconds: for how long one is good."""
        self._seconds = seconds
        self._monotonic = monotonic
        self._kept: dict[Hashable, tuple[float, T]] = {}
        self._making = asyncio.Lock()

    async def get(self, key: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        """key: what it depends on, who looks included."""
        async with self._making:
            good_until, value = self._kept.get(key, (float("-inf"), None))
            if value is None or self._monotonic() >= good_until:
                value = await make()
                self._kept.pop(key, None)
                self._kept[key] = (self._monotonic() + self._seconds, value)
                if len(self._kept) > KEPT_MAX:
                    del self._kept[next(iter(self._kept))]
            return value
